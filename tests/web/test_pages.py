"""The status page: what it shows, and what its forms do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from forwarder.alert import Alert, Severity, Vendor
from forwarder.delivery.waiting import Cause
from forwarder.store import Store, StoreError
from forwarder.store.mute_records import MutedBy
from forwarder.store.query_records import Filter
from forwarder.store.records import AttemptResult, Gap, State
from forwarder.testing import ALERT_ID, alert, hostile_alerts, odd_alerts
from forwarder.web import pages
from forwarder.web.charts import Latency, days, days_chart, latencies, latency_chart
from forwarder.web.filters import CAUSES, templates
from tests.kit import store as store_kit
from tests.kit.store import NOW, file_of
from tests.kit.web import HTML, Site, furnish, serving, sweep_short, words

PAGES = ("/", "/alerts", f"/alerts/{ALERT_ID}", "/dead-letters", "/figures", "/mutes", "/gaps", "/set-aside")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with something of everything, for tests that only look."""
    with serving(tmp_path_factory.mktemp("site")) as running:
        furnish(running.store)
        yield running


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Site]:
    """A site without any alert."""
    with serving(tmp_path) as running:
        yield running


# What it shows


def test_nothing_to_worry_about_is_said_in_one_sentence(fresh: Site) -> None:
    """A forwarder that reads its feed and owes nothing says so at the top."""
    assert "All is well: the feed was read 5s ago, and nothing waits." in fresh.text("/")


def test_the_overview_names_what_needs_a_person(site: Site) -> None:
    """What is paused or dead stands in the sentence at the top, with the reason and the remedy below."""
    text = site.text("/")
    assert "This needs you now: oncall is paused and oncall has 1 dead letter." in text
    assert "oncall is not accepting deliveries: token_revoked" in text
    assert "the next probe is in 45s" in text
    assert ". It happened 30s ago. Alerts may be missing." in text


def test_a_connector_that_the_config_does_not_name_is_shown_as_such(site: Site) -> None:
    """What is owed to an orphaned connector is not hidden."""
    text = site.text("/")
    assert "renamed not in the config" in text
    assert "hand its queue over with `forwarder rename renamed NEW`" in text


def test_the_overview_tells_how_far_the_feed_was_read(site: Site) -> None:
    """The poll, the cursor, how late alerts are seen, the budget and the counts of what went wrong are there."""
    text = site.text("/")
    assert "Last complete poll 30s ago" in text
    assert "Cursor newest alert seen 11:59:00" in text
    assert "Seen within half / all, last 24h 15m / 18m 20s" in text
    assert "Requests left this minute 100 of 100" in text
    assert "Gaps 1" in text
    assert "Set aside 1" in text
    assert "Without a route 1" in text


def test_the_overview_tells_how_far_sweeps_reach(site: Site) -> None:
    """The severity and the date, where sweeps fall short of look_back, and nothing where they do not."""
    assert "Sweeps reach" not in site.text("/")
    sweep_short(site.store)
    assert re.search(r"Last sweep 20s ago Sweeps reach high alerts 2026-02-28,? 12:00", site.text("/"))


def test_alerts_are_seen_so_late(fresh: Site) -> None:
    """The age of the newest alert grows on every quiet day; what is told is how long alerts took to be seen."""
    store_kit.enqueue(fresh.store, alert(id="first", published_at=store_kit.at(-7200)), now=NOW - 7000)
    for number, late in enumerate((20, 45, 400)):
        seen = alert(id=f"a{number}", published_at=store_kit.at(-3600))
        store_kit.enqueue(fresh.store, seen, now=NOW - 3600 + late)
    text = fresh.text("/")
    assert "Seen within half / all, last 24h 45s / 6m 40s" in text
    assert "Lag" not in text


def fail(site: Site, connector: str, *, times: int) -> None:
    """Lets all that the connector is owed be tried in vain so often, twenty seconds apart, the last time just now."""
    for number in reversed(range(times)):
        when = NOW - 20 * number
        for claimed in site.store.outbox.claim(connector, 9, now=when, lease=60):
            store_kit.settle(site.store, claimed, store_kit.failed(due_at=when, reason="It cut the line."), now=when)


