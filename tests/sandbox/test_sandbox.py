"""The sandbox: its faults over real sockets, its control path and process, and the services that page nobody twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import pytest

from forwarder.alert import Alert, Severity
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.sandbox.faults import FLOOD_BYTES
from forwarder.sandbox.samples import sample_alerts, sample_vendors
from tests.kit.core import until

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
SOON = 0.2


@pytest.fixture
def frozen() -> Iterator[Sandbox]:
    """A sandbox with its rate limits on, in which time stands still unless it is advanced."""
    with Sandbox(clock=lambda: NOW) as sandbox:
        yield sandbox


def alert(number: int, **fields: Any) -> dict[str, Any]:
    at = (NOW - timedelta(minutes=number)).isoformat()
    return {"id": f"a{number}", "severity": "high", "published_at": at, "affected_vendors": ["github"], **fields}


def get(sandbox: Sandbox, path: str, **query: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {sandbox.sentrytex.token}"}
    return httpx2.get(sandbox.sentrytex.url + path, params=query, headers=headers)


def ids(answer: httpx2.Response) -> list[str]:
    return [one["id"] for one in answer.json()["alerts"]]


def event(sandbox: Sandbox, **fields: Any) -> dict[str, Any]:
    payload = {"summary": "Something is wrong", "source": "test", "severity": "critical"}
    every = {"routing_key": sandbox.pagerduty.routing_key, "event_action": "trigger", "dedup_key": "k"}
    return {**every, "payload": payload, **fields}


def enqueue(sandbox: Sandbox, timeout: float = 60, **fields: Any) -> httpx2.Response:
    return httpx2.post(f"{sandbox.pagerduty.url}/v2/enqueue", json=event(sandbox, **fields), timeout=timeout)


def opened(sandbox: Sandbox) -> int:
    return sum(incident["count"] for incident in sandbox.pagerduty.incidents.values())


@pytest.mark.parametrize(
    ("kind", "error", "effect"),
    [
        (FaultKind.RESET_BEFORE, httpx2.ReadError, 0),
        (FaultKind.RESET_AFTER, httpx2.ReadError, 1),
        (FaultKind.TIMEOUT_BEFORE, httpx2.ReadTimeout, 0),
        (FaultKind.TIMEOUT_AFTER, httpx2.ReadTimeout, 1),
        (FaultKind.TRUNCATED, httpx2.RemoteProtocolError, 1),
    ],
)
def test_a_fault_without_an_answer(sandbox: Sandbox, kind: FaultKind, error: type[Exception], effect: int) -> None:
    """A broken exchange raises what its name says, and has an effect only where its name says so."""
    sandbox.pagerduty.inject(Fault(kind=kind, seconds=60))
    with pytest.raises(error):
        enqueue(sandbox, timeout=SOON)
    assert opened(sandbox) == effect


@pytest.mark.parametrize(("kind", "effect"), [(FaultKind.STATUS, 0), (FaultKind.STATUS_AFTER, 1)])
def test_a_fault_with_a_status(sandbox: Sandbox, kind: FaultKind, effect: int) -> None:
    """A status fault answers the status, headers and body that it was given."""
    sandbox.pagerduty.inject(Fault(kind=kind, status=503, headers={"Retry-After": "7"}, body="busy"))
    answer = enqueue(sandbox)
    assert (answer.status_code, answer.headers["Retry-After"], answer.text) == (503, "7", "busy")
    assert opened(sandbox) == effect


def test_a_status_without_a_body_speaks_as_the_service_does(sandbox: Sandbox) -> None:
    """Each service has its own shape of an error."""
    shapes = {
        "sentrytex": "error",
        "slack": "ok",
        "pagerduty": "status",
        "jira": "errorMessages",
        "teams": "error",
        "github": "message",
        "jsm": "message",
        "webhook": "error",
    }
    for service in sandbox.services:
        service.inject(Fault(kind=FaultKind.STATUS, status=500))
        answer = httpx2.get(service.origin)
        assert answer.status_code == 500
        assert shapes.get(service.name, "error") in answer.json()


def test_html_instead_of_json(sandbox: Sandbox) -> None:
    """A proxy's page comes with 200 and without an effect."""
    sandbox.pagerduty.inject(Fault(kind=FaultKind.HTML))
    answer = enqueue(sandbox)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert opened(sandbox) == 0


