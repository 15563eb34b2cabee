"""The command line's client of the HTTP API."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Self
from urllib.parse import quote

import httpx

from agentsite.cli.problem import CliProblem
from agentsite.cli.site_address import address_of
from agentsite.environment import Environment, load_environment

BEGINNING = "0-0"
"""The cursor before an agent's first event."""
DEFAULT_URL = f"http://{Environment.model_fields['host'].default}:{Environment.model_fields['port'].default}"
PAGE_MAX_ITEMS = 200
"""Items that the API returns in one page of a list, at most."""


class StreamEnded(Exception):
    """The connection was cut, or the server ended the stream: resume after the last event seen."""


class Client:
    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        environment = load_environment()
        path = environment.directory() / "admin-token"
        self.variables: tuple[str, ...] = ()
        """Environment variables that a printed command needs beside `options`, to reach the same site."""
        self._token_source = "--token"
        if token is None and environment.token:
            token, self._token_source = environment.token, "AGENTSITE_TOKEN"
        if token is None:
            self.variables = ("AGENTSITE_DATA_DIR",)
            self._token_source = str(path)
            try:
                token = path.read_text().strip()
            except OSError:
                raise CliProblem(
                    "no API token: give --token, AGENTSITE_TOKEN, or the data dir of a running site"
                ) from None
        if not (token.isascii() and token.isprintable()):
            raise CliProblem("the API token has characters that no token has")
        self.url = (url or address_of(environment)).rstrip("/")
        self.options = () if self.url == DEFAULT_URL else ("--url", self.url)
        """Options that a printed command needs to reach the same site from another shell. Never the token."""
        try:
            self._http = httpx.Client(
                base_url=self.url,
                headers={"Authorization": f"Bearer {token}"},
                timeout=httpx.Timeout(30, read=None),
                trust_env=False,
            )
        except httpx.InvalidURL as error:
            raise CliProblem(f"--url: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request and return the JSON answer. Raises CliProblem with the API's message."""
        try:
            answer = self._http.request(method, path, json=body, headers=headers)
        except UnicodeEncodeError:
            raise CliProblem("what is to be sent is not UTF-8") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CliProblem(f"{self.url} does not answer ({error}); is `agentsite up` running?") from None
        if answer.is_error:
            raise self._refusal(answer)
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise CliProblem(f"{self.url} is there, but it is not agentsite") from None

    def start_agent(self, definition: str, prompt: str) -> tuple[str, str]:
        """Make an agent with a first run, and return both ids. The site makes both or neither."""
        agent = self.call("POST", "/api/agents", {"definition": definition, "input": prompt})
        return str(agent["id"]), str(agent["run"]["id"])

    def check_definition(self, agent_id: str, definition: str) -> None:
        """Raise CliProblem if the agent has another definition, since that one would run."""
        actual = str(self.call("GET", f"/api/agents/{agent_id}")["definition"])
        if actual != definition:
            raise CliProblem(f"agent {agent_id} is of the definition {actual}, not {definition}")

    def tip(self, agent_id: str) -> str:
        """Return the cursor of the agent's newest event."""
        snapshot = self.call("GET", f"/api/agents/{agent_id}/snapshot")
        return f"{snapshot['epoch']}-{snapshot['seq']}"

    def start_run(self, agent_id: str, prompt: str) -> str:
        """Start a run and return its id."""
        key = {"Idempotency-Key": str(uuid.uuid4())}
        return str(self.call("POST", f"/api/agents/{agent_id}/runs", {"input": prompt}, **key)["id"])

    def answer(self, run_id: str, approval_id: str, decision: str, reason: str) -> None:
        body = {"decision": decision, "reason": reason}
        self.call("POST", f"/api/runs/{run_id}/approvals/{quote(approval_id, safe='')}", body)

    def tool_call(self, agent_id: str, run_id: str, call_id: str) -> dict[str, Any] | None:
        """Return a tool call with all of its arguments, or None if the site no longer has it."""
        try:
            call = self.call("GET", f"/api/agents/{agent_id}/runs/{run_id}/calls/{quote(call_id, safe='')}")
        except CliProblem:
            return None
        return dict(call)

    def listed(self, path: str, name: str, limit: int) -> tuple[list[dict[str, Any]], int]:
        """Return up to `limit` items of a list, and how many there are in all. `name` is the list's field in the
        answer.

        A list may change between two requests for its pages; no item is returned twice because of that.
        """
        found: dict[str, dict[str, Any]] = {}
        size = min(limit, PAGE_MAX_ITEMS)
        for page in itertools.count(1):
            answer = self.call("GET", f"{path}?limit={size}&page={page}")
            found |= {one["id"]: one for one in answer[name]}
            if len(found) >= limit or page * size >= answer["total"]:
                break
        return list(found.values())[:limit], answer["total"]

    def download(self, path: str, **params: Any) -> Iterator[bytes]:
        """Yield a body of any size in pieces. Raises CliProblem, also when the connection is cut."""
        try:
            with self._http.stream("GET", path, params=params) as answer:
                if answer.is_error:
                    answer.read()
                    raise self._refusal(answer)
                yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            raise CliProblem(f"{self.url}: {error}") from None

    def upload(self, path: str, content: Iterable[bytes], media_type: str, **params: Any) -> Any:
        """Send a body of any size and return the JSON answer. Raises CliProblem."""
        headers = {"Content-Type": media_type}
        try:
            answer = self._http.post(path, content=content, params=params, headers=headers)
        except httpx.HTTPError as error:
            raise CliProblem(f"{self.url} does not answer ({error}); is `agentsite up` running?") from None
        if answer.is_error:
            raise self._refusal(answer)
        return answer.json()

    def stream(self, agent_id: str, after: str) -> Iterator[dict[str, Any]]:
        """Yield the events after a cursor, then live ones. Raises StreamEnded, and CliProblem if the site refuses."""
        try:
            with self._http.stream("GET", f"/api/agents/{agent_id}/stream", params={"after": after}) as answer:
                if answer.status_code >= 500:
                    raise StreamEnded
                if answer.is_error:
                    answer.read()
                    raise self._refusal(answer)
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        yield json.loads(line.removeprefix("data: "))
        except httpx.HTTPError:
            pass
        raise StreamEnded

    def _refusal(self, answer: httpx.Response) -> CliProblem:
        said = _error_message(answer)
        return CliProblem(f"{said} (sent: that of {self._token_source})" if answer.status_code == 401 else said)


def _error_message(answer: httpx.Response) -> str:
    try:
        error = answer.json()["error"]
        field = (error.get("details") or {}).get("field")
        message = str(error["message"])
        return f"{field}: {message}" if field and field not in message else message
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{answer.status_code} {answer.reason_phrase}"