def test_a_connector_that_fails_with_criticals_is_not_well(fresh: Site) -> None:
    """While criticals fail again and again the first sentence, the list and the card say so, and for how long."""
    for number in range(3):
        store_kit.enqueue(fresh.store, alert(id=f"c{number}"), "oncall", now=NOW - 90)
    fail(fresh, "oncall", times=4)
    page = fresh.page("/")
    text = words(page)
    assert "This needs you now: oncall is failing, with 3 criticals waiting." in text
    assert "All is well" not in page
    assert "oncall is failing since 11:59:00 (1m): 12 tries in vain, and nothing delivered since." in text
    assert "failing Queue 3 Criticals waiting 3 for 1m 30s Failing for 1m 12 tries in vain" in text
    assert '<li class="card failing urgent">' in page
    assert "/static/icon-bad.svg" in page


def test_a_connector_that_answers_again_is_working(fresh: Site) -> None:
    """What failed before the destination last took something does not make its connector failing."""
    store_kit.enqueue(fresh.store, alert(id="a"), "oncall", now=NOW - 90)
    fail(fresh, "oncall", times=3)
    store_kit.enqueue(fresh.store, alert(id="b", severity="critical"), "oncall", now=NOW)
    for claimed in fresh.store.outbox.claim("oncall", 9, now=NOW, lease=60):
        if claimed.delivery.alert.id == "b":
            store_kit.settle(fresh.store, claimed, store_kit.delivered(), now=NOW + 1)
        else:
            fresh.store.outbox.release(claimed)
    assert "failing" not in fresh.text("/")


def test_a_full_disk_is_urgent_at_once_and_then_past(fresh: Site) -> None:
    """The first sentence follows the database: well, refusing writes, and what was, each as soon as it is so."""
    store, listeners = fresh.store, fresh.forwarder.listeners
    assert "All is well" in fresh.text("/")
    store.engine.write(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchone())
    with pytest.raises(StoreError) as refused:
        store.feed.commit_page([store_kit.routed(alert(description="x" * 9000), "secops")], now=NOW)
    listeners.store_failed(str(refused.value))
    fresh.time.advance(93)
    text = fresh.text("/")
    assert "This needs you now: the database refuses writes, so new alerts are neither read nor sent." in text
    assert "refuses writes since 12:00:00 (1m 33s)" in text
    assert "the disk is full: make room. What was published since 11:59:55 is unread, criticals included" in text
    assert text.count("stopped by the database") == 3
    store.engine.write(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchone())
    fresh.time.advance(7)
    listeners.polled(store.feed.commit_page([], now=fresh.time()), 1.0)
    fresh.time.advance(300)
    text = fresh.text("/")
    assert "Working, with something to look at: the database took no writes for 1m 40s until 12:01:40" in text
    assert "refuses writes" not in text


def test_a_database_that_takes_no_write_is_noticed_by_whoever_looks(fresh: Site) -> None:
    """Nothing has to be read or sent first: the page tries it."""
    fresh.store.engine.write(lambda connection: connection.execute("PRAGMA query_only = ON"))
    assert "This needs you now: the database refuses writes" in fresh.text("/")


def test_a_stack_without_vendors_is_told(fresh: Site) -> None:
    """An account that no alert will ever come for is not called well."""
    fresh.store.vendors.keep({})
    assert "This needs you now: the stack has no vendors, so no alert will ever come." in fresh.text("/")


