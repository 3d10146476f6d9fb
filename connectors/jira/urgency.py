"""How urgent a ticket is: priority and due date, raised with the severity as long as nobody else has set them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from connectors.jira.account import Account
from connectors.jira.client import RequestFailed, Site, dig
from connectors.jira.history import EXPAND, History
from connectors.jira.workflow import path_of
from forwarder.alert import Severity
from forwarder.connector import Delivery, Retry

if TYPE_CHECKING:
    from connectors.jira.config import JiraConfig

_PATIENT: Final = 3
"""Attempts that wait for Jira to take it; from then on the comment, which is worth more, goes without."""

_NO_REFUSAL: Final = frozenset({401, 402, 407, 429})
"""What concerns whatever is asked of Jira, and not this."""


class Urgency:
    """Raises what the config makes of a severity."""

    def __init__(self, site: Site, account: Account, config: JiraConfig, now: Callable[[], datetime]) -> None:
        self._site, self._account, self._config, self._now = site, account, config, now

    def fields(self, severity: Severity, since: datetime) -> dict[str, Any]:
        """Priority and due date of an alert of that severity, as far as the config says."""
        fields: dict[str, Any] = {}
        if severity in self._config.priority:
            fields["priority"] = {"name": self._config.priority[severity]}
        if severity in self._config.due_in:
            fields["duedate"] = (since.astimezone(UTC) + self._config.due_in[severity]).date().isoformat()
        return fields

    def rise(self, delivery: Delivery, key: str) -> str:
        """Raises what still stands as the forwarder set it, where the severity rose; what came of it, in words.

        A refusal is told, and no more: the ticket is its people's. Raises RequestFailed where Jira should be asked
        again, which does no harm.
        """
        before = _severity_before(delivery)
        wanted = self.fields(delivery.alert.severity, self._now())
        if before is None or not wanted:
            return ""
        try:
            raised, refused = self._set(key, self._still_ours(key, before, wanted))
        except RequestFailed as failed:
            lasts = isinstance(failed.outcome, Retry) and delivery.attempt >= _PATIENT
            if not (lasts or _is_refusal(failed)):
                raise
            return f"not raised with the severity: {failed.outcome.reason}"
        return "; ".join(filter(None, [_told(raised), refused]))

    def _still_ours(self, key: str, before: Severity, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """What of ``wanted`` may be set: people keep what they chose, and no date is put off."""
        issue = self._site.ask("GET", path_of(key), params={"fields": "priority,duedate", "expand": EXPAND})
        history = History.of(issue)
        priority, due = str(dig(issue, "fields", "priority", "name")), str(dig(issue, "fields", "duedate") or "")
        mine = dict(wanted)
        if "priority" in mine and (
            _same(priority, mine["priority"]["name"]) or not self._is_our_priority(priority, before, history)
        ):
            del mine["priority"]
        if "duedate" in mine and ((due and due <= mine["duedate"]) or not self._is_our_date(due, before, history)):
            del mine["duedate"]
        return mine

    def _is_our_priority(self, name: str, before: Severity, history: History) -> bool:
        edits = history.of_field("priority")
        # An attempt that raised it may have been cut off before it could say so.
        return _same(name, self._config.priority.get(before, "")) or (
            bool(edits) and self._account.is_ours(edits[-1].author)
        )

    def _is_our_date(self, due: str, before: Severity, history: History) -> bool:
        """Which day it was created with is not known here: but whether anybody else set another one is."""
        if edits := history.of_field("duedate"):
            return all(self._account.is_ours(edit.author) for edit in edits)
        return history.whole and bool(due) is (before in self._config.due_in)

    def _set(self, key: str, fields: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """What was set, and why the rest was not."""
        refused = ""
        while fields:
            try:
                # To set it once more is harmless, so what came of a lost answer need not be known.
                self._site.ask("PUT", path_of(key), body={"fields": fields})
                break
            except RequestFailed as failed:
                if not _is_refusal(failed):
                    raise
                wrong = fields.keys() & failed.errors.keys()
                fields = {name: value for name, value in fields.items() if wrong and name not in wrong}
                refused = f"not raised with the severity: {failed.outcome.reason}"
        return fields, refused


def _severity_before(delivery: Delivery) -> Severity | None:
    """What the severity was that rose; None where it did not."""
    old = next((change.old for change in delivery.changes if change.field == "severity" and change.is_worse), None)
    return next((severity for severity in Severity if severity == old), None)


def _is_refusal(failed: RequestFailed) -> bool:
    answered = failed.status is not None and 400 <= failed.status < 500 and failed.status not in _NO_REFUSAL
    return answered and not isinstance(failed.outcome, Retry)


def _same(name: str, other: str) -> bool:
    return name.casefold() == other.casefold()


def _told(raised: Mapping[str, Any]) -> str:
    parts = []
    if "priority" in raised:
        parts.append(f"priority raised to {raised['priority']['name']}")
    if "duedate" in raised:
        parts.append(f"due {date.fromisoformat(raised['duedate']):%Y-%m-%d}")
    return ", ".join(parts)
