"""What is new to an account of what its feed shows: judged against what the store has, in one reading of that."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from forwarder.alert import Alert
from forwarder.store import accounts, dates, unreadable, vendors
from forwarder.store.connection import Connection
from forwarder.store.engine import Engine
from forwarder.store.forms import body_of, digest_of
from forwarder.store.records import Arrival
from forwarder.store.views import form_of, news, says_the_same, view_of

# All that an account's feed is judged by, in one statement: so it has one view, and is one question to a server.
_KNOWN: Final = """
SELECT asked.value AS id, a.body, a.version, a.muted_by, a.unrouted,
  EXISTS (SELECT 1 FROM alert_accounts AS o WHERE o.alert_id = a.id AND o.past = 0) AS owed, s.past, s.shown, s.view,
  u.first_seen_at, (SELECT floor FROM feed WHERE account = ?1) AS floor
FROM json_each(?2) AS asked
LEFT JOIN alerts AS a ON a.id = asked.value
LEFT JOIN alert_accounts AS s ON s.alert_id = a.id AND s.account = ?1
LEFT JOIN undated AS u ON u.alert_id = asked.value
"""
_UNCATEGORIZED: Final = """
SELECT a.body, a.version, u.vendors FROM uncategorized AS u JOIN alerts AS a ON a.id = u.alert_id
WHERE u.account = ? AND u.alert_id IN (SELECT value FROM json_each(?)) ORDER BY a.published_at
"""

_OTHERWISE: Final = """
SELECT s.alert_id, s.shown, a.body FROM alert_accounts AS s JOIN alerts AS a ON a.id = s.alert_id
WHERE s.account = ? AND s.shown IS NOT NULL AND s.alert_id IN (SELECT value FROM json_each(?))
"""
_SHOWN: Final = "UPDATE alert_accounts SET shown = ?, view = ? WHERE alert_id = ? AND account = ?"
_GONE: Final = """
SELECT d.alert_id, d.connector FROM json_each(?1) AS asked JOIN deliveries AS d
  ON d.alert_id = CAST(json_extract(asked.value, '$[0]') AS TEXT)
  AND d.connector = CAST(json_extract(asked.value, '$[1]') AS TEXT) AND d.kind = 'open'
UNION
SELECT d.alert_id, d.connector FROM json_each(?1) AS asked JOIN discards AS d
  ON d.alert_id = CAST(json_extract(asked.value, '$[0]') AS TEXT)
  AND d.connector = CAST(json_extract(asked.value, '$[1]') AS TEXT)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What the store has of an alert: its text, which version that is, what mutes it, and whether the account saw it.

    Of one that it does not have, ``body`` is None. ``shown`` is the digest of the form that the account showed last,
    None where that is what the store has, and ``view`` what is kept of it; ``first_seen`` is when one without a date
    was.
    """

    body: str | None
    version: int | None
    muted_by: str | None
    unrouted: bool
    owed: bool
    seen: bool
    past: bool
    shown: str | None
    view: str | None
    first_seen: float | None


_NEW: Final = _Known(
    body=None,
    version=None,
    muted_by=None,
    unrouted=False,
    owed=False,
    seen=False,
    past=False,
    shown=None,
    view=None,
    first_seen=None,
)


def arrivals(engine: Engine, alerts: Sequence[Alert], account: str, *, undated_are_past: bool) -> list[Arrival]:
    """Those of ``alerts`` that ``account`` has not seen in the form that they have now; see FeedStore.arrivals."""
    if not alerts:
        return []
    known, floor = _known(engine, alerts, account)
    found = [one for alert in alerts if (one := _arrival(alert, known.get(alert.id, _NEW))) is not None]

    def is_past(one: Arrival) -> bool:
        if not one.joins:
            return one.past
        if undated_are_past and not one.shown.dated:
            return True
        return floor is not None and one.shown.published_by.timestamp() < float(floor)

    return [replace(one, past=is_past(one)) for one in found]


def with_accounts(engine: Engine, found: Sequence[Arrival]) -> list[Arrival]:
    """``found`` with the accounts for which each is owed: of an alert that all see, these are all there are."""
    known = [one.alert.id for one in found if one.known]
    if not known:
        return list(found)
    with engine.read() as connection:
        owed_for = accounts.owed_for(connection, known)
    return [replace(one, accounts=owed_for.get(one.alert.id, ())) for one in found]


def uncategorized(
    connection: Connection, alert_ids: Collection[str], account: str
) -> list[tuple[Arrival, frozenset[str]]]:
    """Those of the alerts that are still to be routed again for ``account``, each with its vendors not known then."""
    rows = connection.execute(_UNCATEGORIZED, (account, json.dumps(list(alert_ids)))).fetchall()
    owed_for = accounts.owed_for(connection, alert_ids)
    found = []
    for row in rows:
        alert = _read(row["body"])
        if alert is not None:
            known = Arrival(alert=alert, known=alert, version=row["version"], joins=False, changed=False)
            found.append((replace(known, accounts=owed_for.get(alert.id, ())), vendors.unknown_in(row["vendors"])))
    return found


def note_shown(connection: Connection, alerts: Sequence[Alert], account: str) -> None:
    """Writes down which form ``account`` shows of those of ``alerts`` that it had shown in another than the store's.

    Where it shows the store's by now, as another account brought it, what it showed before is news once more.
    """
    if not alerts:
        return
    found = connection.execute(_OTHERWISE, (account, json.dumps([alert.id for alert in alerts]))).fetchall()
    forms = {alert.id: alert for alert in alerts}
    for alert_id, before, body in found:
        shows = digest_of(forms[alert_id])
        if shows != before and (there := _read(body)) is not None:
            told = (shows, view_of(forms[alert_id])) if shows != digest_of(there) else (None, None)
            connection.execute(_SHOWN, (*told, alert_id, account))


def gone_to(connection: Connection, asked: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of ``asked``, each an alert and a connector, where the alert was owed once, or was discarded."""
    if not asked:
        return set()
    return {(alert_id, connector) for alert_id, connector in connection.execute(_GONE, (json.dumps(list(asked)),))}


