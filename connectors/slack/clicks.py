"""What Slack tells of a person's doing, as far as it concerns us. Pure.

https://docs.slack.dev/reference/interaction-payloads
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connectors.slack import modal
from connectors.slack.buttons import MEANINGS, MUTE
from forwarder.connector import clean, cut, one_line

MAX_NAME: Final = 80
"""Characters of a person's name; Slack takes no longer ones."""

_EARLY: Final = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Who did it: the user's id, and the name that the payload gives."""

    id: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Click:
    """A button of ours that was pressed on the message ``channel`` and ``ts``.

    ``key`` names this one click. Slack tells of it again, in an envelope of another id even, where it heard no
    acknowledgement; what stays the same is who pressed what, where and when: the time stamp of the action, which Slack
    gives to the microsecond. A trigger's id would do as well, but is made for the answer and not for the click.
    """

    channel: str
    ts: str
    action_id: str
    key: str
    at: datetime
    person: Person
    trigger_id: str
    thread: str

    @property
    def is_early(self) -> bool:
        """Whether the message had just been sent: its receipt may not be kept yet."""
        return self.at - _instant(self.ts) < _EARLY

    @property
    def remote_id(self) -> str:
        """The message as its receipt names it."""
        return f"{self.channel}:{self.ts}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A form of ours that was sent off; ``form`` is None where it cannot be read.

    ``key`` names the form: what is sent off twice counts once.
    """

    form: modal.Filled | None
    key: str
    person: Person


def read(payload: Mapping[str, Any], team: str, app: str) -> Click | Submission | None:
    """What happened; None where it is nothing of ours: another team or app, another element, a form of another kind.

    ``team`` and ``app`` are empty where nobody knows them.
    """
    if _differ(_of(payload, "team", "id"), team) or _differ(_text(payload.get("api_app_id")), app):
        return None
    match payload.get("type"):
        case "block_actions":
            return _click(payload)
        case "view_submission":
            return _submission(payload)
        case _:
            return None


def _click(payload: Mapping[str, Any]) -> Click | None:
    actions = payload.get("actions")
    action = actions[0] if isinstance(actions, list) and actions and isinstance(actions[0], Mapping) else {}
    name, when = _text(action.get("action_id")), _text(action.get("action_ts"))
    channel = _of(payload, "channel", "id") or _of(payload, "container", "channel_id")
    ts, person = _of(payload, "container", "message_ts"), _person(payload)
    if name not in MEANINGS and name != MUTE:
        return None
    if not (channel and ts and person.id and when):
        return None
    return Click(
        channel=channel,
        ts=ts,
        action_id=name,
        key=f"{channel}:{ts}:{name}:{person.id}:{when}",
        at=_instant(when),
        person=person,
        trigger_id=_text(payload.get("trigger_id")),
        thread=_of(payload, "container", "thread_ts"),
    )


def _submission(payload: Mapping[str, Any]) -> Submission | None:
    view = payload.get("view")
    if not isinstance(view, Mapping) or view.get("callback_id") != modal.CALLBACK:
        return None
    key, person = _text(view.get("id")), _person(payload)
    return Submission(form=modal.filled(view), key=key, person=person) if key and person.id else None


def _person(payload: Mapping[str, Any]) -> Person:
    user = payload.get("user")
    said = user if isinstance(user, Mapping) else {}
    return Person(id=_text(said.get("id")), name=tidy(_text(said.get("name")) or _text(said.get("username"))))


def tidy(name: str) -> str:
    """A name as it is kept and shown."""
    return cut(one_line(clean(name)), MAX_NAME)


def _instant(when: str) -> datetime:
    try:
        return datetime.fromtimestamp(float(when), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.now(UTC)


def _differ(said: str, known: str) -> bool:
    return bool(said and known) and said != known


def _of(payload: Mapping[str, Any], name: str, key: str) -> str:
    inner = payload.get(name)
    return _text(inner.get(key)) if isinstance(inner, Mapping) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
