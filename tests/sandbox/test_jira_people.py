"""People in the sandbox's Jira: what they do to tickets, and how a search asks for it, on Cloud and on Data Center."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from jira import JIRA

from forwarder.sandbox import Fault, FaultKind, Sandbox, jql
from forwarder.sandbox.jira_workflow import WORKFLOW, Status
from tests.sandbox.test_jira import BASE

NOW = datetime(2026, 5, 1, 12, 0, 20, 250_000, tzinfo=UTC)


class Site:
    """The REST API as one deployment has it."""

    def __init__(self, sandbox: Sandbox, http: httpx2.Client, *, cloud: bool) -> None:
        self.sandbox, self.cloud = sandbox, cloud
        self._http = http

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        return self._http.request(method, f"{self.sandbox.jira.url}/rest/api/{3 if self.cloud else 2}/{path}", **more)

    def create(self, **fields: Any) -> str:
        fields = {**BASE, "labels": ["sentrytex"], **fields}
        return str(self.ask("POST", "issue", json={"fields": fields}).json()["key"])

    def read(self, key: str, **query: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"issue/{key}", params=query).json())

    def search(self, text: str, **more: Any) -> httpx2.Response:
        body = {"jql": text, "fields": ["status", "updated", "assignee", "resolution"], **more}
        return self.ask("POST", "search/jql" if self.cloud else "search", json=body)

    def keys(self, text: str, **more: Any) -> list[str]:
        return [issue["key"] for issue in self.search(text, **more).json()["issues"]]


@pytest.fixture
def frozen() -> Iterator[Sandbox]:
    """A sandbox in which time stands still unless it is advanced."""
    with Sandbox(clock=lambda: NOW, limits=False) as sandbox:
        yield sandbox


@pytest.fixture(params=["cloud", "dc"])
def site(request: pytest.FixtureRequest, frozen: Sandbox) -> Iterator[Site]:
    jira, cloud = frozen.jira, request.param == "cloud"
    headers = {} if cloud else {"Authorization": f"Bearer {jira.token}"}
    with httpx2.Client(auth=(jira.email, jira.token) if cloud else None, headers=headers) as http:
        yield Site(frozen, http, cloud=cloud)


def test_what_people_do_shows_on_the_ticket(site: Site) -> None:
    """Status, assignee, resolution and dates follow what people do, and the history tells who did it."""
    jira, key = site.sandbox.jira, site.create()
    fields = site.read(key)["fields"]
    assert (fields["status"]["statusCategory"]["key"], fields["assignee"], fields["resolution"]) == ("new", None, None)
    site.sandbox.clock.advance(60)
    jira.assign(key, "bob", by="alice")
    jira.move(key, "In Progress", by="bob")
    fields = site.read(key)["fields"]
    who = {"displayName": "Bob", "active": True}
    assert who.items() <= {**fields["assignee"], "displayName": fields["assignee"]["displayName"].split()[0]}.items()
    assert ("emailAddress" in fields["assignee"], "accountId" in fields["assignee"]) == (not site.cloud, site.cloud)
    assert fields["status"]["name"] == "In Arbeit"
    assert fields["updated"] == "2026-05-01T12:01:20.250+0000"
    jira.move(key, "done", by="bob", resolution="Nicht betroffen")
    fields = site.read(key)["fields"]
    assert (fields["resolution"]["name"], fields["resolutiondate"]) == ("Nicht betroffen", fields["updated"])
    jira.move(key, "new")
    assert site.read(key)["fields"]["resolution"] is None
    jira.edit(key, {"priority": {"name": "Low"}, "duedate": "2026-06-01"}, by="alice")
    jira.comment(key, "Looks bad", by="bob")
    assert site.ask("GET", f"issue/{key}/comment").json()["comments"][0]["author"]["displayName"] == "Bob Example"
    histories = site.read(key, expand="changelog")["changelog"]["histories"]
    if site.cloud:
        histories.reverse()
    told = [
        (one["author"]["displayName"].split()[0], item["field"], item["toString"])
        for one in histories
        for item in one["items"]
    ]
    assert told == [
        ("Alice", "assignee", "Bob Example"),
        ("Bob", "status", "In Arbeit"),
        ("Bob", "status", "Fertig"),
        ("Bob", "resolution", "Nicht betroffen"),
        ("Alice", "status", "Zu erledigen"),
        ("Alice", "resolution", None),
        ("Alice", "priority", "Low"),
        ("Alice", "duedate", "2026-06-01"),
    ]


def test_a_person_can_only_do_what_is_there(frozen: Sandbox) -> None:
    """No ticket, status or account that is not there is meant."""
    frozen.jira.project.create(BASE, rich=False)
    for key, status, by in (("SEC-9", "done", "bob"), ("SEC-1", "Waiting", "bob"), ("SEC-1", "done", "nobody")):
        with pytest.raises(LookupError):
            frozen.jira.move(key, status, by=by)
    with pytest.raises(LookupError):
        frozen.jira.assign("SEC-1", "nobody")


def test_a_search_asks_what_changed(site: Site) -> None:
    """`updated` is compared to the minute, oldest first; a comment is a change too."""
    one, two = site.create(), site.create()
    site.sandbox.clock.advance(120)
    site.sandbox.jira.move(one, "indeterminate")
    base = "project = SEC AND labels = sentrytex AND updated >= {} ORDER BY updated ASC"
    assert site.keys(base.format('"2026-05-01 12:00"')) == [two, one]
    assert site.keys(base.format('"2026/05/01 12:01"')) == [one]
    assert site.keys(base.format('"2026-05-01 12:03"')) == []
    assert site.keys(base.format("-1m")) == [one]
    assert site.keys(base.format('"-2h 5m"')) == [two, one]
    assert site.keys(base.format(int((NOW + timedelta(seconds=60)).timestamp() * 1000))) == [one]
    site.sandbox.clock.advance(120)
    site.sandbox.jira.comment(two, "Still here")
    assert site.keys(base.format('"2026-05-01 12:01"')) == [one, two]
    assert site.keys("project = SEC AND statusCategory = 'In Progress'") == [one]
    assert site.keys("project = SEC AND statusCategory != Done AND status not in ('Zu erledigen')") == [one]


@pytest.mark.parametrize(
    ("zone", "now", "local"),
    [
        ("America/New_York", datetime(2026, 5, 1, 12, 0, tzinfo=UTC), "2026-05-01 08:00"),
        ("America/New_York", datetime(2026, 1, 15, 12, 0, tzinfo=UTC), "2026-01-15 07:00"),
        ("Asia/Kolkata", datetime(2026, 5, 1, 20, 0, tzinfo=UTC), "2026-05-02 01:30"),
        # In the hour that comes twice a date means the first of the two.
        ("Europe/Berlin", datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "2026-10-25 02:30"),
    ],
)
def test_dates_are_in_the_time_zone_of_the_account(zone: str, now: datetime, local: str) -> None:
    """Searches read them there and answers tell them there, summer time and all; `/myself` says where."""
    with Sandbox(clock=lambda: now) as sandbox, httpx2.Client(auth=(sandbox.jira.email, sandbox.jira.token)) as http:
        sandbox.jira.time_zone = zone
        site = Site(sandbox, http, cloud=True)
        key = site.create()
        minute = datetime.fromisoformat(local)
        assert site.ask("GET", "myself").json()["timeZone"] == zone
        assert site.read(key)["fields"]["updated"].startswith(local.replace(" ", "T"))
        assert site.keys(f'project = SEC AND updated >= "{minute:%Y-%m-%d %H:%M}"') == [key]
        assert site.keys(f'project = SEC AND updated > "{minute:%Y-%m-%d %H:%M}"') == []
        assert site.keys(f'project = SEC AND updated >= "{minute + timedelta(minutes=1):%Y-%m-%d %H:%M}"') == []


def test_the_hour_that_comes_twice_hides_what_happened_in_it() -> None:
    """A change in the second pass is found from the first pass on; one in the first pass never by a later date."""
    now = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    with Sandbox(clock=lambda: now) as sandbox, httpx2.Client(auth=(sandbox.jira.email, sandbox.jira.token)) as http:
        sandbox.jira.time_zone = "Europe/Berlin"
        site = Site(sandbox, http, cloud=True)
        key = site.create()
        assert site.read(key)["fields"]["updated"] == "2026-10-25T02:30:00.000+0100"
        assert site.keys('project = SEC AND updated >= "2026-10-25 02:45"') == [key]
        assert site.keys('project = SEC AND updated >= "2026-10-25 03:00"') == []


@pytest.mark.parametrize(
    "text",
    [
        'updated >= "2026-05-01 12:00:00"',
        'updated >= "2026-05-01T12:00"',
        'updated >= "yesterday"',
        'updated >= "2026-13-01"',
        'updated = "2026-05-01"',
        "labels >= a",
        "status = Waiting",
        "statusCategory = Waiting",
        "nonsense = 1",
        "labels = a ORDER BY nonsense",
    ],
)
def test_searches_that_jira_refuses(site: Site, text: str) -> None:
    """No seconds, no T, no unknown field, status or operator."""
    site.create()
    answer = site.search(f"project = SEC AND {text}")
    assert answer.status_code == 400
    assert answer.json()["errorMessages"]


def test_a_change_is_found_when_the_index_has_it(site: Site) -> None:
    """Until then a search has the ticket as it was before, though the ticket itself is read as it is."""
    key = site.create()
    site.sandbox.clock.advance(60)
    site.sandbox.jira.index_lag = 30
    site.sandbox.jira.move(key, "done")
    late = 'labels = sentrytex AND updated >= "2026-05-01 12:01"'
    assert site.keys(late) == []
    assert site.keys("labels = sentrytex AND statusCategory = new") == [key]
    assert site.read(key)["fields"]["status"]["statusCategory"]["key"] == "done"
    if site.cloud:
        assert site.keys(late, reconcileIssues=[int(site.read(key)["id"])]) == [key]
    site.sandbox.clock.advance(31)
    assert site.keys(late) == [key]


def test_searches_are_paged_as_the_deployment_has_it(site: Site) -> None:
    """Cloud pages by token, a hundred at the most with fields; Data Center by position, and tells the total."""
    made = [site.create() for _ in range(103)]
    if site.cloud:
        first = site.search("labels = sentrytex ORDER BY created ASC", maxResults=1000).json()
        assert (len(first["issues"]), first["isLast"], "total" in first) == (100, False, False)
        token = first["nextPageToken"]
        assert site.keys("labels = sentrytex ORDER BY created ASC", nextPageToken=token) == made[100:]
        bare = site.search("labels = sentrytex", fields=["id"], maxResults=1000).json()
        assert (len(bare["issues"]), bare["isLast"]) == (103, True)
    else:
        page = site.search("labels = sentrytex ORDER BY created ASC", startAt=100, maxResults=50).json()
        assert ([one["key"] for one in page["issues"]], page["total"]) == (made[100:], 103)


def test_a_search_tells_histories(site: Site) -> None:
    """Where it is asked to; Cloud shows the forty newest of each ticket, and has the rest at an address of its own."""
    key = site.create()
    for number in range(45):
        site.sandbox.jira.edit(key, {"summary": f"Edit {number}"}, by="bob")
    expand = "changelog" if site.cloud else ["changelog"]
    (issue,) = site.search("labels = sentrytex", expand=expand).json()["issues"]
    shown = issue["changelog"]
    assert (len(shown["histories"]), shown["total"]) == (40 if site.cloud else 45, 45)
    newest = shown["histories"][0 if site.cloud else -1]
    assert (newest["author"]["displayName"], newest["items"][0]["toString"]) == ("Bob Example", "Edit 44")
    rest = site.ask("GET", f"issue/{key}/changelog", params={"startAt": 40})
    if site.cloud:
        assert [one["items"][0]["toString"] for one in rest.json()["values"]] == [f"Edit {n}" for n in range(40, 45)]
    else:
        assert rest.status_code == 404


STRICT = (
    WORKFLOW[0],
    Status(id="10001", name="In Arbeit", transition="21", category="indeterminate", sources=frozenset({"10000"})),
    Status(
        id="10002",
        name="Fertig",
        transition="31",
        category="done",
        sources=frozenset({"10001"}),
        required=("resolution",),
    ),
)


def test_transitions_depend_on_the_status_and_ask_for_fields(site: Site) -> None:
    """What is not offered is refused, and so is a step without the fields that it requires or with others."""
    site.sandbox.jira.project.workflow = STRICT
    key = site.create()
    path = f"issue/{key}/transitions"

    def go(transition: Any, **more: Any) -> httpx2.Response:
        return site.ask("POST", path, json={"transition": {"id": transition}, **more})

    offered = site.ask("GET", path).json()["transitions"]
    assert [one["id"] for one in offered] == ["11", "21"]
    assert "fields" not in offered[0]
    assert "not valid for the current state" in go("31").json()["errorMessages"][0]
    assert go("done").json()["errorMessages"] == ["'transition' identifier must be an integer"]
    assert "illegal workflow operation" in go("99").json()["errorMessages"][0]
    assert site.ask("POST", path, json={}).status_code == 400
    assert go("21").status_code == 204
    asked = site.ask("GET", path, params={"expand": "transitions.fields"}).json()["transitions"]
    (resolution,) = [one["fields"]["resolution"] for one in asked if one["id"] == "31"]
    assert (resolution["required"], resolution["allowedValues"][0]["name"]) == (True, "Erledigt")
    assert go("31").json()["errors"] == {"resolution": "Resolution is required."}
    assert set(go("31", fields={"resolution": {"name": "Gone"}}).json()["errors"]) == {"resolution"}
    assert set(go("31", fields={"resolution": {"id": "10000"}, "labels": []}).json()["errors"]) == {"labels"}
    assert go("31", fields={"resolution": {"id": "10000"}}).status_code == 204
    assert site.read(key)["fields"]["resolution"]["name"] == "Erledigt"
    site.sandbox.jira.permissions.discard("TRANSITION_ISSUES")
    assert site.ask("GET", path).json()["transitions"] == []
    assert go("11").status_code == 400


def test_edits_of_the_account_are_its_own(site: Site) -> None:
    """Priority and due date change through the API, in the account's name; an assignee must be somebody."""
    key = site.create()
    body = {"fields": {"priority": {"name": "Highest"}, "duedate": "2026-05-03"}}
    assert site.ask("PUT", f"issue/{key}", json=body).status_code == 204
    assert site.read(key)["fields"]["priority"]["name"] == "Highest"
    assert site.ask("PUT", f"issue/{key}", json={"fields": {"status": {"name": "Fertig"}}}).status_code == 400
    nobody = {"accountId": "nobody"} if site.cloud else {"name": "nobody"}
    wrong = site.ask("PUT", f"issue/{key}", json={"fields": {"assignee": nobody}})
    assert wrong.json()["errors"] == {"assignee": "User 'nobody' does not exist."}
    bob = {"accountId": site.sandbox.jira.add_account("carol")} if site.cloud else {"name": "bob"}
    assert site.ask("PUT", f"issue/{key}", json={"fields": {"assignee": bob}}).status_code == 204
    (history, *_) = site.read(key, expand="changelog")["changelog"]["histories"]
    assert history["author"]["displayName"] == "Forwarder"
    site.ask("PUT", f"issue/{key}", json={"fields": {"assignee": None}})
    assert site.read(key)["fields"]["assignee"] is None


