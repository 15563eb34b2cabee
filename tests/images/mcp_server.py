"""A small MCP server on stdin and stdout, by hand: `python mcp_server.py [--broken]`."""

import json
import os
import sys
from typing import Any

TOOL = {
    "name": "add",
    "description": "Adds two numbers.",
    "inputSchema": {
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        "required": ["a", "b"],
    },
}


def answer(method: str, given: dict[str, Any]) -> dict[str, Any] | None:
    if method == "initialize":
        about = {"name": "sums", "version": "1"}
        return {"protocolVersion": given["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": about}
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        numbers = given["arguments"]
        if numbers["a"] < 0:
            return {"content": [{"type": "text", "text": "No negative numbers."}], "isError": True}
        text = f"{numbers['a'] + numbers['b']} {os.environ.get('UNIT', '')}".strip()
        return {"content": [{"type": "text", "text": text}], "isError": False}
    return None


if "--broken" in sys.argv:
    sys.exit("I do not start.")
for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    result = answer(request["method"], request.get("params") or {})
    failure = {"error": {"code": -32601, "message": "Method not found"}}
    body = failure if result is None else {"result": result}
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **body}), flush=True)  # noqa: T201 - its protocol
