"""A second process that uses an engine: started by Bench.other_process, and killed by the test.

The argument is JSON: engine, place, action and what the action needs. Prints one line of JSON when it has done it, or
(read) one after each piece; then it stays until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from containers.interface import Engine
from containers.registry import ENGINES, Place
from containers.spec import Spec
from containers.workspace import program_user


async def main(order: dict[str, Any]) -> None:
    place = {**order["place"], "state_dir": Path(order["place"]["state_dir"])}
    engine = ENGINES[order["engine"]](Place(**place))
    if order["action"] == "start":
        say(await start(engine, order))
    elif order["action"] == "send":
        await engine.send(order["ref"], order["line"].encode())
        say("sent")
    else:
        ref = await start(engine, order)
        taken = {"stdout": "", "stderr": ""}
        async for stream, data in engine.output(ref):
            taken[stream] += data.decode("ascii")
            say([ref, taken["stdout"], taken["stderr"]])
    await asyncio.Event().wait()


async def start(engine: Engine, order: dict[str, Any]) -> str:
    spec = order["spec"]
    return await engine.start(
        Spec(
            image=spec["image"],
            workspace=Path(spec["workspace"]),
            command=tuple(spec["command"]),
            process_command=tuple(spec["command"]),
            labels=spec["labels"],
            user=program_user(),
            runtime=spec["runtime"],
            trusted=True,
        ),
        order["key"],
    )


def say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
