"""What people do in PagerDuty: read from its log, each thing once, whoever else has incidents there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.pagerduty import PagerDuty, PagerDutyConfig
from connectors.pagerduty.incident_log import OVERLAP, WINDOW, Cursor, Entry
from connectors.pagerduty.rest import PAGE, RestApi
from forwarder.connector import Broken, Failed, RateLimited, Retry, Status
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.sandbox.pagerduty_incidents import Agent
from forwarder.store import Store
from forwarder.testing import NOW, alert, delivery
from tests.kit.store import claim, delivered, enqueue, settle

KEY = "sentrytex:a"
MINUTE = 60.0


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox in which time stands still unless it is advanced."""
    with Sandbox(clock=lambda: NOW, limits=False) as running:
        yield running


@dataclass
class Watch:
    """A connector that looks again and again, and what it was told."""

    sandbox: Sandbox
    connector: PagerDuty
    cursor: str = ""
    told: list[tuple[str, Status, str]] = field(default_factory=list)

    def look(self, *, after: float = MINUTE) -> list[tuple[str, Status, str]]:
        """What people did, as a look tells it that comes ``after`` so many seconds: key, status and who."""
        self.sandbox.clock.advance(after)
        found = self.connector.look(self.cursor)
        self.cursor = found.cursor
        return [(one.remote_id, one.status, one.person) for one in found.sightings if not one.ours]

    def page(self, *ids: str) -> None:
        for one in ids:
            outstanding = delivery(alert=alert(id=one))
            self.connector.deliver(outstanding, self.connector.render(outstanding))

    def asked(self, path: str = "") -> int:
        """How many requests of the REST API there were."""
        seen = self.sandbox.pagerduty.requests
        return sum(one.method == "GET" and path in one.path for one in seen)


@pytest.fixture
def watch(sandbox: Sandbox) -> Iterator[Watch]:
    """A watch that has looked for the first time."""
    with closing(connect(sandbox)) as connector:
        watch = Watch(sandbox, connector)
        assert watch.look(after=0) == []
        yield watch


def connect(sandbox: Sandbox, **config: Any) -> PagerDuty:
    url = sandbox.pagerduty.url
    keys = {"routing_key": sandbox.pagerduty.routing_key, "api_token": sandbox.pagerduty.api_token}
    settings = {"type": "pagerduty", **keys, "base_url": url, "api_url": url, **config}
    return PagerDuty("oncall", PagerDutyConfig.model_validate(settings), now=sandbox.clock)


# What people do


def test_who_acknowledges_and_who_resolves_is_told_once(watch: Watch) -> None:
    """With the person's name, oldest first; later looks go over the same lines and tell nothing of them."""
    watch.page("a")
    assert watch.look() == []
    people = watch.sandbox.pagerduty
    people.acknowledge(KEY, "Alice")
    assert watch.look() == [(KEY, Status.ACKNOWLEDGED, "Alice Example")]
    people.resolve(KEY, "Bob")
    assert watch.look() == [(KEY, Status.RESOLVED, "Bob Example")]
    assert [watch.look() for _ in range(7)] == [[]] * 7


def test_all_that_happened_between_two_looks_is_told_in_order(watch: Watch) -> None:
    """Also within one second, which is as finely as the log tells the time."""
    watch.page("a", "b")
    watch.sandbox.pagerduty.acknowledge("sentrytex:b", "Bob")
    watch.sandbox.pagerduty.acknowledge(KEY, "Alice")
    watch.sandbox.pagerduty.resolve(KEY, "Bob")
    assert watch.look() == [
        ("sentrytex:b", Status.ACKNOWLEDGED, "Bob Example"),
        (KEY, Status.ACKNOWLEDGED, "Alice Example"),
        (KEY, Status.RESOLVED, "Bob Example"),
    ]