def _known(engine: Engine, alerts: Sequence[Alert], account: str) -> tuple[dict[str, _Known], float | None]:
    """What the store has of each of ``alerts``, and the floor of ``account``."""
    rows = engine.find(_KNOWN, (account, json.dumps([alert.id for alert in alerts])))
    return {
        alert_id: _Known(
            body=body,
            version=version,
            muted_by=muted_by,
            unrouted=bool(unrouted),
            owed=bool(owed),
            seen=past is not None,
            past=bool(past),
            shown=shown,
            view=view,
            first_seen=first_seen,
        )
        for alert_id, body, version, muted_by, unrouted, owed, past, shown, view, first_seen, _ in rows
    }, rows[0]["floor"]


def _arrival(alert: Alert, there: _Known) -> Arrival | None:
    """An alert as it is new to an account; None where that has seen it in this form."""
    if there.body is None:
        return Arrival(alert=dates.dated(alert, None, there.first_seen))
    changed = there.body != body_of(alert)
    if there.seen and (not changed or there.shown == digest_of(alert)):
        return None
    # What has the same text is the same alert, and needs not be read from it.
    known = _form(alert, there.body) if changed else alert
    if changed:
        alert = dates.dated(alert, known, there.first_seen)
        changed = there.body != body_of(alert)
        if there.seen and not changed:
            return None
    arrival = Arrival(
        alert=alert if changed else known,
        known=known,
        version=there.version,
        muted_by=there.muted_by,
        unrouted=there.unrouted,
        owed=there.owed,
        past=there.past,
        joins=not there.seen,
        changed=changed,
    )
    return _as_own(arrival, known, there) if changed else arrival


def _as_own(arrival: Arrival, known: Alert, there: _Known) -> Arrival:
    """An arrival in another form than the store's: what the store gets of it, where that form is the account's own.

    It is not where the account showed the store's form until now, or differs from it in its wording alone.
    """
    before = form_of(known, there.view)
    if there.seen and (before is None or says_the_same(arrival.alert, known)):
        return arrival
    stored = news(known, arrival.alert, before)
    if body_of(stored) == body_of(arrival.alert):
        return arrival
    return replace(arrival, alert=stored, changed=stored is not known, view=arrival.alert, before=before)


def _form(alert: Alert, body: str) -> Alert:
    """The form of ``alert`` that the store has; where that cannot be read, the new one, which then takes its place."""
    return unreadable.read(lambda: Alert.parse(json.loads(body)), lambda _: alert)


def _read(body: str) -> Alert | None:
    return unreadable.read(lambda: Alert.parse(json.loads(body)), lambda _: None)
