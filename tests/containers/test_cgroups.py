"""Where control groups can be had, read off what a kernel would say; and what is written to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from containers.engines.cgroups import Groups, Home, find_groups
from containers.engines.confinement import make_groups, remove_groups, was_out_of_memory
from containers.spec import MIB, Limits
from tests.containers.somebody import as_somebody

LIMITS = Limits(cpus=1.5, memory_bytes=64 * MIB, pids=10)


class Machine:
    """/proc/self and the mounted hierarchies, as files."""

    def __init__(self, directory: Path) -> None:
        self.process = directory / "self"
        self.process.mkdir()
        self.at = directory / "cgroup"
        self._mounts: list[str] = []
        self._groups: list[str] = []

    def mount(self, name: str, kind: str, options: str, root: str = "/") -> Path:
        at = self.at / name
        at.mkdir(parents=True)
        (at / "cgroup.procs").touch()
        self._mounts.append(f"30 25 0:26 {root} {at} rw,nosuid shared:4 - {kind} {kind} {options}")
        (self.process / "mountinfo").write_text("\n".join(self._mounts) + "\n")
        return at

    def belongs_to(self, line: str) -> None:
        self._groups.append(line)
        (self.process / "cgroup").write_text("\n".join(self._groups) + "\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def group(path: Path, *, controllers: str = "", enabled: str = "") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "cgroup.procs").touch()
    (path / "cgroup.controllers").write_text(controllers + "\n")
    (path / "cgroup.subtree_control").write_text(enabled + "\n")
    return path


def test_version_1_is_used_below_our_own_group(machine: Machine) -> None:
    memory, cpu = machine.mount("memory", "cgroup", "rw,memory"), machine.mount("cpu", "cgroup", "rw,cpu,cpuacct")
    machine.belongs_to("5:memory:/site/worker")
    machine.belongs_to("4:cpu,cpuacct:/")
    ours = group(memory / "site" / "worker")
    found = find_groups(machine.process)
    assert found.missing == ["processes"]
    assert found.of("a1", LIMITS) == {
        f"{ours}/a1": {"memory.limit_in_bytes": str(64 * MIB), "memory.memsw.limit_in_bytes": str(64 * MIB)},
        f"{cpu}/a1": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000"},
    }


def test_a_group_that_is_mounted_from_outside_our_namespace_is_the_mount(machine: Machine) -> None:
    memory = machine.mount("memory", "cgroup", "rw,memory", root="/docker/abc")
    machine.belongs_to("5:memory:/elsewhere")
    assert find_groups(machine.process).homes == {"memory": Home(1, memory)}


def test_version_2_is_used_in_the_nearest_group_whose_controllers_can_be_enabled(machine: Machine) -> None:
    """Our own group has processes, so the kernel lets nobody enable anything in it."""
    top = group(machine.mount("unified", "cgroup2", "rw"), controllers="memory pids cpu", enabled="memory pids cpu")
    machine.belongs_to("0::/user.slice/app.scope")
    above = group(top / "user.slice", controllers="memory pids cpu", enabled="memory pids")
    ours = group(above / "app.scope", controllers="memory pids")
    control = ours / "cgroup.subtree_control"
    control.unlink()
    control.mkdir()  # cannot be written
    found = find_groups(machine.process)
    assert found.of("a1", LIMITS) == {
        f"{above}/a1": {
            "memory.max": str(64 * MIB), "memory.swap.max": "0", "pids.max": "11", "cpu.max": "150000 100000"
        }
    }  # fmt: skip
    assert (above / "cgroup.subtree_control").read_text() == "+cpu"


def test_nothing_is_used_that_is_not_ours_to_write(for_everybody: Path) -> None:
    """Asked as an ordinary user: root may write anything."""
    machine = Machine(for_everybody)
    memory = machine.mount("memory", "cgroup", "rw,memory")
    machine.belongs_to("5:memory:/")
    memory.chmod(0o777)
    (memory / "cgroup.procs").chmod(0o444)
    code = f"""
from pathlib import Path
from containers.engines.cgroups import find_groups
print(*find_groups(Path({str(machine.process)!r})).missing)
"""
    assert as_somebody(code).stdout == "memory processes CPUs\n"
    (memory / "cgroup.procs").chmod(0o666)
    assert as_somebody(code).stdout == "processes CPUs\n"


def test_without_control_groups_nothing_is_limited_and_that_is_said(tmp_path: Path) -> None:
    found = find_groups(tmp_path)
    assert found.missing == ["memory", "processes", "CPUs"]
    assert found.of("a1", LIMITS) == {}


def test_a_limit_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a1" / "pids.max").mkdir(parents=True)
    with pytest.raises(OSError, match=r"writing 11 to pids\.max"):
        make_groups(Groups({"pids": Home(2, tmp_path)}).of("a1", LIMITS))


def test_files_that_a_kernel_without_accounting_of_swap_lacks_are_passed_over(tmp_path: Path) -> None:
    groups = Groups({"memory": Home(2, tmp_path)}).of("a1", LIMITS)
    make_groups(groups)
    assert [path.name for path in (tmp_path / "a1").iterdir()] == ["memory.max"]


@pytest.mark.parametrize(
    ("name", "said", "killed"),
    [
        ("memory.events", "low 0\nhigh 0\noom 3\noom_kill 0\n", False),
        ("memory.events", "oom 1\noom_kill 1\noom_group_kill 0\n", True),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", True),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", False),
    ],
)
def test_the_kernel_says_whether_it_has_killed_for_memory(tmp_path: Path, name: str, said: str, killed: bool) -> None:
    (tmp_path / name).write_text(said)
    assert was_out_of_memory({str(tmp_path): {}}) is killed


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    remove_groups({str(tmp_path / "gone"): {}, str(tmp_path / "empty"): {}})
    assert list(tmp_path.iterdir()) == []
