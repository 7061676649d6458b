"""Test the process of the worker: its surroundings, its end, and the processes that it leaves behind."""

import ctypes
import os
import signal
import sys

import pytest

from nnscratch.gradcheck.command import process
from nnscratch.gradcheck.command.orphans import PR_GET_CHILD_SUBREAPER, PR_SET_CHILD_SUBREAPER, Orphans, children
from nnscratch.gradcheck.command.process import ROOT, Worker, WorkerFailed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are found through /proc")

MODULE = """
import json, os, signal, struct, subprocess, sys, time

def reply(number, value):
    header = json.dumps({"dict": [["number", number], ["value", value]]}).encode()
    os.write(1, struct.pack(">QQ", len(header), 0) + header)

def request():
    header, body = struct.unpack(">QQ", os.read(0, 16))
    found = dict(json.loads(os.read(0, header))["dict"])
    return found["number"], found["operation"], found

def main():
    while True:
        number, operation, found = request()
        if operation == "surroundings":
            print("a text on the standard error", file=sys.stderr, flush=True)
            found = [os.environ["MPLBACKEND"], os.environ["OTHER"], os.environ["HOME"], sys.path[0], *sys.argv[1:]]
            reply(number, {"list": found})
        elif operation == "double":
            reply(number, 2 * found["x"])
        elif operation == "id":
            reply(number, os.getpid())
        elif operation == "exit":
            sys.exit(3)
        elif operation == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif operation == "close":
            os.close(1)
            time.sleep(60)
        elif operation == "sleep":
            time.sleep(60)
        elif operation == "child":
            reply(number, subprocess.Popen(["sleep", "60"]).pid)
        elif operation == "orphan":
            command = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"
            made = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE, start_new_session=True)
            reply(number, int(made.stdout.readline()))
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    (tmp_path / "answers_of_a_test.py").write_text(MODULE)
    monkeypatch.setenv("HOME", "/home/student")
    return lambda *arguments: Worker(
        "answers_of_a_test", *arguments, environment={"OTHER": "5", "PYTHONPATH": str(tmp_path)}
    )


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_surroundings_of_the_process(start, capfd):
    with start("hw.py", "more") as worker:
        found = worker.request("surroundings")
        assert not worker.failed
    assert found == ["Agg", "5", "/home/student", ROOT, "hw.py", "more"]
    assert capfd.readouterr().err == ""  # what the student's code prints does not disturb the report


@pytest.mark.parametrize(
    ("operation", "why"),
    [("exit", "its process ended without a report (exit code 3)"),
     ("die", "its process ended without a report (SIGKILL)"), ("close", "its process ended without a report")],
)  # fmt: skip
def test_the_end_of_the_process_is_the_reason(start, operation, why):
    with start() as worker, pytest.raises(WorkerFailed) as caught:
        worker.request(operation)
    assert str(caught.value) == why and worker.failed


def test_the_limit_of_the_process(start):
    with start() as worker:
        assert worker.request("double", x=4) == 8
        worker.set_limit(0.1)
        with pytest.raises(WorkerFailed, match="not finished after 0.1 seconds"):
            worker.request("sleep")
        assert worker.failed


def test_the_end_of_the_block_kills_the_process_and_all_that_it_started(start):
    open_files = len(os.listdir("/proc/self/fd"))
    with start() as worker:
        started = [worker.request(operation) for operation in ("id", "child", "orphan")]
        assert all(map(is_running, started))
    assert not any(map(is_running, started))
    assert started[0] not in children()  # the process is not left as a zombie
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_a_system_without_groups_of_processes(start, monkeypatch):
    monkeypatch.delattr(process.os, "killpg")
    with start() as worker:
        pid = worker.request("id")
    assert not is_running(pid)


def test_a_worker_that_was_killed_can_be_killed_again(start):
    with start() as worker:
        os.kill(worker.request("id"), signal.SIGKILL)
        worker.kill()


# --- orphans ---------------------------------------------------------------------------------------------------------


def test_children_are_the_processes_that_this_process_started():
    before = children()
    pid = os.posix_spawn("/bin/sleep", ["a name) with (brackets", "60"], os.environ)
    try:
        assert children() - before == {pid}
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert children() == before


def orphan():
    """Start a process whose parent ends, and return its id."""
    read, write = os.pipe()
    command = f"import os, subprocess; os.write({write}, b'%d' % subprocess.Popen(['sleep', '60']).pid)"
    os.set_inheritable(write, True)
    parent = os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", command], os.environ)
    os.waitpid(parent, 0)
    found = int(os.read(read, 20))
    os.close(read)
    os.close(write)
    return found


@pytest.fixture
def no_subreaper():
    """Let orphans go to another process. An earlier test may have left this process as their new parent."""
    was, prctl = ctypes.c_int(0), ctypes.CDLL(None).prctl
    prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(was))
    prctl(PR_SET_CHILD_SUBREAPER, 0)
    yield
    prctl(PR_SET_CHILD_SUBREAPER, was.value)


@pytest.fixture
def own(no_subreaper):
    """Start a process that is no orphan."""
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], os.environ)
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_orphans_come_to_this_process_only_until_they_are_killed(own):
    orphans = Orphans()
    pid = orphan()
    assert pid in children()
    orphans.kill()
    assert not is_running(pid) and pid not in children() and is_running(own)
    later = orphan()
    assert later not in children()
    os.kill(later, signal.SIGKILL)


def test_orphans_of_an_outer_block_still_come_after_an_inner_block(own):
    outer = Orphans()
    Orphans().kill()
    pid = orphan()
    assert pid in children()
    outer.kill()
    assert not is_running(pid)


@pytest.mark.parametrize("changed", ["platform", "proc"])
def test_a_system_without_proc_has_no_orphans(no_subreaper, monkeypatch, changed):
    with monkeypatch.context() as patch:
        if changed == "platform":
            patch.setattr(sys, "platform", "win32")
        else:
            patch.setattr(os.path, "exists", lambda path: False)
        orphans = Orphans()
    pid = orphan()
    try:
        assert pid not in children()
        orphans.kill()
        assert is_running(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
