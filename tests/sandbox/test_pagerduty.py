"""The sandbox's PagerDuty: events, what people do, and the REST API that tells of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from pagerduty import RestApiV2Client

from forwarder.sandbox import Fault, FaultKind, Sandbox

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
KEY = "sentrytex:a1"


@pytest.fixture
def frozen() -> Iterator[Sandbox]:
    """A sandbox in which time stands still unless it is advanced."""
    with Sandbox(clock=lambda: NOW, limits=False) as sandbox:
        yield sandbox


def send(sandbox: Sandbox, action: str, key: str = KEY, post: Callable[..., httpx2.Response] = httpx2.post) -> Any:
    event: dict[str, Any] = {
        "routing_key": sandbox.pagerduty.routing_key, "event_action": action, "dedup_key": key,
    }  # fmt: skip
    if action == "trigger":
        event["payload"] = {"summary": f"About {key}", "source": "test", "severity": "critical"}
    return post(f"{sandbox.pagerduty.url}/v2/enqueue", json=event)


def trigger(sandbox: Sandbox, count: int) -> None:
    """Open incidents ``k0``, ``k1`` and so on."""
    with httpx2.Client() as http:
        for number in range(count):
            send(sandbox, "trigger", f"k{number}", http.post)


def ask(sandbox: Sandbox, path: str, token: str = "", method: str = "GET", **query: Any) -> httpx2.Response:
    headers = {"Authorization": f"Token token={token or sandbox.pagerduty.api_token}"}
    return httpx2.request(method, f"{sandbox.pagerduty.url}/{path}", params=query, headers=headers)


def kinds(sandbox: Sandbox, path: str = "log_entries", **query: Any) -> list[str]:
    """The kinds of the log's lines, newest first."""
    entries = ask(sandbox, path, **query).json()["log_entries"]
    return [one["type"].removesuffix("_log_entry") for one in entries]


def test_events_acknowledge_and_resolve(frozen: Sandbox) -> None:
    """Both move the incident of the key, and are taken without effect where there is none to move."""
    for action in ("acknowledge", "resolve"):
        answer = send(frozen, action, "unknown")
        assert (answer.status_code, answer.json()["status"]) == (202, "success")
    assert frozen.pagerduty.incidents == {}
    assert [(one["event_action"], one["dedup_key"]) for one in frozen.pagerduty.strays] == [
        ("acknowledge", "unknown"),
        ("resolve", "unknown"),
    ]
    for action, status in (("trigger", "triggered"), ("acknowledge", "acknowledged"), ("resolve", "resolved")):
        send(frozen, action)
        (incident,) = ask(frozen, "incidents").json()["incidents"]
        assert (incident["status"], frozen.pagerduty.incidents[KEY]["status"]) == (status, status)
    send(frozen, "acknowledge")
    assert frozen.pagerduty.incidents[KEY]["status"] == "resolved"
    send(frozen, "trigger")
    both = ask(frozen, "incidents", incident_key=KEY).json()["incidents"]
    assert [one["status"] for one in both] == ["resolved", "triggered"]
    entry = ask(frozen, f"incidents/{both[0]['id']}/log_entries").json()["log_entries"][0]
    assert (entry["type"], entry["agent"]["type"], entry["channel"]["type"]) == (
        "resolve_log_entry",
        "events_api_v2_inbound_integration_reference",
        "api",
    )


def test_people_acknowledge_and_resolve(frozen: Sandbox) -> None:
    """The log tells who, and the incident who has acknowledged; a time-out takes that back."""
    send(frozen, "trigger")
    frozen.pagerduty.acknowledge(KEY, "Bob")
    (incident,) = ask(frozen, "incidents", **{"include[]": "acknowledgers"}).json()["incidents"]
    (acknowledgement,) = incident["acknowledgements"]
    assert acknowledgement["acknowledger"]["email"] == "bob@example.com"
    frozen.pagerduty.unacknowledge(KEY)
    (incident,) = ask(frozen, "incidents").json()["incidents"]
    assert (incident["status"], incident["acknowledgements"]) == ("triggered", [])
    frozen.pagerduty.resolve(incident["id"], "Alice Example")
    assert frozen.pagerduty.incidents[KEY]["status"] == "resolved"
    read = ask(frozen, f"incidents/{incident['id']}").json()["incident"]
    assert (read["last_status_change_by"]["summary"], read["resolved_at"]) == ("Alice Example", "2026-05-01T12:00:00Z")
    assert kinds(frozen, is_overview="true") == ["resolve", "unacknowledge", "acknowledge", "assign", "trigger"]
    assert "notify" in kinds(frozen)
    entry = ask(frozen, "log_entries", **{"include[]": "incidents"}).json()["log_entries"][0]
    assert (entry["agent"]["summary"], entry["incident"]["incident_key"]) == ("Alice Example", KEY)
    with pytest.raises(LookupError):
        frozen.pagerduty.resolve("nothing")
    with pytest.raises(LookupError):
        frozen.pagerduty.resolve(KEY, "Nobody")


def test_the_log_is_asked_by_time(frozen: Sandbox) -> None:
    """`since` is inclusive and to the second; without it a month is told."""
    send(frozen, "trigger")
    frozen.clock.advance(600)
    frozen.pagerduty.acknowledge(KEY)
    since = (NOW + timedelta(seconds=600)).isoformat()
    assert kinds(frozen, since=since) == ["acknowledge"]
    assert kinds(frozen, until=since, is_overview="true") == ["assign", "trigger"]
    frozen.clock.advance(31 * 86_400)
    assert kinds(frozen) == []
    assert ask(frozen, "log_entries", since="yesterday").status_code == 400


