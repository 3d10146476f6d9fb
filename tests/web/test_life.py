"""An alert's life on the status page: what waits for its time, who has it, and what people press."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from forwarder.alert import Alert, Severity
from forwarder.connector import Action, Kind, Origin, Resolution
from forwarder.delivery.dispatcher import Dispatcher
from forwarder.store.enqueue import keep_own
from forwarder.store.life_records import DIGEST, Hold, held_during
from forwarder.store.records import RoutedAlert
from forwarder.testing import alert
from forwarder.web.filters import KINDS, ORIGINS
from tests.kit import store as store_kit
from tests.kit.core import Scripted
from tests.kit.store import NOW
from tests.kit.web import Site, serving, words

EVERYWHERE = ("secops", "oncall", "tickets")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site without any alert."""
    with serving(tmp_path) as running:
        yield running


def standing(site: Site, alert_id: str = "a", *, since: float = NOW - 3600, **changes: object) -> Alert:
    """An alert that stands at every connector, usually since an hour."""
    one = alert(id=alert_id, **changes)
    store_kit.enqueue(site.store, one, *EVERYWHERE, now=since)
    for connector in EVERYWHERE:
        store_kit.deliver(site.store, connector, f"R-{connector}-{alert_id}", now=since)
    return one


class Dated(Scripted):
    """A place that is told what people decide, and where alerts are due two days after they came to be owed."""

    tells_responses = True

    def due(self, severity: Severity, since: datetime) -> datetime | None:  # noqa: ARG002
        return since + timedelta(days=2)


def dated(site: Site, name: str) -> None:
    """Puts such a place into use; what it is owed stays where it is."""
    forwarder = site.forwarder
    forwarder.dispatchers[name] = Dispatcher(
        Dated(name), site.store, now=site.time, random=lambda: 0.5, listener=forwarder.listeners
    )


def hold(site: Site, one: Alert, hold: Hold) -> None:
    routed = store_kit.routed(one, "secops")
    held = RoutedAlert(alert=one, decision=routed.decision, targets=routed.targets, holds={"secops": hold})
    site.store.feed.commit_page([held], now=NOW - 600, connectors=EVERYWHERE)


# What waits for its time


@pytest.mark.parametrize(
    ("reason", "word"), [(held_during("office"), "outside its hours, out about 13:00:00"), (DIGEST, "for the digest")]
)
def test_what_is_held_says_for_what(site: Site, reason: str, word: str) -> None:
    """A delivery that waits for its hours or a digest is listed as held, with its time, and can be filtered for."""
    hold(site, alert(id="later", title="It can wait"), Hold(until=NOW + 3600, reason=reason))
    store_kit.enqueue(site.store, alert(id="now", title="It cannot"), "secops", now=NOW)
    listed = site.text("/alerts?state=held")
    assert "It can wait" in listed
    assert "It cannot" not in listed
    assert f"secops: held for its time {word}" in listed
    assert "New alert: held for its time since 11:50:00" in site.text("/alerts/later")


# What people decided


def test_a_digest_lists_what_it_tells_of(site: Site) -> None:
    """All of it, each with its own page: in the message there may be room for a part of them only."""
    for number in range(500):
        hold(site, alert(id=f"low-{number}", severity="low"), Hold(until=NOW - 60, reason=DIGEST))
    site.forwarder.life.held.release()
    (claimed,) = site.store.outbox.claim("secops", 1, now=NOW, lease=60)
    page = site.page(f"/alerts/{claimed.delivery.alert.id}")
    links = set(re.findall(r'href="(/alerts/low-[0-9]+)"', page))
    assert len(links) == len(claimed.delivery.items) == 500
    assert site.page(min(links))


def test_the_history_tells_who_decided_what_where_and_why(site: Site) -> None:
    """Each response stands in the story with its person, place and reason, beside what was sent of it."""
    standing(site)
    respond = site.forwarder.store.lifecycle.respond
    respond("a", Action.ACKNOWLEDGE, place="secops", person="Ada", now=NOW - 60, connectors=EVERYWHERE)
    respond(
        "a",
        Action.RESOLVE,
        place="the status page",
        person="Bob",
        reason="We do not use it.",
        resolution=Resolution.NOT_AFFECTED,
        now=NOW - 30,
        connectors=EVERYWHERE,
    )
    store_kit.settle(site.store, store_kit.claim_all(site.store, "oncall")[0], store_kit.delivered("R-oncall-a"))
    text = site.text("/alerts/a")
    assert "11:59:00 Acknowledged by Ada In secops." in text
    assert "11:59:30 Resolved (not affected) by Bob On the status page. We do not use it." in text
    assert "Acknowledgement to oncall: delivered" in text
    assert "Resolution: waiting" in text


def test_every_kind_and_origin_has_words(site: Site) -> None:
    """No page fails at, or shows the bare name of, a kind of delivery or an origin that is new to it."""
    assert set(KINDS) == {kind.value for kind in Kind}
    assert set(ORIGINS) == set(Origin)
    site.store.engine.write(
        lambda connection: keep_own(connection, alert(id="r-1", title="The week"), Origin.REPORT, now=NOW)
    )
    assert "a report The week" in site.text("/alerts/r-1")


