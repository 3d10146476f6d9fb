"""What a mute means, who may set one, and that its end is kept by the time on the wall."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder.alert import Vendor
from forwarder.common.clock import instant
from forwarder.config import Config, Mute
from forwarder.connector import Connector, MuteRequest, MuteScope
from forwarder.events import Listener
from forwarder.lifecycle import Mutes, Responses
from forwarder.lifecycle.mutes import mute_of, muted_by, of_config, words
from forwarder.store import Store
from forwarder.store.mute_records import MuteRow
from forwarder.store.query_records import Filter
from forwarder.testing import alert
from tests.kit.core import Scripted
from tests.kit.store import NOW, Time, config, deliver, enqueue

DAY: Final = 86400.0


def rule(seconds: float = DAY, **told: Any) -> Mute:
    conditions = told if set(told) & set(Mute.model_fields) - {"even_if_worse"} else {"vendors": "github", **told}
    return Mute.model_validate({"until": instant(NOW + seconds), "reason": "because", **conditions})


def row(name: str = "1", seconds: float = DAY, **told: Any) -> MuteRow:
    made = rule(seconds, **told)
    return MuteRow(id=name, rule=made, until=NOW + seconds, reason="because", place="the command line")


GITHUB: Final = alert(id="a", affected_vendors=["github"], severity="high", cve_id="CVE-2026-1000", cisa_kev=False)


def test_an_alert_is_muted_by_what_matches_it_until_its_end() -> None:
    assert muted_by(GITHUB, [row("1", vendors="okta"), row("2")], NOW) == row("2")
    assert muted_by(GITHUB, [row("1", vendors="okta")], NOW) is None
    assert muted_by(GITHUB, [row()], NOW + DAY) is None
    assert muted_by(GITHUB, [], NOW) is None


def test_a_category_is_what_the_stack_says_of_the_vendor() -> None:
    vendors = {"github": Vendor(key="github", name="GitHub", categories=("development",))}
    assert muted_by(GITHUB, [row(categories="dev*")], NOW, vendors) == row(categories="dev*")
    assert muted_by(GITHUB, [row(categories="dev*")], NOW) is None
    assert words(rule(categories=["dev*", "payments"])) == "category dev* or payments"


def test_of_several_the_one_counts_that_holds_it_the_longest() -> None:
    assert muted_by(GITHUB, [row("1", DAY), row("2", 3 * DAY), row("3", 2 * DAY)], NOW) == row("2", 3 * DAY)


def test_one_that_holds_through_worse_news_comes_before_all_others() -> None:
    """Else the news would be forgotten behind one that does not."""
    strict = row("1", even_if_worse=True)
    assert muted_by(GITHUB, [strict, row("2", 3 * DAY)], NOW) == strict
    assert muted_by(GITHUB, [row("2", 3 * DAY)], NOW, worse=True) is None
    assert muted_by(GITHUB, [strict, row("2", 3 * DAY)], NOW, worse=True) == strict


def test_one_that_ended_or_cannot_be_read_mutes_nothing() -> None:
    ended = MuteRow(id="1", rule=rule(), until=NOW + DAY, reason="x", place="x", ended_at=NOW, ended_by="Ada")
    broken = MuteRow(id="2", rule=None, until=NOW + DAY, reason="x", place="x", unreadable="It cannot be read.")
    assert muted_by(GITHUB, [ended, broken], NOW) is None


def test_conditions_in_words() -> None:
    said = rule(vendors=["github", "aws-*"], severity=["low"], cisa_kev=False, min_cvss=7, min_epss=0.1, cve_id="CVE-1")
    assert words(said) == (
        "severity low; not on CISA KEV; vendor github or aws-*; EPSS of at least 0.1; CVSS of at least 7; CVE-1"
    )
    assert words(rule(cve_id=["CVE-2026-*", "*-7"])) == "CVE CVE-2026-* or *-7"
    assert words(rule(alert_type="cve", cisa_kev=True)) == "on CISA KEV; type cve"


def test_what_an_alert_says_is_no_pattern() -> None:
    """One that calls its vendor * mutes its like alone."""
    hostile = alert(affected_vendors=["*", "a?c", "[x]"], cve_id="CVE-2026-9999")
    made = mute_of(hostile, MuteScope.VENDOR, until=instant(NOW + DAY), reason="x")
    assert made is not None
    mutes = [MuteRow(id="1", rule=made, until=NOW + DAY, reason="x", place="x")]
    assert muted_by(hostile, mutes, NOW) is not None
    for vendor in ("github", "abc", "x"):
        assert muted_by(alert(affected_vendors=[vendor]), mutes, NOW) is None
    for vendor in ("*", "a?c", "[x]"):
        assert muted_by(alert(affected_vendors=[vendor]), mutes, NOW) is not None


def test_what_an_alert_does_not_say_mutes_nothing() -> None:
    bare = alert(affected_vendors=[], cve_id=None)
    for scope in MuteScope:
        assert mute_of(bare, scope, until=instant(NOW + DAY), reason="x") is None


def test_a_mute_of_the_config_is_another_one_once_it_says_something_else() -> None:
    """Its place in the config, and the way in which it is written, do not matter."""
    told: dict[str, Any] = {"vendors": ["github"], "until": "2026-04-01", "reason": "x"}
    variants = [told, {**told, "vendors": "github"}, {**told, "until": "2026-04-01T02:00+02:00"}]
    variants += [{**told, "reason": "y"}, {**told, "until": "2026-04-02"}, {**told, "even_if_worse": True}]
    variants += [{**told, "vendors": ["okta"]}, {**told, "severity": "low"}]
    made = Config.model_validate({**dict(config()), "mutes": variants})
    ids = [mute.id for mute in of_config(made)]
    assert ids[0] == ids[1] == ids[2]
    assert len(set(ids)) == 6
    assert all(name.startswith("config-") for name in ids)


class Rig:
    """An alert of two vendors that stands at a connector, and the desk at which people there are heard."""

    def __init__(self, store: Store) -> None:
        self.store, self.time, self.woken = store, Time(), list[str]()
        self.mutes = Mutes(store, config(), now=self.time, wake=self.woken.extend)
        connector: Connector[Any] = Scripted("secops")
        responses = Responses(
            store,
            self.mutes,
            now=self.time,
            connectors=lambda: {"secops": connector},
            wake=lambda _: None,
            listener=Listener(),
        )
        connectors: list[Any] = []
        connector.listens = True
        connector.listen = connectors.append  # type: ignore[method-assign,assignment]
        responses.listen("secops")
        (self.desk,) = connectors

    def stands(self, remote_id: str = "R-1", **fields: Any) -> None:
        told = {"id": remote_id, "cve_id": "CVE-2026-1000", "affected_vendors": ["github", "okta"], **fields}
        enqueue(self.store, alert(**told), "secops")
        deliver(self.store, "secops", remote_id)

    def asks(self, scope: MuteScope = MuteScope.VENDOR, **changes: Any) -> str:
        told: dict[str, Any] = {"remote_id": "R-1", "reason": "noise", "key": "click-1", "person": "Ada", **changes}
        request = MuteRequest(scope=scope, lasts=timedelta(days=7), at=instant(NOW), **told)
        answer: str = self.desk.mute(request)
        return answer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open_exclusive(tmp_path / "forwarder.db") as opened:
        yield opened


@pytest.fixture
def rig(store: Store) -> Rig:
    return Rig(store)


def test_a_mute_that_is_asked_for_at_a_destination_is_kept_once(rig: Rig) -> None:
    """However often that tells of it; whoever asked is told what is muted, and until when."""
    rig.stands()
    said = "Muted until 2026-03-08T12:00:00Z: vendor github or okta. What has gone out already is not taken back."
    assert rig.asks() == said
    assert rig.asks() == "It is muted already."
    (mute,) = rig.mutes.list()
    assert (mute.who, mute.place, mute.reason, mute.until) == ("Ada", "secops", "noise", NOW + 7 * DAY)
    assert rig.asks(MuteScope.CVE, key="click-2").startswith("Muted until 2026-03-08T12:00:00Z: CVE-2026-1000.")
    assert len(rig.mutes.list()) == 2


def test_what_is_told_of_a_mute_stays_a_sentence(rig: Rig) -> None:
    """However many vendors an alert names, and whatever they are called."""
    rig.stands(affected_vendors=[f"vendor\n{number}" for number in range(5000)])
    told = rig.asks()
    assert told.startswith("Muted until 2026-03-08T12:00:00Z: vendor vendor 0 or vendor 1 or")
    assert told.endswith("…. What has gone out already is not taken back.")
    assert len(told) < 400
    assert "\n" not in told


def test_what_cannot_be_muted_is_said_with_the_way_out(rig: Rig) -> None:
    """As often as it is asked for: it may be told once more, and meant for another desk."""
    rig.stands(cve_id=None, affected_vendors=[])
    assert rig.asks(reason=" ") == "Nothing was muted: say why, for whoever asks where an alert has gone."
    for _ in range(2):
        assert rig.asks(MuteScope.CVE) == "Nothing was muted, for this alert has no CVE: mute its vendor."
        assert rig.asks() == "Nothing was muted, for this alert names no vendor: mute its CVE."
        assert rig.asks(remote_id="R-9") == "The forwarder does not know this alert any more."
    assert rig.mutes.list() == []


def test_a_mute_that_cannot_be_kept_is_said_to_be_none(rig: Rig) -> None:
    rig.stands()
    rig.store.close()
    assert rig.asks() == "This could not be kept: the forwarder's log says why. Try again in a moment."


def test_lists_name_the_next_to_end_first(store: Store) -> None:
    """Of the config and of people; those that have ended only where all are asked for."""
    time = Time()
    made = Config.model_validate({**dict(config()), "mutes": [rule(3 * DAY), rule(-DAY)]})
    mutes = Mutes(store, made, now=time, wake=lambda _: None)
    for days in (5, 1):
        mutes.add(rule(days * DAY), person="", place="the status page")
    mutes.end(1, by="Ada")
    assert [mute.who for mute in mutes.list()] == ["the status page", "the config"]
    assert [mute.until - NOW for mute in mutes.list(every=True)] == [-DAY, DAY, 3 * DAY, 5 * DAY]
    time.advance(DAY)
    assert [mute.who for mute in mutes.list()] == ["the config"]
    assert store.queries.alerts(Filter()) == []