def test_when_it_happened_is_told_by_pagerduty_s_time(watch: Watch) -> None:
    watch.page("a")
    watch.sandbox.clock.advance(10)
    watch.sandbox.pagerduty.acknowledge(KEY)
    watch.sandbox.clock.advance(MINUTE)
    (_, told) = watch.connector.look(watch.cursor).sightings
    assert told.at == NOW + timedelta(seconds=10)


def test_an_acknowledgement_that_times_out_is_told(watch: Watch) -> None:
    """Nobody has it any more, and PagerDuty pages again. It is no person's doing."""
    watch.page("a")
    watch.sandbox.pagerduty.acknowledge(KEY)
    watch.look()
    watch.sandbox.pagerduty.unacknowledge(KEY)
    watch.sandbox.clock.advance(MINUTE)
    (_, told) = watch.connector.look(watch.cursor).sightings
    assert (told.status, told.person, told.reason) == (Status.OPEN, "PagerDuty", "the acknowledgement timed out")


def test_what_the_forwarder_or_another_program_did_is_not_told(watch: Watch) -> None:
    """Nobody decided it: neither our own events, nor the service that resolves by itself after a time."""
    watch.page("a", "b")
    for action in ("acknowledge", "resolve"):
        watch.connector.deliver(delivery(alert=alert(id="a")), {"event_action": action, "dedup_key": KEY})
    assert watch.look() == []
    assert watch.sandbox.pagerduty.incidents[KEY]["status"] == "resolved"


def test_a_quiet_look_is_one_request(watch: Watch) -> None:
    """However many incidents stand."""
    watch.page(*(f"alert-{number}" for number in range(5)))
    before = watch.asked()
    assert watch.look() == []
    assert watch.asked() == before + 1


# Other people's incidents


def test_an_incident_that_is_none_of_ours_costs_nothing(watch: Watch) -> None:
    other = delivery(alert=alert(id="a"))
    event = {**watch.connector.render(other), "dedup_key": "disk full"}
    watch.connector.deliver(other, event)
    watch.sandbox.pagerduty.acknowledge("disk full")
    before = watch.asked()
    assert watch.look() == []
    assert watch.asked() == before + 1


def test_the_same_alert_in_another_service_is_not_ours(watch: Watch) -> None:
    """Two connectors may lead to two services of one account, or a second forwarder may: both have the same keys."""
    other = "x" * 32
    watch.sandbox.pagerduty.rest.routing_keys[other] = Agent("POTHER", "service", "Another one")
    watch.page("a")
    with closing(connect(watch.sandbox, routing_key=other)) as connector:
        elsewhere = Watch(watch.sandbox, connector)
        elsewhere.look()
        watch.sandbox.pagerduty.acknowledge(KEY)
        assert elsewhere.look() == []
    assert watch.look() == [(KEY, Status.ACKNOWLEDGED, "Alice Example")]


def test_a_routing_key_that_no_service_shows_is_no_hindrance(watch: Watch) -> None:
    """An event orchestration has one; and a key may be allowed to read incidents alone. It is asked about once."""
    watch.sandbox.pagerduty.rest.routing_keys.clear()
    watch.page("a")
    for person, status in (("acknowledge", Status.ACKNOWLEDGED), ("resolve", Status.RESOLVED)):
        getattr(watch.sandbox.pagerduty, person)(KEY)
        assert watch.look() == [(KEY, status, "Alice Example")]
    assert watch.asked("/services") == 1


def test_a_key_that_may_not_read_services_is_good_enough(watch: Watch) -> None:
    watch.sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=403, path="/services", times=None))
    watch.page("a")
    watch.sandbox.pagerduty.acknowledge(KEY)
    assert watch.look() == [(KEY, Status.ACKNOWLEDGED, "Alice Example")]


