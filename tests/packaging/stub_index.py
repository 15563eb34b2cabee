"""A directory of wheels that stands for a package index on a later day: each pinned release, and a newer one of each.

The wheels are empty. Their metadata is that of the packages which are installed here, so an installer resolves a lock
against them as it would against the real ones, without a network and in seconds.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NEWER = "9999.0"
"""The version that the index offers beside each pinned one."""
PIN = re.compile(r"^([A-Za-z0-9._-]+)((?:\[[^\]]+\])?)==([^\s;]+)(\s*;[^\\\n]*)?", re.MULTILINE)
"""Name, extras in brackets or nothing, version, marker."""


def build_index(directory: Path, lock_text: str) -> str:
    """Write the wheels of `lock_text` into `directory` and return the lock with their hashes in place of the real ones.

    A package that is not installed here has unknown metadata. Its stub requires everything else in the lock, which is
    more than the real one does.
    """
    pins = PIN.findall(lock_text)
    names = [name for name, *_ in pins]
    lines = []
    for name, extras, version, marker in pins:
        requires, provided = _requirements(name, others=[other for other in names if other != name])
        wheel = _write_wheel(directory, name, version, requires, provided)
        _write_wheel(directory, name, NEWER, requires, provided)
        lines.append(
            f"{name}{extras}=={version}{marker} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"
        )
    return "\n".join(lines) + "\n"


def _requirements(name: str, others: list[str]) -> tuple[list[str], list[str]]:
    """The Requires-Dist and the Provides-Extra lines of a package."""
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return others, []
    requires = [str(_without_url(line)) for line in about.get_all("Requires-Dist") or []]
    return requires, about.get_all("Provides-Extra") or []


def _without_url(line: str) -> Requirement:
    requirement = Requirement(line)
    requirement.url = None
    return requirement


def _write_wheel(directory: Path, name: str, version: str, requires: list[str], extras: list[str]) -> Path:
    stem = f"{canonicalize_name(name).replace('-', '_')}-{version}"
    about = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    about += [f"Provides-Extra: {extra}" for extra in extras] + [f"Requires-Dist: {line}" for line in requires]
    files = {
        f"{stem}.dist-info/METADATA": "\n".join(about) + "\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: stub\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{stem}.dist-info/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{stem}.dist-info/RECORD"])
    wheel = directory / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content)  # of a fixed date: a line may be written twice
    return wheel
