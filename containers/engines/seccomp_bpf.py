"""The policy of seccomp.py as a BPF program: what a Docker daemon has libseccomp do, for engines without a daemon.

    arch?  ─► other: kill        no call through the table of another architecture (i386's `socketcall`)
    number ─► x32: kill          x86_64's second table goes by the same arch
           ─► binary search over ranges of numbers that are treated alike ─► the answer, or a look at the arguments

Only what the policy uses is here: allow, fail with an error, and arguments that are equal, also under a mask. Arguments
are 64 bits wide and compared as two words. Anything else in a policy is a KeyError or ValueError, not a hole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from containers.engines.seccomp import profile
from containers.engines.syscalls import numbers

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""Machines this can be compiled for (linux/audit.h). Both are little-endian."""
X32_BIT = 0x40000000
KILL_PROCESS, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
MOST_INSTRUCTIONS = 4096
"""BPF_MAXINSNS: what the kernel takes."""

_LOAD, _AND, _JUMP, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT, _ARGUMENT_BYTES, _WORD_BYTES = 0, 4, 16, 8, 4
_INSTRUCTION = struct.Struct("<HBBI")


class Instruction(NamedTuple):
    """As the kernel's `struct sock_filter`: `if_true` and `if_false` are how many instructions are passed over."""

    code: int
    if_true: int
    if_false: int
    value: int


Code = list[Instruction]


class Range(NamedTuple):
    """From this number up to that of the next range."""

    first: int
    code: Code


def compiled(machine: str) -> bytes:
    """The program as `bwrap --seccomp` reads it. Raises KeyError for a machine that there is no table for."""
    program = assemble(profile(), machine)
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def assemble(policy: Mapping[str, Any], machine: str) -> Code:
    program = [_load(_ARCH_AT), *_unless_equal(AUDIT_ARCH[machine], [_return(KILL_PROCESS)]), _load(_NUMBER_AT)]
    if machine == "x86_64":
        program += [Instruction(_JUMP_AT_LEAST, 0, 1, X32_BIT), _return(KILL_PROCESS)]
    program += _search(_ranges(policy, numbers(machine)))
    if len(program) > MOST_INSTRUCTIONS:
        raise ValueError(f"{len(program)} instructions, the kernel takes {MOST_INSTRUCTIONS}")
    return program


def _ranges(policy: Mapping[str, Any], number_of: Mapping[str, int]) -> list[Range]:
    """Neighbours that are treated alike are one range. Names that this machine does not have are passed over."""
    default = _answer(policy["defaultAction"], policy["defaultErrnoRet"])
    rules: dict[int, list[Mapping[str, Any]]] = {}
    for rule in policy["syscalls"]:
        for name in rule["names"]:
            if name in number_of:
                rules.setdefault(number_of[name], []).append(rule)
    ranges = [Range(0, [default])]
    for number in range(max(rules) + 2):
        code = _answers(rules.get(number, []), default)
        if code != ranges[-1].code:
            ranges.append(Range(number, code))
    return ranges[1:] if ranges[1].first == 0 else ranges


def _search(ranges: Sequence[Range]) -> Code:
    """Conditional jumps reach 255 instructions, so the far half is jumped to with one that has no such bound."""
    if len(ranges) == 1:
        return list(ranges[0].code)
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    return [
        Instruction(_JUMP_AT_LEAST, 0, 1, ranges[middle].first),
        Instruction(_JUMP, 0, 0, len(below)),
        *below,
        *above,
    ]


def _answers(rules: Iterable[Mapping[str, Any]], default: Instruction) -> Code:
    """The first rule whose conditions all hold."""
    code: Code = []
    for rule in rules:
        code += _rule(rule)
        if not rule.get("args"):
            return code
    return [*code, default]


def _rule(rule: Mapping[str, Any]) -> Code:
    """Falls through to what follows if a condition does not hold."""
    code = [_answer(rule["action"], rule.get("errnoRet"))]
    for condition in reversed(rule.get("args", [])):
        code = _condition(condition, code)
    return code


def _condition(condition: Mapping[str, Any], then: Code) -> Code:
    """`then` if it holds, else what follows `then`."""
    at = _ARGUMENTS_AT + condition["index"] * _ARGUMENT_BYTES
    if condition["op"] == "SCMP_CMP_EQ":
        mask, wanted = 2**64 - 1, condition["value"]
    elif condition["op"] == "SCMP_CMP_MASKED_EQ":
        mask, wanted = condition["value"], condition["valueTwo"]
    else:
        raise ValueError(f"no such comparison here: {condition['op']}")
    for word_at, shift in ((at, 0), (at + _WORD_BYTES, 32)):
        word_mask, word = mask >> shift & 0xFFFFFFFF, wanted >> shift & 0xFFFFFFFF
        then = [
            _load(word_at),
            Instruction(_AND, 0, 0, word_mask),
            Instruction(_JUMP_EQUAL, 0, len(then), word),
            *then,
        ]
    return then


def _answer(action: str, errno: int | None) -> Instruction:
    if action == "SCMP_ACT_ALLOW":
        return _return(ALLOW)
    if action == "SCMP_ACT_ERRNO" and errno:
        return _return(ERRNO | errno)
    raise ValueError(f"no such answer here: {action} {errno}")


def _unless_equal(value: int, code: Code) -> Code:
    return [Instruction(_JUMP_EQUAL, len(code), 0, value), *code]


def _load(at: int) -> Instruction:
    return Instruction(_LOAD, 0, 0, at)


def _return(value: int) -> Instruction:
    return Instruction(_RETURN, 0, 0, value)
