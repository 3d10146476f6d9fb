"""An alert's life on the status page: what waits for its time, who has it, and what people press."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from forwarder.alert import Alert
from forwarder.connector import Action, Origin, Resolution
from forwarder.store.enqueue import keep_own
from forwarder.store.life_records import DIGEST, Hold, held_during
from forwarder.store.records import RoutedAlert
from forwarder.web.filters import KINDS, ORIGINS
from tests.kit import store as store_kit
from tests.kit.samples import alert
from tests.kit.store import NOW
from tests.kit.web import Site, serving

EVERYWHERE = ("secops", "oncall", "tickets")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site without any alert."""
    with serving(tmp_path) as running:
        yield running


def standing(site: Site, alert_id: str = "a", **changes: object) -> Alert:
    """An alert that stands at every connector since an hour."""
    one = alert(id=alert_id, **changes)
    store_kit.enqueue(site.store, one, *EVERYWHERE, now=NOW - 3600)
    for connector in EVERYWHERE:
        store_kit.deliver(site.store, connector, f"R-{connector}-{alert_id}", now=NOW - 3599)
    return one


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
    assert set(KINDS) == {kind.value for kind in store_kit.Kind}
    assert set(ORIGINS) == set(Origin)
    site.store.engine.write(
        lambda connection: keep_own(connection, alert(id="r-1", title="The week"), Origin.REPORT, now=NOW)
    )
    assert "a report The week" in site.text("/alerts/r-1")