def test_a_reply_that_drips(sandbox: Sandbox) -> None:
    """A dripping reply is whole at its end, however long it takes."""
    sandbox.pagerduty.inject(Fault(kind=FaultKind.DRIP, seconds=SOON))
    started = time.monotonic()
    assert enqueue(sandbox).json()["dedup_key"] == "k"
    assert time.monotonic() - started > SOON / 2


def test_a_body_that_drips(sandbox: Sandbox) -> None:
    """The head is there at once, and the whole is as good as ever."""
    sandbox.pagerduty.inject(Fault(kind=FaultKind.DRIP_BODY, seconds=0.2))
    answer = enqueue(sandbox)
    assert answer.json()["dedup_key"] == "k"
    assert answer.headers["Transfer-Encoding"] == "chunked"


@pytest.mark.parametrize("kind", [FaultKind.FLOOD, FaultKind.BOMB])
def test_a_body_that_is_too_large(sandbox: Sandbox, kind: FaultKind) -> None:
    """Whoever reads it all finds the answer in it."""
    sandbox.pagerduty.inject(Fault(kind=kind))
    answer = enqueue(sandbox)
    assert len(answer.content) > FLOOD_BYTES
    assert answer.json()["dedup_key"] == "k"
    assert opened(sandbox) == 1


def test_latency_is_late_and_nothing_else(sandbox: Sandbox) -> None:
    """A late answer is a good one."""
    sandbox.pagerduty.inject(Fault(kind=FaultKind.LATENCY, seconds=SOON / 2))
    started = time.monotonic()
    assert enqueue(sandbox).status_code == 202
    assert time.monotonic() - started >= SOON / 2


def test_faults_strike_as_often_as_told_and_only_their_path(sandbox: Sandbox) -> None:
    """A fault counts its times down on the requests that its path is part of, and ends when it is cleared."""
    sandbox.sentrytex.inject(
        Fault(kind=FaultKind.STATUS, path="GET /api/v1/stack", times=2),
        Fault(kind=FaultKind.STATUS, status=418, path="/alerts", times=None),
    )
    assert [get(sandbox, "/stack").status_code for _ in range(3)] == [500, 500, 200]
    assert [get(sandbox, "/alerts").status_code for _ in range(3)] == [418, 418, 418]
    sandbox.sentrytex.clear_faults()
    assert get(sandbox, "/alerts").status_code == 200


def test_closing_does_not_wait_for_sleeping_faults() -> None:
    """A sandbox closes at once while a request hangs in it."""
    with Sandbox() as sandbox:
        sandbox.pagerduty.inject(Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=600))
        with pytest.raises(httpx2.ReadTimeout):
            enqueue(sandbox, timeout=SOON)
        started = time.monotonic()
    assert time.monotonic() - started < 60


def test_a_request_that_is_held_has_arrived(sandbox: Sandbox) -> None:
    """Whoever holds one for long sees when it is there, and lets it go: it is answered at once."""
    sandbox.pagerduty.inject(Fault(kind=FaultKind.LATENCY, seconds=600))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(enqueue, sandbox)
        until(lambda: sandbox.pagerduty.arrived == ["POST /v2/enqueue"])
        assert (sandbox.pagerduty.requests, opened(sandbox)) == ([], 0)
        sandbox.pagerduty.let_go()
        assert answer.result().status_code == 202
    assert opened(sandbox) == 1


