"""A program that tries what it should not be able to do, and prints the outcomes as JSON. Its numbers are x86_64's."""

PROBE = """
import ctypes, errno, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def outcome(call, *arguments):
    try:
        result = call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok" if result != -1 else errno.errorcode[ctypes.get_errno()]
def write(path):
    with open(path, "w") as file:
        file.write("x")
def execute(path):
    with open(path, "w") as file:
        file.write("#!/bin/sh\\nexit 0")
    os.chmod(path, 0o755)
    pid = os.fork()
    if not pid:
        try:
            os.execv(path, [path])
        except OSError as error:
            os._exit(error.errno)
    return errno.errorcode.get(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), "ok")
with open("/proc/self/status") as file:
    status = dict(line.split(":", 1) for line in file)
with open("/proc/self/limits") as file:
    limits = {line[:26].strip(): line[26:].split()[:2] for line in file}
tmp = os.statvfs("/tmp")
AF_ALG, AF_VSOCK = 38, 40
PATHS = "/x /etc/x /usr/x /run/x /dev/x /proc/sys/kernel/domainname /tmp/x /workspace/x /dev/shm/x".split()
NAMESPACES = {"user": 0x10000000, "mount": 0x20000, "net": 0x40000000}
print(json.dumps({
    "uid": [os.getuid(), os.getgid(), os.geteuid()],
    "groups": os.getgroups(),
    "capabilities": [status[f"Cap{kind}"].strip() for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")],
    "no_new_privs": status["NoNewPrivs"].strip(),
    "seccomp": status["Seccomp"].strip(),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "connect": outcome(socket.socket().connect, ("192.0.2.1", 80)),
    "loopback": outcome(socket.socket().bind, ("127.0.0.1", 0)),
    "unix": outcome(lambda: socket.socketpair()[0].close()),
    "vsock": outcome(socket.socket, AF_VSOCK, socket.SOCK_STREAM),
    "alg": outcome(socket.socket, AF_ALG, socket.SOCK_SEQPACKET),
    "packet": outcome(socket.socket, socket.AF_PACKET, socket.SOCK_RAW),
    "write": {path: outcome(write, path) for path in PATHS},
    "execute": [execute("/tmp/program"), execute("/workspace/program")],
    "tmp_bytes": tmp.f_blocks * tmp.f_frsize,
    "tmp_files": tmp.f_files,
    "shm_bytes": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize,
    "limits": {name: limits[name] for name in ("Max open files", "Max core file size", "Max file size")},
    "unshare": {name: outcome(libc.unshare, flag) for name, flag in NAMESPACES.items()},
    "clone_user": outcome(libc.syscall, 56, 0x10000000 | 17, 0, 0, 0, 0),
    "clone3": outcome(libc.syscall, 435, 0, 0),
    "io_uring": outcome(libc.syscall, 425, 1, 0),
    "userfaultfd": outcome(libc.syscall, 323, 0),
    "keyctl": outcome(libc.syscall, 250, 0, -3, 0),
    "bpf": outcome(libc.syscall, 321, 0, 0, 0),
    "ptrace": outcome(libc.syscall, 101, 0, 0, 0, 0),
    "perf": outcome(libc.syscall, 298, 0, 0, -1, -1, 0),
    "mount": outcome(libc.mount, b"none", b"/tmp", b"tmpfs", 0, None),
    "handle": outcome(libc.syscall, 304, -1, 0, 0),
    "kexec": outcome(libc.syscall, 246, 0, 0, 0, 0),
    "module": outcome(libc.syscall, 313, -1, b"", 0),
    "chroot": outcome(libc.chroot, b"/tmp"),
    "peek": outcome(libc.syscall, 310, 1, 0, 0, 0, 0, 0),
    "parent": open(f"/proc/{os.getppid()}/comm").read().strip(),
}))
"""
