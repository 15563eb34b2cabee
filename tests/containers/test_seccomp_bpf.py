"""The compiled filter answers as the policy says: every number, on every machine, with arguments that matter."""

from __future__ import annotations

import errno
import itertools
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from containers.engines import seccomp, seccomp_bpf, syscalls
from containers.engines.seccomp_bpf import ALLOW, AUDIT_ARCH, ERRNO, KILL_PROCESS, MOST_INSTRUCTIONS, X32_BIT

MACHINES = sorted(AUDIT_ARCH)
CLONE = {"newns": 0x20000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000, "user": 0x10000000,
         "pid": 0x20000000, "net": 0x40000000}  # fmt: skip
ARGUMENTS = [0, 1, 2, 3, 10, 16, 17, 38, 40, 0xFFFFFFFF, 2**32, 2**32 + 1, 2**63 + 2, 2**64 - 1, *CLONE.values()]


class Wrong(Exception):
    """The kernel would not take this program."""


def unpacked(machine: str) -> list[tuple[int, int, int, int]]:
    return list(struct.iter_unpack("<HBBI", seccomp_bpf.compiled(machine)))


def run(words: list[tuple[int, int, int, int]], arch: int, number: int, arguments: Sequence[int] = ()) -> int:
    """As the kernel does (Documentation/networking/filter.rst, seccomp_data of linux/seccomp.h)."""
    data = struct.pack("<iIQ6Q", number - 2**32 if number >= 2**31 else number, arch, 0, *[*arguments, *[0] * 6][:6])
    at, register = 0, 0
    while True:
        if at >= len(words):
            raise Wrong("runs off the end")
        code, if_true, if_false, value = words[at]
        at += 1
        if code == 0x20:
            (register,) = struct.unpack_from("<I", data, value)
        elif code == 0x54:
            register &= value
        elif code == 0x05:
            at += value
        elif code == 0x15:
            at += if_true if register == value else if_false
        elif code == 0x35:
            at += if_true if register >= value else if_false
        elif code == 0x06:
            return int(value)
        else:
            raise Wrong(f"no such instruction: {code:#x}")


def expected(policy: Mapping[str, Any], name: str | None, arguments: Sequence[int]) -> int:
    """Read off the policy, without a thought of how a filter is made."""
    for rule in policy["syscalls"]:
        if name in rule["names"] and all(holds(condition, arguments) for condition in rule.get("args", [])):
            return ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else ERRNO | int(rule["errnoRet"])
    return ERRNO | int(policy["defaultErrnoRet"])


def holds(condition: Mapping[str, Any], arguments: Sequence[int]) -> bool:
    given = arguments[condition["index"]]
    if condition["op"] == "SCMP_CMP_EQ":
        return bool(given == condition["value"])
    return bool(given & condition["value"] == condition["valueTwo"])


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_is_answered_as_the_policy_says(machine: str) -> None:
    program, policy = unpacked(machine), seccomp.profile()
    names = {number: name for name, number in syscalls.numbers(machine).items()}
    conditional = {name for rule in policy["syscalls"] if rule.get("args") for name in rule["names"]}
    for number in range(max(names) + 100):
        firsts = ARGUMENTS if names.get(number) in conditional else (0, 2**64 - 1)
        for first, third in itertools.product(firsts, (0, 1, 2**32)):
            arguments = (first, 0, third)
            found = run(program, AUDIT_ARCH[machine], number, arguments)
            assert found == expected(policy, names.get(number), arguments), (names.get(number), arguments)


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_by_another_table_end_the_process(machine: str) -> None:
    program = unpacked(machine)
    i386, arm = 0x40000003, 0x40000028
    for arch in (i386, arm, *(arch for name, arch in AUDIT_ARCH.items() if name != machine)):
        for number in (0, 1, 20, 59, 102, 221):
            assert run(program, arch, number) == KILL_PROCESS
    for number in (X32_BIT, X32_BIT | 1, X32_BIT | 512, 0xFFFFFFFF):
        answer = KILL_PROCESS if machine == "x86_64" else ERRNO | errno.EPERM
        assert run(program, AUDIT_ARCH[machine], number) == answer


@pytest.mark.parametrize("machine", MACHINES)
def test_the_kernel_takes_it(machine: str) -> None:
    """Every way through it ends, inside of it: all jumps are forward, and the last instruction is an answer."""
    program = unpacked(machine)
    assert len(program) <= MOST_INSTRUCTIONS
    for at, (code, if_true, if_false, value) in enumerate(program):
        furthest = {0x05: value, 0x15: max(if_true, if_false), 0x35: max(if_true, if_false)}.get(code, 0)
        assert at + 1 + furthest < len(program) or code == 0x06
    assert program[-1][0] == 0x06


def test_every_name_of_the_policy_is_a_system_call() -> None:
    known = {name for machine in MACHINES for name in syscalls.numbers(machine)}
    named = {name for rule in seccomp.profile()["syscalls"] for name in rule["names"]}
    assert named - known == set()


def test_numbers_are_those_of_the_kernel() -> None:
    """Samples of each stretch of the tables: Linux's arch/x86/entry/syscalls/syscall_64.tbl, scripts/syscall.tbl."""
    x86, arm = syscalls.numbers("x86_64"), syscalls.numbers("aarch64")
    samples = {
        "read": (0, 63), "openat": (257, 56), "clone": (56, 220), "execve": (59, 221), "socket": (41, 198),
        "ptrace": (101, 117), "mount": (165, 40), "keyctl": (250, 219), "unshare": (272, 97), "setns": (308, 268),
        "bpf": (321, 280), "userfaultfd": (323, 282), "rseq": (334, 293), "pidfd_send_signal": (424, 424),
        "io_uring_setup": (425, 425), "clone3": (435, 435), "memfd_secret": (447, 447), "fchmodat2": (452, 452),
        "mseal": (462, 462), "prlimit64": (302, 261), "wait4": (61, 260), "personality": (135, 92),
        "exit_group": (231, 94), "getrandom": (318, 278), "perf_event_open": (298, 241), "recvmmsg": (299, 243),
        "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    }  # fmt: skip
    assert {name: (x86[name], arm[name]) for name in samples} == samples
    assert "open" not in arm


def test_what_a_policy_must_not_say_is_refused_and_not_passed_over() -> None:
    policy = seccomp.profile()
    rule = {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_GT"}]}
    for wrong in (rule, {"names": ["read"], "action": "SCMP_ACT_LOG"}, {"names": ["read"], "action": "SCMP_ACT_ERRNO"}):
        with pytest.raises(ValueError, match="no such"):
            seccomp_bpf.assemble({**policy, "syscalls": [wrong]}, "x86_64")
    with pytest.raises(KeyError):
        seccomp_bpf.compiled("vax")
