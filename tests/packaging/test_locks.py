"""The locks hold exactly what pyproject.toml asks for, by hash, and say nothing of where it came from."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.stub_index import PIN

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
AGENT_LOCK = "containers/images/agent/requirements.lock"
LOCKS = {
    "requirements.txt": PROJECT["dependencies"],
    "requirements-dev.txt": PROJECT["dependencies"] + EXTRAS["dev"],
    "requirements-embedded.txt": EXTRAS["embedded"],
    "requirements-postgres.txt": EXTRAS["postgres"],
    "requirements-installer.txt": ["uv"],
    AGENT_LOCK: [
        line for line in (ROOT / AGENT_LOCK).with_suffix(".in").read_text().splitlines() if line[:1] not in ("#", "")
    ],
}

every_lock = pytest.mark.parametrize("lock", LOCKS)


def pins(lock: str) -> dict[str, str]:
    """The pinned version of each package of a lock."""
    return {canonicalize_name(name): version for name, _, version, _ in PIN.findall((ROOT / lock).read_text())}


def extras(lock: str) -> set[tuple[str, str]]:
    """Each package of a lock with each extra that its line names; with "" for the package itself."""
    lines = PIN.findall((ROOT / lock).read_text())
    return {(canonicalize_name(name), extra) for name, said, _, _ in lines for extra in ("", *said[1:-1].split(","))}


@every_lock
def test_every_dependency_is_pinned_within_its_bounds(lock):
    pinned = pins(lock)
    for wanted in map(Requirement, LOCKS[lock]):
        version = pinned.get(canonicalize_name(wanted.name))
        assert version, f"{wanted} is not in {lock}: run `make lock`"
        assert wanted.specifier.contains(version), (
            f"{lock} has {wanted.name} {version}, wanted {wanted}: run `make lock`"
        )


@every_lock
def test_every_pin_has_a_hash(lock):
    blocks = re.split(r"^(?=[A-Za-z0-9._-]+(?:\[[^\]]+\])?==)", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    assert blocks
    assert [block.split(" ")[0] for block in blocks if "--hash=sha256:" not in block] == []


@every_lock
def test_no_line_says_where_a_package_comes_from(lock):
    lines = (ROOT / lock).read_text().splitlines()
    suspicious = re.compile(
        r"://|^\s*-(i|f|-index-url|-extra-index-url|-find-links|-trusted-host)\b|file:/|/(home|opt|root|tmp|work)/"
    )
    assert [line for line in lines if suspicious.search(line)] == []


@pytest.mark.parametrize("lock", [name for name in LOCKS if name != "requirements.txt"])
def test_every_lock_can_be_installed_over_the_first(lock):
    first = pins("requirements.txt")
    assert {name: version for name, version in pins(lock).items() if first.get(name, version) != version} == {}


@pytest.mark.parametrize("python", ["3.11.0", "3.11.2", "3.11.9", "3.12.0", "3.13.0"])
@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt", AGENT_LOCK])
def test_it_is_complete_for_every_python(lock, python):
    """pip-compile evaluates markers on the Python it runs on. 3.11.2, Debian 12's, needs async-timeout; 3.11.3 not.

    A line has to name its extras, too: see test_lock_install.py.
    """
    assert required_on(python, LOCKS[lock]) - extras(lock) == set()


def required_on(python: str, wanted: list[str]) -> set[tuple[str, str]]:
    """The packages, with "" and with each extra, that installing `wanted` leads to on that Python.

    Taken from the metadata of what is installed here.
    """
    environment = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    environment |= {"sys_platform": "linux", "platform_system": "Linux", "platform_python_implementation": "CPython"}
    todo = [(Requirement(line), "") for line in wanted]
    seen: set[tuple[str, str]] = set()
    while todo:
        requirement, of_extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate({**environment, "extra": of_extra}):
            continue
        for extra in ("", *requirement.extras):
            node = (canonicalize_name(requirement.name), extra)
            if node not in seen:
                seen.add(node)
                todo += [(Requirement(line), extra) for line in requires_of(node[0])]
    return seen


def requires_of(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # not needed on the Python that runs this test
        return []


def test_what_builds_us_is_pinned_too():
    assert "setuptools" in pins("requirements.txt")