@pytest.mark.parametrize("incident_key", [None, "disk full"])
def test_each_alert_of_a_grouped_incident_is_told(watch: Watch, incident_key: str | None) -> None:
    """Its own key tells nothing of them, so it is asked for those of its alerts; of others' it holds none is told."""
    watch.sandbox.pagerduty.grouping = True
    watch.page("a")
    other = delivery(alert=alert(id="x"))
    watch.connector.deliver(other, {**watch.connector.render(other), "dedup_key": "disk full"})
    watch.page("b")
    watch.sandbox.pagerduty.acknowledge(KEY)
    (incident,) = watch.sandbox.pagerduty._incidents.all.values()
    incident.key = incident_key
    assert watch.look() == [
        (KEY, Status.ACKNOWLEDGED, "Alice Example"),
        ("sentrytex:b", Status.ACKNOWLEDGED, "Alice Example"),
    ]


def test_a_grouped_incident_without_any_of_ours_is_asked_once(watch: Watch) -> None:
    """Until another alert joins it, which may be one of ours."""
    watch.sandbox.pagerduty.grouping = True
    other = delivery(alert=alert(id="x"))
    watch.connector.deliver(other, {**watch.connector.render(other), "dedup_key": "disk full"})
    for _ in range(3):
        watch.sandbox.pagerduty.acknowledge("disk full")
        assert watch.look() == []
    assert watch.asked("/alerts") == 1
    watch.page("a")
    watch.sandbox.pagerduty.acknowledge("disk full")
    assert watch.look() == [(KEY, Status.ACKNOWLEDGED, "Alice Example")]


# Nothing is missed, nothing told twice


def test_what_comes_into_view_late_is_told(watch: Watch) -> None:
    """A cursor that has passed it is no hindrance within the overlap."""
    watch.page("a")
    watch.look()
    watch.sandbox.pagerduty.acknowledge(KEY)
    hidden = watch.sandbox.pagerduty._incidents.log.pop()
    assert watch.look() == []
    watch.sandbox.pagerduty._incidents.log.append(hidden)
    assert watch.look() == [(KEY, Status.ACKNOWLEDGED, "Alice Example")]
    assert watch.look() == []


def test_what_comes_into_view_after_what_followed_it_is_left(watch: Watch) -> None:
    """That an alert was acknowledged before it was resolved must not open it again."""
    watch.page("a")
    log = watch.sandbox.pagerduty._incidents.log
    watch.sandbox.pagerduty.acknowledge(KEY)
    hidden = log.pop()
    hidden.id = "late"
    watch.sandbox.clock.advance(5)
    watch.sandbox.pagerduty.resolve(KEY, "Bob")
    assert watch.look() == [(KEY, Status.RESOLVED, "Bob Example")]
    log.insert(-1, hidden)
    assert watch.look() == []


def test_a_look_that_failed_is_made_up_for(watch: Watch) -> None:
    watch.page("a")
    watch.sandbox.pagerduty.acknowledge(KEY)
    watch.sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=503, path="/log_entries"))
    with pytest.raises(Failed):
        watch.look()
    assert watch.look() == [(KEY, Status.ACKNOWLEDGED, "Alice Example")]


def test_more_than_a_page_is_read_to_its_end(watch: Watch) -> None:
    ids = [f"many-{number}" for number in range(PAGE)]
    watch.page(*ids)
    for one in ids:
        watch.sandbox.pagerduty.acknowledge(f"sentrytex:{one}")
    assert sorted(key for key, _, _ in watch.look()) == sorted(f"sentrytex:{one}" for one in ids)


def test_more_than_can_be_paged_is_asked_for_by_time(watch: Watch) -> None:
    """PagerDuty lets nobody page further than some thousands of lines; of one second there must not be as many."""
    reach, log = 3 * PAGE, watch.sandbox.pagerduty._incidents
    watch.page("a")
    start = len(log.log)
    for number in range(2 * reach):
        if number % PAGE == 0:
            watch.sandbox.clock.advance(1)
        log._note("notify_log_entry", log._service, "auto", log.log[0].incident)
    config = watch.connector.config
    with closing(RestApi(config, watch.sandbox.pagerduty.api_token, watch.sandbox.clock, reach=reach)) as rest:
        ids, _ = rest.log_entries(NOW, None, lambda item: item["id"])
        assert list(dict.fromkeys(ids))[start:] == [entry.id for entry in log.log[start:]]
        for _ in range(reach):
            log._note("notify_log_entry", log._service, "auto", log.log[0].incident)
        with pytest.raises(Failed, match="of one second"):
            rest.log_entries(NOW, None, lambda item: item["id"])


