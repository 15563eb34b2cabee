"""The program that runs while faults are injected: says numbers, so that a loss, a repetition, a wrong order shows.

Runs inside containers: nothing but the standard library, and it may be passed as `python3 -c`. Its input is a plan (see
tests/faults/plan.py). It goes on until the file `finish` appears in its workspace. What it did is in its workspace too:
starts-<run> (a line a start), tools-<run> (a line an executed tool), total-<run> (how many numbers it said).
"""

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

RUN = os.environ["RUN_ID"]
WORKSPACE = Path(os.environ["WORKSPACE"])
LIFE_S = 900


def say(**line):
    os.write(1, (json.dumps(line) + "\n").encode())


def note(name, text):
    with (WORKSPACE / (name + "-" + RUN)).open("a", encoding="ascii") as file:
        file.write(text + "\n")


def listen(plan):
    for line in sys.stdin:
        if '"cancel"' in line and not plan["stubborn"]:
            os._exit(0)


def call_tool(number, plan):
    call_id = "t" + str(number)
    say(type="tool-call", call_id=call_id, name="append", arguments={"number": number})
    note("tools", str(number))
    say(type="tool-output", call_id=call_id, content=str(number) + "a;")
    time.sleep(plan["tool_s"])
    say(type="tool-output", call_id=call_id, content=str(number) + "b;")
    say(type="tool-result", call_id=call_id, result={"number": number}, is_error=False)


def eat_memory():
    held = []
    while True:
        held.append(bytearray(os.urandom(1 << 20) * 4))


def main():
    start = sys.stdin.readline()
    while not start.strip():
        start = sys.stdin.readline()
    plan = json.loads(json.loads(start)["input"]["content"])
    if plan["stubborn"]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note("starts", "started")
    threading.Thread(target=listen, args=(plan,), daemon=True).start()
    rng = random.Random(plan["seed"])
    finish = WORKSPACE / "finish"
    began, number = time.monotonic(), 0
    while not finish.exists() and time.monotonic() - began < LIFE_S:
        number += 1
        say(type="text", content=str(number) + "." * plan["pad"] + ";")
        if number % plan["tool_every"] == 0:
            call_tool(number // plan["tool_every"], plan)
        if number == plan["eat_at"]:
            eat_memory()
        time.sleep(rng.uniform(*plan["pace_s"]))
    note("total", str(number))
    say(type="done", status="completed", result={"said": number})


main()
