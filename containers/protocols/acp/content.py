"""Content blocks to text, diffs and results. Everything here is an agent's: no shape is relied on."""

from __future__ import annotations

from typing import Any

TEXT_CHARS = 256 * 1024
"""What is kept of one text of a tool's result: the file that an edit is about may be of any size."""


def text_of(block: Any) -> str:
    """What a block says. What is no text is named."""
    if not isinstance(block, dict):
        return ""
    kind, text = block.get("type"), block.get("text")
    if isinstance(text, str):
        return text
    if kind == "resource_link":
        return f"[{block.get('title') or block.get('name') or 'resource'}]({block.get('uri', '')})"
    if kind == "resource" and isinstance(block.get("resource"), dict):
        inner = block["resource"].get("text")
        return inner if isinstance(inner, str) else f"[{block['resource'].get('uri', 'resource')}]"
    return f"[{kind}]" if isinstance(kind, str) else ""


def output_of(content: Any) -> str:
    """The text of a tool call's content, its diffs left out."""
    items = content if isinstance(content, list) else []
    return "\n".join(text for item in items if (text := _output(item)))


def diffs_of(content: Any) -> list[dict[str, Any]]:
    """`path`, `old_text` (None: a new file), `new_text`."""
    items = content if isinstance(content, list) else []
    return [
        {
            "path": str(item.get("path", "")),
            "old_text": cut(item["oldText"]) if isinstance(item.get("oldText"), str) else None,
            "new_text": cut(item["newText"]) if isinstance(item.get("newText"), str) else "",
        }
        for item in items
        if isinstance(item, dict) and item.get("type") == "diff"
    ]


def cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARS else f"{text[:TEXT_CHARS]}\n… {len(text) - TEXT_CHARS} characters more"


def _output(item: Any) -> str:
    if not isinstance(item, dict):
        return ""
    if item.get("type") == "content":
        return text_of(item.get("content"))
    return "" if item.get("type") in ("diff", "terminal") else text_of(item)