def test_the_log_of_requests(sandbox: Sandbox) -> None:
    """Every request is seen with its status, none where no answer was given, control paths left out."""
    sandbox.pagerduty.inject(Fault(kind=FaultKind.RESET_AFTER))
    with pytest.raises(httpx2.ReadError):
        enqueue(sandbox)
    enqueue(sandbox)
    httpx2.get(f"{sandbox.pagerduty.origin}/_sandbox/state")
    seen = [(one.method, one.path, one.status) for one in sandbox.pagerduty.requests]
    assert seen == [("POST", "/v2/enqueue", None), ("POST", "/v2/enqueue", 202)]


def test_one_connection_serves_many_requests(sandbox: Sandbox) -> None:
    """Connections are kept alive, a 204 without a body included."""
    with httpx2.Client(headers={"Authorization": f"Bearer {sandbox.jira.token}"}) as client:
        base = f"{sandbox.jira.url}/rest/api/2/issue"
        fields = {"project": {"key": "SEC"}, "issuetype": {"name": "Bug"}, "summary": "Something"}
        key = client.post(base, json={"fields": fields}).json()["key"]
        assert client.delete(f"{base}/{key}").status_code == 204
        assert client.get(f"{base}/{key}").status_code == 404


def test_many_clients_at_once(sandbox: Sandbox) -> None:
    """Nothing is lost or doubled when requests come from many threads."""
    headers = {"Authorization": f"Bearer {sandbox.slack.token}"}
    with httpx2.Client(headers=headers) as client, ThreadPoolExecutor(8) as pool:
        url, body = f"{sandbox.slack.url}chat.postMessage", {"channel": "#secops", "text": "Hello"}
        answers = list(pool.map(lambda _: client.post(url, json=body).json(), range(200)))
    assert {one["ts"] for one in answers} == {one["ts"] for one in sandbox.slack.messages}
    assert len(sandbox.slack.messages) == len(sandbox.slack.requests) == 200