def test_vendors_are_called_by_name(fresh: Site) -> None:
    """In lists, on an alert's page and in its changes; the filter takes keys and names."""
    github = Vendor(key="github", name="GitHub <b>", categories=("code hosting",))
    fresh.store.vendors.keep({"github": github, "okta": Vendor(key="okta", name="okta")})
    store_kit.enqueue(fresh.store, known := alert(affected_vendors=["okta"]), "secops")
    store_kit.enqueue(fresh.store, alert(id="other", affected_vendors=["okta"], title="Another one"), "secops")
    changed = alert(affected_vendors=["github", "okta"])
    fresh.store.feed.commit_page([store_kit.routed(changed, "secops", known=known)], now=NOW, connectors=["secops"])
    page = fresh.page("/alerts?vendor=github+%3CB%3E")
    assert "<bdi>GitHub &lt;b&gt;</bdi>" in page
    assert "Another one" not in page
    assert '<option value="github" label="GitHub &lt;b&gt;"></option><option value="okta"></option>' in page
    assert "Another one" in fresh.page("/alerts?vendor=okta")
    page = fresh.page(f"/alerts/{ALERT_ID}")
    assert "<bdi>GitHub &lt;b&gt;</bdi>" in page
    assert "affected_vendors: okta → GitHub &lt;b&gt;, okta" in page


def test_the_evidence_is_shown(fresh: Site) -> None:
    """As text, whatever it says."""
    store_kit.enqueue(fresh.store, alert(), "oncall")
    assert "Evidence" not in fresh.text(f"/alerts/{ALERT_ID}")
    (unread,) = fresh.store.evidence.unread(["oncall"], now=NOW, limit=1)
    fresh.store.evidence.keep(unread, ["state: <script>verified", "sources: 2"])
    page = fresh.page(f"/alerts/{ALERT_ID}")
    assert "<li><bdi>state: &lt;script&gt;verified</bdi></li><li><bdi>sources: 2</bdi></li>" in page


def test_a_gap_of_criticals_is_urgent(fresh: Site) -> None:
    """Criticals that nobody saw are told first, with the way to the stretch."""
    gap = Gap(severity=Severity.CRITICAL, since=NOW - 5000, until=NOW - 4000)
    fresh.store.feed.commit_page([], now=NOW - 30, gaps=[gap])
    assert "This needs you now: critical alerts may be missing." in fresh.text("/")


@pytest.mark.parametrize("path", ["/", "/alerts", f"/alerts/{ALERT_ID}", "/dead-letters", "/gaps", "/set-aside"])
def test_every_page_says_when_it_was_made(site: Site, path: str) -> None:
    """Without JavaScript a page stays as it is, and says so."""
    text = site.text(path)
    assert "as of 12:00:00 UTC Without JavaScript it stays as it was then: reload it." in text


def test_a_card_tells_queue_pace_and_last_error(site: Site) -> None:
    """A connector's card has what it waits for, how fast it goes and what went wrong last."""
    text = site.text("/")
    assert "tickets none failing Queue 1 1 uncertain Failing for 14m 50s 1 try in vain Oldest waits 15m" in text
    assert "Delivered 1 in 1h · 1 in 24h" in text
    assert "timed out" in text


def test_an_alert_links_to_where_it_went(site: Site) -> None:
    """The Slack message and the ticket are one click away; states are told in words, too."""
    page = site.page("/alerts")
    assert '<a href="https://slack.example/archives/C1/p12" rel="noopener noreferrer">secops</a>' in page
    assert '<a href="https://jira.example/browse/SEC-7" rel="noopener noreferrer">tickets</a>' in page
    assert "oncall: dead letter" in words(page)


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("", {"Authentication bypass in the example gateway", "A small thing", "Nobody's", "Held up"}),
        ("severity=low", {"A small thing"}),
        ("vendor=openssl", {"A small thing"}),
        ("connector=oncall", {"Authentication bypass in the example gateway", "Held up"}),
        ("state=dead", {"Authentication bypass in the example gateway"}),
        ("connector=oncall&state=ready", {"Held up"}),
        ("search=2025-7", {"A small thing"}),
        ("unrouted=1", {"Nobody's"}),
        ("severity=worst&state=x&connector=y&show=z&nonsense=1", {
            "Authentication bypass in the example gateway", "A small thing", "Nobody's", "Held up",
        }),
        ("search=%27%22%3E%3Cscript%3E%25_", set()),
    ],
)  # fmt: skip
def test_alerts_are_filtered(site: Site, query: str, titles: set[str]) -> None:
    """Each filter narrows the list; one that makes no sense is left out."""
    page = site.page(f"/alerts?{query}")
    found = re.findall(r'class="title" href="[^"]*"><bdi>([^<]*)</bdi>', page)
    assert {title.replace("&#39;", "'") for title in found} == titles
    assert "<script>" not in page