# What people press


def test_pressing_acknowledge_tells_everybody_who_has_it(site: Site) -> None:
    """The form on an alert's page is kept as a response, shown on the page and in the list, and owed to others."""
    dated(site, "tickets")
    standing(site, title="The one")
    form = {"alert": "a", "deed": "acknowledge", "person": " Ada\n Byron ", "reason": "Mine."}
    answer = site.post("/respond", on="/alerts/a", **form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts/a?said=changed")
    text = site.text("/alerts/a?said=changed")
    assert "Acknowledged by Ada Byron. This is told to tickets." in text
    assert "On the status page. Mine." in text
    assert "acknowledged by Ada Byron just now" in site.text("/alerts")


def test_the_name_is_asked_once(site: Site) -> None:
    """The browser keeps it, cleaned and cut, in a cookie that no script and no other site can read or send."""
    standing(site)
    assert 'name="person" value=""' in site.page("/alerts/a")
    name = 'Zoë "Z" <Ω>\u202e\x07' + "x" * 200
    answer = site.post("/respond", on="/alerts/a", alert="a", deed="acknowledge", person=name)
    said = answer.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    assert "path=/;" in said
    (cookie,) = (part for part in answer.headers["set-cookie"].split(";") if "_name=" in part)
    page = site.client.get("/alerts/a", headers={"Cookie": cookie}).text
    (kept,) = set(re.findall(r'name="person" value="([^"]*)"', page))
    shown = html.unescape(kept)
    assert shown.startswith('Zoë "Z" <Ω>\ufffdxxx')
    assert len(shown) == 80


def test_who_was_faster_is_told(site: Site) -> None:
    """Of two people at once the first one counts, and the second is told who that was."""
    standing(site)
    for person in ("Ada", "Bob"):
        answer = site.post("/respond", on="/alerts/a", alert="a", deed="acknowledge", person=person)
    assert answer.headers["location"] == "/alerts/a?said=unchanged"
    assert "Somebody was faster: Acknowledged by Ada already." in site.text("/alerts/a?said=unchanged")


@pytest.mark.parametrize(
    ("deed", "says", "offered"),
    [
        ("acknowledge", "Acknowledged by Ada", ["done", "not_affected", "reopen"]),
        ("done", "Resolved (done) by Ada", ["reopen"]),
        ("not_affected", "Resolved (not affected) by Ada", ["reopen"]),
    ],
)
def test_the_buttons_follow_the_status(site: Site, deed: str, says: str, offered: list[str]) -> None:
    """Only what changes something is offered, and reopening makes the alert open again."""
    standing(site)
    assert buttons(site) == ["acknowledge", "done", "not_affected"]
    site.post("/respond", on="/alerts/a", alert="a", deed=deed, person="Ada")
    assert says in site.text("/alerts/a")
    assert buttons(site) == offered
    site.post("/respond", on="/alerts/a", alert="a", deed="reopen", person="Bob")
    assert buttons(site) == ["acknowledge", "done", "not_affected"]


def buttons(site: Site) -> list[str]:
    """What is offered in the form of responses."""
    return re.findall(r'name="deed" value="(\w+)"', site.page("/alerts/a").partition('id="mute"')[0])


def test_nothing_is_decided_without_a_form_of_ours(site: Site) -> None:
    """Another site's form, one without its key, and one that asks for nothing that there is change nothing."""
    standing(site)
    press = {"alert": "a", "deed": "acknowledge", "person": "Eve"}
    elsewhere = {"Origin": "https://evil.example"}
    key = site.form_key("/alerts/a")
    assert site.client.post("/respond", data=press).status_code == 403
    assert site.client.post("/respond", data={**press, "form_key": "0" * 64}).status_code == 403
    assert site.client.post("/respond", data={**press, "form_key": key}, headers=elsewhere).status_code == 403
    assert site.post("/respond", on="/alerts/a", **{**press, "deed": "explode"}).status_code == 400
    assert site.post("/respond", on="/alerts/a", **{**press, "alert": "gone"}).status_code == 404
    history = site.store.queries.history("a")
    assert history
    assert history.responses == ()


def test_nothing_is_offered_where_there_is_nothing_to_decide(site: Site) -> None:
    """A trouble of the forwarder's own, a digest and a report have no buttons."""
    site.store.engine.write(lambda connection: keep_own(connection, alert(id="a"), Origin.ALARM, now=NOW))
    assert buttons(site) == []


# The list


def test_the_list_begins_with_what_nobody_has(site: Site) -> None:
    """Open before acknowledged before resolved, the most severe first; the newest seen first on demand."""
    for alert_id, severity in (("o-low", "low"), ("o-crit", "critical"), ("ack", "critical"), ("done", "critical")):
        standing(site, alert_id, severity=severity, title=alert_id)
    respond = site.store.lifecycle.respond
    respond("ack", Action.ACKNOWLEDGE, place="secops", person="Ada", now=NOW, connectors=())
    respond("done", Action.RESOLVE, place="secops", person="Bob", now=NOW, connectors=())
    standing(site, "o-low-2", since=NOW - 60, severity="low", title="o-low-2")
    assert titles(site, "/alerts") == ["o-crit", "o-low-2", "o-low", "ack", "done"]
    assert titles(site, "/alerts?status=open&severity=low") == ["o-low-2", "o-low"]
    assert titles(site, "/alerts?status=acknowledged") == ["ack"]
    assert titles(site, "/alerts?status=resolved") == ["done"]
    assert titles(site, "/alerts?order=newest")[0] == "o-low-2"


def titles(site: Site, path: str) -> list[str]:
    return re.findall(r'class="title"[^>]*><bdi>([^<]*)', site.page(path))


def test_what_is_due_and_overdue_is_shown(site: Site) -> None:
    """The date that a connector has for an alert stands in the list and on its page until it is resolved."""
    dated(site, "tickets")
    standing(site, "late", since=NOW - 3 * 86400)
    standing(site, "soon")
    assert "overdue since 2026-02-28 12:00" in site.text("/alerts/late")
    assert "due 2026-03-03 11:00" in site.text("/alerts/soon")
    assert "open overdue since 2026-02-28 12:00" in site.text("/alerts")
    for alert_id in ("late", "soon"):
        site.post("/respond", on=f"/alerts/{alert_id}", alert=alert_id, deed="done", person="Ada")
    assert "due 2026" not in site.text("/alerts")
    assert "overdue since" not in site.text("/alerts") + site.text("/alerts/late")


# Figures


def test_the_figures_tell_how_alerts_stand_and_how_long_people_took(site: Site) -> None:
    """By severity and by week: new, open, acknowledged, overdue, and the medians, with links to the alerts."""
    dated(site, "tickets")
    for number in range(4):
        standing(site, f"c{number}", since=NOW - 5 * 86400, severity="critical")
    standing(site, "h", since=NOW - 3600, severity="high")
    respond = site.store.lifecycle.respond
    for number, (action, minutes) in enumerate([(Action.ACKNOWLEDGE, 10), (Action.RESOLVE, 30)]):
        respond(f"c{number}", action, place="secops", now=NOW - 5 * 86400 + 60 * minutes, connectors=())
    page = site.page("/figures")
    text = words(page)
    assert "critical 4 2 1 3 20m 30m" in text
    assert "high 1 1 0 0 – –" in text
    assert "All 5 3 1 3 20m 30m" in text
    assert "2026-02-23 20m 20m – – –" in text
    assert 'href="/alerts?status=open&amp;severity=critical"' in page
    assert len(titles(site, "/alerts?status=open&severity=critical")) == 2


def test_the_figures_of_nothing_are_a_page(site: Site) -> None:
    """Before the first alert all counts are zero, and nothing is divided by them."""
    assert "All 0 0 0 0 – –" in site.text("/figures")


# Mutes


def test_an_alert_s_page_mutes_what_is_like_it(site: Site) -> None:
    """By its CVE or its vendors, for a time, with a reason; the mutes are listed with their ends, and can be ended."""
    standing(site, "a", affected_vendors=["wordpress"])
    asked = {"alert": "a", "scope": "vendor", "lasts": "7 days", "person": "Ada", "reason": "Not in use any more."}
    answer = site.post("/mutes", on="/alerts/a", deed="mute", **asked)
    assert answer.headers["location"] == "/alerts/a?said=muted"
    assert "It is muted: alerts like it go nowhere until that ends" in site.text("/alerts/a?said=muted")
    text = site.text("/mutes")
    assert "vendor wordpress until 2026-03-08 12:00 in 7d Not in use any more. By Ada, just now" in text
    (mute,) = site.forwarder.life.mutes.list()
    assert site.post("/mutes", on="/mutes", deed="end", mute=mute.id).headers["location"] == "/mutes?done=ended"
    assert "goes out by the routes of now. Nothing is muted." in site.text("/mutes?done=ended")
    assert site.forwarder.life.mutes.list() == []


def test_a_mute_needs_a_reason_a_time_and_a_form_of_ours(site: Site) -> None:
    """What lacks one of them, or names no alert or no mute that there is, sets and ends nothing."""
    standing(site, "a", cve_id=None)
    asked = {"deed": "mute", "alert": "a", "scope": "vendor", "lasts": "1 day", "person": "Ada", "reason": "So."}
    wrong: list[tuple[dict[str, str], int]] = [
        ({"reason": " "}, 400),
        ({"lasts": "9 years"}, 400),
        ({"scope": "cve"}, 400),
        ({"alert": "gone"}, 404),
        ({"deed": "end", "mute": "config-1"}, 400),
    ]
    for change, status in wrong:
        assert site.post("/mutes", on="/alerts/a", **{**asked, **change}).status_code == status, change
    assert site.client.post("/mutes", data=asked).status_code == 403
    assert site.post("/mutes", on="/alerts/a", deed="end", mute="7").headers["location"] == "/mutes?done=gone"
    assert site.forwarder.life.mutes.list() == []
