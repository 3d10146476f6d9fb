"""Alerts are found by any part of what people have at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from forwarder.alert import Vendor
from forwarder.store import Store
from forwarder.store.query_records import Filter
from forwarder.testing import alert
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


@pytest.fixture
def called(store: Store) -> Store:
    """Alerts of vendors whose keys say less than their names, and of others whose keys begin alike."""
    names = {
        "gh": "GitHub",
        "aws": "Amazon Web Services",
        "aws-lambda": "Amazon Web Services Lambda",
        "msft": "100%_Größe (Germany)",
        "apache": "Apache HTTP Server",
        "apache-kafka": "Apache Kafka",
        "okta": "Okta",
    }
    store.vendors.keep({key: Vendor(key=key, name=name) for key, name in names.items()})
    for number, key in enumerate(names):
        first = [alert(id=key, title=f"Of {key}", cve_id=f"CVE-2026-1{number}", affected_vendors=[key, "other"])]
        enqueue(store, first[0], "secops")
    enqueue(store, alert(id="two", title="Of two", cve_id=None, affected_vendors=["gh", "okta"]), "secops")
    return store


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("GitHub", ["Of gh", "Of two"]),
        ("github okta", ["Of two"]),
        ("itHu", ["Of gh", "Of two"]),
        ("Amazon Web Services", ["Of aws", "Of aws-lambda"]),
        ("amazon lambda", ["Of aws-lambda"]),
        ("Amazon CVE-2026-12", ["Of aws-lambda"]),
        ("http server", ["Of apache"]),
        ("100%_größe", ["Of msft"]),
        ("(Germany)", ["Of msft"]),
        ("okta", ["Of okta", "Of two"]),
        ("Azure", []),
    ],
)
def test_a_vendor_is_found_by_its_name(called: Store, text: str, titles: list[str]) -> None:
    """By any word of what the stack calls it, beside its key and all else that is typed; and it alone is."""
    assert found(called, text) == titles


def test_many_vendors_that_are_called_alike_are_found_and_no_other(called: Store) -> None:
    """A name may stand for dozens of keys; one that only begins like them is not called so."""
    names = {f"aws-{number}": f"Amazon Service {number}" for number in range(30)}
    called.vendors.keep({key: Vendor(key=key, name=name) for key, name in names.items()})
    for name in ("aws-7", "aws-29", "aws-x"):
        enqueue(called, alert(id=name, title=f"Of {name}", cve_id=None, affected_vendors=["other", name]), "secops")
    assert found(called, "amazon service") == ["Of aws-29", "Of aws-7"]


def test_the_filter_by_vendor_goes_by_its_key(called: Store) -> None:
    """Whatever others are called beside it."""
    called.vendors.keep({"gh": Vendor(key="gh", name="GitHub"), "apache": Vendor(key="apache", name="Apache on gh")})
    assert sorted(row.alert.title for row in called.queries.alerts(Filter(vendor="gh"))) == ["Of gh", "Of two"]


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