def test_a_muted_alert_says_why_by_whom_and_until_when(fresh: Site) -> None:
    """In the lists, on its own page, and by a filter of its own; it is not said to be without a route."""
    mute = MutedBy(id="1", until=NOW + 86400, reason="<b>not in use</b>", who="Ada")
    muted = replace(store_kit.routed(alert(id="quiet"), "secops"), muted=mute)
    fresh.store.feed.commit_page([muted, store_kit.routed(alert(id="loud"), "secops")], now=NOW)
    said = "muted until 2026-03-02 12:00 by Ada: &lt;b&gt;not in use&lt;/b&gt;"
    for page in ("/alerts?muted=1", "/alerts/quiet"):
        assert said in words(fresh.page(page))
    assert "/alerts/loud" not in fresh.page("/alerts?muted=1")
    assert "Muted, so it went nowhere." in words(fresh.page("/alerts/quiet"))
    assert "no route names a connector" not in words(fresh.page("/alerts"))


def test_a_long_list_is_shown_in_steps(fresh: Site) -> None:
    """The newest fifty come first, and a link shows more of the same search."""
    new = [store_kit.routed(alert(id=f"many-{number}", severity="low")) for number in range(60)]
    fresh.store.feed.commit_page(new, now=NOW)
    page = fresh.page("/alerts?severity=low")
    assert page.count('class="title"') == 50
    assert "/alerts?severity=low&amp;show=200" in page
    assert fresh.page("/alerts?severity=low&show=200").count('class="title"') == 60


def test_a_history_has_everything_that_happened(site: Site) -> None:
    """An alert's page tells when it was seen, why it went where, each attempt with its answer, and the receipts."""
    text = site.text(f"/alerts/{ALERT_ID}")
    assert "11:00:00 Seen by the forwarder Owed to secops, oncall, tickets." in text
    assert "Alert to oncall: refused for good took 250 ms PagerDuty refuses the event" in text
    assert "tickets SEC-7" in text
    assert "Because: route 1: the route has no conditions" in text
    assert "1 yes the route has no conditions secops, oncall, tickets" in text
    assert "CVSS 9.8" in text


def test_a_history_shows_what_was_sent_and_what_changed(fresh: Site) -> None:
    """The payload stands as it went out; a change stands with its old and its new value."""
    first = alert(severity="high")
    store_kit.enqueue(fresh.store, first, "secops")
    claimed = store_kit.claim(fresh.store)
    store_kit.settle(fresh.store, claimed, store_kit.delivered(payload={"text": "as it <went> out"}))
    fresh.store.feed.commit_page([store_kit.routed(alert(), known=first)], now=NOW + 5, connectors=["secops"])
    text = fresh.text(f"/alerts/{ALERT_ID}")
    assert "&#34;text&#34;: &#34;as it &lt;went&gt; out&#34;" in text
    assert "Changed (revision 2) severity: high → critical" in text


def test_what_waits_says_for_what_until_when_and_links_there(site: Site) -> None:
    """On the alert's page in sentences, in place of a bare count of attempts."""
    page = site.page("/alerts/high-1")
    assert "oncall is paused, for 11m 30s now: token_revoked. It is tried next in 45s. About 12:00:45." in words(page)
    assert '<a href="/#cards">' in page
    page = site.page("/alerts/low-1")
    text = words(page)
    assert "It may have arrived: before it is sent again it is looked for, in 50s." in text
    assert "The config has no connector renamed: `forwarder rename renamed NEW` hands over what it is owed." in text
    assert '<a href="/dead-letters?connector=renamed">' in page


