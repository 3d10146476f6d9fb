"""The troubles of several feeds: each told by its account's name, many as one, and none of an account that left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from forwarder.alarms import AlarmType, Finding, findings
from forwarder.alarms.facts import Facts
from forwarder.alarms.feeds import TOGETHER
from forwarder.alarms.findings import OF_FEEDS, UNHELD_AFTER
from forwarder.alert import Severity
from forwarder.store.alarm_records import Alarm, Symptom
from forwarder.store.records import Feed
from tests.kit.store import NOW, config

WELL = Feed(cursor=NOW, stack=None, polled_at=NOW, poll_error=None, swept_at=NOW, sweep_reach=None)
REFUSED = Feed(
    cursor=NOW, stack=None, polled_at=NOW, poll_error="No.", swept_at=NOW, sweep_reach=None, key_refused="No."
)
NAMES = tuple(f"account-{number}" for number in range(TOGETHER + 3))


def found(
    feeds: dict[str, Feed],
    *standing: Alarm,
    unheld: dict[str, float] | None = None,
    symptoms: Sequence[Symptom] = (),
) -> list[Finding]:
    return findings(
        Facts(
            now=NOW,
            started_at=NOW - 5,
            config=config(),
            feeds=feeds,
            symptoms=symptoms,
            standing=standing,
            free=None,
            place=str(Path()),
            unheld=unheld or {},
        )
    )


def test_a_refused_key_is_told_by_the_account_s_name() -> None:
    """In the title and in what a person does about it; the others have no alarm."""
    (one,) = found({"acme": REFUSED, "beta": WELL})
    assert (one.type, one.subject, one.key) == (AlarmType.KEY_REFUSED, "acme", "key_refused-acme")
    assert one.title.endswith(": acme")
    assert "sentrytex.accounts.acme.api_key" in one.remedy


def test_a_single_key_is_told_as_before() -> None:
    """By no name at all."""
    (one,) = found({"default": REFUSED})
    assert (one.subject, one.key) == ("", "key_refused")
    assert "sentrytex.api_key" in one.remedy
    assert "default" not in one.title


def test_what_many_have_is_one_alarm() -> None:
    """It names the first few and counts the rest; at the number from which that holds, each still has its own."""
    assert len(found(dict.fromkeys(NAMES[:TOGETHER], REFUSED))) == TOGETHER
    (one,) = found(dict.fromkeys(NAMES, REFUSED))
    assert (one.subject, one.text.startswith(f"{len(NAMES)} accounts: account-0, ")) == ("", True)


def test_gaps_of_many_accounts_are_one_alarm() -> None:
    """After a long outage each may have one; the alarm is as severe as the worst of them."""
    gaps = [
        Symptom(
            type="gap",
            subject=name,
            severity=Severity.HIGH if name == NAMES[-1] else Severity.LOW,
            kev=False,
            instance=name,
            facts={"since": NOW - 60, "until": NOW},
            reason="",
            last_at=NOW,
        )
        for name in NAMES
    ]
    few = found({"acme": WELL}, symptoms=gaps[:TOGETHER])
    assert [one.title.rpartition(": ")[2] for one in few] == list(NAMES[:TOGETHER])
    (one,) = found({"acme": WELL}, symptoms=gaps)
    assert (one.subject, one.severity, one.text.startswith(f"{len(NAMES)} accounts: ")) == ("", Severity.HIGH, True)


def test_what_nobody_reads_of_many_feeds_is_one_alarm() -> None:
    """A replica that could not be followed may have had hundreds."""
    many = {f"feed:{name}": UNHELD_AFTER + 1 for name in NAMES}
    (one,) = found({"acme": WELL}, unheld=many)
    assert (one.type, one.subject) == (AlarmType.ROLE_UNHELD, OF_FEEDS)
    assert f"the feeds of {len(NAMES)} accounts (account-0" in one.text
    few = {**dict(list(many.items())[:2]), "connector:secops": UNHELD_AFTER + 1}
    assert [one.subject for one in found({"acme": WELL}, unheld=few)] == [
        "feed:account-0",
        "feed:account-1",
        "connector:secops",
    ]
