"""Alerts are found by any part of what people have at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from forwarder.store import Store
from forwarder.store.records import Filter
from tests.kit.samples import alert
from tests.kit.store import NOW, claim, delivered, enqueue, routed, settle

LOG4SHELL = alert(
    id="0A1B2C3D-4e5f-4000-8000-000000000001",
    cve_id="CVE-2021-44228",
    title="Log4Shell: remote code execution in “Größe” of 100%_sure \\ [x]",
    affected_vendors=["apache", "aws-lambda"],
)
OTHER = alert(
    id="0a1b2c3d-4e5f-4000-8000-000000000002",
    cve_id="CVE-2021-44832",
    title="Another one in Log4j",
    affected_vendors=[],
)
NAMELESS = alert(id="0a1b2c3d-4e5f-4000-8000-000000000003", cve_id=None, title="No CVE at all", affected_vendors=[])
ALL = [LOG4SHELL, OTHER, NAMELESS]


@pytest.fixture
def seen(store: Store) -> Store:
    """A store that has seen three alerts, one of which became a ticket."""
    for one in ALL:
        enqueue(store, one, "tickets")
        settle(store, claim(store, "tickets"), delivered(f"SEC-{ALL.index(one)}"))
    return store


def found(store: Store, text: str) -> list[str]:
    return sorted(row.alert.title for row in store.queries.alerts(Filter(text=text)))


@pytest.mark.parametrize(
    "text",
    [
        "CVE-2021-44228",
        " cve-2021-44228\t",
        "2021-44228",
        "44228",
        LOG4SHELL.id,
        LOG4SHELL.id.lower(),
        "log4shell",
        "shell: remote",
        "execution log4shell",
        "größe",
        "100%_sure",
        "\\ [x]",
        "aws-lambda",
        "sec-0",
        "https://example.atlassian.net/browse/SEC-0",
        "log4 %_",
        "cve 2021 44228",
        "CVE2021-44228",
        "CVE\u20112021\u201344228",
        "\ufeffCVE-2021-44228\u200b",
        "(CVE-2021-44228),",
        "https://nvd.nist.gov/vuln/detail/CVE-2021-44228#range",
        "4s",
        "sh 4s re",
        "ß",
        " ".join("log4shell"[place : place + 2] for place in range(8)) + " re em mo ot te ec cu ut ti io on",
    ],
)
def test_what_people_type_finds_the_alert(seen: Store, text: str) -> None:
    """In any case, by any part, with blanks around it; no sign in it means anything else."""
    assert found(seen, text) == [LOG4SHELL.title]


@pytest.mark.parametrize(
    "text",
    [
        "CVE-2022",
        "CVE-2021-442289",
        "2q",
        "log4shell 2q",
        "CVE-2021-44228x",
        "log5",
        "sec-9",
        '"',
        "*",
        "NEAR(a b)",
        "log4 shell-less",
        "'; DROP",
    ],
)
def test_nothing_else_is_found(seen: Store, text: str) -> None:
    """And nothing breaks, whatever is typed."""
    assert found(seen, text) == []


def test_one_cve_of_two_alerts_finds_both(seen: Store) -> None:
    """A vendor may publish it twice."""
    again = alert(id="0a1b2c3d-4e5f-4000-8000-000000000009", cve_id=LOG4SHELL.cve_id, title="Log4Shell once more")
    enqueue(seen, again, "tickets")
    assert found(seen, "cve-2021-44228") == sorted([LOG4SHELL.title, again.title])


def test_a_new_title_is_found_and_the_old_one_not(seen: Store) -> None:
    """The index follows what the feed says."""
    renamed = alert(**{**OTHER.raw, "title": "A title nobody foresaw"})
    seen.feed.commit_page([routed(renamed, known=OTHER)], now=NOW, connectors=["tickets"])
    assert found(seen, "nobody foresaw") == [renamed.title]
    assert found(seen, "another one") == []


def test_what_is_pruned_is_not_found(seen: Store, kind: str) -> None:
    """And leaves nothing in the index."""
    while seen.retention.prune(seen_before=NOW + 10**9, published_before=NOW + 10**9, overlap=0.0):
        pass
    assert found(seen, "log4") == []
    with seen.engine.read() as connection:
        assert connection.execute("SELECT count(*) FROM searchable").fetchone()[0] == 0
        if kind == "sqlite":
            assert connection.execute("SELECT count(*) FROM search WHERE search MATCH '\"log\"'").fetchone()[0] == 0


@pytest.mark.parametrize("raw", [{"title": 7}, {"title": ["a"]}, {"affected_vendors": "github"}, {"title": "\0x"}])
def test_odd_facts_do_not_break_the_index(store: Store, raw: dict[str, object]) -> None:
    """Whatever the feed sends in place of a text, the alert is taken in."""
    enqueue(store, alert(**raw), "tickets")
    assert len(store.queries.alerts(Filter())) == 1


def test_the_nearest_are_offered(seen: Store) -> None:
    """Those that begin like it; none for what is no CVE."""
    assert seen.queries.nearest("cve-2021-44229") == ["CVE-2021-44228", "CVE-2021-44832"]
    assert seen.queries.nearest("something else") == []


def test_what_is_forgotten_leaves_the_index(store: Store, path: Path) -> None:
    """It does not grow by what comes and goes: its marks of what was deleted are merged away."""
    sizes = []
    for round_ in range(12):
        enqueue_many(store, round_)
        while store.retention.prune(seen_before=NOW + 10**9, published_before=NOW + 10**9):
            pass
        with store.engine.read() as connection:
            sizes.append(connection.execute("SELECT sum(length(block)) FROM search_data").fetchone()[0])
    assert max(sizes) < 1000


def enqueue_many(store: Store, round_: int) -> None:
    alerts = [alert(id=f"{round_}-{number}", title=f"Flaw {number} in part {round_}") for number in range(300)]
    store.feed.commit_page([routed(one) for one in alerts], now=NOW)
