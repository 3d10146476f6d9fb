"""A stand-in for Jira: Cloud for those who come with an email and a token, Data Center for those with a token alone.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/ and https://developer.atlassian.com/server/jira/platform/rest/
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from forwarder.sandbox import jira_catalog as catalog
from forwarder.sandbox import jira_view as view
from forwarder.sandbox import jql
from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.jira_accounts import BOT
from forwarder.sandbox.jira_call import Call, window
from forwarder.sandbox.jira_fields import FieldErrors
from forwarder.sandbox.jira_people import People
from forwarder.sandbox.jira_project import Project
from forwarder.sandbox.jira_workflow import IllegalMove
from forwarder.sandbox.limits import Clock
from forwarder.sandbox.server import Service

_DENIED: Final = {"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"}
_MAX_PAGE: Final = 100
_MAX_BARE: Final = 5000
"""Of a page of Cloud's search, with fields and without."""
_MAX_OLD_PAGE: Final = 1000
"""Of a page of Data Center's search, as jira.search.views.default.max is by default."""
_NO_ISSUE: Final = "Issue does not exist or you do not have permission to see it."


class Jira(People, Service):
    """A site with one project (``project``, by which the site is shaped).

    ``time_zone`` is that of the account, in which searches read dates and answers tell them.
    ``seraph`` makes Cloud treat bad credentials as it may: as nobody's, who finds nothing, instead of with a 401.
    ``permissions`` is what the account may do in the project.
    """

    name = "jira"
    verbs = ("move", "assign", "edit", "comment", "clone", "write")

    def __init__(self, *, clock: Clock, latency: float = 0.0) -> None:
        super().__init__(clock=clock, latency=latency)
        self.email = "bot@example.com"
        self.token = "not-a-real-jira-token"  # noqa: S105 - opens nothing but this sandbox
        self.seraph = False
        self.permissions = set(catalog.PERMISSIONS)
        self.project = Project(clock=clock)
        self._time_zone = "Etc/UTC"
        self._routes: Final[list[tuple[re.Pattern[str], Callable[[Call], Reply]]]] = [
            (re.compile(pattern), run)
            for pattern, run in (
                (r"GET serverInfo", self._server_info),
                (r"GET myself", self._myself),
                (r"GET user", self._one_user),
                (r"GET mypermissions", catalog.permissions),
                (r"GET field", catalog.every_field),
                (r"GET priority", catalog.priorities),
                (r"GET status", catalog.statuses),
                (r"GET resolution", catalog.resolutions),
                (r"GET project/([^/]+)", catalog.project),
                (r"GET issue/createmeta/([^/]+)/issuetypes", catalog.issue_types),
                (r"GET issue/createmeta/([^/]+)/issuetypes/([^/]+)", catalog.fields),
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
    def fuzzy(self) -> bool:
        """Whether a search of texts finds words that only begin like those that were asked for."""
        return self.project.fuzzy

    @fuzzy.setter
    def fuzzy(self, near: bool) -> None:
        self.project.fuzzy = near

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
                call = Call(
                    request=request,
                    origin=self.origin,
                    project=self.project,
                    cloud=cloud,
                    rich=match[1] == "3",
                    anonymous=not known,
                    permissions=frozenset(self.permissions),
                    part=found.groups(),
                )
                return self._run(run, call)
        return view.errors(404, "null for uri")

    def _run(self, run: Callable[[Call], Reply], call: Call) -> Reply:
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

    def _server_info(self, call: Call) -> Reply:
        info = {"baseUrl": self.origin, "serverTitle": "Jira", "serverTime": view.time(self.clock())}
        if call.cloud:
            return Reply.json(
                {**info, "deploymentType": "Cloud", "version": "1001.0.0", "versionNumbers": [1001, 0, 0]}
            )
        return Reply.json({**info, "deploymentType": "Server", "version": "10.3.0", "versionNumbers": [10, 3, 0]})

    def _myself(self, call: Call) -> Reply:
        if call.anonymous:
            return self.refuse(401)
        return Reply.json(self._user(call))

    def _one_user(self, call: Call) -> Reply:
        asked = {"accountId": call.query.get("accountId")} if call.cloud else {"name": call.query.get("username")}
        found = self.project.accounts.meant({key: value for key, value in asked.items() if value})
        if found is None:
            return view.errors(404, "Specified user does not exist or you do not have required permissions")
        who = {"accountId": found.id} if call.cloud else {"name": found.name, "key": found.name}
        return Reply.json({**who, "displayName": found.display_name, "active": True})

    def _create(self, call: Call) -> Reply:
        fields = call.body()["fields"]
        if self.project.is_this(fields.get("project")) and not call.may("CREATE_ISSUES"):
            return view.errors(400, "You do not have permission to create issues in this project.")
        issue = self.project.create(fields, rich=call.rich)
        return Reply.json(
            {"id": issue["id"], "key": issue["key"], "self": view.address(self.origin, issue, rich=call.rich)}, 201
        )

    def _read(self, call: Call) -> Reply:
        issue = self._issue(call)
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        return Reply.json(self._shown(call, issue, call.query, "*all"))

    def _changes(self, call: Call) -> Reply:
        issue = self._issue(call)
        if not call.cloud:
            return view.errors(404, "null for uri")
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        start, most = window(call.query, 100)
        every = view.changes(self.project, issue, self._person(call))
        told = {"startAt": start, "maxResults": most, "total": len(every), "isLast": start + most >= len(every)}
        return Reply.json({**told, "values": every[start : start + most]})

    def _edit(self, call: Call) -> Reply:
        issue = self._issue(call)
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        if not call.may("EDIT_ISSUES"):
            return view.errors(403, "You do not have permission to edit issues in this project.")
        self.project.edit(issue, call.body(), rich=call.rich)
        return Reply(status=204)

    def _delete(self, call: Call) -> Reply:
        issue = self._issue(call)
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        if not call.may("DELETE_ISSUES"):
            return view.errors(403, "You do not have permission to delete issues in this project.")
        self.project.delete(issue)
        return Reply(status=204)

    def _comments(self, call: Call) -> Reply:
        issue = self._issue(call)
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        start, most = window(call.query)
        shown = [
            view.comment(comment, self._person(call), self.project.zone, rich=call.rich)
            for comment in issue["comments"][start : start + most]
        ]
        total = len(issue["comments"])
        return Reply.json({"startAt": start, "maxResults": most, "total": total, "comments": shown})

    def _comment(self, call: Call) -> Reply:
        issue = self._issue(call)
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        if not call.may("ADD_COMMENTS"):
            return view.errors(403, "You do not have permission to comment on this issue.")
        comment = self.project.comment(issue, call.body().get("body"), rich=call.rich)
        return Reply.json(view.comment(comment, self._person(call), self.project.zone, rich=call.rich), 201)

    def _transitions(self, call: Call) -> Reply:
        issue = self._issue(call)
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        ways = self.project.ways(issue) if call.may("TRANSITION_ISSUES") else []
        fields = "transitions.fields" in call.query.get("expand", "")
        told = [view.transition(way, self.project, fields=fields) for way in ways]
        return Reply.json({"expand": "transitions", "transitions": told})

    def _transition(self, call: Call) -> Reply:
        issue = self._issue(call)
        if issue is None:
            return view.errors(404, _NO_ISSUE)
        body = call.body()
        if not (body.get("transition") or {}).get("id"):
            return view.errors(400, "Missing 'transition' identifier")
        wanted = body["transition"]["id"]
        if not call.may("TRANSITION_ISSUES"):
            raise IllegalMove(f"It seems that you have tried to perform an illegal workflow operation ({wanted}).")
        self.project.move(issue, wanted, body.get("fields"))
        for verb in (body.get("update") or {}).get("comment", []):
            self.project.comment(issue, verb["add"]["body"], rich=call.rich)
        return Reply(status=204)

    def _old_search(self, call: Call) -> Reply:
        if call.cloud:
            return view.errors(
                410, "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API."
            )
        asked = call.asked()
        found = self._found(call, asked)
        start, most = window(asked)
        most = min(most, _MAX_OLD_PAGE)
        page = [self._shown(call, issue, asked, "*all", searched=True) for issue in found[start : start + most]]
        return Reply.json({"startAt": start, "maxResults": most, "total": len(found), "issues": page})

    def _search(self, call: Call) -> Reply:
        if not call.cloud:
            return view.errors(404, "null for uri")
        asked = call.asked()
        if not jql.parse(str(asked.get("jql", ""))).bounded:
            return view.errors(400, "Unbounded JQL queries are not allowed here. Please add a search restriction.")
        found = self._found(call, asked)
        few = set(view.split(asked.get("fields", "id"))) <= {"id", "key"}
        start = int(asked.get("nextPageToken") or 0)
        most = min(int(asked.get("maxResults") or 50), _MAX_BARE if few else _MAX_PAGE)
        page = [self._shown(call, issue, asked, "id", searched=True) for issue in found[start : start + most]]
        more = {"nextPageToken": str(start + most)} if start + most < len(found) else {}
        return Reply.json({"issues": page, "isLast": not more, **more})

    def _found(self, call: Call, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        query = jql.parse(str(asked.get("jql", "")))
        if not call.may("BROWSE_PROJECTS"):
            return []
        for key in (value for leaf in query.leaves if leaf.field == "project" for value in _values(leaf)):
            if not self.project.is_called(key) and key not in (self.project.id, self.project.name):
                raise jql.JqlError(f"The value '{key}' does not exist for the field 'project'.")
        fresh = asked.get("reconcileIssues") or ()
        return self.project.find(query, at_once=view.split(fresh))

    def _issue(self, call: Call) -> dict[str, Any] | None:
        if not call.may("BROWSE_PROJECTS"):
            return None
        return self.project.get(call.part[0])

    def _shown(
        self, call: Call, issue: Mapping[str, Any], asked: Mapping[str, Any], default: str, *, searched: bool = False
    ) -> dict[str, Any]:
        address, person = view.address(self.origin, issue, rich=call.rich), self._person(call)
        wanted = asked.get("fields", default)
        shown = view.issue(self.project, issue, wanted, person=person, address=address, rich=call.rich)
        if "changelog" in asked.get("expand", ""):
            shown["changelog"] = view.changelog(self.project, issue, person, cloud=call.cloud, searched=searched)
        return shown

    def _user(self, call: Call) -> dict[str, Any]:
        """The account itself, which alone sees all of it."""
        account = self.project.accounts.named(BOT)
        return {**account.shown(cloud=call.cloud), "emailAddress": self.email, "timeZone": self.time_zone}

    def _person(self, call: Call) -> view.Person:
        return lambda name: self.project.accounts.named(name).shown(cloud=call.cloud)


def _values(leaf: jql.Leaf) -> frozenset[str]:
    return leaf.values if isinstance(leaf, jql.OneOf) else frozenset()
