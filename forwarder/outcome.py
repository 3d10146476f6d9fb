"""What one attempt to deliver came to. What follows from each is said in ``forwarder.connector``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """Where an alert stands at a destination: the remote's id, as the connector reads it again, and a link."""

    remote_id: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """The remote said yes. ``note`` is for people: that it was there already, that its form had to be simplified."""

    receipt: Receipt
    note: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now: again after a backoff, or after ``after`` seconds where the remote named a time. Spends an attempt."""

    reason: str
    after: float | None = None


@dataclass(frozen=True, slots=True)
class RateLimited:
    """A rate limit: nothing more for ``after`` seconds. The delivery is put back as if it had not been tried."""

    after: float
    reason: str


@dataclass(frozen=True, slots=True)
class Uncertain:
    """The remote may have it: a reply that was lost, late or unreadable."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The remote will never accept this delivery, but others."""

    reason: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The destination accepts nothing until a person acts: a revoked token, an archived channel, a missing project."""

    reason: str


Outcome = Delivered | Retry | RateLimited | Uncertain | Rejected | Broken


class Failed(Exception):
    """The attempt ends with ``outcome``, said from deep down; ``deliver`` and ``find`` may let it out.

    Out of ``find`` it means that the destination could not be asked: the delivery stays uncertain, and is not sent.
    """

    def __init__(self, outcome: Retry | RateLimited | Uncertain | Rejected | Broken) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome
