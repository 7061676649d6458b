"""The limits of a process that runs a student's file.

    Landlock      files: the process can read only Python's standard library and NumPy
    seccomp       system calls: only those in `ALLOWED`, and a few others with harmless arguments. So the process cannot
                  start processes or threads, use the network, send signals to other processes, sleep, or open a file
                  for writing
    rlimits       memory, processor time, open files

Landlock and seccomp are parts of Linux. Python calls them with the packages `landlock` and `pyseccomp`. The package
`pyseccomp` needs the library libseccomp. Landlock and seccomp also limit processes of the user root. The limit for the
number of processes (RLIMIT_NPROC) does not limit root, so it is not used. The process keeps its user, because another
user might not be allowed to read the files of Python.

`missing` tries the forbidden actions, as a student's file might do, and returns those that succeed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
import socket
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
OPEN_FILES = 64

ALLOWED = """
read readv pread64 write writev lseek close dup dup2 dup3
stat lstat fstat newfstatat statx access faccessat faccessat2 readlink readlinkat getcwd getdents64
mmap munmap mprotect mremap madvise brk futex membarrier restart_syscall
rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack
clock_gettime clock_getres gettimeofday time times getrusage sysinfo uname getrandom
getpid gettid getppid getuid geteuid getgid getegid sched_yield sched_getaffinity getrlimit
exit exit_group
""".split()
FCNTL = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC; other commands can send signals
TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
TCGETS = 0x5401  # the request of os.isatty


def close_files() -> None:
    """Allow this process and its later children to read only the standard library and NumPy.

    Raises
    ------
    ImportError, OSError
        The package `landlock` is not installed, or this system has no Landlock.
    """
    from landlock import FSAccess, Ruleset

    ctypes.set_errno(0)  # otherwise, the package would report an earlier error as its own
    rules = Ruleset()
    for path in readable():
        right = FSAccess.READ_FILE | FSAccess.READ_DIR if path.is_dir() else FSAccess.READ_FILE
        rules.allow(str(path), rules=right)
    rules.apply()


def readable() -> list[Path]:
    """Return the paths that a student's file may read: the standard library without site-packages, and NumPy."""
    numpy = Path(np.__file__).resolve().parent
    found = {numpy, numpy.with_name("numpy.libs")}
    for name in ("stdlib", "platstdlib"):
        for path in Path(sysconfig.get_path(name)).resolve().iterdir():
            if path.name not in ("site-packages", "dist-packages", "test"):
                found.add(path.resolve())
    return sorted(path for path in found if path.exists())


def system_calls() -> Any:
    """Return the filter for system calls: ``load()`` applies it to this process.

    Raises
    ------
    ImportError, OSError
        The package `pyseccomp` or the library libseccomp is not installed.
    """
    try:
        import pyseccomp as seccomp
    except RuntimeError as error:  # there is no libseccomp
        raise ImportError(str(error)) from None

    found = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))

    def allow(name: str, *conditions: Any) -> None:
        with contextlib.suppress(OSError, ValueError):  # this processor has no such call
            found.add_rule(seccomp.ALLOW, name, *conditions)

    for name in ALLOWED:
        allow(name)
    for command in FCNTL:
        allow("fcntl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, command))
    allow("ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, TCGETS))
    allow("open", seccomp.Arg(1, seccomp.MASKED_EQ, TO_WRITE, 0))
    allow("openat", seccomp.Arg(2, seccomp.MASKED_EQ, TO_WRITE, 0))
    allow("prlimit64", seccomp.Arg(2, seccomp.EQ, 0))  # reading a limit is allowed, setting a limit is not
    return found


def limit(seconds: int, memory: int, writes: bool) -> None:
    """Limit this process, and end it when its parent ends.

    Parameters
    ----------
    seconds : int
        The limit for the processor time. Usually, the judge stops the process before this limit.
    memory : int
        Bytes of address space.
    writes : bool
        If False, no file can grow.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    if not writes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def missing(folder: str) -> list[str]:
    """Try the forbidden actions, as a student's file might do, and return those that succeed.

    Parameters
    ----------
    folder : str
        A folder that must not be readable.
    """
    attempts = {
        "reading files": lambda: os.listdir(folder),
        "writing files": lambda: tempfile.TemporaryFile().close(),
        "new processes": new_process,
        "the network": lambda: socket.socket().close(),
        "signals to other processes": lambda: os.kill(os.getppid(), 0),
    }
    found = []
    for name, attempt in attempts.items():
        with contextlib.suppress(OSError):
            attempt()
            found.append(name)
    return found


def new_process() -> None:
    """Start a process that ends at once."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
