"""How Jira's API shows what a project holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from forwarder.sandbox import adf
from forwarder.sandbox.exchange import Reply
from forwarder.sandbox.jira_fields import named, plain
from forwarder.sandbox.jira_project import Project
from forwarder.sandbox.jira_workflow import CATEGORIES, RESOLUTIONS, Status

Person = Callable[[str], dict[str, Any]]
"""How the account of a name is shown."""

_SEARCHED_CHANGES: Final = 40
"""As many changes of each issue as Cloud's search shows."""


def issue(
    of: Project, raw: Mapping[str, Any], wanted: Any, *, person: Person, address: str, rich: bool
) -> dict[str, Any]:
    """The issue ``raw`` with the fields that are ``wanted``; ``rich`` shows texts as documents (API v3)."""
    fields = raw["fields"]
    priority = named(fields.get("priority"), of.priorities) or ("3", of.priorities["3"])
    kind = named(fields["issuetype"], of.issue_types) or ("", "")
    every = {
        **dict.fromkeys(of.known()),
        **fields,
        "description": text(fields.get("description"), rich=rich),
        "project": project(of),
        "issuetype": {"id": kind[0], "name": kind[1], "subtask": kind[0] in of.subtask_types},
        "priority": {"id": priority[0], "name": priority[1]},
        "status": status(raw["status"]),
        "assignee": assignee(of, fields.get("assignee"), person),
        "creator": person(raw["creator"]),
        "reporter": person(raw["creator"]),
        "resolution": raw["resolution"] and {"id": raw["resolution"][0], "name": raw["resolution"][1]},
        "resolutiondate": raw["resolved"] and time(raw["resolved"], of.zone),
        "created": time(raw["created"], of.zone),
        "updated": time(raw["updated"], of.zone),
        "comment": {"comments": [comment(one, person, of.zone, rich=rich) for one in raw["comments"]]},
    }
    every = {name: value for name, value in every.items() if name not in of.absent_fields}
    names = set(split(wanted))
    if names == {"id"}:
        return {"id": raw["id"]}
    shown = every if names & {"*all", "*navigable"} else {name: every[name] for name in every if name in names}
    return {"id": raw["id"], "key": raw["key"], "self": address, "fields": shown}


def assignee(of: Project, value: Any, person: Person) -> Any:
    """Who was meant, as an account is shown; what means nobody known is shown as it was sent."""
    account = of.accounts.meant(value)
    return person(account.name) if account else value


def comment(raw: Mapping[str, Any], person: Person, zone: tzinfo, *, rich: bool) -> dict[str, Any]:
    at, author = time(raw["at"], zone), person(raw["by"])
    body = text(raw["body"], rich=rich)
    return {
        "id": raw["id"], "author": author, "updateAuthor": author, "body": body, "created": at, "updated": at,
    }  # fmt: skip


def changelog(of: Project, raw: Mapping[str, Any], person: Person, *, cloud: bool, searched: bool) -> dict[str, Any]:
    """What was changed of an issue, and by whom: on Cloud newest first, and in a search no more than so many."""
    histories = changes(of, raw, person)
    if cloud:
        histories.reverse()
    shown = histories[:_SEARCHED_CHANGES] if cloud and searched else histories
    return {"startAt": 0, "maxResults": len(shown), "total": len(histories), "histories": shown}


def changes(of: Project, raw: Mapping[str, Any], person: Person) -> list[dict[str, Any]]:
    """All of an issue's history, oldest first."""
    return [
        {"id": one["id"], "author": person(one["by"]), "created": time(one["at"], of.zone), "items": one["items"]}
        for one in raw["history"]
    ]


def project(of: Project) -> dict[str, Any]:
    told = {"id": of.id, "key": of.key, "name": of.name, "projectTypeKey": of.kind, "simplified": of.team_managed}
    return {**told, "style": "next-gen" if of.team_managed else "classic"}


def status(of: Status) -> dict[str, Any]:
    number, _ = CATEGORIES[of.category]
    category = {"id": number, "key": of.category, "name": of.name}  # translated, as the status is
    return {"id": of.id, "name": of.name, "statusCategory": category}


def transition(of: Status, project: Project, *, fields: bool) -> dict[str, Any]:
    """The way that leads to a status, with the ``fields`` of its screen if they were asked for."""
    told: dict[str, Any] = {"id": of.transition, "name": of.name, "to": status(of)}
    told |= {"hasScreen": bool(of.required or of.screen), "isAvailable": True, "isConditional": False}
    if fields:
        told["fields"] = {name: _screen_field(of, name, project) for name in (*of.required, *of.screen)}
    return told


def _screen_field(of: Status, name: str, project: Project) -> dict[str, Any]:
    options = RESOLUTIONS if name == "resolution" else {}
    values = [{"id": key, "name": label} for key, label in options.items()] or project.options(name)
    told = {"required": name in of.required, "name": name.title(), "key": name, "operations": ["set"]}
    return {**told, **({"allowedValues": values} if values else {}), "hasDefaultValue": False}


def address(origin: str, raw: Mapping[str, Any], *, rich: bool) -> str:
    return f"{origin}/rest/api/{3 if rich else 2}/issue/{raw['id']}"


def text(value: Any, *, rich: bool) -> Any:
    """A text as a document or as text, however it was sent."""
    if value is None:
        return None
    if rich:
        return adf.from_text(value) if isinstance(value, str) else value
    return plain(value)


def time(instant: datetime, zone: tzinfo = UTC) -> str:
    local = instant.astimezone(zone)
    return f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond // 1000:03}{local:%z}"


def split(value: Any) -> list[str]:
    """A list that came as one, or as a text with commas."""
    return value.split(",") if isinstance(value, str) else [str(one) for one in value]


def errors(
    code: int, *messages: str, fields: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """Jira's shape of an error: general messages, and a message for each field."""
    return Reply.json({"errorMessages": list(messages), "errors": dict(fields or {})}, code, headers)
