"""Runs one program, keeps everything it prints in a journal, and outlives whoever started it.

    python -I -S recorder.py DIRECTORY

Standard library only, few imports, and nothing of this package: it starts in about 20 ms and is all that runs beside a
program. Linux. It detaches at once; the process that was started exits. Files in DIRECTORY:

    spec.json    in: command, env, cwd, open_files, file_bytes, output_bytes; of a program that is confined also inherit
                 (names of files here that it gets as descriptors 3, 4, …), nested (the command is a monitor, and the
                 program the second process of a namespace below it), and what confinement.py reads
    stdin        in: a FIFO; both ends are held open here, so that a sender's end is not the program's EOF
    stop-*       in: when to kill (CLOCK_MONOTONIC, seconds), one file a request; read at SIGTERM
    lock         locked (POSIX) as long as the recorder lives: the kernel names its pid, so no pid is ever mistaken
    state.json   out: pid, start_time, boot_id, started_at; there once the program runs
    journal      out: frames (see frames.py) in the order in which they were read
    exit.json    out: code, finished_at, truncated, oom_killed; there once nothing runs any more
"""

# pathlib and contextlib would take longer to import than all the rest:
# ruff: noqa: PTH100, PTH104, PTH110, PTH120, PTH123, PTH208, SIM105
from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import signal
import struct
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself would cost several ms at each start
    from typing import Any

CHUNK_BYTES = 65536
OVER_BYTES = 65536
"""Kept beyond `output_bytes`, so that a reader who counts sees that there was more."""
FIRST_INHERITED, ABOVE_ALL = 3, 32
AGAIN_S = 0.01
"""How often a program that is just being confined is looked for, when it is to be stopped."""
DRAIN_S = 2.0
"""After everything was killed a pipe may still be open in a process that got it over a socket."""
OOM_SCORE = 500
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
HEADER = struct.Struct(">BxxxL")
STDOUT, STDERR = 1, 2


def main(directory: str) -> None:
    os.chdir(directory)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if os.fork():
        os._exit(0)
    os.setsid()
    if not _take_lock() or os.path.exists("state.json"):
        return
    with open("spec.json", encoding="utf-8") as file:
        spec = json.load(file)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    recorder = Recorder(spec)
    recorder.start()
    _leave_stdio()
    recorder.record()