def test_what_stands_in_line_tells_its_place(fresh: Site) -> None:
    """On its page with a link to the line, and in the lists with one to its page; what is settled waits for nothing."""
    for number in range(3):
        store_kit.enqueue(fresh.store, alert(id=f"a{number}"), "secops", now=NOW - 9 + number)
    page = fresh.page("/alerts/a1")
    assert "Place 2 of 3." in words(page)
    assert '<a href="/alerts?connector=secops&amp;state=ready">' in page
    for path in ("/", "/alerts"):
        found = re.findall(r'<a class="wait" href="(.*?)" title="(.*?)">(.*?)</a>', fresh.page(path))
        assert ("/alerts/a1#delivery-2", "Place 2 of 3.", "in line, place 2 of 3") in found
        assert [text for _, _, text in found] == ["in line, place 3 of 3", "in line, place 2 of 3", "in line, the next"]
    for claimed in store_kit.claim_all(fresh.store):
        store_kit.settle(fresh.store, claimed, store_kit.delivered())
    assert 'class="wait' not in fresh.page("/alerts") + fresh.page("/alerts/a1")


def test_lists_tell_what_a_delivery_waits_for(site: Site) -> None:
    """In a few words, with about when it is tried; where the config has no such connector, with the way out."""
    text = site.text("/alerts")
    assert "oncall: waiting paused, tried about 12:00:45" in text
    assert "tickets: uncertain may have arrived, looked for about 12:00:50" in text
    assert "renamed: waiting not in the config" in text
    assert "The config has no connector renamed: `forwarder rename renamed NEW`" in site.text("/dead-letters")


def test_nothing_is_in_line_while_the_database_refuses_writes(fresh: Site) -> None:
    """No place and no time is promised then."""
    store_kit.enqueue(fresh.store, alert(id="a"), "secops", now=NOW - 9)
    fresh.forwarder.listeners.store_failed("The disk is full.")
    text = fresh.text("/alerts/a")
    assert "The database refuses writes, and nothing is sent until it takes them: The disk is full." in text
    assert "secops: waiting the database takes no writes" in fresh.text("/alerts")


