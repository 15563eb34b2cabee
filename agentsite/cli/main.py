"""The commands of `agentsite`. Each imports the module that does the work when it is called, so that `--help` is
instant."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

CommandLineError: Any = typer.BadParameter.__mro__[2]
"""Base class of all errors in arguments and options. Typer has no public name for it."""

app = typer.Typer(
    help="Self-hosted agent runner: agents in containers, one gap-free event log each, live in the browser.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit code 2: it could not be done, and a line on stderr says why. 130: Ctrl-C.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
images = typer.Typer(help="Images of agents: what definitions name, and building ours.", no_args_is_help=True)
app.add_typer(images, name="images")
Host = Annotated[str | None, typer.Option(help="Address to listen on. [AGENTSITE_HOST]")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one. [AGENTSITE_PORT]")]
DataDir = Annotated[Path | None, typer.Option(help="Database, workspaces, tokens. [AGENTSITE_DATA_DIR]")]
Engine = Annotated[str | None, typer.Option(help="auto, docker, podman, bwrap or process. [AGENTSITE_ENGINE]")]
Url = Annotated[
    str | None, typer.Option(help="Address of the site; default: that of AGENTSITE_HOST and AGENTSITE_PORT.")
]
Token = Annotated[str | None, typer.Option(help="API token; default: <data-dir>/admin-token. [AGENTSITE_TOKEN]")]
AsJson = Annotated[bool, typer.Option("--json", help="Print events as JSON, one per line.")]
ListAsJson = Annotated[bool, typer.Option("--json", help="Print JSON as the API returns it, one object per line.")]
Limit = Annotated[int, typer.Option(min=1, help="List at most this many; a line on stderr says if there are more.")]


def main() -> None:
    """Run a command. An expected problem ends it with one line and exit code 2; anything else is a bug, with a
    traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentsite.settings")
    from agentsite.problem import SiteProblem

    try:
        raise SystemExit(app(standalone_mode=False))
    except SiteProblem as problem:
        print(f"agentsite: {problem}", file=sys.stderr)
        raise SystemExit(problem.exit_code) from None
    except CommandLineError as error:
        raise SystemExit(_usage_problem(error)) from None
    except typer.Abort:
        raise SystemExit(130) from None


def _usage_problem(error: Any) -> int:
    """Print one line about a wrong argument, or the help if there is no message. Return the exit code."""
    from pydantic import ValidationError

    context = getattr(error, "ctx", None)
    invalid = error.__cause__ or error.__context__
    if isinstance(invalid, ValidationError):  # typer checks values with pydantic
        from streaming.model.validation import plain_problems

        error.message = plain_problems(invalid.errors())[0][1]
    words = " ".join(error.format_message().split())
    if context is not None and (not words or type(error).__name__ == "NoArgsIsHelpError"):
        print(context.get_help())
    else:
        command = context.command_path if context is not None else "agentsite"
        print(f"agentsite: {words[:1].lower()}{words[1:].rstrip('.')}; see `{command} --help`", file=sys.stderr)
    return 2


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"agentsite {version('agentsite')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Define the options of `agentsite` itself."""


def _environ(**values: Any) -> None:
    """Put options into the environment, from which every process of the site reads its settings."""
    for name, value in values.items():
        if value is not None:
            os.environ[f"AGENTSITE_{name.upper()}"] = str(value)


@app.command()
def up(host: Host = None, port: Port = None, data_dir: DataDir = None, engine: Engine = None) -> None:
    """Run the whole site on this machine, in the foreground. Ctrl-C stops it; runs in containers go on."""
    _environ(host=host, port=port, data_dir=data_dir, engine=engine)
    from agentsite.cli.up import up as run

    # All is stopped and printed. Taking the interpreter apart would cost a second of Ctrl-C's five on a busy machine.
    os._exit(run())


@app.command()
def web(host: Host = None, port: Port = None) -> None:
    """Run the web server (daphne)."""
    _environ(host=host, port=port)
    from agentsite.cli.processes import run_web as run

    run()


