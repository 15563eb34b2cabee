"""The program of these runs: says what `corpus` makes. Its prompt is JSON: {"say": name of a function of corpus,
"arguments": […], "pause_s": seconds after each line}."""

import json
import sys
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # modules here have names of the standard library
from benchmarks.age import corpus  # noqa: E402

asked = json.loads(json.loads(sys.stdin.readline())["input"]["content"])
for line in getattr(corpus, asked["say"])(*asked["arguments"]):
    sys.stdout.write(json.dumps(line) + "\n")
    if asked["pause_s"]:
        sys.stdout.flush()
        time.sleep(asked["pause_s"])