def test_a_very_long_line_is_not_numbered_with_every_look(fresh: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list leaves the places of it out; the alert's own page has its place all the same."""
    monkeypatch.setattr(pages, "LONG_LINE", 2)
    for number in range(3):
        store_kit.enqueue(fresh.store, alert(id=f"a{number}"), "secops", now=NOW - 9 + number)
    assert 'class="wait"' not in fresh.page("/alerts")
    assert "Place 2 of 3." in fresh.text("/alerts/a1")


def test_every_cause_of_a_wait_has_its_words() -> None:
    """A list has a phrase for each of them."""
    assert set(CAUSES) == set(Cause)


def test_every_outcome_of_an_attempt_has_its_icon_and_its_colour(site: Site) -> None:
    """A history shows at a glance what an attempt came to: no outcome looks like an unremarkable event."""
    icon = templates(str).get_template("parts.html").module.icon  # type: ignore[attr-defined] # a macro
    style = site.client.get("/static/style.css").text
    for result in AttemptResult:
        assert icon(result.value) != icon("dot"), result
        assert f".history .{result.value} .icon" in style, result


def test_a_history_is_found_by_its_cve_too(site: Site) -> None:
    """A person may type the CVE instead of the id."""
    assert "A small thing" in site.text("/alerts/cve-2025-7")


def test_an_alert_that_was_never_seen_is_not_found(site: Site) -> None:
    """A wrong address says what is wrong in a sentence."""
    assert "No such alert was seen" in words(site.page("/alerts/nothing", 404))
    assert "There is no such page." in words(site.page("/nowhere", 404))
    assert "cannot be used like that" in words(site.client.post("/gaps", headers=HTML).text)


def test_gaps_and_texts_set_aside_have_their_pages(site: Site) -> None:
    """What the feed did not show, and what it showed that is no alert, can be looked at."""
    assert "high 10:36:40 10:53:20 16m 40s 11:59:30" in site.text("/gaps")
    assert "&lt;b&gt;no id&lt;/b&gt;" in site.page("/set-aside")
    assert "CVE-2026-9, &lt;b&gt;no id&lt;/b&gt;</p>" in site.page("/set-aside")


def as_read(raw: object) -> Any:
    """A JSON value as the client of the API reads it: there is no NaN in JSON."""
    return json.loads(json.dumps(raw), parse_constant=lambda _: None)


def test_odd_and_hostile_alerts_are_shown_as_text(fresh: Site) -> None:
    """Whatever an alert's fields hold, every page can be made, and nothing in them is markup or a script's address."""
    shown = [
        Alert.parse({**as_read(given.raw), "id": f"{number} {given.id}"[:255]})
        for number, given in enumerate([*hostile_alerts(), *odd_alerts()])
    ]
    fresh.store.feed.commit_page([store_kit.routed(given, "secops") for given in shown], now=NOW)
    for path in ["/alerts", "/", *(f"/alerts/{quote(given.id, safe='')}" for given in shown)]:
        page = fresh.page(path)
        assert "<img" not in page
        assert "<script>" not in page
        assert not re.search(r'href="(?!/|https?://|#main)', page), path
        assert not any(char in page for char in "\x00\x1b\u202e\ud800"), path
        assert len(page) < 600_000, path


def test_a_receipt_is_linked_only_to_the_web(fresh: Site) -> None:
    """An address that a destination made up is shown as text, where a click would run it."""
    store_kit.enqueue(fresh.store, alert(), "secops")
    store_kit.deliver(fresh.store, "secops", "C1:1.2", "javascript:alert(1)")
    for path in ("/", "/alerts", f"/alerts/{ALERT_ID}"):
        assert "javascript:" not in fresh.page(path)


def test_no_secret_is_shown(fresh: Site) -> None:
    """A secret of the config is blotted out, wherever a text holds it."""
    secret = fresh.forwarder.config.sentrytex.keys["default"]
    store_kit.enqueue(fresh.store, alert(title=f"It says {secret}", description=secret, source_urls=[f"https://x.example/{secret}"]), "secops")  # fmt: skip  # noqa: E501
    store_kit.settle(fresh.store, store_kit.claim(fresh.store), store_kit.dead(f"bad token {secret}"))
    for path in PAGES:
        assert secret not in fresh.page(path), path
    assert "It says [secret]" in fresh.page("/alerts")


def test_a_page_without_its_database_says_so(fresh: Site) -> None:
    """A database that cannot be read is told as one sentence, and the process lives on."""
    file_of(fresh.store).with_name("forwarder.db-wal").write_bytes(b"")
    file_of(fresh.store).write_bytes(b"no database any more" * 4096)
    page = fresh.page("/alerts", 503)
    assert "is damaged" in words(page)
    assert fresh.client.get("/healthz").status_code == 200


def test_pages_read_by_a_connection_of_their_own(fresh: Site) -> None:
    """A page is made while the forwarder's own reading is under way, and so never holds it up."""
    with fresh.store.engine.read():
        assert "All is well" in fresh.text("/")


# What its forms do


def dead_letter(store: Store, alert_id: str, connector: str = "secops") -> int:
    """The id of a delivery that was refused for good."""
    store_kit.enqueue(store, alert(id=alert_id), connector)
    claimed = store_kit.claim(store, connector)
    store_kit.settle(store, claimed, store_kit.dead())
    return claimed.delivery.id


def states(store: Store) -> dict[int, State]:
    return {row.id: row.state for row in store.queries.deliveries(Filter(origin=None, limit=1000))}


def test_a_dead_letter_is_retried(fresh: Site) -> None:
    """Retry makes the chosen dead letter due at once, and the page says so."""
    chosen, other = dead_letter(fresh.store, "a"), dead_letter(fresh.store, "b")
    answer = fresh.post("/dead-letters", action="retry", id=[chosen])
    assert answer.status_code == 303
    assert "1 delivery will be tried again now." in fresh.text(answer.headers["Location"])
    assert states(fresh.store) == {chosen: State.READY, other: State.DEAD}


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_nothing_chosen_promises_nothing(fresh: Site, action: str) -> None:
    """A form that was sent without a tick says that nothing was done, and how to do something."""
    chosen = dead_letter(fresh.store, "a")
    answer = fresh.post("/dead-letters", action=action, connector="secops")
    assert answer.status_code == 303
    text = fresh.text(answer.headers["Location"])
    assert "Nothing was chosen, so nothing was done: tick the deliveries that you mean first." in text
    assert "0 deliveries" not in text
    assert states(fresh.store) == {chosen: State.DEAD}


def test_what_an_orphan_is_owed_is_not_promised_to_be_tried(fresh: Site) -> None:
    """Retrying what no connector takes does nothing, and says so."""
    chosen = dead_letter(fresh.store, "a", "renamed")
    text = fresh.text(fresh.post("/dead-letters", action="retry", id=[chosen]).headers["Location"])
    assert "Nothing was done: what was chosen is settled meanwhile, or its connector is not in the config." in text


def test_all_dead_letters_of_a_connector_are_retried(fresh: Site) -> None:
    """Retry all keeps to the connector whose dead letters are shown."""
    ids = [dead_letter(fresh.store, "a"), dead_letter(fresh.store, "b"), dead_letter(fresh.store, "c", "tickets")]
    fresh.post("/dead-letters", action="retry-all", connector="secops")
    assert list(map(states(fresh.store).get, ids)) == [State.READY, State.READY, State.DEAD]


def test_discarding_asks_first(fresh: Site) -> None:
    """A delivery is discarded only after the page that names it was answered."""
    chosen = dead_letter(fresh.store, "a")
    asked = fresh.post("/dead-letters", action="discard", id=[chosen])
    assert "Discard 1 delivery?" in words(asked.text)
    assert chosen in states(fresh.store)
    answer = fresh.post("/dead-letters", action="discard", id=[chosen], sure="1")
    assert "1 delivery discarded." in fresh.text(answer.headers["Location"])
    assert states(fresh.store) == {}


def test_what_an_orphan_is_owed_can_be_discarded(fresh: Site) -> None:
    """What waits for a connector that the config does not name is listed, and goes by the same form."""
    store_kit.enqueue(fresh.store, alert(), "renamed")
    (waiting,) = states(fresh.store)
    assert "Owed to connectors that the config does not name" in fresh.text("/dead-letters")
    fresh.post("/dead-letters", action="discard", id=[waiting], sure="1")
    assert states(fresh.store) == {}


def test_what_is_on_its_way_cannot_be_discarded(fresh: Site) -> None:
    """A form that names a delivery that waits for a working connector does nothing to it."""
    dead_letter(fresh.store, "a", "oncall")
    store_kit.enqueue(fresh.store, alert(), "secops")
    waiting = max(states(fresh.store))
    for action in ("discard", "retry"):
        assert fresh.post("/dead-letters", action=action, id=[waiting], sure="1").status_code == 303
    assert states(fresh.store)[waiting] is State.READY


def test_a_paused_connector_is_probed_at_once(fresh: Site) -> None:
    """Trying it now makes the next probe due; the page offers that only where a connector is paused."""
    assert "Try it now" not in fresh.page("/")
    store_kit.enqueue(fresh.store, alert(), "secops")
    store_kit.settle(fresh.store, store_kit.claim(fresh.store), store_kit.paused(NOW + 600))
    assert "Try it now" in fresh.page("/")
    assert fresh.post("/probe", on="/", connector="secops").status_code == 303
    pause = fresh.store.outbox.pause_of("secops")
    assert pause
    assert pause.probe_at == NOW


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"action": "burn"}, 400),
        ({"action": "retry", "id": ["x", "-1", "9" * 30, "٣"]}, 303),
        ({"action": "retry", "more": "x" * 300_000}, 413),
    ],
)
def test_a_form_that_makes_no_sense_does_nothing(fresh: Site, fields: dict[str, Any], status: int) -> None:
    """Forms are taken apart with care: unknown actions, ids that are none, forms without end."""
    chosen = dead_letter(fresh.store, "a")
    assert fresh.post("/dead-letters", **fields).status_code == status
    assert states(fresh.store) == {chosen: State.DEAD}


