"""The tools of the workspace. One module a kind; each tool is a `Tool`, and `built_in()` lists them."""

from .bash import BASH
from .files import EDIT_FILE, READ_FILE, WRITE_FILE
from .finding import LIST_FILES, SEARCH
from .tool import Output, Tool, ToolFailed

__all__ = ["Output", "Tool", "ToolFailed", "built_in"]


def built_in() -> list[Tool]:
    return [BASH, READ_FILE, WRITE_FILE, EDIT_FILE, LIST_FILES, SEARCH]
