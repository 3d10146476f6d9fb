"""The alert: what is read of what the API says, cleaned, and what of a change people must hear."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.alert import MAX_ID, Alert, Change, MalformedAlert, Severity, got_worse
from forwarder.common.text import clean, is_web_url, one_line
from forwarder.testing import alert, alert_json, bare_alert, hostile_alerts, odd_alerts
from tests.kit.samples import real_alerts

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_a_complete_alert_is_read_as_it_is() -> None:
    """Every documented field arrives in its own type, and the time in UTC."""
    read = alert(published_at="2026-03-01T13:30:00+02:00", cisa_kev=True)
    assert (read.cve_id, read.severity, read.severity_known) == ("CVE-2026-10001", Severity.CRITICAL, True)
    assert (read.cvss_score, read.epss_score, read.cisa_kev, read.alert_type) == (9.8, 0.42, True, "cve")
    assert read.affected_vendors == ("github", "aws-lambda")
    assert read.published_at == datetime(2026, 3, 1, 11, 30, tzinfo=UTC)
    assert read.published_at.tzinfo is UTC


def test_unknown_fields_are_kept() -> None:
    """A field that the API has added since stays in the raw form."""
    assert alert(exploit_maturity={"level": "poc"}).raw["exploit_maturity"] == {"level": "poc"}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("text", "must be a JSON object, this is a text"),
        (None, "this is null"),
        ([], "this is a list"),
        (3, "this is a number"),
        ({"published_at": "2026-03-01T11:30:00Z"}, "has no id"),
        ({"id": " \n", "published_at": "2026-03-01T11:30:00Z"}, "has no id"),
        ({"id": True, "published_at": "2026-03-01T11:30:00Z"}, "has no id"),
        ({"id": "x" * (MAX_ID + 1), "published_at": "2026-03-01T11:30:00Z"}, "more than 255"),
        ({"id": "a"}, "no date of publication"),
        ({"id": "a", "published_at": "yesterday"}, "no date of publication"),
        ({"id": "a", "published_at": "2026-02-30T00:00:00Z"}, "no date of publication"),
        ({"id": "a", "published_at": "0001-01-01T00:00:00+05:00"}, "no date of publication"),
        ({"id": "a", "published_at": "9999-12-31"}, "no date of publication"),
    ],
)
def test_what_has_no_id_or_time_is_no_alert(raw: object, words: str) -> None:
    """What cannot be told apart or put in order is refused, with the reason in words."""
    with pytest.raises(MalformedAlert, match=words):
        Alert.parse(raw)


def test_the_longest_id_is_taken() -> None:
    """An id of exactly the limit is no reason to refuse an alert."""
    assert len(bare_alert(id="x" * MAX_ID).id) == MAX_ID


def test_an_alert_needs_nothing_but_an_id_and_a_time() -> None:
    """All other fields may be absent; the title is then the id, and the severity the highest, flagged."""
    bare = bare_alert()
    assert (bare.title, bare.severity, bare.severity_known) == (bare.id, Severity.CRITICAL, False)
    assert (bare.cve_id, bare.cvss_score, bare.epss_score, bare.link) == (None, None, None, None)
    assert bare.severity_label == "critical (the API said: none)"


def test_an_id_that_stands_in_for_a_title_is_one_line() -> None:
    """Whatever an alert is called by, it is a line."""
    assert Alert.parse(alert_json(id="a\rb", title=None, cve_id=None)).title == "a b"


def test_the_cve_stands_in_for_a_missing_title() -> None:
    """An alert without a title is named after its CVE."""
    assert bare_alert(cve_id="CVE-2026-1", title="  ").title == "CVE-2026-1"


@pytest.mark.parametrize("told", ["High", " HIGH\n", "high"])
def test_a_severity_is_known_however_it_is_written(told: str) -> None:
    """Case and white space do not make a severity unknown."""
    read = alert(severity=told)
    assert (read.severity, read.severity_known) == (Severity.HIGH, True)


@pytest.mark.parametrize("told", ["catastrophic", None, 9, {"level": "high"}, ["high"], ""])
def test_an_unknown_severity_is_the_highest_and_flagged(told: object) -> None:
    """A severity that the reference does not list counts as critical, and says so."""
    read = alert(severity=told)
    assert (read.severity, read.severity_known) == (Severity.CRITICAL, False)
    assert read.severity_label.startswith("critical (the API said: ")


def test_severities_are_ranked() -> None:
    """The most severe has rank 0: the order in which deliveries go out."""
    assert sorted(Severity, key=lambda severity: severity.rank) == ["critical", "high", "medium", "low"]
    assert Severity.CRITICAL.rank == 0


@pytest.mark.parametrize(
    ("told", "read"),
    [(9.8, 9.8), (7, 7.0), ("6.5", 6.5), (0, 0.0), (10, 10.0), (10.1, None), (-1, None), (True, None), ("x", None)],
)
def test_a_score_is_a_number_within_its_scale(told: object, read: float | None) -> None:
    """A score out of its scale is none; one that came as text still counts."""
    assert alert(cvss_score=told).cvss_score == read


@pytest.mark.parametrize("told", [float("nan"), float("inf"), "nan", "1e999"])
def test_what_is_no_finite_number_is_no_score(told: object) -> None:
    """NaN and the infinities compare with nothing, so they are no score."""
    assert alert(epss_score=told).epss_score is None


@pytest.mark.parametrize("told", ["true", 1, "yes", None, {}])
def test_only_true_is_on_kev(told: object) -> None:
    """A value of another type does not put an alert on CISA's list."""
    assert alert(cisa_kev=told).cisa_kev is False


