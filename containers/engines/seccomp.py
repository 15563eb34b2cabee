"""The system calls a program in a container may make. Everything else fails with EPERM.

Written for what Python, Node, Go and shell programs use without capabilities; the idea (default deny, argument filters
on clone and socket) is Moby's. Stricter than its default in what an agent has no use for: only Unix and Internet
sockets (AF_VSOCK reaches the hypervisor from a container without network, AF_ALG and others are old attack surface), no
io_uring or AIO, no 32-bit calls (`socketcall` would go round the socket filter), no reading of other processes' memory.
Listed here and not left to the daemon: Docker 20.10's own list lets AF_VSOCK, io_uring and user namespaces through.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Mapping
from typing import Any

FILES = """
    access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr
    fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init
    inotify_init1 inotify_rm_watch ioctl lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr
    lstat mkdir mkdirat mknod mknodat newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev
    pwritev2 read readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile setxattr
    splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime
    utimensat utimes vmsplice write writev
"""
MEMORY = """
    brk cachestat madvise map_shadow_stack membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap
    mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_madvise
"""
PROCESSES = """
    arch_prctl execve execveat exit exit_group fork getcpu getpgid getpgrp getpid getppid getpriority getrlimit
    getrusage getsid gettid ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
    pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease restart_syscall rseq sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list
    get_robust_list set_tid_address setpgid setpriority setrlimit setsid sysinfo tgkill times tkill uname vfork wait4
    waitid
"""
IDENTITY = """
    capget capset getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid setgid setgroups
    setregid setresgid setresuid setreuid setuid
"""
SIGNALS = """
    pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_tgsigqueueinfo sigaltstack signalfd signalfd4
"""
TIME = """
    alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer time timer_create
    timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime
"""
WAITING = """
    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 futex futex_requeue
    futex_wait futex_waitv futex_wake poll ppoll pselect6 select
"""
SOCKETS = """
    accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
    sendto setsockopt shutdown
"""
IPC = """
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget
    semop semtimedop shmat shmctl shmdt shmget
"""
OTHER = "getrandom"

ABSENT = """
    clone3 io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit io_uring_enter io_uring_register
    io_uring_setup memfd_secret userfaultfd
"""
"""Fail with ENOSYS, as on a kernel without them: libraries then take their other way. clone3's flags are behind a
pointer, where a filter can't see them."""

_NEW_NAMESPACE = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK, _NETLINK_ROUTE = 1, 2, 10, 16, 0
_PERSONALITY_LINUX, _PERSONALITY_QUERY = 0, 0xFFFFFFFF


def profile() -> dict[str, Any]:
    """The profile as the Docker API takes it."""
    groups = (FILES, MEMORY, PROCESSES, IDENTITY, SIGNALS, TIME, WAITING, SOCKETS, IPC, OTHER)
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EPERM,
        # No subArchitectures: a call through the 32-bit or x32 table ends the process.
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
        ],
        "syscalls": [
            _allow(sorted({name for group in groups for name in group.split()})),
            _allow(["clone"], {0: (_NEW_NAMESPACE, "SCMP_CMP_MASKED_EQ", 0)}),
            *(_allow(["personality"], _equal({0: value})) for value in (_PERSONALITY_LINUX, _PERSONALITY_QUERY)),
            *(_allow(["socket"], _equal({0: family})) for family in (_AF_UNIX, _AF_INET, _AF_INET6)),
            _allow(["socket"], _equal({0: _AF_NETLINK, 2: _NETLINK_ROUTE})),
            _allow(["socketpair"], _equal({0: _AF_UNIX})),
            {"names": sorted(ABSENT.split()), "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
        ],
    }


def profile_json() -> str:
    return json.dumps(profile(), separators=(",", ":"))


_Condition = tuple[int, str, int]


def _equal(arguments: Mapping[int, int]) -> dict[int, _Condition]:
    return {index: (value, "SCMP_CMP_EQ", 0) for index, value in arguments.items()}


def _allow(names: Iterable[str], arguments: Mapping[int, _Condition] | None = None) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": list(names), "action": "SCMP_ACT_ALLOW"}
    if arguments:
        rule["args"] = [
            {"index": index, "value": value, "valueTwo": value_two, "op": operator}
            for index, (value, operator, value_two) in arguments.items()
        ]
    return rule