def test_a_long_outage_is_made_up_for_piece_by_piece(watch: Watch) -> None:
    """One look reads so many hours, the next goes on from there."""
    watch.page("a")
    watch.sandbox.clock.advance(MINUTE)
    watch.sandbox.pagerduty.acknowledge(KEY)
    watch.sandbox.clock.advance(WINDOW.total_seconds())
    watch.sandbox.pagerduty.resolve(KEY, "Bob")
    first, second = watch.look(after=WINDOW.total_seconds()), watch.look()
    assert first == [(KEY, Status.ACKNOWLEDGED, "Alice Example")]
    assert second == [(KEY, Status.RESOLVED, "Bob Example")]


def test_the_cursor_forgets_what_no_look_meets_again(watch: Watch) -> None:
    watch.page("a")
    watch.sandbox.pagerduty.acknowledge(KEY)
    watch.look()
    assert len(json.loads(watch.cursor)["told"]) == 1
    watch.look(after=OVERLAP.total_seconds())
    watch.look()
    assert json.loads(watch.cursor)["told"] == []


@pytest.mark.parametrize("cursor", ["", "x", "[]", "null", '{"at": 1}', '{"at": "2026-01-01T00:00:00Z", "told": [1]}'])
def test_a_cursor_that_cannot_be_read_begins_anew(watch: Watch, cursor: str) -> None:
    """With what happens from now on."""
    watch.page("a")
    watch.sandbox.clock.advance(OVERLAP.total_seconds())
    watch.sandbox.pagerduty.acknowledge(KEY)
    watch.cursor = cursor
    watch.sandbox.clock.advance(2 * OVERLAP.total_seconds())
    assert watch.look() == []
    watch.sandbox.pagerduty.resolve(KEY)
    assert watch.look() == [(KEY, Status.RESOLVED, "Alice Example")]


def test_a_cursor_reads_what_it_wrote(watch: Watch) -> None:
    watch.page("a")
    watch.sandbox.pagerduty.acknowledge(KEY)
    watch.look()
    cursor = Cursor.parse(watch.cursor)
    assert cursor is not None
    assert cursor.told
    assert cursor.text == watch.cursor


# What the log holds


ENTRY: dict[str, Any] = {
    "id": "R1",
    "type": "acknowledge_log_entry",
    "created_at": "2026-03-01T12:00:00Z",
    "agent": {"id": "P1", "type": "user_reference", "summary": "Ada"},
    "incident": {"id": "Q1", "incident_key": KEY},
}


@pytest.mark.parametrize(
    ("kind", "before", "status"),
    [
        ("acknowledge_log_entry", Status.OPEN, Status.ACKNOWLEDGED),
        ("snooze_log_entry", Status.OPEN, Status.ACKNOWLEDGED),
        ("resolve_log_entry", Status.OPEN, Status.RESOLVED),
        ("unacknowledge_log_entry", Status.ACKNOWLEDGED, Status.OPEN),
        ("reopen_log_entry", Status.RESOLVED, Status.OPEN),
    ],
)
def test_each_kind_of_line_leads_from_one_status_to_another(kind: str, before: Status, status: Status) -> None:
    entry = Entry.read({**ENTRY, "type": kind})
    assert entry is not None
    assert (entry.before, entry.status, entry.person) == (before, status, "Ada")


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "notify_log_entry"},
        {"type": None},
        {"created_at": "yesterday"},
        {"created_at": None},
        {"agent": None},
        {"agent": {"type": "service_reference", "summary": "Security"}},
        {"incident": None},
        {"incident": {}},
        {"type": "resolve_log_entry", "incident": {"id": "Q1", "resolve_reason": {"type": "merge_resolve_reason"}}},
    ],
    ids=str,
)
def test_what_tells_of_no_decision_is_left_out(changes: dict[str, Any]) -> None:
    """Notifications, programs, what cannot be read, and an incident whose alerts were merged into another one."""
    assert Entry.read({**ENTRY, **changes}) is None


