"""One run, from its first status to its `done`, in whichever worker holds the log.

    1  begin      engine, attempt row, `status: running`
    2  start      the container, by a key that makes a second start harmless                          start.py
    3  follow     the start line to its stdin; its output into the log (agents.programs.output_pump), until it ends or
    is stopped
                  answers.py, disk.py and the gateway go on beside it                                  stop.py
    4  finish     what happened, as an error where it went wrong; files; `status`; `done`: one batch, so all or nothing

A worker that takes the run over enters at 2 with the same attempt and reads on at the log's position.
"""

from agents.worker.execution.control_signals import Detached
from agents.worker.execution.execution import Execution

__all__ = ["Detached", "Execution"]