@app.command()
def worker(engine: Engine = None, concurrency: Annotated[int | None, typer.Option()] = None) -> None:
    """Run a worker, which supervises runs. Start as many as you like."""
    _environ(engine=engine, worker_concurrency=concurrency)
    from agentsite.cli.processes import run_worker as run

    run()


@app.command()
def beat() -> None:
    """Run the process that starts periodic tasks. A site needs one."""
    from agentsite.cli.processes import run_beat as run

    run()


@app.command()
def migrate() -> None:
    """Migrate the database, and upgrade the states that it holds."""
    from agentsite.cli import processes

    processes.migrate()
    processes.upgrade_states()


@app.command()
def doctor() -> None:
    """Check the data directory, Redis, the database, the definitions and the engines. Exit code: 0 runs can start, 2
    not."""
    from agentsite.cli.doctor import doctor as run

    raise SystemExit(run())


@app.command(name="run")
def run_agent(
    definition: str,
    prompt: str,
    agent: Annotated[
        str | None,
        typer.Option(
            help="Start the run in this agent instead of a new one. The agent must have the definition DEFINITION."
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Start a run and follow it. Exit code: 0 completed, 1 failed, 2 it could not start, 3 cancelled, 130 Ctrl-C (the
    run goes on)."""
    from agentsite.cli.client import BEGINNING, Client
    from agentsite.cli.follow import follow

    with Client(url, token) as client:
        if agent is None:
            after = BEGINNING
            agent, run_id = client.start_agent(definition, prompt)
        else:
            client.check_definition(agent, definition)
            after = client.tip(agent)
            run_id = client.start_run(agent, prompt)
        raise SystemExit(follow(client, agent, after, run_id, as_json=as_json))


@app.command()
def attach(agent: str, as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """Print what an agent has said, then follow it live until Ctrl-C."""
    from agentsite.cli.client import BEGINNING, Client
    from agentsite.cli.follow import follow

    with Client(url, token) as client:
        now = client.tip(agent)  # says what is wrong at once; later a cut stream is taken up again
        raise SystemExit(follow(client, agent, BEGINNING, as_json=as_json, until=now))


@app.command()
def approve(
    run: str,
    approval_id: str,
    decision: Annotated[str, typer.Argument(help="One of the question's options.")],
    reason: Annotated[str, typer.Option(help="Reason that the program is told.")] = "",
    url: Url = None,
    token: Token = None,
) -> None:
    """Answer a question of a run. `run` and `attach` print the command to type. The first answer counts."""
    from agentsite.cli.client import Client

    with Client(url, token) as client:
        client.answer(run, approval_id, decision, reason)
    print(f"run {run}: answered {decision}")


@app.command()
def cancel(run: str, url: Url = None, token: Token = None) -> None:
    """Cancel a run."""
    from agentsite.cli.client import Client

    with Client(url, token) as client:
        answer = client.call("POST", f"/api/runs/{run}/cancel")
    print(f"run {run}: {answer['status'] if answer['finished_at'] else 'cancel requested'}")


@app.command()
def move(
    run: str,
    before: Annotated[str | None, typer.Option(metavar="RUN", help="Default: to the end of the queue.")] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Move a queued run directly before another one, or to the end of the queue."""
    from agentsite.cli.client import Client

    with Client(url, token) as client:
        client.call("POST", f"/api/runs/{run}/move", {"before": before})
    print(f"run {run}: moved {'to the end' if before is None else f'before {before}'}")


@app.command()
def agents(limit: Limit = 50, as_json: ListAsJson = False, url: Url = None, token: Token = None) -> None:
    """List your agents, latest change first."""
    from agentsite.cli.client import Client
    from agentsite.cli.tables import print_agents, show

    with Client(url, token) as client:
        show(*client.listed("/api/agents", "agents", limit), print_agents, as_json=as_json)


@app.command()
def runs(agent: str, limit: Limit = 50, as_json: ListAsJson = False, url: Url = None, token: Token = None) -> None:
    """List the runs of an agent, newest first."""
    from agentsite.cli.client import Client
    from agentsite.cli.tables import print_runs, show

    with Client(url, token) as client:
        show(*client.listed(f"/api/agents/{agent}/runs", "runs", limit), print_runs, as_json=as_json)


@app.command()
def clear(agent: str, url: Url = None, token: Token = None) -> None:
    """Begin the conversation of an agent anew. Its log, runs and files stay."""
    from agentsite.cli.client import Client

    with Client(url, token) as client:
        client.call("POST", f"/api/agents/{agent}/clear")
    print(f"agent {agent}: the conversation begins anew")


@app.command()
def fork(
    agent: str,
    at: Annotated[str | None, typer.Option(metavar="RUN", help="Default: the latest that has ended.")] = None,
    title: Annotated[str | None, typer.Option(help="Default: the same.")] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Make a new agent that continues from the end of a run, with the files of that time. Prints its id."""
    from agentsite.cli.client import Client

    with Client(url, token) as client:
        print(client.call("POST", f"/api/agents/{agent}/fork", {"at": at, "title": title})["id"])


@app.command(name="export")
def export_agent(
    agent: str,
    output: Annotated[str, typer.Option("--output", "-o", help="A file; `-` is stdout.")] = "-",
    files: Annotated[bool, typer.Option(help="Include the files of its workspace.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Write a whole agent as JSON Lines: definition, runs, log and files."""
    from agentsite.cli.client import Client
    from agentsite.cli.transfer import export_agent as run

    with Client(url, token) as client:
        run(client, agent, output, files=files, force=force)


@app.command(name="import")
def import_agent(
    path: Annotated[str, typer.Argument(metavar="FILE", help="An export; `-` is stdin.")],
    definition: Annotated[
        str | None, typer.Option(help="Definition to use instead of the one that the export names.")
    ] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Make a new agent from an export. Prints its id."""
    from agentsite.cli.client import Client
    from agentsite.cli.transfer import import_agent as run

    with Client(url, token) as client:
        print(run(client, path, definition))


@images.command(name="list")
def list_images() -> None:
    """List the images that definitions name: present, missing, or stale (built from a folder that has changed
    since)."""
    from agentsite.cli.image_commands import show_list

    show_list()


@images.command(name="check")
def check_images() -> None:
    """Print a line for each image that is missing or stale. Exit code: 0 none, 1 some, 2 no engine."""
    from agentsite.cli.image_commands import check_images

    raise SystemExit(check_images())


@images.command(name="build")
def build_images(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Default: all bundled ones.")] = None,
    base_image: Annotated[
        str | None, typer.Option(help="Default: python:3.12-slim; where it can't be pulled, one made here.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Build images that are up to date, too.")] = False,
) -> None:
    """Build the bundled images, or examples by name, unless they are up to date. Exit code: 1 failed, 2 no engine."""
    from agentsite.cli.image_commands import build_images as run

    run(names or [], base_image, force=force)


@app.command()
def token(
    user: Annotated[str, typer.Argument(help="User name.")] = "admin",
    name: Annotated[str, typer.Option(help="Note that tells tokens apart.")] = "command line",
) -> None:
    """Make an API token for a user. It is shown only once."""
    from agentsite.cli.accounts import create_token_for

    print(create_token_for(user, name))


@app.command()
def login(
    user: Annotated[str | None, typer.Argument(help="User name; default: the first administrator.")] = None,
    url: Annotated[str | None, typer.Option(help="What the link begins with; default: the site's own address.")] = None,
) -> None:
    """Print a link that logs a user in once, within a day. Run it on the machine of the site; it asks for no
    password."""
    from agentsite.cli.accounts import create_login_link_for
    from agentsite.cli.site_address import public_address
    from agentsite.environment import load_environment

    base = (url or public_address(load_environment())).rstrip("/")
    print(f"{base}/login/link/{create_login_link_for(user)}")
