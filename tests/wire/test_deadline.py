"""One deadline for all that a thread does on its sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from forwarder.wire.deadline import AnswerTooLarge, bounded, connect, deadline, dial, remaining, sending
from tests.kit.wire import dripping, peer, swallowing

LONG: Final = 1000.0


def test_without_a_deadline_a_wait_may_take_what_it_likes() -> None:
    """Outside a deadline only the wait's own limit holds, and after one ended none is left."""
    with deadline(LONG):
        pass
    assert (remaining(), remaining(7.0)) == (None, 7.0)


def test_the_earlier_of_two_deadlines_holds() -> None:
    """A deadline within another cannot outlast it, and leaves it as it was."""
    with deadline(LONG):
        with deadline(2 * LONG):
            assert (remaining() or 0) <= LONG
        with deadline(1.0):
            assert (remaining() or 0) <= 1.0
        assert (remaining() or 0) > LONG / 2
        assert remaining(5.0) == 5.0


def test_a_deadline_that_passed_is_a_time_out() -> None:
    """Nothing is waited for after it."""
    with deadline(0.0), pytest.raises(TimeoutError, match="timed out"):
        remaining()


def test_a_guard_is_asked_before_each_send() -> None:
    """What it forbids is a time-out, and does not leave; what comes in is still read. Within another, it counts."""
    allowed = True
    with deadline(LONG, guard=lambda: allowed):
        with deadline(LONG):
            assert (sending(5.0), remaining(5.0)) == (5.0, 5.0)
            allowed = False
            assert remaining(5.0) == 5.0
            with pytest.raises(TimeoutError, match="stood still, or was cut off"):
                sending(5.0)
        with deadline(LONG, guard=lambda: True):
            sending()
    sending()


def test_a_deadline_is_its_thread_s() -> None:
    """Another thread has none, or its own."""
    seen: list[float | None] = []
    with deadline(LONG):
        thread = threading.Thread(target=lambda: seen.append(remaining()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_a_drip_ends_by_the_deadline() -> None:
    """Each byte comes in time, and the whole does not."""
    with peer(dripping(b"HTTP")) as port, deadline(0.3), closing(connect("127.0.0.1", port, None)) as connection:
        connection.sendall(b"GET")
        with pytest.raises(TimeoutError), connection.makefile("rb") as file:
            file.read(100_000)


def send_for_ever(send: Callable[[bytes], object]) -> None:
    while True:
        send(b"x" * 1_000_000)


def test_sending_ends_by_the_deadline() -> None:
    """A peer that takes nothing holds nobody, in whichever way it is sent to."""
    with peer(swallowing) as port:
        for whole in (True, False):
            with (
                deadline(0.3),
                closing(connect("127.0.0.1", port, None)) as connection,
                pytest.raises(TimeoutError),
            ):
                send_for_ever(connection.sendall if whole else connection.send)


def test_the_first_address_that_answers_is_taken() -> None:
    """An address where nobody listens costs its share, and the next one is tried."""
    tried: list[tuple[str, float | None]] = []

    def attempt(address: tuple[object, ...], seconds: float | None) -> str:
        tried.append((str(address[4]), seconds))
        if len(tried) == 1:
            raise ConnectionRefusedError
        return "connected"

    addresses = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    if len(addresses) == 1:
        with pytest.raises(ConnectionRefusedError):
            dial("localhost", 80, 10.0, attempt)
    else:
        assert dial("localhost", 80, 10.0, attempt) == "connected"
    assert all(seconds is not None and seconds <= 10.0 / (len(addresses) - n) for n, (_, seconds) in enumerate(tried))


def test_a_name_with_an_address_where_nobody_listens_is_reached() -> None:
    """A server on IPv4 alone is found under a name that has both."""
    with peer(dripping(b"here")) as port, closing(connect("localhost", port, 5.0)) as connection:
        connection.sendall(b"?")
        assert connection.recv(4) == b"here"


def test_what_is_too_large_is_not_kept() -> None:
    """The limit itself passes, one byte more does not."""
    assert bounded([b"ab", b"c"], 3) == b"abc"
    with pytest.raises(AnswerTooLarge):
        bounded([b"ab", b"cd"], 3)


def receive(port: int) -> bytes:
    with closing(connect("127.0.0.1", port, None)) as connection:
        return connection.recv(1)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_nothing_is_left_of_a_thousand_requests_that_timed_out() -> None:
    """No thread, and no socket."""
    with socket.create_server(("127.0.0.1", 0), backlog=2000) as silent:
        threads, files = threading.active_count(), open_files()
        for _ in range(1000):
            with deadline(0.001), pytest.raises(TimeoutError):
                receive(silent.getsockname()[1])
        assert (threading.active_count(), open_files()) == (threads, files)