def test_the_process_says_where_it_is_and_is_controlled_over_http() -> None:
    """`python -m forwarder.sandbox` prints its addresses, takes alerts and faults, and ends with its input."""
    command = [sys.executable, "-m", "forwarder.sandbox", "--unlimited"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert {"url", "token", "webhook_url"} <= set(told["slack"])
        base = told["sentrytex"]["url"].removesuffix("/api/v1") + "/_sandbox"
        headers = {"Authorization": f"Bearer {told['sentrytex']['token']}"}
        with httpx2.Client(headers=headers) as client:
            client.post(f"{base}/publish", json=[alert(1), alert(2)])
            client.post(f"{base}/faults", json={"kind": "status", "status": 502})
            statuses = [client.get(f"{told['sentrytex']['url']}/alerts").status_code for _ in range(2)]
            assert statuses == [502, 200]
            assert client.get(f"{base}/state").json() == {"requests": 2, "alerts": ["a1", "a2"], "stack": ["example"]}
            client.post(f"{base}/faults", json={"kind": "status", "times": None})
            client.delete(f"{base}/faults")
            client.post(f"{base}/revoke")
            assert client.get(f"{told['sentrytex']['url']}/alerts").status_code == 401
            assert client.post(f"{base}/faults", json={"kind": "nonsense"}).status_code == 400
        process.stdin.close()
        assert process.wait(10) == 0


def test_the_process_ends_on_sigterm() -> None:
    """SIGTERM is a clean end."""
    command = [sys.executable, "-m", "forwarder.sandbox", "--latency", "1ms"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_alerts_come_newest_first_within_bounds(sandbox: Sandbox) -> None:
    """A page holds the newest, 50 unless asked, never more than 200, from `since` on, of one severity if asked."""
    sandbox.sentrytex.publish(*(alert(number) for number in range(300)), alert(5, id="low", severity="low"))
    assert ids(get(sandbox, "/alerts")) == ids(get(sandbox, "/alerts", limit="50"))
    assert len(ids(get(sandbox, "/alerts", limit="1000"))) == 200
    assert ids(get(sandbox, "/alerts", limit="2")) == ["a0", "a1"]
    assert ids(get(sandbox, "/alerts", severity="low")) == ["low"]
    assert ids(get(sandbox, "/alerts", since=alert(2)["published_at"])) == ["a0", "a1", "a2"]
    assert get(sandbox, "/alerts", since="yesterday").status_code == 400


def test_equal_times_keep_their_order(sandbox: Sandbox) -> None:
    """Alerts of one instant come in the order of their publication, whatever changes in them."""
    sandbox.sentrytex.publish(*(alert(0, id=name) for name in "abc"))
    sandbox.sentrytex.update("a", cisa_kev=True)
    answer = get(sandbox, "/alerts")
    assert ids(answer) == ["a", "b", "c"]
    assert answer.json()["alerts"][0]["cisa_kev"] is True


def test_single_alerts_and_withdrawn_ones(sandbox: Sandbox) -> None:
    """One alert comes with its evidence; a withdrawn one is not there."""
    sandbox.sentrytex.publish(alert(1))
    assert "verified" in str(get(sandbox, "/alerts/a1").json()["evidence_state"])
    sandbox.sentrytex.evidence = {"a1": {"evidence": ["of any", {"shape": None}]}}
    assert get(sandbox, "/alerts/a1").json()["evidence"] == ["of any", {"shape": None}]
    sandbox.sentrytex.withdraw("a1")
    answer = get(sandbox, "/alerts/a1")
    assert (answer.status_code, answer.json()) == (404, {"error": "Not found"})


def test_only_the_stacks_alerts_show(sandbox: Sandbox) -> None:
    """With `all_vendors` off an alert shows once its vendor is in the stack."""
    sandbox.sentrytex.all_vendors = False
    sandbox.sentrytex.publish(alert(1))
    assert ids(get(sandbox, "/alerts")) == []
    assert get(sandbox, "/alerts/a1").status_code == 404
    sandbox.sentrytex.add_vendor("github")
    assert ids(get(sandbox, "/alerts")) == ["a1"]
    assert [vendor["vendor_key"] for vendor in get(sandbox, "/stack").json()["stack"]] == ["example", "github"]


def test_malformed_alerts_can_be_published(sandbox: Sandbox) -> None:
    """Whatever JSON an API may send by mistake is sent, on top of the page."""
    sandbox.sentrytex.publish(alert(1), None, "text", {"id": 7}, {"published_at": "soon"})
    page = get(sandbox, "/alerts", since=alert(0)["published_at"]).json()["alerts"]
    assert page == [None, "text", {"id": 7}, {"published_at": "soon"}]


def test_bad_keys_and_missing_rights(sandbox: Sandbox) -> None:
    """A key that is wrong or revoked is 401; a plan or scope that is missing is 403."""
    assert httpx2.get(f"{sandbox.sentrytex.url}/alerts").status_code == 401
    sandbox.sentrytex.revoke()
    assert get(sandbox, "/alerts").status_code == 401
    sandbox.sentrytex.restore()
    sandbox.sentrytex.scopes.discard("read:stack")
    assert (get(sandbox, "/alerts").status_code, get(sandbox, "/stack").status_code) == (200, 403)
    sandbox.sentrytex.business = False
    assert get(sandbox, "/alerts").status_code == 403


def test_a_hundred_requests_a_minute(frozen: Sandbox) -> None:
    """The hundred and first request in a minute is told to wait until the first has left the window."""
    with httpx2.Client(headers={"Authorization": f"Bearer {frozen.sentrytex.token}"}) as client:
        url = f"{frozen.sentrytex.url}/stack"
        assert client.get(url).status_code == 200
        frozen.clock.advance(20)
        assert {client.get(url).status_code for _ in range(99)} == {200}
        refused = client.get(url)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "40")
        assert parsedate_to_datetime(refused.headers["Date"]) == NOW + timedelta(seconds=20)
        frozen.clock.advance(40)
        assert [client.get(url).status_code for _ in range(2)] == [200, 429]


def test_a_dedup_key_opens_one_incident(sandbox: Sandbox) -> None:
    """Triggers of an open incident update it; after a resolve a trigger opens another."""
    for action in ("trigger", "trigger", "acknowledge", "trigger"):
        assert enqueue(sandbox, event_action=action).status_code == 202
    incident = sandbox.pagerduty.incidents["k"]
    assert (incident["count"], incident["status"], len(incident["events"])) == (1, "acknowledged", 4)
    enqueue(sandbox, event_action="resolve")
    assert sandbox.pagerduty.incidents["k"]["status"] == "resolved"
    enqueue(sandbox)
    assert sandbox.pagerduty.incidents["k"]["count"] == 2
    assert "routing_key" not in json.dumps(sandbox.pagerduty.incidents)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"routing_key": "short"}, "routing_key"),
        ({"routing_key": "x" * 32}, "routing_key"),
        ({"event_action": "open"}, "event_action"),
        ({"event_action": "resolve", "dedup_key": None}, "dedup_key"),
        ({"dedup_key": "x" * 256}, "dedup_key"),
        ({"payload": {"summary": "x" * 1025, "source": "s", "severity": "info"}}, "summary"),
        ({"payload": {"summary": "x", "source": "", "severity": "info"}}, "source"),
        ({"payload": {"summary": "x", "source": "s", "severity": "high"}}, "severity"),
        ({"links": [{"text": "no address"}]}, "links"),
    ],
)
def test_events_that_pagerduty_refuses(sandbox: Sandbox, fields: dict[str, Any], word: str) -> None:
    """An event past a documented limit is refused with the field's name."""
    answer = enqueue(sandbox, **fields)
    assert (answer.status_code, answer.json()["status"]) == (400, "invalid event")
    assert word in answer.json()["errors"][0]
    assert sandbox.pagerduty.incidents == {}


