"""How a ticket stands, and what that says of its alert. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from connectors.jira.account import name_of
from connectors.jira.client import RequestFailed, dig, unreadable
from connectors.jira.history import Edit, History, moment
from connectors.jira.workflow import status_of
from forwarder.connector import Resolution, Status, clean, cut, one_line

FIELDS: Final = "status,assignee,resolution,updated"
"""What is asked of a ticket, its history aside."""

_MAX_REASON: Final = 200
_NOT_AFFECTED: Final = frozenset(
    {
        "does not apply",
        "false positive",
        "invalid",
        "n/a",
        "not a bug",
        "not affected",
        "not applicable",
        "not exposed",
        "not vulnerable",
        "falsch positiv",
        "fehlalarm",
        "nicht betroffen",
        "nicht zutreffend",
        "faux positif",
        "non affecté",
        "non concerné",
        "falso positivo",
        "no afectado",
        "no aplicable",
    }
)
"""Names of resolutions that say that there was nothing to do. A site that words it otherwise, or declines to act, says
so in the reason: that is its name."""

_SAYS_NO_MORE: Final = frozenset({"done", "fixed", "resolved"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """A ticket as Jira showed it. ``status`` is None where the workflow says nothing of what it means."""

    key: str
    updated: datetime
    status: Status | None
    status_names: tuple[str, str]
    assignee: str
    resolution_name: str
    history: History | None

    @classmethod
    def of(cls, issue: Mapping[str, Any]) -> Ticket:
        """An issue with FIELDS; raises RequestFailed where it cannot be read."""
        updated, status = moment(dig(issue, "fields", "updated")), dig(issue, "fields", "status")
        if updated is None or not isinstance(status, Mapping):
            raise RequestFailed(unreadable(writes=False))
        resolution = dig(issue, "fields", "resolution", "name")
        return cls(
            key=str(issue.get("key")),
            updated=updated,
            status=status_of(issue),
            status_names=(str(status.get("id")), str(status.get("name"))),
            assignee=name_of(dig(issue, "fields", "assignee")),
            resolution_name=cut(one_line(clean(str(resolution))), _MAX_REASON) if resolution else "",
            history=History.of(issue) if "changelog" in issue else None,
        )

    @property
    def moves(self) -> list[Edit]:
        """The changes of its status that are known, oldest first."""
        return self.history.of_field("status") if self.history else []

    @property
    def is_explained(self) -> bool:
        """Whether its history tells how it came to stand where it stands. An index may lag in one of the two."""
        if self.moves:
            return self.moves[-1].new in self.status_names
        return self.history is not None and self.history.whole

    @property
    def resolution(self) -> Resolution | None:
        """How its alert was resolved, where it is."""
        if self.status is not Status.RESOLVED:
            return None
        return Resolution.NOT_AFFECTED if self.resolution_name.casefold() in _NOT_AFFECTED else Resolution.DONE

    @property
    def reason(self) -> str:
        """What its resolution says beyond that: its name."""
        name = self.resolution_name
        known = {*_SAYS_NO_MORE, Resolution.NOT_AFFECTED.words}
        return name if self.status is Status.RESOLVED and name.casefold() not in known else ""
