"""A stand-in for GitHub: the issues of one repository, over the REST API.

https://docs.github.com/en/rest/issues
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.limits import Clock, SlidingWindow
from forwarder.sandbox.server import Service

REPOSITORY: Final = "example/security"
VERSION: Final = "2022-11-28"
_ME: Final = {"login": "forwarder-bot", "id": 1, "type": "User"}
_REQUESTS_PER_HOUR: Final = 5000
_CONTENT: Final = ((80, 60.0), (500, 3600.0))
_PATH: Final = f"/repos/{REPOSITORY}"
_MAX_TITLE, _MAX_BODY, _MAX_LABEL, _MOST_ASSIGNEES = 256, 65_536, 50, 10
_STATE_REASONS: Final = {"open": {"reopened"}, "closed": {"completed", "not_planned", "duplicate"}}
_SECONDARY: Final = (
    "You have exceeded a secondary rate limit and have been temporarily blocked from content creation. Please retry "
    "your request again later."
)
_CODE: Final = re.compile(r"<!--.*?-->|<https?://[^>]*>|\]\(<[^>]*>\)", re.DOTALL)
_MENTION: Final = re.compile(r"(?<![A-Za-z0-9_`/])@([A-Za-z0-9][A-Za-z0-9/-]*)")
_REFERENCE: Final = re.compile(
    r"(?<![A-Za-z0-9&])(?:#|GH-)(\d+)|(?:https?://(?:[^/?#@\s]*@)?(?:www\.)?|\bwww\.)github\.com\.?/[^\s>)]+",
    re.IGNORECASE,
)


@dataclass(kw_only=True)
class Issue:
    """One issue. ``mentions`` and ``references`` are what GitHub makes of all that was written in it."""

    number: int
    title: str
    body: str
    labels: list[str]
    assignees: list[str]
    created_at: datetime
    updated_at: datetime
    state: str = "open"
    state_reason: str | None = None
    comments: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    mentions: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)


class GitHub(Service):
    """One repository, as the holder of a fine-grained token sees it.

    ``issues`` are by number. ``may_push`` of False drops labels and assignees in silence, as GitHub does for whoever
    may not write; ``may_write`` of False allows reading alone. ``has_issues`` of False disables issues. ``people`` are
    those whom issues can be assigned to. ``gone`` are the numbers of deleted issues, ``locked`` those on which only who
    may push can comment.
    """

    name = "github"
    verbs = ("close_issue", "reopen_issue", "assign", "unassign", "comment")

    def __init__(self, *, clock: Clock, latency: float = 0.0, limits: bool = True) -> None:
        super().__init__(clock=clock, latency=latency)
        self.token = "github_pat_not-a-real-token"  # noqa: S105
        self.repository = REPOSITORY
        self.issues: dict[int, Issue] = {}
        self.labels: dict[str, str] = {}
        """The repository's labels: as they are written, by their name in small letters."""
        self.people = ["forwarder-bot", "ada", "grace"]
        self.gone: set[int] = set()
        self.locked: set[int] = set()
        self.may_push = self.may_write = self.has_issues = True
        self.limits = limits
        self._requests = SlidingWindow(_REQUESTS_PER_HOUR, 3600)
        self._content = [SlidingWindow(limit, per) for limit, per in _CONTENT]

    @property
    def url(self) -> str:
        """The address of the REST API."""
        return self.origin

    def credentials(self) -> dict[str, str]:
        return {"url": self.url, "token": self.token, "repository": self.repository}

    def snapshot(self) -> dict[str, Any]:
        return {"issues": len(self.issues), "labels": len(self.labels)}

    def restore(self) -> None:
        super().restore()
        self.may_push = self.may_write = self.has_issues = True

    def refuse(self, status: int) -> Reply:
        return _refusal(status, f"GitHub says {status}")

    def close_issue(self, number: int, person: str, reason: str = "completed") -> None:
        """Close it, as a person does, as ``completed``, ``not_planned`` or ``duplicate``."""
        with self.lock:
            self._move(self.issues[number], "closed", reason, person)

    def reopen_issue(self, number: int, person: str) -> None:
        """Open it again."""
        with self.lock:
            self._move(self.issues[number], "open", "reopened", person)

    def assign(self, number: int, to: str, person: str) -> None:
        """Assign it to somebody."""
        with self.lock:
            issue = self.issues[number]
            issue.assignees.append(to)
            self._happened(issue, "assigned", person, assignee=_person(to), assigner=_person(person))

    def unassign(self, number: int, who: str, person: str) -> None:
        """Take it from somebody."""
        with self.lock:
            issue = self.issues[number]
            issue.assignees.remove(who)
            self._happened(issue, "unassigned", person, assignee=_person(who), assigner=_person(person))

    def comment(self, number: int, text: str, person: str) -> None:
        """Say something."""
        with self.lock:
            self._say(self.issues[number], text, person)

    def respond(self, request: Request) -> Reply:
        if self.revoked or request.header("Authorization") != f"Bearer {self.token}":
            return _refusal(401, "Bad credentials")
        if request.header("X-GitHub-Api-Version") != VERSION or not request.header("User-Agent"):
            return _refusal(400, "Request forbidden by administrative rules")
        if self.limits and (wait := self._requests.take(self.clock())) > 0:
            reset = str(int((self.clock() + timedelta(seconds=wait)).timestamp()) + 1)
            headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
            return _refusal(403, "API rate limit exceeded for user ID 1.", headers=headers)
        if request.line == "GET /user":
            return Reply.json(_ME)
        if request.path != _PATH and not request.path.startswith(f"{_PATH}/"):
            return _refusal(404, "Not Found")
        try:
            return self._in_repository(request, request.path.removeprefix(_PATH).strip("/").split("/"))
        except json.JSONDecodeError:  # it may have come in part, from who was killed meanwhile
            return _refusal(400, "Problems parsing JSON")

    def _in_repository(self, request: Request, parts: list[str]) -> Reply:
        if request.method != "GET":
            if not self.may_write:
                return _refusal(403, "Resource not accessible by personal access token")
            if self.limits and request.method == "POST" and any(one.take(self.clock()) > 0 for one in self._content):
                return _refusal(403, _SECONDARY)
        if parts[0] == "issues" and not self.has_issues:
            return _refusal(410, "Issues has been disabled in this repository.")
        match request.method, *parts:
            case "GET", "":
                permissions = {"push": self.may_push, "pull": True}
                return Reply.json(
                    {"full_name": REPOSITORY, "has_issues": self.has_issues, "permissions": permissions, "id": 1}
                )
            case "POST", "labels":
                return self._make_label(request.json())
            case "GET", "assignees", login:
                return Reply(status=204) if login in self.people else _refusal(404, "Not Found")
            case "GET", "issues":
                return self._list(request)
            case "POST", "issues":
                return self._open(request.json())
            case method, "issues", number, *rest if number.isdecimal():
                if int(number) in self.gone:
                    return _refusal(410, "This issue was deleted")
                if (issue := self.issues.get(int(number))) is None:
                    return _refusal(404, "Not Found")
                return self._of_issue(request, method, issue, rest)
        return _refusal(404, "Not Found")

    def _of_issue(self, request: Request, method: str, issue: Issue, rest: list[str]) -> Reply:
        match method, *rest:
            case ("GET",):
                return Reply.json(self._shown(issue))
            case ("PATCH",):
                return self._edit(issue, request.json())
            case "GET", "events":
                return self._page(request, issue.events)
            case "GET", "comments":
                since = request.query.get("since", "")
                return self._page(request, [one for one in issue.comments if one["updated_at"] >= since])
            case "POST", "comments":
                if issue.number in self.locked and not self.may_push:
                    return _refusal(403, "Unable to create comment because issue is locked.")
                body = request.json().get("body")
                if not isinstance(body, str) or not body.strip() or len(body) > _MAX_BODY:
                    return _invalid("IssueComment", "data", "Body is too long (maximum is 65536 characters)")
                return Reply.json(self._say(issue, body, _ME["login"]), 201)
            case "POST", "labels":
                if not self.may_push:
                    return _refusal(403, "Resource not accessible by personal access token")
                self._label(issue, request.json()["labels"])
                return Reply.json([{"name": name} for name in issue.labels])
            case "DELETE", "labels", label:
                if label not in issue.labels:
                    return _refusal(404, "Label does not exist")
                issue.labels.remove(label)
                self._touch(issue)
                return Reply.json([{"name": name} for name in issue.labels])
        return _refusal(404, "Not Found")

    def _list(self, request: Request) -> Reply:
        query = request.query
        wanted = {name.lower() for name in query.get("labels", "").split(",") if name}
        state, since = query.get("state", "open"), query.get("since", "")
        found = [
            issue
            for number, issue in self.issues.items()
            if number not in self.gone
            and wanted <= {label.lower() for label in issue.labels}
            and state in ("all", issue.state)
            and _written(issue.updated_at) >= since
        ]
        by: Callable[[Issue], Any] = lambda issue: (  # noqa: E731
            issue.updated_at if query.get("sort") == "updated" else issue.created_at,
            issue.number,
        )
        found.sort(key=by, reverse=query.get("direction", "desc") == "desc")
        return self._page(request, [self._shown(issue) for issue in found])

    def _page(self, request: Request, entries: list[dict[str, Any]]) -> Reply:
        size, page = int(request.query.get("per_page", 30)), int(request.query.get("page", 1))
        headers = {}
        if page * size < len(entries):
            query = urlencode({**request.query, "page": page + 1})
            headers["Link"] = f'<{self.origin}{request.path}?{query}>; rel="next"'
        return Reply.json(entries[(page - 1) * size : page * size], headers=headers)

    def _make_label(self, raw: Mapping[str, Any]) -> Reply:
        name = str(raw["name"])
        if not self.may_push:
            return _refusal(403, "Resource not accessible by personal access token")
        if len(name) > _MAX_LABEL:
            return _invalid("Label", "name", f"name is too long (maximum is {_MAX_LABEL} characters)")
        if name.lower() in self.labels:
            return _invalid("Label", "name", code="already_exists")
        self.labels[name.lower()] = name
        return Reply.json({"name": name}, 201)

    def _open(self, raw: Mapping[str, Any]) -> Reply:
        title, body = raw.get("title"), raw.get("body") or ""
        labels, assignees = raw.get("labels", []), raw.get("assignees", [])
        if not isinstance(title, str) or not title.strip() or len(title) > _MAX_TITLE:
            return _invalid("Issue", "title", f"title is too long (maximum is {_MAX_TITLE} characters)")
        if len(body) > _MAX_BODY:
            return _invalid("Issue", "body", f"body is too long (maximum is {_MAX_BODY} characters)")
        if any(len(label) > _MAX_LABEL or "," in label for label in labels):
            return _invalid("Label", "name", code="invalid")
        if not set(assignees) <= set(self.people) or len(assignees) > _MOST_ASSIGNEES:
            return _invalid("Issue", "assignees", code="invalid")
        now = self._now()
        issue = Issue(
            number=len(self.issues) + 1, title=title, body=body, labels=[], assignees=[], created_at=now, updated_at=now
        )
        self.issues[issue.number] = issue
        self._read(issue, body)
        if self.may_push:
            self._label(issue, labels)
            for login in assignees:
                self.assign(issue.number, login, str(_ME["login"]))
        return Reply.json(self._shown(issue), 201)

    def _edit(self, issue: Issue, raw: Mapping[str, Any]) -> Reply:
        state = raw.get("state", issue.state)
        if raw.get("state_reason") not in _STATE_REASONS.get(state, set()):
            return _invalid("Issue", "state_reason", code="invalid")
        self._move(issue, state, str(raw["state_reason"]), str(_ME["login"]))
        return Reply.json(self._shown(issue))

    def _move(self, issue: Issue, state: str, reason: str, person: str) -> None:
        if issue.state != state:
            issue.state, issue.state_reason = state, reason
            self._happened(issue, "closed" if state == "closed" else "reopened", person)

    def _label(self, issue: Issue, labels: list[str]) -> None:
        for label in labels:
            name = self.labels.setdefault(label.lower(), label)
            if name not in issue.labels:
                issue.labels.append(name)
        self._touch(issue)

    def _say(self, issue: Issue, body: str, person: Any) -> dict[str, Any]:
        self._touch(issue)
        self._read(issue, body)
        at = _written(issue.updated_at)
        said = {"body": body, "user": _person(person), "created_at": at, "updated_at": at}
        issue.comments.append(said)
        return said

    def _read(self, issue: Issue, body: str) -> None:
        mentions, references = taken_from(body)
        issue.mentions += mentions
        issue.references += references

    def _happened(self, issue: Issue, event: str, person: str, **more: Any) -> None:
        self._touch(issue)
        at = _written(issue.updated_at)
        issue.events.append({"event": event, "actor": _person(person), "created_at": at, **more})

    def _touch(self, issue: Issue) -> None:
        issue.updated_at = self._now()

    def _now(self) -> datetime:
        return self.clock().replace(microsecond=0)

    def _shown(self, issue: Issue) -> dict[str, Any]:
        return {
            "number": issue.number,
            "title": issue.title,
            "body": issue.body,
            "state": issue.state,
            "locked": issue.number in self.locked,
            "state_reason": issue.state_reason,
            "labels": [{"name": name} for name in issue.labels],
            "assignees": [_person(login) for login in issue.assignees],
            "created_at": _written(issue.created_at),
            "updated_at": _written(issue.updated_at),
            "html_url": f"https://github.com/{REPOSITORY}/issues/{issue.number}",
        }


def taken_from(body: str) -> tuple[list[str], list[str]]:
    """Whom a body mentions, and what it refers to: hidden comments, and text within an address, are passed by."""
    addresses = [one for one in re.findall(r"<(https?://[^>]*)>", body) if _REFERENCE.match(one)]
    text = _CODE.sub(" ", body)
    return _MENTION.findall(text), [*addresses, *(found[0] for found in _REFERENCE.finditer(text))]


def _person(login: Any) -> dict[str, Any]:
    return dict(_ME) if login == _ME["login"] else {"login": login, "id": sum(map(ord, login)) + 1000, "type": "User"}


def _written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _refusal(status: int, message: str, headers: Mapping[str, str] | None = None, **more: Any) -> Reply:
    body = {"message": message, **more, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
    return Reply.json(body, status, headers)


def _invalid(resource: str, name: str, message: str = "", code: str = "custom") -> Reply:
    error = {"resource": resource, "field": name, "code": code} | ({"message": message} if message else {})
    return _refusal(422, "Validation Failed", errors=[error])
