"""An agent with nothing but Python's standard library: counts the words of the text files in its workspace, and asks
before it replaces an older count."""

import json
import queue
import re
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

REPORT = Path("words.txt")
MOST_BYTES = 1024 * 1024


class Cancelled(Exception):
    pass


def say(kind, **data):
    print(json.dumps({"type": kind, **data}), flush=True)


class Commands:
    """Read beside the work, so that a cancel is heard while it goes on."""

    def __init__(self):
        self._queue = queue.Queue()
        self._decisions = {}
        signal.signal(signal.SIGTERM, self._terminate)
        threading.Thread(target=self._read, daemon=True).start()

    def start(self):
        return self._queue.get()

    def look(self):
        """Deal with what has come meanwhile. Raises Cancelled."""
        while not self._queue.empty():
            self._take(self._queue.get())

    def decision(self, approval_id):
        """Wait for the answer to a question."""
        while approval_id not in self._decisions:
            self._take(self._queue.get())
        return self._decisions[approval_id]

    def _take(self, command):
        if command["type"] == "cancel":
            raise Cancelled
        if command["type"] == "message":
            say("text", content=f"Noted: {command['content']}\n")
        elif command["type"] == "approval":
            self._decisions[command["approval_id"]] = command["decision"]

    def _read(self):
        for line in sys.stdin:
            if line.strip():  # empty lines separate commands
                self._queue.put(json.loads(line))

    def _terminate(self, *_):
        raise Cancelled


def count_words(commands):
    words = Counter()
    files = 0
    say("tool-call", call_id="count", name="count-words", arguments={"directory": "."})
    for path in sorted(path for path in Path().rglob("*") if path.is_file() and path != REPORT):
        commands.look()
        if path.stat().st_size > MOST_BYTES:
            continue
        found = re.findall(r"\w+", path.read_text(errors="replace").lower())
        words.update(found)
        files += 1
        say("tool-output", call_id="count", content=f"{len(found)} {path}\n")
    say("tool-result", call_id="count", result={"files": files, "words": words.total()}, is_error=False)
    return words


def main():
    commands = Commands()
    try:
        start = commands.start()
        say("text", content=f"You asked: {start['input']['content']}\nCounting the words of your files.\n")
        words = count_words(commands)
        replace = "yes"
        if REPORT.exists():
            say("approval-request", approval_id="replace", question=f"Replace {REPORT}?", options=["yes", "no"])
            replace = commands.decision("replace")
        if replace == "yes":
            REPORT.write_text("".join(f"{count} {word}\n" for word, count in words.most_common()))
            say("text", content=f"Wrote {REPORT}: {len(words)} different words.")
        else:
            say("text", content=f"Kept {REPORT} as it was.")
        say("done", status="completed", result=f"{words.total()} words")
    except Cancelled:
        say("done", status="cancelled", result="stopped")


main()
