"""What goes into and comes out of the store about mutes: plain facts, no SQL."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from forwarder.store.life_records import Heard

if TYPE_CHECKING:
    from forwarder.config import Mute

CONFIG: Final = "the config"
"""Where mutes come from that no person has set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MutedBy:
    """What keeps an alert quiet: a mute's id, until when (in seconds since the epoch), why, and who says so."""

    id: str
    until: float
    reason: str
    who: str

    @property
    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class MuteRow:
    """A mute: from the config, with an id made from what it says, or set by a person, with a number for an id.

    ``rule`` says which alerts are meant. It is None where what the store holds of it cannot be read, which
    ``unreadable`` then says: such a mute keeps nothing quiet. Times are in seconds since the epoch by the wall clock;
    those of its beginning and its end are None for one from the config.
    """

    id: str
    rule: Mute | None
    until: float
    reason: str
    place: str
    person: str = ""
    created_at: float | None = None
    ended_at: float | None = None
    ended_by: str = ""
    unreadable: str = ""

    @property
    def who(self) -> str:
        """For people: the person, else the place."""
        return self.person or self.place

    @property
    def from_config(self) -> bool:
        """Whether it ends only by its time, or when somebody changes the config."""
        return self.place == CONFIG

    @property
    def note(self) -> MutedBy:
        """What is kept of it with each alert that it keeps quiet."""
        return MutedBy(id=self.id, until=self.until, reason=self.reason, who=self.who)

    def stands(self, now: float) -> bool:
        """Whether it keeps anything quiet at ``now``."""
        return self.rule is not None and self.ended_at is None and now < self.until


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What became of a mute that somebody asked for at a destination; none is set where ``heard`` is not CHANGED.

    UNCHANGED says that its alert has nothing by which it could be muted.
    """

    heard: Heard
    mute: MuteRow | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutedAnew:
    """A batch of alerts whose mute has ended: how many were judged, are still kept quiet, and who is owed the rest."""

    judged: int = 0
    still_muted: int = 0
    connectors: frozenset[str] = frozenset()
