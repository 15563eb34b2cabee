"""Access: whether a caller may go on with what is open. It is watched for as long as a stream or a socket lives."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class Access(Protocol):
    def watch(self, on_end: Callable[[], None]) -> AbstractContextManager[None]:
        """Within the context `on_end` is called once, in the event loop, when access has ended."""


class UnlimitedAccess:
    """Nobody takes it away."""

    @contextlib.contextmanager
    def watch(self, on_end: Callable[[], None]) -> Iterator[None]:
        yield