def test_faults_strike_searches_and_transitions(site: Site) -> None:
    """As everything else: with the service's own words, or after the effect."""
    key = site.create()
    site.sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=503, path="/search"))
    assert site.search("labels = sentrytex").json()["errorMessages"] == ["Internal server error"]
    site.sandbox.jira.inject(Fault(kind=FaultKind.STATUS_AFTER, status=502, path="/transitions"))
    assert site.ask("POST", f"issue/{key}/transitions", json={"transition": {"id": "31"}}).status_code == 502
    assert site.read(key)["fields"]["status"]["statusCategory"]["key"] == "done"


def test_the_sdk_reads_it(frozen: Sandbox) -> None:
    """The SDK searches, moves and reads histories."""
    frozen.jira.project.create({**BASE, "labels": ["sentrytex"]}, rich=False)
    client = JIRA(frozen.jira.url, max_retries=0, basic_auth=(frozen.jira.email, frozen.jira.token))
    (way,) = [one for one in client.transitions("SEC-1", expand="transitions.fields") if one["id"] == "31"]
    client.transition_issue("SEC-1", way["id"], fields={"resolution": {"name": "Erledigt"}})
    (found,) = client.search_issues("labels = sentrytex", fields="status,resolution", expand="changelog")
    assert found.fields.status.statusCategory.key == "done"
    assert found.raw["fields"]["resolution"]["name"] == "Erledigt"
    assert found.changelog.histories[0].author.displayName == "Forwarder"
    client._session.close()


def test_a_moment_compares_as_it_says() -> None:
    """Each operator, against a date to the minute."""
    instant = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)
    for operator, holds in ((">=", True), (">", True), ("<=", False), ("<", False)):
        (moment,) = jql.parse(f'updated {operator} "2026-05-01 12:00"').leaves
        assert isinstance(moment, jql.Moment)
        assert moment.holds(instant, zone=UTC, now=instant) is holds
