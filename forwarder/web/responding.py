"""What a person decides about an alert on its page, and the name by which it is told to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from forwarder.common.text import clean, cut, one_line
from forwarder.connector import Action, Origin, Resolution
from forwarder.lifecycle import Responses
from forwarder.lifecycle.responses import answer
from forwarder.store.life_records import Heard, Responded
from forwarder.store.query_records import AlertRow
from forwarder.web.forms import Form, one

MOST_NAME: Final = 80
"""Characters of a person's name."""
MOST_REASON: Final = 1000
"""Characters of a reason."""
MUTED: Final = "muted"
"""What is heard of a mute."""
NAME_STAYS: Final = 365 * 86400
"""Seconds for which a browser remembers the name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deed:
    """What a button does: the name of its field's value, and what it says."""

    name: str
    label: str
    action: Action
    resolution: Resolution | None = None


DEEDS: Final = {
    deed.name: deed
    for deed in (
        Deed(name="acknowledge", label="Acknowledge", action=Action.ACKNOWLEDGE),
        Deed(name="done", label="Resolve: done", action=Action.RESOLVE, resolution=Resolution.DONE),
        Deed(
            name="not_affected",
            label="Resolve: not affected",
            action=Action.RESOLVE,
            resolution=Resolution.NOT_AFFECTED,
        ),
        Deed(name="reopen", label="Reopen", action=Action.REOPEN),
    )
}


def deeds_for(row: AlertRow) -> Sequence[Deed]:
    """What can be decided about an alert as it stands; nothing about what is no alert of the feed."""
    if row.origin is not Origin.FEED:
        return ()
    return [deed for deed in DEEDS.values() if deed.action.changes(row.status)]


def respond(responses: Responses, form: Form) -> Responded:
    """Does what a form asks for; raises HTTPException where that is nothing, StoreError where it cannot be kept."""
    deed = DEEDS.get(one(form, "deed"))
    if deed is None:
        raise HTTPException(400, "This form asks for nothing that can be done.")
    responded = responses.respond(
        one(form, "alert"),
        deed.action,
        person=name_in(form),
        reason=reason_in(form),
        resolution=deed.resolution,
    )
    if responded.heard is Heard.UNKNOWN:
        raise HTTPException(404, answer(responded))
    return responded


def name_in(form: Form) -> str:
    """The name that a form was sent with; empty where it has none."""
    return _name(one(form, "person"))


def reason_in(form: Form) -> str:
    """The reason that a form was sent with; empty where it has none."""
    return cut(one_line(clean(one(form, "reason"))), MOST_REASON)


def said(heard: str, row: AlertRow) -> str:
    """What is told to whoever has just decided something; empty where nobody has."""
    if heard == MUTED:
        return "It is muted: alerts like it go nowhere until that ends, unless one of them gets worse."
    if heard == Heard.UNCHANGED.value:
        faster = Responded(heard=Heard.UNCHANGED, alert_id=row.alert.id, status=row.status, latest=row.latest)
        return f"Somebody was faster: {answer(faster)}"
    if heard != Heard.CHANGED.value or row.latest is None:
        return ""
    told = [
        delivery.connector
        for delivery in row.deliveries
        if delivery.kind.responds and delivery.revision == row.latest.number
    ]
    return f"{row.latest.words}." + (f" This is told to {', '.join(told)}." if told else "")


class Names:
    """The name that a person has given, kept by the browser alone: it says who acts, and opens nothing."""

    def __init__(self, cookie: str, *, path: str) -> None:
        self._cookie, self._path = cookie, path

    def of(self, request: Request) -> str:
        """The name that the visitor has given; empty where there is none."""
        return _name(unquote(request.cookies.get(self._cookie, ""), errors="replace"))

    def remember(self, answer: Response, form: Form, *, secure: bool) -> None:
        """Lets the browser remember the name that a form was sent with."""
        if name := name_in(form):
            answer.set_cookie(
                self._cookie,
                quote(name, safe=""),
                max_age=NAME_STAYS,
                path=self._path,
                secure=secure,
                httponly=True,
                samesite="strict",
            )


def _name(text: str) -> str:
    return cut(one_line(clean(text[: 10 * MOST_NAME])), MOST_NAME)
