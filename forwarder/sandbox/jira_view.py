"""How Jira's API shows what a project holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from forwarder.sandbox import adf
from forwarder.sandbox.jira_project import Project, Status, named, plain
from forwarder.sandbox.server import Reply


def issue(
    of: Project, raw: Mapping[str, Any], wanted: Any, *, author: dict[str, Any], address: str, rich: bool
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
        "issuetype": {"id": kind[0], "name": kind[1], "subtask": False},
        "priority": {"id": priority[0], "name": priority[1]},
        "status": status(raw["status"]),
        "created": time(raw["created"]),
        "updated": time(raw["updated"]),
        "comment": {"comments": [comment(one, author, rich=rich) for one in raw["comments"]]},
    }
    names = set(split(wanted))
    if names == {"id"}:
        return {"id": raw["id"]}
    shown = every if names & {"*all", "*navigable"} else {name: every[name] for name in every if name in names}
    return {"id": raw["id"], "key": raw["key"], "self": address, "fields": shown}


def comment(raw: Mapping[str, Any], author: dict[str, Any], *, rich: bool) -> dict[str, Any]:
    at = time(raw["at"])
    return {"id": raw["id"], "author": author, "body": text(raw["body"], rich=rich), "created": at, "updated": at}


def changelog(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What was changed of an issue: the moves to other projects, which are all that is kept here."""
    keys = [*(old for old, _ in raw["former_keys"]), raw["key"]]
    histories = [
        {"id": str(number), "items": [{"field": "Key", "fieldtype": "jira", "fromString": old, "toString": new}]}
        for number, (old, new, (_, told)) in enumerate(zip(keys, keys[1:], raw["former_keys"], strict=False))
        if told
    ]
    return {"startAt": 0, "maxResults": len(histories), "total": len(histories), "histories": histories}


def project(of: Project) -> dict[str, str]:
    return {"id": of.id, "key": of.key, "name": of.name}


def status(of: Status) -> dict[str, Any]:
    return {"id": of.id, "name": of.name, "statusCategory": {"key": of.category, "name": of.name}}


def address(origin: str, raw: Mapping[str, Any], *, rich: bool) -> str:
    return f"{origin}/rest/api/{3 if rich else 2}/issue/{raw['id']}"


def text(value: Any, *, rich: bool) -> Any:
    """A text as a document or as text, however it was sent."""
    if value is None:
        return None
    if rich:
        return adf.from_text(value) if isinstance(value, str) else value
    return plain(value)


def time(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%S.000%z")


def split(value: Any) -> list[str]:
    """A list that came as one, or as a text with commas."""
    return value.split(",") if isinstance(value, str) else [str(one) for one in value]


def errors(
    code: int, *messages: str, fields: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """Jira's shape of an error: general messages, and a message for each field."""
    return Reply.json({"errorMessages": list(messages), "errors": dict(fields or {})}, code, headers)