def test_a_hostile_name_stays_a_name() -> None:
    entry = Entry.read({**ENTRY, "agent": {"type": "user", "summary": "A\x1b[31mda\n\u202eB"}})
    assert entry is not None
    assert not {"\x1b", "\n", "\u202e"} & set(entry.person)


# In the store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open_exclusive(tmp_path / "forwarder.db") as opened:
        yield opened


def test_each_decision_reaches_the_alert_whatever_was_seen_before(watch: Watch, store: Store) -> None:
    """An incident that is acknowledged, resolved by our event, and opened anew by one, is acknowledged once more."""
    enqueue(store, alert(id="a"), "oncall", "secops")
    for connector in ("oncall", "secops"):
        settle(store, claim(store, connector), delivered(KEY))

    def look() -> list[str]:
        watch.sandbox.clock.advance(MINUTE)
        before = store.lifecycle.look_of("oncall").cursor
        found = watch.connector.look(watch.cursor)
        watch.cursor = found.cursor
        changed = store.lifecycle.looked("oncall", found, now=0.0, connectors=["oncall", "secops"], since=before)
        return [one.latest.words for one in changed if one.latest]

    watch.page("a")
    watch.sandbox.pagerduty.acknowledge(KEY)
    assert look() == ["Acknowledged by Alice Example"]
    for action in ("resolve", "reopen"):
        store.lifecycle.respond("a", _action(action), place="secops", now=0.0, connectors=["oncall", "secops"])
        settle(store, claim(store, "oncall", now=0.0), delivered(KEY), now=0.0)
    watch.connector.deliver(delivery(), {"event_action": "resolve", "dedup_key": KEY})
    watch.page("a")
    watch.sandbox.pagerduty.acknowledge(KEY, "Bob")
    assert look() == ["Acknowledged by Bob Example"]
    watch.sandbox.pagerduty.unacknowledge(KEY)
    assert look() == ["Reopened by PagerDuty"]
    assert look() == []


def _action(name: str) -> Any:
    from forwarder.connector import Action

    return Action(name)


# When PagerDuty does not answer as it should


@pytest.mark.parametrize(
    ("fault", "outcome", "reason"),
    [
        (Fault(kind=FaultKind.STATUS, status=401), Broken, "into api_token"),
        (Fault(kind=FaultKind.STATUS, status=403), Broken, "may not read incidents"),
        (Fault(kind=FaultKind.STATUS, status=404), Broken, "check region and api_url"),
        (Fault(kind=FaultKind.STATUS, status=302, headers={"Location": "https://a.example/"}), Broken, "a.example"),
        (Fault(kind=FaultKind.STATUS, status=400), Broken, "cannot be asked"),
        (Fault(kind=FaultKind.STATUS, status=429, headers={"ratelimit-reset": "17"}), RateLimited, "rate limit"),
        (Fault(kind=FaultKind.STATUS, status=500), Retry, "status 500"),
        (Fault(kind=FaultKind.STATUS, status=204, body=""), Retry, "status 204"),
        (Fault(kind=FaultKind.STATUS, status=200, body="[]"), Retry, "could not be read"),
        (Fault(kind=FaultKind.STATUS, status=200, body="{}"), Retry, "could not be read"),
        (Fault(kind=FaultKind.HTML), Retry, "PagerDuty"),
        (Fault(kind=FaultKind.RESET_BEFORE), Retry, "was cut"),
        (Fault(kind=FaultKind.TRUNCATED), Retry, "PagerDuty"),
    ],
    ids=lambda value: f"{value.kind.value}-{value.status}" if isinstance(value, Fault) else "",
)
def test_a_look_that_shows_nothing_is_said_so(watch: Watch, fault: Fault, outcome: type, reason: str) -> None:
    """It never passes for one that found nothing, and never holds the key."""
    watch.sandbox.pagerduty.inject(fault)
    with pytest.raises(Failed) as caught:
        watch.connector.look(watch.cursor)
    assert isinstance(caught.value.outcome, outcome)
    assert reason in caught.value.outcome.reason
    assert watch.sandbox.pagerduty.api_token not in repr(caught.value.outcome)


