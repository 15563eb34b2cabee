"""Programs that several suites of the contract start."""

from __future__ import annotations

ECHO = """
import sys
print("ready")
for line in sys.stdin:
    if line.strip():
        print("got", line.rstrip("\\n"))
print("end of stdin")
"""
COUNT_RUNS = """
import os, time
with open("runs", "a") as file:
    file.write("x")
print("ran")
"""
