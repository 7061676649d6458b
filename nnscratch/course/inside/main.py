"""The starter: a process that starts a process for each file of a student. It never runs students' code itself.

A new process is a copy (a fork) of the starter. The starter has imported NumPy already, so the start of a process takes
only milliseconds. The judge is the process that decides the marks. orders.py lists the orders that the judge sends to
the starter.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
from typing import Any

from ...exercises.calling import in_file
from ...gradcheck.command import wire
from .imports import restrict_imports
from .orders import ORDER, REPLIES, REPLY, REQUESTS
from .sandbox import close_files, limit, system_calls
from .service import FileService

LATE = ("fft", "linalg", "random")  # NumPy imports these on first use, so the starter imports them once for all files


def main() -> None:
    """Carry out the orders of the judge until the judge closes the socket.

    This socket is the standard input of the process.
    """
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    calls = None
    with contextlib.suppress(ImportError, OSError):  # the judge finds missing parts with the request `missing`
        calls = system_calls()
    with contextlib.suppress(ImportError, OSError):
        close_files()
    for name in LATE:
        importlib.import_module(f"numpy.{name}")
    restrict_imports()
    gc.collect()
    gc.freeze()  # otherwise, a garbage collection in a new process would copy the memory of all old objects
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, ORDER.size, 2)
        if not data:
            return
        order, first, seconds, memory = ORDER.unpack(data)
        if order == b"f":
            pid = os.fork()
            if pid == 0:
                run(descriptors, first, seconds, memory, calls)
            for descriptor in descriptors:
                os.close(descriptor)
            control.send(REPLY.pack(pid, 0))
        else:
            control.send(REPLY.pack(*end(first)))


def end(pid: int) -> tuple[int, int]:
    """Kill a process and its group.

    Return the wait status of the process, and its processor time in microseconds.
    """
    for kill in (os.killpg, os.kill):  # a process that has just started has no group yet
        with contextlib.suppress(OSError):
            kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    return status, round((usage.ru_utime + usage.ru_stime) * 1e6)


def run(descriptors: list[int], seed: int, seconds: int, memory: int, calls: Any) -> None:
    """Become the process of one file, and answer the judge's requests. This function does not return."""
    try:
        os.setsid()
        for number, descriptor in enumerate([os.dup(d) for d in descriptors], start=REQUESTS):
            os.dup2(descriptor, number)
        os.closerange(REPLIES + 1, 256)
        limit(seconds, memory, writes=calls is None)
        if calls is not None:
            calls.load()
        answer_requests(FileService(seed))
    finally:
        os._exit(1)


def answer_requests(service: FileService) -> None:
    """Answer requests until the judge closes the pipe."""
    with open(REQUESTS, "rb", closefd=False) as requests, open(REPLIES, "wb", closefd=False) as replies:
        while len(lengths := requests.read(wire.LENGTHS.size)) == wire.LENGTHS.size:
            header, body = wire.LENGTHS.unpack(lengths)
            message = wire.unpack(requests.read(header), requests.read(body))
            number, operation = message.pop("number"), message.pop("operation")
            try:
                data = wire.frame({"number": number, "value": getattr(service, operation)(**message)})
            except BaseException as error:
                data = wire.frame({"number": number, "error": in_file(error, service.path)})
            replies.write(data)
            replies.flush()