def test_an_address_that_nobody_answers_names_the_key_of_the_config(watch: Watch) -> None:
    with Sandbox() as gone:
        nobody = gone.pagerduty.url
    with closing(connect(watch.sandbox, api_url=nobody)) as connector, pytest.raises(Failed, match="cannot be reached"):
        connector.look("")
    with closing(connect(watch.sandbox, api_url="http://localhost:1")) as connector:
        assert not connector.check()[-1].ok


def test_a_rate_limit_tells_when_to_come_back(watch: Watch) -> None:
    watch.sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=429, headers={"ratelimit-reset": "17"}))
    with pytest.raises(Failed) as caught:
        watch.connector.look(watch.cursor)
    assert caught.value.outcome == RateLimited(17.0, "PagerDuty's rate limit")


def test_a_key_that_an_answer_repeats_is_blotted_out(watch: Watch) -> None:
    token = watch.sandbox.pagerduty.api_token
    body = json.dumps({"error": {"message": "Bad", "errors": [f"no such key {token}"]}})
    watch.sandbox.pagerduty.inject(Fault(kind=FaultKind.STATUS, status=401, body=body))
    with pytest.raises(Failed) as caught:
        watch.connector.look(watch.cursor)
    assert "no such key [api_token]" in caught.value.outcome.reason
    assert token not in caught.value.outcome.reason


# The config and the check


def test_without_a_key_nobody_looks(sandbox: Sandbox) -> None:
    with closing(connect(sandbox, api_token=None)) as connector:
        assert connector.look_every is None
        assert connector.look("x").cursor == "x"
    with closing(connect(sandbox, sync_every="off")) as connector:
        assert connector.look_every is None
    with closing(connect(sandbox, sync_every="5m")) as connector:
        assert connector.look_every == 300


@pytest.mark.parametrize("wrong", [{"api_token": "two words"}, {"sync_every": "10ms"}, {"api_url": "http://a.example"}])
def test_a_config_that_cannot_work_is_refused(sandbox: Sandbox, wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        connect(sandbox, **wrong)


@pytest.mark.parametrize(("region", "host"), [("us", "api.pagerduty.com"), ("eu", "api.eu.pagerduty.com")])
def test_the_region_names_the_api_s_address(sandbox: Sandbox, region: str, host: str) -> None:
    with closing(connect(sandbox, region=region, api_url=None)) as connector:
        assert connector.config.api_address == f"https://{host}"


def test_a_check_says_what_the_key_may_read_and_whose_the_routing_key_is(watch: Watch) -> None:
    findings = watch.connector.check()
    assert all(finding.ok for finding in findings)
    assert [finding.text for finding in findings[1:]] == [
        "The routing key is that of the service Security.",
        "The api_token may read incidents: who acknowledges and resolves them is heard.",
    ]
    watch.sandbox.pagerduty.rest.routing_keys.clear()
    assert "`forwarder test oncall`" in watch.connector.check()[1].text


def test_a_check_says_that_the_key_is_refused(watch: Watch) -> None:
    watch.sandbox.pagerduty.revoke_api_token()
    refused = watch.connector.check()[-1]
    assert not refused.ok
    assert "put a read-only REST API key (Integrations > API Access Keys) into api_token." in refused.text