def test_events_at_the_limit_pass(sandbox: Sandbox) -> None:
    """The longest summary and dedup key are taken; an event past 512 KB is not."""
    payload = {"summary": "x" * 1024, "source": "s", "severity": "info"}
    assert enqueue(sandbox, dedup_key="x" * 255, payload=payload).status_code == 202
    assert enqueue(sandbox, payload={**payload, "custom_details": "x" * 512 * 1024}).status_code == 413


def test_a_hundred_and_twenty_events_a_minute(frozen: Sandbox) -> None:
    """PagerDuty throttles past its rate, and takes events again a minute later."""
    with httpx2.Client() as client:
        url, body = f"{frozen.pagerduty.url}/v2/enqueue", event(frozen)
        statuses = [client.post(url, json=body).status_code for _ in range(121)]
        assert (set(statuses[:120]), statuses[120]) == ({202}, 429)
        frozen.clock.advance(60)
        assert client.post(url, json=body).status_code == 202


def test_the_samples_are_alerts() -> None:
    """Every sample parses, its severity follows its score, and all lie in the time before now."""
    alerts = [Alert.parse(raw) for raw in sample_alerts(NOW)]
    assert len({one.id for one in alerts}) == len(alerts) >= 30
    assert [one.published_at for one in alerts] == sorted(one.published_at for one in alerts)
    assert NOW - timedelta(hours=2) <= alerts[0].published_at < alerts[-1].published_at <= NOW
    assert {one.severity for one in alerts} == set(Severity)
    floors = {Severity.CRITICAL: 9.0, Severity.HIGH: 7.0, Severity.MEDIUM: 4.0, Severity.LOW: 0.0}
    assert all(one.cvss_score is not None and one.cvss_score >= floors[one.severity] for one in alerts)
    assert {vendor for one in alerts for vendor in one.affected_vendors} == set(sample_vendors())
