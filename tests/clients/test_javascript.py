"""The package in clients/js: it is whole, it runs, and its types are those of the log and of the state."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.golden.test_golden import LOGS, lines_of, state_of

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "clients" / "js"
OPTIONS = {
    "strict": True,
    "noEmit": True,
    "allowJs": True,
    "target": "es2023",
    "lib": ["es2023", "dom", "dom.iterable"],
    "types": [],
    "module": "nodenext",
    "noUncheckedSideEffectImports": True,
}


def example() -> str:
    found = re.search(r"```js\n(.*?)```", (PACKAGE / "README.md").read_text("utf-8"), re.DOTALL)
    assert found
    return found[1]


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's project that has installed the package as npm packs it, and TypeScript."""
    directory = tmp_path_factory.mktemp("project")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PACKAGE / name, directory)
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", cwd=directory)
    run("npm", "pack", "--silent", "--pack-destination", str(directory), str(PACKAGE), cwd=directory)
    (archive,) = directory.glob("*.tgz")
    run("tar", "-xzf", str(archive), cwd=directory)
    (directory / "package").rename(directory / "node_modules" / "agentsite-client")
    (directory / "package.json").write_text('{"private": true, "type": "module"}')
    return directory


def problems(project: Path, **sources: str) -> str:
    for name, source in sources.items():
        (project / name.replace("__", ".")).write_text(source)
    files = [name.replace("__", ".") for name in sources]
    (project / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS, "files": files}))
    command = ["node_modules/.bin/tsc", "--pretty", "false"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=100).stdout


@pytest.mark.npm
def test_package_holds_its_files_and_nothing_else(project: Path) -> None:
    packed = project / "node_modules" / "agentsite-client"
    there = {path.relative_to(packed).as_posix() for path in packed.rglob("*") if path.is_file()}
    sources = {f"src/{path.name}" for path in (PACKAGE / "src").iterdir()}
    assert there == {*sources, "types/index.d.ts", "package.json", "README.md", "LICENSE"}


@pytest.mark.npm
def test_types_are_those_of_the_golden_logs_and_states(project: Path) -> None:
    """A field that is missing, or that the types do not know, is an error."""
    events = ",\n".join(line for log in LOGS for line in lines_of(log))
    states = ",\n".join(map(state_of, LOGS))
    source = (
        'import type { AgentEvent, State } from "agentsite-client";\n'
        f"export const events: AgentEvent[] = [\n{events}\n];\nexport const states: State[] = [\n{states}\n];\n"
    )
    assert problems(project, golden__ts=source) == ""
    assert "'\"flod\"' does not exist" in problems(
        project, golden__ts=source.replace('"title":""', '"title":"","flod":1')
    )


@pytest.mark.npm
def test_types_offer_what_the_modules_export_and_what_the_readme_uses(project: Path) -> None:
    shutil.copytree(PACKAGE / "src", project / "source")  # of modules in node_modules TypeScript infers no types
    exported = (
        'import * as real from "./source/index.js";\n'
        'import * as declared from "agentsite-client";\n'
        "export const values: Record<keyof typeof real, unknown> = declared;\n"
        "export const back: Record<keyof typeof declared, unknown> = real;\n"
    )
    typed = (Path(__file__).parent / "example.ts").read_text("utf-8")
    assert problems(project, exported__ts=exported, example__ts=typed, readme__js=f"// @ts-check\n{example()}") == ""


@pytest.mark.npm
def test_fold_runs_in_node(project: Path) -> None:
    script = (
        'import { fold } from "agentsite-client"; import { readFileSync } from "node:fs";'
        "const events = readFileSync(process.argv[1], 'utf8').trim().split('\\n').map((line) => JSON.parse(line));"
        "console.log(JSON.stringify(fold(events)));"
    )
    log = next(log for log in LOGS if log.stem == "one-run")
    state = run("node", "--input-type=module", "-e", script, str(log), cwd=project)
    assert json.loads(state) == json.loads(state_of(log))


def test_package_has_the_version_and_the_license_of_the_site() -> None:
    about: dict[str, Any] = json.loads((PACKAGE / "package.json").read_text("utf-8"))
    site = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (about["version"], about["license"]) == (site["version"], site["license"])
    assert "dependencies" not in about
    assert (PACKAGE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