def test_only_web_addresses_are_sources() -> None:
    """What cannot be linked safely is no source."""
    urls = ["javascript:alert(1)", "https://a.example/x?y=1", "ftp://b.example", "https://c.example/<x>", None, 7]
    assert alert(source_urls=urls).source_urls == ("https://a.example/x?y=1",)
    assert is_web_url("HTTP://A.example")
    assert not is_web_url("https://a.example/ b")


def test_a_single_value_counts_as_a_list() -> None:
    """A vendor or a source that comes without a list around it is not lost."""
    read = alert(affected_vendors="github", source_urls="https://a.example")
    assert (read.affected_vendors, read.source_urls) == (("github",), ("https://a.example",))


def test_the_link_is_the_cve_s_page() -> None:
    """A well-formed CVE leads to the NVD; anything else to the first source."""
    assert alert().link == "https://nvd.nist.gov/vuln/detail/CVE-2026-10001"
    sources = ["https://a.example", "https://b.example"]
    assert alert(cve_id="CVE-2026-1/../x", source_urls=sources).link == "https://a.example"
    assert alert(cve_id=None, source_urls=[]).link is None


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain", "plain"),
        ("a\r\nb\rc\td", "a\nb\nc\td"),
        ("\x1b[31mred\x00", "\ufffd[31mred\ufffd"),
        ("abc\u202egnp.exe", "abcgnp.exe"),
        ("lone \ud800", "lone \ufffd"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
    ],
)
def test_text_is_cleaned_of_what_no_destination_can_show(text: str, cleaned: str) -> None:
    """Controls and lone surrogates are replaced, marks that turn the reading direction go, the rest stays."""
    assert clean(text) == cleaned


@given(st.text())
def test_clean_text_can_be_written_anywhere(text: str) -> None:
    """Clean text is valid UTF-8, stays as it is when cleaned again, and fits one line when asked to."""
    cleaned = clean(text)
    cleaned.encode()
    assert clean(cleaned) == cleaned
    assert "\n" not in one_line(cleaned)


@given(
    st.fixed_dictionaries(
        {"id": st.text(min_size=1), "published_at": st.just("2026-03-01T11:30:00Z")},
        optional=dict.fromkeys((name for name in alert_json() if name not in ("id", "published_at")), JSON),
    )
)
def test_any_json_is_an_alert_or_malformed(raw: dict[str, Any]) -> None:
    """No value in any field makes reading fail in another way than by MalformedAlert."""
    try:
        read = Alert.parse(raw)
    except MalformedAlert:
        return
    assert read.id
    assert read.title
    assert "\n" not in read.title
    json.dumps([read.id, read.title, read.description, *read.affected_vendors], ensure_ascii=False).encode()


def test_hostile_and_odd_alerts_are_read() -> None:
    """Alerts with hostile texts or odd shapes are alerts all the same."""
    assert all(read.title for read in [*hostile_alerts(), *odd_alerts()])


def test_real_alerts_are_read_whole() -> None:
    """Alerts made from real CVEs keep every value."""
    for raw in real_alerts():
        read = Alert.parse(raw)
        assert (read.id, read.severity, read.severity_known) == (raw["id"], raw["severity"], True)
        assert list(read.affected_vendors) == raw["affected_vendors"]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("severity", "high", "critical"),
        ("cisa_kev", False, True),
        ("cvss_score", 7.5, 9.8),
        ("cve_id", None, "CVE-2026-2"),
        ("affected_vendors", ["github"], ["aws-lambda", "github"]),
    ],
)
def test_a_change_that_people_must_hear_of(name: str, old: object, new: object) -> None:
    """A change of what an alert weighs or concerns is told with its old and its new value."""
    (change,) = alert(**{name: new}).changes_from(alert(**{name: old}))
    assert (change.field, change.old, change.new) == (name, old, new)


@pytest.mark.parametrize(
    "quiet",
    [
        {"epss_score": 0.43},
        {"description": "A comma was mended."},
        {"title": "Another title"},
        {"source_urls": ["https://new.example"]},
        {"affected_vendors": ["aws-lambda", "github"]},
        {"news": 1},
        {"published_at": datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=1)},
    ],
)
def test_a_change_that_tells_nobody_anything(quiet: dict[str, Any]) -> None:
    """Drifting EPSS, mended texts and another order of vendors are no news."""
    assert alert(**quiet).changes_from(alert()) == ()


def test_an_unknown_severity_is_news_although_it_counts_as_critical() -> None:
    """From critical to a word that is not known is a change, and is told in the API's word."""
    (change,) = alert(severity="catastrophic").changes_from(alert(severity="critical"))
    assert (change.old, change.new) == ("critical", "critical (the API said: catastrophic)")


ROSE: Final = Change(field="severity", old="high", new="critical")
FELL: Final = Change(field="severity", old="critical", new="high")
LISTED: Final = Change(field="cisa_kev", old=False, new=True)


@pytest.mark.parametrize(
    ("changes", "worse"),
    [
        ((ROSE,), True),
        ((LISTED,), True),
        ((FELL, LISTED), True),
        ((Change(field="severity", old="high", new="critical (the API said: urgent)"),), True),
        ((), False),
        ((FELL,), False),
        ((Change(field="severity", old="critical", new="critical (the API said: urgent)"),), False),
        ((Change(field="cisa_kev", old=True, new=False),), False),
        ((Change(field="cvss_score", old=5.0, new=9.9),), False),
        ((Change(field="severity", old=None, new=None),), False),
    ],
)
def test_what_is_for_the_worse(changes: tuple[Change, ...], worse: bool) -> None:
    """A severity that rose, one that is not known, and a new entry in CISA's list; nothing else."""
    assert got_worse(changes) is worse
