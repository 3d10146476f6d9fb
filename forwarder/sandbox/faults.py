"""What can go wrong between a client and a service, on order."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, repeat
from typing import Any, Final

FLOOD_BYTES: Final = 80 * 1024 * 1024
"""More than any client should read."""


class FaultKind(StrEnum):
    """How an exchange fails. "Effect" means that the service did what it was asked to do."""

    STATUS = "status"
    """No effect; the answer is the fault's status."""
    HTML = "html"
    """No effect; the answer is 200 with an HTML page, as a proxy's login page is."""
    TRUNCATED = "truncated"
    """Effect; the connection ends in the middle of the body."""
    RESET_BEFORE = "reset_before"
    """No effect, no answer; the connection is reset."""
    RESET_AFTER = "reset_after"
    """Effect, no answer; the connection is reset."""
    TIMEOUT_BEFORE = "timeout_before"
    """No effect, no answer; the connection hangs for the fault's seconds, then ends."""
    TIMEOUT_AFTER = "timeout_after"
    """Effect, no answer; the connection hangs for the fault's seconds, then ends."""
    DRIP = "drip"
    """Effect; the answer comes byte by byte, stretched over the fault's seconds."""
    DRIP_BODY = "drip_body"
    """Effect; the head comes at once, the body in chunks of a byte, padded with white space for the fault's seconds."""
    FLOOD = "flood"
    """Effect; the body is followed by FLOOD_BYTES of white space, and is as valid as without."""
    BOMB = "bomb"
    """The same, compressed."""
    STATUS_AFTER = "status_after"
    """Effect; the answer is the fault's status nevertheless."""
    LATENCY = "latency"
    """Nothing wrong, but the fault's seconds late."""
    TWICE = "twice"
    """Of a message over a WebSocket: it comes twice. Over HTTP nothing is wrong."""

    @property
    def has_effect(self) -> bool:
        """Whether the service does what it was asked to do."""
        return self not in _WITHOUT_EFFECT


_WITHOUT_EFFECT: Final = {FaultKind.STATUS, FaultKind.HTML, FaultKind.RESET_BEFORE, FaultKind.TIMEOUT_BEFORE}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that is to go wrong.

    It strikes requests whose ``METHOD /path`` holds ``path`` and whose body holds ``text``, ``times`` times (None:
    until the faults are cleared). A message over a WebSocket is called ``SOCKET type``.
    ``status``, ``headers`` and ``body`` are of the answer where the kind has one of its own; a ``body`` of None is what
    the service says at such a status. ``seconds`` is how long the kind takes.
    """

    kind: FaultKind
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    seconds: float = 1.0
    path: str = ""
    text: str = ""
    times: int | None = 1

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Fault:
        """The fault that a JSON object describes; raises ValueError or TypeError where it describes none."""
        return cls(**{**raw, "kind": FaultKind(raw.get("kind", ""))})


MESSAGE_KINDS: Final = {
    FaultKind.TRUNCATED, FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.TIMEOUT_BEFORE,
    FaultKind.TIMEOUT_AFTER, FaultKind.DRIP, FaultKind.HTML, FaultKind.LATENCY, FaultKind.TWICE,
}  # fmt: skip
"""The kinds that strike messages over a WebSocket."""

CHUNKED: Final = {FaultKind.DRIP_BODY, FaultKind.FLOOD, FaultKind.BOMB}
"""The kinds whose body comes in ``pieces``."""

_SPACES: Final = b" " * 65536
_BYTE_EVERY: Final = 0.05  # seconds at the most


def pieces(fault: Fault, body: bytes) -> Iterator[tuple[bytes, float]]:
    """The chunks in which ``body`` goes out, none of them empty, and the seconds to wait after each."""
    if fault.kind is FaultKind.DRIP_BODY:
        padded = body.ljust(max(int(fault.seconds / _BYTE_EVERY), 1))
        yield from ((bytes((byte,)), fault.seconds / len(padded)) for byte in padded)
        return
    large: Iterator[bytes] = chain([body], repeat(_SPACES, FLOOD_BYTES // len(_SPACES)))
    if fault.kind is FaultKind.BOMB:
        large = _compressed(large)
    yield from ((piece, 0.0) for piece in large if piece)


def _compressed(texts: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    yield from map(packer.compress, texts)
    yield packer.flush()


class Faults:
    """The faults of one service that are still to strike, in the order in which they were injected."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[tuple[Fault, int | None]] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._pending.append((fault, fault.times))

    def pending(self) -> list[Fault]:
        """Those that have not struck as often as they are to."""
        with self._lock:
            return [fault for fault, _ in self._pending]

    def clear(self) -> None:
        with self._lock:
            self._pending.clear()

    def take(self, line: str, body: bytes = b"", kinds: Container[FaultKind] | None = None) -> Fault | None:
        """The fault, of ``kinds`` alone, that strikes ``METHOD /path`` with that body, one time of it used up."""
        if not self._pending:
            return None
        with self._lock:
            for index, (fault, left) in enumerate(self._pending):
                if fault.path not in line or fault.text.encode() not in body or (kinds and fault.kind not in kinds):
                    continue
                if left is not None and left <= 1:
                    del self._pending[index]
                elif left is not None:
                    self._pending[index] = (fault, left - 1)
                return fault
        return None