# How it looks


def colours(css: str) -> tuple[dict[str, str], dict[str, str]]:
    """The palettes of the light and of the dark theme."""
    light, dark = css.split("@media (prefers-color-scheme: dark)", 1)
    parts = (light, dark.split("\n}\n", 1)[0])
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part)) for part in parts]
    assert found[0].keys() == found[1].keys()
    return found[0], found[1]


def contrast(one: str, other: str) -> float:
    """The contrast of two colours (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_text_has_enough_contrast(site: Site, theme: int) -> None:
    """Texts reach WCAG AA (4.5) on whatever they stand on, marks and the bars of the chart 3."""
    palette = colours(site.client.get("/static/style.css").text)[theme]
    grounds = ["ground", "panel", "sunken"]
    pairs = [(text, ground) for text in ("text", "hint", "link", "fine", "watch", "bad") for ground in grounds]
    pairs += [(name, f"tint-{name}") for name in ("fine", "watch", "bad", "critical", "high", "medium", "low")]
    pairs += [("text", "tint-watch"), ("text", "tint-bad"), *(("critical", ground) for ground in grounds)]
    pairs += [("on-button", "button"), ("on-button", "danger")]
    assert not [(a, b) for a, b in pairs if contrast(palette[a], palette[b]) < 4.5]
    bars = [f"bar-{severity.value}" for severity in Severity]
    assert not [bar for bar in bars if contrast(palette[bar], palette["panel"]) < 3]


def test_pages_are_built_for_everyone(site: Site) -> None:
    """Each page has a language, one main heading, a way past the menu, captions for its tables and names for fields."""
    for path in PAGES:
        page = site.page(path)
        assert '<html lang="en">' in page
        assert page.count("<h1") == 1, path
        assert '<a class="skip" href="#main">' in page
        assert page.count("<table") == page.count("<caption"), path
        assert "style=" not in page
        for field in re.findall(r"<input (?!type=\"hidden\")[^>]*>", page):
            assert "aria-label=" in field or f"> {field}" in page or f"<label>{field}" in page or "label" in page


# The charts


def test_every_day_has_its_column() -> None:
    """Days without alerts are there with nothing, and the bars of a day add up to its height."""
    shown = days([("2026-03-01", Severity.LOW, 3), ("2026-03-01", Severity.CRITICAL, 1)], date(2026, 3, 1), 30)
    assert [day.total for day in shown] == [0] * 29 + [4]
    chart = days_chart(shown)
    assert len(chart.columns) == 30
    last = chart.columns[-1]
    assert last.title == "2026-03-01: 1 critical, 3 low"
    assert [bar.severity for bar in last.bars] == [Severity.CRITICAL, Severity.LOW]
    assert sum(bar.height for bar in last.bars) == pytest.approx(chart.floor - chart.ticks[-1].at)


def test_a_chart_of_nothing_can_be_drawn() -> None:
    """No alert and no delivery make empty charts, not errors."""
    assert [tick.label for tick in days_chart(days([], date(2026, 3, 1), 30)).ticks] == ["0", "1", "2"]
    assert latency_chart([]).spans == []


def test_latencies_are_told_by_median_and_tail() -> None:
    """Half of the deliveries took at most the median, 19 of 20 at most the tail."""
    (row,) = latencies([("secops", float(seconds)) for seconds in range(1, 101)])
    assert row == Latency(connector="secops", count=100, median=50.0, slow=95.0)
    (span,) = latency_chart([row]).spans
    assert span.median < span.slow
    assert span.title == "secops: half within 50s, 95% within 1m 35s"


def test_latencies_beyond_the_axis_stay_on_it() -> None:
    """What took no time at all, or months, is drawn at the axis's ends."""
    chart = latency_chart([Latency(connector="x" * 99, count=1, median=0.0, slow=1e9)])
    (span,) = chart.spans
    assert (span.median, span.slow) == (chart.ticks[0].at, chart.ticks[-1].at)
    assert len(span.name) <= 16
