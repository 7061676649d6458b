"""Test the channel to a worker, with pipes inside this process: each way in which a reply can be missing or invalid."""

import os
import threading
import types

import pytest

from nnscratch.gradcheck.command import channel, wire
from nnscratch.gradcheck.command.channel import Channel, WallClock, WorkerFailed, printable

posix = pytest.mark.skipif(os.name != "posix", reason="pipes on Windows have no time limit")
pytestmark = posix


class Pipes:
    """Two pipes with a channel at one end. ``reply`` writes to the other end, and ``sent`` reads there."""

    def __init__(self, seconds=5.0, **options):
        (self.worker_in, requests), (replies, self.worker_out) = os.pipe(), os.pipe()
        self.ends = [self.worker_in, requests, replies, self.worker_out]
        self.channel = Channel(requests, replies, lambda: "its process ended", self.stop, **options)
        self.channel.clock = WallClock(seconds)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for end in self.ends:
            os.close(end)

    def reply(self, **values):
        os.write(self.worker_out, wire.frame(values))

    def close(self, end):
        self.ends.remove(end)  # first, because the thread of a timer also calls this
        os.close(end)

    def stop(self):
        self.close(self.worker_out)

    def sent(self):
        data = os.read(self.worker_in, 1 << 20)
        header, body = wire.LENGTHS.unpack(data[: wire.LENGTHS.size])
        rest = data[wire.LENGTHS.size :]
        return wire.unpack(rest[:header], rest[header : header + body])


def test_a_request_has_a_number_and_its_reply_has_a_value():
    with Pipes() as pipes:
        assert not pipes.channel.failed
        pipes.reply(number=1, value="one")
        assert pipes.channel.request("describe", names=["f"]) == "one" and not pipes.channel.failed
        assert pipes.sent() == {"number": 1, "operation": "describe", "names": ["f"]}
        pipes.reply(number=2)
        assert pipes.channel.request("check") is None and pipes.sent()["number"] == 2


def test_an_error_of_the_students_code_leaves_the_worker_usable():
    with Pipes() as pipes:
        pipes.reply(number=1, error="ValueError: \x1b[31mno\nsecond line")
        with pytest.raises(WorkerFailed) as caught:
            pipes.channel.request("check")
        assert str(caught.value) == "ValueError:  [31mno\n      second line" and not pipes.channel.failed
        pipes.reply(number=2, value=5)
        assert pipes.channel.request("check") == 5


@pytest.mark.parametrize("reply", [{"number": 2, "value": 1}, {"value": 1}, {"number": None}])
def test_a_reply_to_another_request_is_refused(reply):
    with Pipes() as pipes:
        pipes.reply(**reply)
        with pytest.raises(WorkerFailed, match="a reply to another request"):
            pipes.channel.request("check")
        assert pipes.channel.failed


def test_a_reply_that_is_no_dictionary_is_refused():
    with Pipes() as pipes:
        os.write(pipes.worker_out, wire.frame([1]))
        with pytest.raises(WorkerFailed, match="a reply to another request"):
            pipes.channel.request("check")


def test_bytes_that_are_no_message_are_refused():
    with Pipes() as pipes:
        os.write(pipes.worker_out, wire.LENGTHS.pack(3, 0) + b"abc")
        with pytest.raises(WorkerFailed, match="^its process sent "):
            pipes.channel.request("check")
        assert pipes.channel.failed


def test_a_reply_that_is_too_long_is_refused_before_it_is_read():
    with Pipes(longest=100) as pipes:
        os.write(pipes.worker_out, wire.LENGTHS.pack(10, 101))
        with pytest.raises(WorkerFailed, match="^its process sent "):
            pipes.channel.request("check")


def test_a_worker_that_ends_is_named():
    with Pipes() as pipes:
        os.write(pipes.worker_out, wire.LENGTHS.pack(10, 0)[:2])
        pipes.close(pipes.worker_out)
        with pytest.raises(WorkerFailed, match="its process ended"):
            pipes.channel.request("check")
        assert pipes.channel.failed
    with Pipes() as pipes:
        pipes.close(pipes.worker_in)
        with pytest.raises(WorkerFailed, match="its process ended"):
            pipes.channel.request("check")


def test_no_reply_within_the_limit():
    with Pipes(seconds=0.05) as pipes:
        with pytest.raises(WorkerFailed, match="not finished after 0.05 seconds"):
            pipes.channel.request("check")
        assert pipes.channel.failed


def test_a_request_that_the_worker_does_not_read_ends_at_the_limit():
    with Pipes(seconds=0.05) as pipes, pytest.raises(WorkerFailed, match="not finished after 0.05 seconds"):
        pipes.channel.request("check", text="a" * 10**6)


def test_a_process_that_ends_after_its_limit_took_too_long():
    with Pipes(seconds=0.0) as pipes:
        pipes.close(pipes.worker_out)
        with pytest.raises(WorkerFailed, match="not finished after 0 seconds"):
            pipes.channel.request("check")


def test_a_reply_that_has_arrived_is_read_also_after_the_limit():
    with Pipes(seconds=0.0) as pipes:
        pipes.reply(number=1, value="one")
        assert pipes.channel.request("check") == "one"


@pytest.fixture
def windows(monkeypatch):
    """Let the channel work as on Windows, where it cannot wait for a pipe with a time limit."""
    parts = {name: getattr(os, name) for name in ("read", "write")}
    monkeypatch.setattr(channel, "os", types.SimpleNamespace(name="nt", **parts))


def test_a_timer_stops_a_process_that_takes_too_long(windows):
    with Pipes(seconds=0.05) as pipes, pytest.raises(WorkerFailed, match="not finished after 0.05 seconds"):
        pipes.channel.request("check")


def test_no_timer_is_left_after_a_reply(windows):
    with Pipes(seconds=1000) as pipes:
        pipes.reply(number=1, value="one")
        assert pipes.channel.request("check") == "one"
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for timer in timers:
        timer.join(5)
    assert not any(timer.is_alive() for timer in timers)


def test_a_request_and_a_reply_larger_than_a_pipe():
    text = "a" * 300_000
    with Pipes() as pipes:

        def answer():
            left = len(wire.frame({"number": 1, "operation": "check", "text": text}))
            while left:
                left -= len(os.read(pipes.worker_in, 1 << 16))
            data = memoryview(wire.frame({"number": 1, "value": text}))
            while data:
                data = data[os.write(pipes.worker_out, data) :]

        worker = threading.Thread(target=answer)
        worker.start()
        assert pipes.channel.request("check", text=text) == text
        worker.join()


def test_a_clock_counts_down_and_has_a_largest_wait():
    assert 0 < WallClock(5).left() <= 5 and 0 < WallClock(0.9).left() <= 0.9 and WallClock(float("inf")).left() == 1e6
    with pytest.raises(WorkerFailed, match="not finished after 0 seconds"):
        WallClock(0).left()


def test_text_for_a_terminal():
    assert printable("a\tb\x07c", 100) == "a b c" and printable("one  \ntwo", 100) == "one\n      two"
    assert printable("abcdef", 3) == "abc" and printable(12, 5) == "12" and printable("", 5) == ""
