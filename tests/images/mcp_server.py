"""A small MCP server on stdin and stdout, by hand: `python mcp_server.py [--broken | --silent] [--tools NAME,…]`.

Tools named with --tools answer with RESULT (environment, JSON).
"""

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


MORE = sys.argv[sys.argv.index("--tools") + 1].split(",") if "--tools" in sys.argv else []


def answer(method: str, given: dict[str, Any]) -> dict[str, Any] | None:
    if method == "initialize":
        about = {"name": "sums", "version": "1"}
        return {"protocolVersion": given["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": about}
    if method == "tools/list":
        return {"tools": [TOOL, *({**TOOL, "name": name} for name in MORE)]}
    if method == "tools/call":
        if given["name"] in MORE:
            part = {"type": "text", "text": f"This is {given['name']}."}
            return json.loads(os.environ.get("RESULT") or json.dumps({"content": [part]}))  # type: ignore[no-any-return]
        numbers = given["arguments"]
        if numbers["a"] < 0:
            return {"content": [{"type": "text", "text": "No negative numbers."}], "isError": True}
        text = f"{numbers['a'] + numbers['b']} {os.environ.get('UNIT', '')}".strip()
        return {"content": [{"type": "text", "text": text}], "isError": False}
    return None


if "--broken" in sys.argv:
    sys.exit("I do not start.")
if "--silent" in sys.argv:
    sys.stdin.read()
for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    result = answer(request["method"], request.get("params") or {})
    failure = {"error": {"code": -32601, "message": "Method not found"}}
    body = failure if result is None else {"result": result}
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **body}), flush=True)  # noqa: T201 - its protocol