class Recorder:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.room = spec["output_bytes"] + OVER_BYTES
        self.truncated = False
        self.main_pid = 0
        self.code: int | None = None
        self.kill_at: float | None = None
        self.term_due = False
        self.groups: dict[str, dict[str, str]] = spec.get("cgroups", {})
        self.pipes: dict[int, int] = {}
        self.journal = os.open("journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.wakeup, wakeup_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup_in, warn_on_full_buffer=False)

    def start(self) -> None:
        both = os.open("stdin", os.O_RDWR | os.O_CLOEXEC)
        stdin = os.open("stdin", os.O_RDONLY | os.O_CLOEXEC)
        os.open("stdin", os.O_WRONLY | os.O_CLOEXEC)  # held to the end: the program never sees EOF
        os.close(both)  # not held: a sender is to see when nobody reads any more
        (out, out_in), (err, err_in) = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        self.pipes = {out: STDOUT, err: STDERR}
        if self.groups:
            _confinement().make_groups(self.groups)
        started_at = time.time()
        self.main_pid = os.fork()
        if not self.main_pid:
            _exec(self.spec, stdin, out_in, err_in)
        for fd in (stdin, out_in, err_in):
            os.close(fd)
        stat = _stat(self.main_pid)
        boot_id = _text("/proc/sys/kernel/random/boot_id").strip()
        state = {"pid": self.main_pid, "start_time": stat and stat[1], "boot_id": boot_id, "started_at": started_at}
        _write_json("state.json", state)
        self.asked_to_stop()

    def record(self) -> None:
        """Until the program has ended and nothing it started is left."""
        self.follow_main()
        self.kill_all()
        self.drain()
        finished = {"code": self.code, "finished_at": time.time(), "truncated": self.truncated}
        if self.groups:
            finished["oom_killed"] = _confinement().was_out_of_memory(self.groups)
            _confinement().remove_groups(self.groups)
        _write_json("exit.json", finished)

    def follow_main(self) -> None:
        poll = select.poll()
        for fd in (self.wakeup, *self.pipes):
            poll.register(fd, select.POLLIN)
        while self.code is None:
            for fd, _ in poll.poll(self.milliseconds_left()):
                if fd == self.wakeup:
                    self.on_signal()
                elif not self.move(fd):
                    poll.unregister(fd)
            self.terminate()
            if self.kill_at is not None and time.monotonic() >= self.kill_at:
                self.kill_all()

    def milliseconds_left(self) -> float | None:
        if self.kill_at is None:
            return None
        left_s = max(0.0, self.kill_at - time.monotonic())
        return (min(left_s, AGAIN_S) if self.term_due else left_s) * 1000 + 1

    def move(self, fd: int) -> bool:
        """Move one read from a pipe to the journal. False at its end. What finds no room is read all the same, so that
        the program goes on."""
        data = os.read(fd, CHUNK_BYTES)
        kept = data[: self.room]
        self.truncated |= len(kept) < len(data)
        if kept:
            self.room -= len(kept)
            self.write(HEADER.pack(self.pipes[fd], len(kept)) + kept)
        return bool(data)

    def write(self, frame: bytes) -> None:
        try:
            while frame:
                frame = frame[os.write(self.journal, frame) :]
        except OSError:  # disk full: a frame may be torn, so nothing may follow it
            self.truncated, self.room = True, 0

    def on_signal(self) -> None:
        numbers = os.read(self.wakeup, 4096)
        self.reap()
        if signal.SIGTERM in numbers:
            self.asked_to_stop()

    def reap(self) -> bool:
        """False if there are no children left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.main_pid:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else 128 - code

    def asked_to_stop(self) -> None:
        """SIGTERM once, and SIGKILL later. Of several requests the earliest end counts."""
        ends = [float(_text(name)) for name in os.listdir(".") if name.startswith("stop-")]
        if ends and self.kill_at is None:
            self.term_due = True
            self.terminate()
        if ends:
            self.kill_at = min(ends)

    def terminate(self) -> None:
        """If that is due: to the program's process group, or past its monitor, which would die of it and take the
        program along. The monitor may not have started it yet."""
        if not self.term_due or self.code is not None:
            return
        target = _second_of_namespace(self.main_pid) if self.spec.get("nested") else -self.main_pid
        if target is not None:
            self.term_due = False
            _kill(target, signal.SIGTERM)

    def kill_all(self) -> None:
        """SIGKILL to everything the program has started, also what left its session: orphans are ours (subreaper)."""
        while self.reap():
            for pid in _descendants(os.getpid()):
                _kill(pid, signal.SIGKILL)
            select.select([self.wakeup], [], [], 0.01)
            self.empty_wakeup()

    def empty_wakeup(self) -> None:
        try:
            os.read(self.wakeup, 4096)
        except BlockingIOError:
            pass

    def drain(self) -> None:
        end = time.monotonic() + DRAIN_S
        open_pipes = set(self.pipes)
        while open_pipes and time.monotonic() < end:
            ready, _, _ = select.select(sorted(open_pipes), [], [], 0.1)
            open_pipes -= {fd for fd in ready if not self.move(fd)}


def _exec(spec: dict[str, Any], stdin: int, stdout: int, stderr: int) -> None:
    """In the forked child. Does not return."""
    command = spec["command"]
    try:
        os.setsid()
        inherited = [os.open(name, os.O_RDONLY | os.O_CLOEXEC) for name in spec.get("inherit", ())]
        above = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, ABOVE_ALL) for fd in inherited]
        for target, fd in enumerate((stdin, stdout, stderr)):
            os.dup2(fd, target)
        for target, fd in enumerate(above, FIRST_INHERITED):
            os.dup2(fd, target)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o022)
        _limit(spec)
        _confine(spec)
        os.chdir(spec["cwd"])
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # last: becoming somebody else would undo it
        os.execvpe(command[0], command, spec["env"])
    except OSError as error:
        os.write(2, f"cannot run {command[0]!r}: {error.strerror}\n".encode("utf-8", "replace"))
        os._exit(127 if error.errno in (errno.ENOENT, errno.ENOTDIR) else 126)
    except (ValueError, TypeError) as error:
        os.write(2, f"cannot run {command[0]!r}: {error}\n".encode("utf-8", "replace"))
    os._exit(126)


def _limit(spec: dict[str, Any]) -> None:
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: spec["open_files"],
        resource.RLIMIT_FSIZE: spec["file_bytes"],
    }
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(OOM_SCORE))
    except OSError:
        pass


def _confine(spec: dict[str, Any]) -> None:
    """A failure is told on the program's stderr, and the program does not run."""
    try:
        if spec.get("cgroups"):
            _confinement().join_groups(spec["cgroups"])
        if spec.get("stage"):
            _confinement().build_stage(spec["stage"])
        if spec.get("user"):
            _confinement().become(*spec["user"])
    except OSError as error:
        os.write(2, f"cannot confine the program: {error}\n".encode("utf-8", "replace"))
        os._exit(126)


def _confinement() -> Any:
    """confinement.py, which only confined programs need. It lies beside this file, which is of no package here."""
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    return __import__("confinement")


def _take_lock() -> bool:
    """False if another recorder has it. Kept until this process ends; not inherited by what it forks."""
    fd = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _leave_stdio() -> None:
    """Who started this reads its stderr to the end: that end means that the program was started."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass


def _stat(pid: int | str) -> tuple[int, int] | None:
    """Parent and start time (clock ticks since boot)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[1]), int(fields[19])


def _descendants(root: int) -> list[int]:
    parents = {int(name): stat[0] for name in os.listdir("/proc") if name.isdigit() and (stat := _stat(name))}
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found, waiting = [], [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _second_of_namespace(root: int) -> int | None:
    """Below `root` the process that its own namespace knows as 2, if there is one yet: 1 is that namespace's init."""
    for pid in _descendants(root):
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
                numbers = next((line.split()[1:] for line in file if line.startswith("NSpid:")), [])
        except OSError:
            continue
        if len(numbers) > 1 and numbers[-1] == "2":
            return pid
    return None


def _text(name: str) -> str:
    with open(name, encoding="ascii") as file:
        return file.read()


def _write_json(name: str, value: dict[str, Any]) -> None:
    """Whole or not at all."""
    with open(f".{name}", "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.rename(f".{name}", name)


if __name__ == "__main__":
    main(sys.argv[1])
