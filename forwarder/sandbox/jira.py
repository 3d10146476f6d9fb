"""A stand-in for Jira: Cloud for those who come with an email and a token, Data Center for those with a token alone.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/ and https://developer.atlassian.com/server/jira/platform/rest/
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from forwarder.sandbox import jira_view as view
from forwarder.sandbox import jql
from forwarder.sandbox.jira_accounts import BOT
from forwarder.sandbox.jira_people import People
from forwarder.sandbox.jira_project import FieldErrors, Project
from forwarder.sandbox.jira_workflow import RESOLUTIONS, IllegalMove
from forwarder.sandbox.limits import Clock
from forwarder.sandbox.server import Reply, Request, Service

_DENIED: Final = {"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"}
_MAX_PAGE: Final = 100
_MAX_BARE: Final = 5000
"""Of a page of Cloud's search, with fields and without."""
_MAX_OLD_PAGE: Final = 1000
"""Of a page of Data Center's search, as jira.search.views.default.max is by default."""
_NO_ISSUE: Final = "Issue does not exist or you do not have permission to see it."
_NO_PROJECT: Final = "No project could be found with key '{}'."
_PERMISSIONS: Final = (
    "BROWSE_PROJECTS", "CREATE_ISSUES", "EDIT_ISSUES", "ADD_COMMENTS", "TRANSITION_ISSUES", "DELETE_ISSUES",
    "SCHEDULE_ISSUES", "ASSIGN_ISSUES",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Call:
    """One authenticated request: as what site, at which API version, by whom (nobody: ``anonymous``)."""

    request: Request
    cloud: bool
    rich: bool
    anonymous: bool
    part: tuple[str, ...]

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query

    def body(self) -> dict[str, Any]:
        """The JSON object that was sent; raises ValueError where it was none."""
        value = self.request.json()
        if not isinstance(value, dict):
            raise ValueError("no object")  # noqa: TRY004 - to the caller it is one error with bad JSON
        return value


class Jira(People, Service):
    """A site with one project (``project``, by which the site is shaped).

    ``time_zone`` is that of the account, in which searches read dates and answers tell them.
    ``seraph`` makes Cloud treat bad credentials as it may: as nobody's, who finds nothing, instead of with a 401.
    ``permissions`` is what the account may do in the project.
    """

    name = "jira"
    verbs = ("move", "assign", "edit", "comment")

    def __init__(self, *, clock: Clock, latency: float = 0.0) -> None:
        super().__init__(clock=clock, latency=latency)
        self.email = "bot@example.com"
        self.token = "not-a-real-jira-token"  # noqa: S105 - opens nothing but this sandbox
        self.seraph = False
        self.permissions = set(_PERMISSIONS)
        self.project = Project(clock=clock)
        self._time_zone = "Etc/UTC"
        self._routes: Final[list[tuple[re.Pattern[str], Callable[[_Call], Reply]]]] = [
            (re.compile(pattern), run)
            for pattern, run in (
                (r"GET serverInfo", self._server_info),
                (r"GET myself", self._myself),
                (r"GET user", self._one_user),
                (r"GET mypermissions", self._my_permissions),
                (r"GET field", self._every_field),
                (r"GET priority", self._priorities),
                (r"GET status", self._statuses),
                (r"GET resolution", self._resolutions),
                (r"GET project/([^/]+)", self._project),
                (r"GET issue/createmeta/([^/]+)/issuetypes", self._issue_types),
                (r"GET issue/createmeta/([^/]+)/issuetypes/([^/]+)", self._fields),
                (r"POST issue", self._create),
                (r"GET issue/([^/]+)", self._read),
                (r"PUT issue/([^/]+)", self._edit),
                (r"DELETE issue/([^/]+)", self._delete),
                (r"GET issue/([^/]+)/comment", self._comments),
                (r"POST issue/([^/]+)/comment", self._comment),
                (r"GET issue/([^/]+)/changelog", self._changes),
                (r"GET issue/([^/]+)/transitions", self._transitions),
                (r"POST issue/([^/]+)/transitions", self._transition),
                (r"(?:GET|POST) search", self._old_search),
                (r"(?:GET|POST) search/jql", self._search),
            )
        ]

    @property
    def url(self) -> str:
        return self.origin

    @property
    def issues(self) -> dict[str, dict[str, Any]]:
        """By key: ``fields`` as sent, ``comments``, ``transitions`` (ids gone through), ``status``."""
        with self.lock:
            return dict(self.project.issues)

    @property
    def time_zone(self) -> str:
        return self._time_zone

    @time_zone.setter
    def time_zone(self, name: str) -> None:
        self.project.zone, self._time_zone = ZoneInfo(name), name

    @property
    def index_lag(self) -> float:
        """Seconds until a search finds what was written."""
        return self.project.index_lag

    @index_lag.setter
    def index_lag(self, seconds: float) -> None:
        self.project.index_lag = seconds

    @property
    def required_fields(self) -> dict[str, str]:
        """The required custom fields, id to name: to be added to."""
        return self.project.required_fields

    def credentials(self) -> dict[str, str]:
        return {"url": self.url, "email": self.email, "token": self.token, "project": self.project.key}

    def snapshot(self) -> dict[str, Any]:
        comments = {key: len(issue["comments"]) for key, issue in self.project.issues.items()}
        return {"labels": self.project.by_label(), "comments": comments}

    def refuse(self, status: int) -> Reply:
        if status == 401:
            return view.errors(401, "Client must be authenticated to access this resource.", headers=_DENIED)
        if status == 429:
            return view.errors(429, "Rate limit exceeded.", headers={"Retry-After": "1"})
        return view.errors(status, "Internal server error" if status >= 500 else "The request was refused.")

    def respond(self, request: Request) -> Reply:
        match = re.fullmatch(r"/rest/api/(2|3|latest)/(.+?)/?", request.path)
        if match is None:
            return Reply.text("<html><body>Page not found</body></html>", 404, "text/html")
        cloud, known = self._who(request)
        if match[1] == "3" and not cloud:
            return view.errors(404, "null for uri")
        if not known and not (cloud and self.seraph) and match[2] != "serverInfo":
            return self.refuse(401)
        for pattern, run in self._routes:
            found = pattern.fullmatch(f"{request.method} {match[2]}")
            if found:
                call = _Call(request, cloud, match[1] == "3", not known, found.groups())
                return self._run(run, call)
        return view.errors(404, "null for uri")

    def _run(self, run: Callable[[_Call], Reply], call: _Call) -> Reply:
        try:
            reply = run(call)
        except FieldErrors as wrong:
            reply = view.errors(400, fields=wrong.errors)
        except (jql.JqlError, IllegalMove) as wrong:
            reply = view.errors(400, str(wrong))
        except (ValueError, TypeError, KeyError, AttributeError):
            reply = view.errors(400, "Invalid request payload. Refer to the REST API documentation and try again.")
        if not call.anonymous:
            return reply
        return Reply(status=reply.status, body=reply.body, headers={**reply.headers, **_DENIED})

    def _who(self, request: Request) -> tuple[bool, bool]:
        """Whether it is to be Cloud, and whether the credentials are good."""
        scheme, _, given = request.header("Authorization").partition(" ")
        if scheme == "Bearer":
            return False, given == self.token and not self.revoked
        try:
            user, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return True, False
        return True, (user, password) == (self.email, self.token) and not self.revoked

    def _server_info(self, call: _Call) -> Reply:
        info = {"baseUrl": self.origin, "serverTitle": "Jira", "serverTime": view.time(self.clock())}
        if call.cloud:
            return Reply.json(
                {**info, "deploymentType": "Cloud", "version": "1001.0.0", "versionNumbers": [1001, 0, 0]}
            )
        return Reply.json({**info, "deploymentType": "Server", "version": "10.3.0", "versionNumbers": [10, 3, 0]})

    def _myself(self, call: _Call) -> Reply:
        if call.anonymous:
            return self.refuse(401)
        return Reply.json(self._user(call))

    def _one_user(self, call: _Call) -> Reply:
        asked = {"accountId": call.query.get("accountId")} if call.cloud else {"name": call.query.get("username")}
        found = self.project.accounts.meant({key: value for key, value in asked.items() if value})
        if found is None:
            return view.errors(404, "Specified user does not exist or you do not have required permissions")
        who = {"accountId": found.id} if call.cloud else {"name": found.name, "key": found.name}
        return Reply.json({**who, "displayName": found.display_name, "active": True})

    def _my_permissions(self, call: _Call) -> Reply:
        asked = call.query.get("permissions")
        if call.cloud and not asked:
            return view.errors(400, "The 'permissions' query parameter is required.")
        key = call.query.get("projectKey")
        if key is not None and not self._sees(call, key):
            return view.errors(404, _NO_PROJECT.format(key))
        names = asked.split(",") if asked else list(_PERMISSIONS)
        unknown = [name for name in names if name not in _PERMISSIONS]
        if unknown:
            return view.errors(400, f"Unrecognized permission: {unknown[0]}")
        granted = set() if call.anonymous else self.permissions
        told = {name: {"key": name, "name": name.title(), "havePermission": name in granted} for name in names}
        return Reply.json({"permissions": told})

    def _every_field(self, _call: _Call) -> Reply:
        known = self.project.known()
        return Reply.json(
            [{"id": name, "key": name, "name": label, "clauseNames": []} for name, label in known.items()]
        )

    def _priorities(self, _call: _Call) -> Reply:
        return Reply.json(self.project.options("priority"))

    def _statuses(self, _call: _Call) -> Reply:
        return Reply.json([view.status(status) for status in self.project.workflow])

    def _resolutions(self, _call: _Call) -> Reply:
        return Reply.json([{"id": key, "name": name} for key, name in RESOLUTIONS.items()])

    def _project(self, call: _Call) -> Reply:
        if not self._sees(call, call.part[0]):
            return view.errors(404, _NO_PROJECT.format(call.part[0]))
        kinds = self.project.options("issuetype")
        return Reply.json({**view.project(self.project), "issueTypes": kinds, "self": self.origin})

    def _issue_types(self, call: _Call) -> Reply:
        if not self._sees(call, call.part[0]):
            return view.errors(404, _NO_PROJECT.format(call.part[0]))
        kinds = [{**kind, "subtask": False} for kind in self.project.options("issuetype") or []]
        return self._listed(call, "issueTypes", kinds)

    def _fields(self, call: _Call) -> Reply:
        if not self._sees(call, call.part[0]) or call.part[1] not in self.project.issue_types:
            return view.errors(404, "The issue type is not valid for this project.")
        needed = {"summary", "issuetype", "project", *self.project.required_fields}
        fields = []
        for name, label in self.project.known().items():
            options = self.project.options(name)
            told = {"fieldId": name, "key": name, "name": label, "required": name in needed, "operations": ["set"]}
            told |= {"hasDefaultValue": name == "priority", "schema": self.project.schema(name)}
            told |= {"allowedValues": options} if options else {}
            fields.append(told)
        return self._listed(call, "fields", fields)

    def _create(self, call: _Call) -> Reply:
        fields = call.body()["fields"]
        if self.project.is_this(fields.get("project")) and not self._may(call, "CREATE_ISSUES"):
            return view.errors(400, "You do not have permission to create issues in this project.")
        issue = self.project.create(fields, rich=call.rich)
        return Reply.json(
            {"id": issue["id"], "key": issue["key"], "self": view.address(self.origin, issue, rich=call.rich)}, 201
        )

    def _read(self, call: _Call) -> Reply:
        issue = self._issue(call)
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        return Reply.json(self._shown(call, issue, call.query, "*all"))

    def _changes(self, call: _Call) -> Reply:
        issue = self._issue(call)
        if not call.cloud:
            return view.errors(404, "null for uri")
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        start, most = _window(call.query, 100)
        every = view.changes(self.project, issue, self._person(call))
        told = {"startAt": start, "maxResults": most, "total": len(every), "isLast": start + most >= len(every)}
        return Reply.json({**told, "values": every[start : start + most]})

    def _edit(self, call: _Call) -> Reply:
        issue = self._issue(call)
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        if not self._may(call, "EDIT_ISSUES"):
            return view.errors(403, "You do not have permission to edit issues in this project.")
        self.project.edit(issue, call.body(), rich=call.rich)
        return Reply(status=204)

    def _delete(self, call: _Call) -> Reply:
        issue = self._issue(call)
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        if not self._may(call, "DELETE_ISSUES"):
            return view.errors(403, "You do not have permission to delete issues in this project.")
        self.project.delete(issue)
        return Reply(status=204)

    def _comments(self, call: _Call) -> Reply:
        issue = self._issue(call)
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        start, most = _window(call.query)
        shown = [
            view.comment(comment, self._person(call), self.project.zone, rich=call.rich)
            for comment in issue["comments"][start : start + most]
        ]
        total = len(issue["comments"])
        return Reply.json({"startAt": start, "maxResults": most, "total": total, "comments": shown})

    def _comment(self, call: _Call) -> Reply:
        issue = self._issue(call)
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        if not self._may(call, "ADD_COMMENTS"):
            return view.errors(403, "You do not have permission to comment on this issue.")
        comment = self.project.comment(issue, call.body().get("body"), rich=call.rich)
        return Reply.json(view.comment(comment, self._person(call), self.project.zone, rich=call.rich), 201)

    def _transitions(self, call: _Call) -> Reply:
        issue = self._issue(call)
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        ways = self.project.ways(issue) if self._may(call, "TRANSITION_ISSUES") else []
        fields = "transitions.fields" in call.query.get("expand", "")
        told = [view.transition(way, self.project, fields=fields) for way in ways]
        return Reply.json({"expand": "transitions", "transitions": told})

    def _transition(self, call: _Call) -> Reply:
        issue = self._issue(call)
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        body = call.body()
        if not (body.get("transition") or {}).get("id"):
            return view.errors(400, "Missing 'transition' identifier")
        wanted = body["transition"]["id"]
        if not self._may(call, "TRANSITION_ISSUES"):
            raise IllegalMove(f"It seems that you have tried to perform an illegal workflow operation ({wanted}).")
        self.project.move(issue, wanted, body.get("fields"))
        for verb in (body.get("update") or {}).get("comment", []):
            self.project.comment(issue, verb["add"]["body"], rich=call.rich)
        return Reply(status=204)

    def _old_search(self, call: _Call) -> Reply:
        if call.cloud:
            return view.errors(
                410, "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API."
            )
        asked = _asked(call)
        found = self._found(call, asked)
        start, most = _window(asked)
        most = min(most, _MAX_OLD_PAGE)
        page = [self._shown(call, issue, asked, "*all", searched=True) for issue in found[start : start + most]]
        return Reply.json({"startAt": start, "maxResults": most, "total": len(found), "issues": page})

    def _search(self, call: _Call) -> Reply:
        if not call.cloud:
            return view.errors(404, "null for uri")
        asked = _asked(call)
        if not jql.parse(str(asked.get("jql", ""))).bounded:
            return view.errors(400, "Unbounded JQL queries are not allowed here. Please add a search restriction.")
        found = self._found(call, asked)
        few = set(view.split(asked.get("fields", "id"))) <= {"id", "key"}
        start = int(asked.get("nextPageToken") or 0)
        most = min(int(asked.get("maxResults") or 50), _MAX_BARE if few else _MAX_PAGE)
        page = [self._shown(call, issue, asked, "id", searched=True) for issue in found[start : start + most]]
        more = {"nextPageToken": str(start + most)} if start + most < len(found) else {}
        return Reply.json({"issues": page, "isLast": not more, **more})

    def _found(self, call: _Call, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        query = jql.parse(str(asked.get("jql", "")))
        if call.anonymous or "BROWSE_PROJECTS" not in self.permissions:
            return []
        for key in query.values("project") or ():
            if not self.project.is_called(key) and key not in (self.project.id, self.project.name):
                raise jql.JqlError(f"The value '{key}' does not exist for the field 'project'.")
        fresh = asked.get("reconcileIssues") or ()
        return self.project.find(query, at_once=view.split(fresh))

    def _issue(self, call: _Call) -> dict[str, Any] | None:
        if call.anonymous or "BROWSE_PROJECTS" not in self.permissions:
            return None
        return self.project.get(call.part[0])

    def _sees(self, call: _Call, key: str) -> bool:
        return self._may(call, "BROWSE_PROJECTS") and (self.project.is_called(key) or key == self.project.id)

    def _may(self, call: _Call, permission: str) -> bool:
        return not call.anonymous and permission in self.permissions

    def _shown(
        self, call: _Call, issue: Mapping[str, Any], asked: Mapping[str, Any], default: str, *, searched: bool = False
    ) -> dict[str, Any]:
        address, person = view.address(self.origin, issue, rich=call.rich), self._person(call)
        wanted = asked.get("fields", default)
        shown = view.issue(self.project, issue, wanted, person=person, address=address, rich=call.rich)
        if "changelog" in asked.get("expand", ""):
            shown["changelog"] = view.changelog(self.project, issue, person, cloud=call.cloud, searched=searched)
        return shown

    def _listed(self, call: _Call, cloud_name: str, items: list[dict[str, Any]]) -> Reply:
        start, most = _window(call.query)
        told = {"startAt": start, "maxResults": most, "total": len(items)}
        if call.cloud:
            return Reply.json({**told, cloud_name: items[start : start + most]})
        return Reply.json({**told, "isLast": start + most >= len(items), "values": items[start : start + most]})

    def _user(self, call: _Call) -> dict[str, Any]:
        """The account itself, which alone sees all of it."""
        account = self.project.accounts.named(BOT)
        return {**account.shown(cloud=call.cloud), "emailAddress": self.email, "timeZone": self.time_zone}

    def _person(self, call: _Call) -> view.Person:
        return lambda name: self.project.accounts.named(name).shown(cloud=call.cloud)


def _asked(call: _Call) -> Mapping[str, Any]:
    """What a search asks; in a query, a list may come as one text with commas or as several."""
    if call.request.method == "POST":
        return call.body()
    lists = {name: ",".join(call.request.every(name)) for name in ("fields", "reconcileIssues") if name in call.query}
    return {**call.query, **lists}


def _window(asked: Mapping[str, Any], default: int = 50) -> tuple[int, int]:
    return int(asked.get("startAt") or 0), int(asked.get("maxResults") or default)
