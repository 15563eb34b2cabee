"""python -m tests.provider [--port 9999] [--pace 0.03]: a look by hand, or something to point an agent at."""

from __future__ import annotations

import argparse
import contextlib
import threading

from . import Call, MockProvider, Thinking, by_progress, turn


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.provider", description=__doc__)
    parser.add_argument("--port", type=int, default=9999)
    parser.add_argument("--pace", type=float, default=0.03, help="seconds between two pieces of an answer")
    options = parser.parse_args()
    with MockProvider(port=options.port) as provider:
        provider.author = by_progress(
            [
                turn(
                    Thinking("I look at what is there. "),
                    "I look at the files first.",
                    Call("list_files", {"path": "."}),
                    pause_s=options.pace,
                ),
                turn(
                    "Now I write one.",
                    Call("write_file", {"path": "hello.txt", "content": "Hello from a mock.\n"}),
                    pause_s=options.pace,
                ),
                turn("I have written `hello.txt`. I am a **mock**: no model is involved.", pause_s=options.pace),
            ]
        )
        for name, value in provider.environment().items():
            print(f"export {name}={value}", flush=True)  # noqa: T201 - a command line
        threading.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