def test_incidents_are_asked_by_status_and_by_when_they_began(frozen: Sandbox) -> None:
    """`since` looks at the creation alone, over six months at the most; `date_range=all` does not look at all."""
    for number in range(3):
        send(frozen, "trigger", f"k{number}")
        frozen.clock.advance(86_400)
    frozen.pagerduty.acknowledge("k0")

    def found(**query: Any) -> list[str]:
        return [one["incident_key"] for one in ask(frozen, "incidents", **query).json()["incidents"]]

    assert found(**{"statuses[]": ["triggered", "resolved"]}) == ["k1", "k2"]
    assert found(**{"statuses[]": "acknowledged"}) == ["k0"]
    assert found(since=(NOW + timedelta(days=1)).isoformat(), sort_by="created_at:desc") == ["k2", "k1"]
    frozen.clock.advance(40 * 86_400)
    assert (found(), found(date_range="all")) == ([], ["k0", "k1", "k2"])
    assert ask(frozen, "incidents", since="2025-09-01T00:00:00Z").status_code == 400
    assert ask(frozen, "incidents", **{"statuses[]": "open"}).json()["error"]["code"] == 2001
    assert ask(frozen, "incidents", **{"include[]": "everything"}).status_code == 400


def test_pages_hold_a_hundred_at_the_most(frozen: Sandbox) -> None:
    """`more` says that there are more; the SDK reads them all; past ten thousand there is no way."""
    trigger(frozen, 103)
    page = ask(frozen, "incidents", limit=1000).json()
    assert (len(page["incidents"]), page["limit"], page["more"], page["total"]) == (100, 100, True, None)
    last = ask(frozen, "incidents", limit=100, offset=100, total="true").json()
    assert (len(last["incidents"]), last["more"], last["total"]) == (3, False, 103)
    assert len(ask(frozen, "incidents").json()["incidents"]) == 25
    assert ask(frozen, "incidents", limit=100, offset=9_901).status_code == 400


def test_alerts_that_are_grouped_share_an_incident(frozen: Sandbox) -> None:
    """Then the incident has no key; its alerts have, and it ends with the last of them."""
    frozen.pagerduty.grouping = True
    send(frozen, "trigger", "k1")
    send(frozen, "trigger", "k2")
    (incident,) = ask(frozen, "incidents", incident_key="k2").json()["incidents"]
    assert (incident["incident_key"], incident["alert_counts"]["all"]) == (None, 2)
    alerts = ask(frozen, f"incidents/{incident['id']}/alerts").json()["alerts"]
    assert [one["alert_key"] for one in alerts] == ["k1", "k2"]
    send(frozen, "resolve", "k1")
    assert [frozen.pagerduty.incidents[key]["status"] for key in ("k1", "k2")] == ["resolved", "triggered"]
    frozen.pagerduty.acknowledge("k2")
    assert [frozen.pagerduty.incidents[key]["status"] for key in ("k1", "k2")] == ["resolved", "acknowledged"]
    send(frozen, "resolve", "k2")
    assert ask(frozen, f"incidents/{incident['id']}").json()["incident"]["status"] == "resolved"


def test_a_key_reads_and_no_more(frozen: Sandbox) -> None:
    """Bad keys are 401, writing is 403, and a key of the account is nobody's."""
    assert ask(frozen, "abilities").json()["abilities"]
    assert ask(frozen, "incidents", token="bad").status_code == 401
    assert ask(frozen, "incidents", method="PUT").status_code == 403
    assert ask(frozen, "incidents/QNONE").status_code == 404
    assert ask(frozen, "incidents/QNONE/log_entries").status_code == 404
    assert ask(frozen, "users/me").status_code == 400
    frozen.pagerduty.rest.user_key = frozen.pagerduty.add_user("Robot")
    assert ask(frozen, "users/me").json()["user"]["name"] == "Robot"
    frozen.pagerduty.revoke_api_token()
    assert ask(frozen, "incidents").status_code == 401
    assert send(frozen, "trigger").status_code == 202
    frozen.pagerduty.restore_api_token()
    frozen.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=500, path="GET /incidents"))
    assert ask(frozen, "incidents").json()["error"]["message"] == "Internal Server Error"


def test_requests_are_limited_a_minute() -> None:
    """Each answer tells what is left; past it, in how many seconds there is more."""
    with Sandbox(clock=lambda: NOW) as sandbox:
        assert ask(sandbox, "abilities").headers["ratelimit-remaining"] == "959"
        sandbox.pagerduty.rest.limit_per_minute = 2
        assert ask(sandbox, "abilities").status_code == 200
        sandbox.clock.advance(20)
        refused = ask(sandbox, "abilities")
        assert (refused.status_code, refused.headers["ratelimit-reset"]) == (429, "41")
        assert send(sandbox, "trigger").status_code == 202
        sandbox.clock.advance(41)
        assert ask(sandbox, "abilities").status_code == 200


def test_the_sdk_reads_it(frozen: Sandbox) -> None:
    """The SDK's own paging and types go through."""

    class Client(RestApiV2Client):
        def normalize_url(self, url: str) -> str:
            return url if url.startswith("http") else f"{frozen.pagerduty.url}/{url.lstrip('/')}"

    trigger(frozen, 130)
    with Client(frozen.pagerduty.api_token) as client:
        read = list(client.iter_all("incidents", params={"statuses[]": ["triggered"]}))
        assert [one["incident_key"] for one in read] == [f"k{number}" for number in range(130)]
        assert len(list(client.iter_all("log_entries", params={"is_overview": "true"}))) == 260
