"""Mutes on the status page: which there are, setting one from an alert's page, and ending one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError
from starlette.exceptions import HTTPException

from forwarder.alert import Alert
from forwarder.common.clock import instant
from forwarder.common.text import cut
from forwarder.connector import MuteScope, Origin
from forwarder.lifecycle.mutes import MOST_WORDS, mute_of, words
from forwarder.response import PAGE
from forwarder.store.mute_records import MuteRow
from forwarder.store.query_records import AlertRow
from forwarder.web.forms import Form, one
from forwarder.web.responding import name_in, reason_in

if TYPE_CHECKING:
    from forwarder.app import Forwarder

LASTS: Final[Mapping[str, timedelta]] = {
    "1 day": timedelta(days=1),
    "7 days": timedelta(days=7),
    "30 days": timedelta(days=30),
}
"""For how long an alert's page offers to mute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A mute, what it is about, and how many alerts it keeps quiet."""

    mute: MuteRow
    about: str
    quiet: int


def listed(forwarder: Forwarder) -> Sequence[Shown]:
    """The mutes that stand, the next to end first."""
    counts = forwarder.store.mutes.counts()
    return [
        Shown(
            mute=mute,
            about=cut(words(mute.rule), MOST_WORDS) if mute.rule else mute.unreadable,
            quiet=counts.get(mute.id, 0),
        )
        for mute in forwarder.life.mutes.list()
    ]


def scopes_of(row: AlertRow) -> Mapping[str, str]:
    """By what alerts like this one can be muted, each with words for it; nothing where it is no alert of the feed."""
    alert: Alert = row.alert
    if row.origin is not Origin.FEED:
        return {}
    cve = {MuteScope.CVE.value: f"this CVE ({alert.cve_id})"} if alert.cve_id else {}
    names = ", ".join(row.vendor_names)
    vendor = {MuteScope.VENDOR.value: f"all of {cut(names, 60)}"} if alert.affected_vendors else {}
    return {**cve, **vendor}


def mute(forwarder: Forwarder, form: Form) -> str:
    """Sets the mute that a form asks for, and returns its alert's id; raises HTTPException, StoreError."""
    history = forwarder.store.queries.history(one(form, "alert"))
    if history is None:
        raise HTTPException(404, "No such alert was seen, or it is older than the config keeps.")
    scope, lasts, reason = one(form, "scope"), LASTS.get(one(form, "lasts")), reason_in(form)
    if scope not in scopes_of(history.row) or lasts is None:
        raise HTTPException(400, "This form asks for nothing that can be muted.")
    if not reason:
        raise HTTPException(400, "A mute needs a reason: go back, and say why.")
    until = instant(forwarder.clock()) + lasts
    try:
        rule = mute_of(history.row.alert, MuteScope(scope), until=until, reason=reason)
    except ValidationError:
        rule = None
    if rule is None:
        raise HTTPException(400, "An alert like this cannot be muted here: set the mute in the config.")
    forwarder.life.mutes.add(rule, person=name_in(form), place=PAGE)
    return history.row.alert.id


def end(forwarder: Forwarder, form: Form) -> bool:
    """Ends the mute that a form names; False where it has ended already. Those of the config end there."""
    number = one(form, "mute")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise HTTPException(400, "This form ends no mute: those of the config end there.")
    return forwarder.life.mutes.end(int(number), by=name_in(form) or PAGE)
