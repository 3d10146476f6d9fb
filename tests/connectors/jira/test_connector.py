"""The Jira connector: what a ticket says, that there is only ever one, and that people's edits stay."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.jira import Jira, JiraConfig
from connectors.jira.markup import CUT_MARK, MAX_TEXT, Content, Fact, adf, cut_line, escape_wiki, plain, wiki
from connectors.jira.ticket import MAX_SUMMARY, identity_label
from forwarder.alert import Alert
from forwarder.common.text import clean
from forwarder.connector import (
    Broken,
    Change,
    Delivered,
    Delivery,
    Failed,
    Kind,
    Link,
    Origin,
    Outcome,
    RateLimited,
    Receipt,
    Rejected,
    Retry,
    Uncertain,
)
from forwarder.sandbox import Fault, FaultKind, Sandbox
from tests.kit.samples import (
    ALERT_ID,
    HOSTILE_TEXTS,
    alert,
    bare_alert,
    delivery,
    hostile_alerts,
    odd_alerts,
    real_alerts,
)

LABEL = f"sentrytex-{ALERT_ID}"
CREATE, SEARCH = "/issue", "/search"
SHORT, LONG = "500ms", "30s"


def config(**changes: Any) -> JiraConfig:
    """A config for Cloud, with ``changes``; None takes a key out."""
    values = {
        "type": "jira",
        "url": "https://example.atlassian.net",
        "email": "bot@example.com",
        "token": "not-a-real-token",
        "project": "SEC",
        **changes,
    }
    return JiraConfig.model_validate({key: value for key, value in values.items() if value is not None})


@pytest.fixture(params=["cloud", "data-center"])
def connect(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[Callable[..., Jira]]:
    """Makes connectors to the sandbox's Jira, once as Cloud and once as Data Center."""
    made: list[Jira] = []

    def connect(**changes: Any) -> Jira:
        email = sandbox.jira.email if request.param == "cloud" else None
        settings = {"url": sandbox.jira.url, "email": email, "token": sandbox.jira.token}
        made.append(Jira("tickets", config(**{**settings, **changes})))
        return made[-1]

    yield connect
    for jira in made:
        jira.close()


@pytest.fixture
def jira(connect: Callable[..., Jira]) -> Jira:
    return connect()


@pytest.fixture
def offline() -> Iterator[Jira]:
    """A connector that only renders."""
    with closing(Jira("tickets", config())) as jira:
        yield jira


def send(jira: Jira, outstanding: Delivery) -> Outcome:
    return jira.deliver(outstanding, jira.render(outstanding))


def opened(jira: Jira, outstanding: Delivery) -> Receipt:
    outcome = send(jira, outstanding)
    assert isinstance(outcome, Delivered), outcome
    return outcome.receipt


def follow_up(kind: Kind, receipt: Receipt | None, **changes: Any) -> Delivery:
    seen = (Change(field="severity", old="high", new="critical"),) if kind is Kind.UPDATE else ()
    return delivery(id=2, kind=kind, receipt=receipt, **{"revision": 2, "changes": seen, **changes})


def comments(sandbox: Sandbox, key: str = "SEC-1") -> list[str]:
    return [plain(comment["body"]) for comment in sandbox.jira.issues[key]["comments"]]


# The two languages


def units(body: Any) -> int:
    """What Jira counts: UTF-16 units, over a document's JSON."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def texts(node: Mapping[str, Any]) -> Iterator[str]:
    if node["type"] == "text":
        yield node["text"]
    for child in node.get("content", ()):
        yield from texts(child)


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
@pytest.mark.parametrize("write", [adf, wiki])
def test_a_text_reads_as_it_was_written(write: Callable[[Content], Any], text: str) -> None:
    """Whatever a text holds, the person who reads the ticket sees just that, up to Jira's limit."""
    body = write(Content(text=text))
    assert units(body) <= MAX_TEXT
    shown, meant = " ".join(plain(body).split()), " ".join(clean(text).split())
    assert shown == meant or (shown.endswith(CUT_MARK.split("\n")[1]) and meant.startswith(shown[:1000]))


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_a_document_has_no_empty_text_in_it(text: str) -> None:
    """Jira refuses a document with an empty text node, and control characters serve nobody."""
    page = Content(text=text, facts=[Fact(name="Title", value=text[:500])], small_print=text[:100])
    found = list(texts(adf(page)))
    assert all(found)
    assert all(node == clean(node) for node in found)


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("{code}x{code}", r"\{code\}x\{code\}"),
        ("[text|javascript:alert(1)]", r"\[text\|javascript:alert\(1)\]"),
        ("[~admin] !a.png!", r"\[\~admin\] \!a.png\!"),
        ("h1. Big\nbq. quote", "h1&#46; Big\nbq&#46; quote"),
        ("* item\n# item\n- item\n----", "\\* item\n\\# item\n\\- item\n\\-\\-\\-\\-"),
        ("||head||cell|", r"\|\|head\|\|cell\|"),
        ("_em_ +ins+ ^up^ ~down~ ??cite?? -del-", r"\_em\_ \+ins\+ \^up\^ \~down\~ \?\?cite\?\? \-del\-"),
        (r"C:\new\{x}", r"C:&#92;new&#92;\{x\}"),
        ("&lt;b&gt; a & b", "&#38;lt;b&#38;gt; a & b"),
        (":D ;) (x) (see it)", "&#58;D &#59;) \\(x) (see it)"),
        ("CVE-2026-10001 in a-b c_d?", r"CVE-2026-10001 in a-b c\_d?"),
        ("see https://example.com/a_b-c?d=~e.", "see https://example.com/a_b-c?d=~e."),
        ("https://example.com/{code}", r"https://example.com/\{code\}"),
    ],
)
def test_wiki_markup_of_an_alert_is_escaped(text: str, markup: str) -> None:
    """No macro, link, mention, image, heading, list or table of an alert's own; addresses can still be clicked."""
    assert escape_wiki(text) == markup


def test_a_link_in_wiki_markup_cannot_be_broken_out_of() -> None:
    """A source's address is the target of its link, whatever characters of the markup it holds."""
    url = "https://example.com/[x]!a.png!*b*"
    assert wiki(Content(text="", facts=[Fact(name="Source", value=url, url=url)])) == (
        "* *Source:* [https://example.com/%5Bx%5D%21a.png%21%2Ab%2A]"
    )
    assert "[a\\|b|https://example.com/]" in wiki(
        Content(text="", facts=[Fact(name="x", value="a|b", url="https://example.com/")])
    )


@pytest.mark.parametrize("write", [adf, wiki])
@pytest.mark.parametrize("char", ["a", "*", "\U0001f6a8"])
def test_a_text_at_the_limit_is_whole_and_one_past_it_is_cut_with_a_mark(
    write: Callable[[Content], Any], char: str
) -> None:
    """The limit counts what goes out, as Jira counts it: markup included, and an emoji as two."""
    frame = Content(text="", facts=[Fact(name="Severity", value="high")], small_print="small")
    each = units(write(replace(frame, text=char * 2))) - units(write(replace(frame, text=char)))
    room = (MAX_TEXT - units(write(replace(frame, text=char)))) // each + 1
    whole, cut = write(replace(frame, text=char * room)), write(replace(frame, text=char * (room + 1)))
    assert MAX_TEXT - each < units(whole) <= MAX_TEXT
    assert char * room in plain(whole)
    assert MAX_TEXT - 2 * each < units(cut) <= MAX_TEXT
    assert CUT_MARK in plain(cut)
    assert plain(cut).endswith("small")


@pytest.mark.parametrize("char", ["a", "\U0001f6a8"])
def test_a_line_at_the_limit_is_whole_and_one_past_it_is_cut_with_a_mark(char: str) -> None:
    """A summary's limit counts an emoji as two characters."""
    most = MAX_SUMMARY // units(char)
    assert cut_line(char * most, MAX_SUMMARY) == char * most
    cut = cut_line(char * (most + 1), MAX_SUMMARY)
    assert cut.endswith(f"{char}…")
    assert MAX_SUMMARY - 2 < units(cut) <= MAX_SUMMARY


# What a ticket says


def test_a_ticket_says_what_is_known(offline: Jira) -> None:
    """The facts come first, then the alert's text, then its id."""
    fields = offline.render(delivery(links=(Link(connector="secops", text="Slack", url="https://slack.example/1"),)))[
        "fields"
    ]
    assert fields["summary"] == "CVE-2026-10001: Authentication bypass in the example gateway"
    assert plain(fields["description"]).split("\n") == [
        "- Severity: critical",
        "- CVE: CVE-2026-10001",
        "- CVSS: 9.8",
        "- EPSS: 42.0% likely to be exploited within 30 days",
        "- CISA KEV: no",
        "- Vendors: github, aws-lambda",
        "- Type: cve",
        "- Published: 2026-03-01 11:30 UTC",
        "- Source: https://nvd.nist.gov/vuln/detail/CVE-2026-10001",
        "- Source: https://example.com/advisories/7?a=1&b=2",
        "- secops: Slack",
        "",
        "A crafted header lets a remote attacker act as any user.",
        "",
        "Versions before 4.2.1 are affected.",
        "",
        f"Sentrytex alert {ALERT_ID}",
    ]


def test_what_the_api_did_not_say_is_left_out(offline: Jira) -> None:
    """A ticket has no line for a score, a CVE or a vendor that nobody knows."""
    fields = offline.render(delivery(alert=bare_alert(severity="odd")))["fields"]
    assert plain(fields["description"]).split("\n\n")[0].split("\n") == [
        "- Severity: critical (the API said: odd)",
        "- CISA KEV: no",
        "- Published: 2026-03-01 11:30 UTC",
    ]
    assert fields["summary"] == ALERT_ID
    assert fields["labels"] == ["sentrytex", LABEL]


def test_a_ticket_carries_what_the_config_asks_for() -> None:
    """Priority, due date, labels and further fields come from the config, by severity where it says so."""
    asked = config(
        priority={"critical": "Highest"},
        due_in={"critical": "2d", "high": "7d"},
        labels=["security", "sentrytex"],
        fields={"components": [{"name": "Platform"}], "customfield_1": "x"},
        issue_type="Bug",
    )
    outstanding = delivery(enqueued_at=datetime(2026, 3, 1, 23, 30, tzinfo=UTC))
    with closing(Jira("tickets", asked)) as jira:
        fields = jira.render(outstanding)["fields"]
        high = jira.render(replace(outstanding, alert=alert(severity="high")))["fields"]
    assert fields["project"] == {"key": "SEC"}
    assert fields["issuetype"] == {"name": "Bug"}
    assert fields["priority"] == {"name": "Highest"}
    assert fields["duedate"] == "2026-03-03"
    assert fields["labels"] == ["security", "sentrytex", LABEL, "CVE-2026-10001"]
    assert (fields["components"], fields["customfield_1"]) == ([{"name": "Platform"}], "x")
    assert "priority" not in high
    assert high["duedate"] == "2026-03-08"


@pytest.mark.parametrize(
    "alert_id", ['an id with spaces, "quotes"', "UPPER", "ünïcode", "x" * 255, 'a" OR labels = "b', "\U0001f6a8"]
)
def test_an_id_that_is_no_label_is_hashed(alert_id: str) -> None:
    """Labels have no spaces, searches know no capitals: such an id still has a label of its own, safe in a query."""
    label = identity_label(alert_id)
    assert label.removeprefix("sentrytex-").isalnum()
    assert len(label) <= 255
    assert label != identity_label(alert_id + "x")
    assert label == identity_label(alert_id)


def test_ids_that_differ_in_capitals_only_have_labels_of_their_own() -> None:
    """Jira's search would take one for the other."""
    assert identity_label("ABC").lower() != identity_label("abc").lower()


def test_the_templates_words_go_out() -> None:
    """Title and text of the config's templates take the place of the connector's own, within the same limits."""

    class Words:
        def title(self, delivery: Delivery, built_in: str) -> str:  # noqa: ARG002
            return f"mine: {built_in}\nsecond line" + "x" * 300

        def text(self, delivery: Delivery, built_in: str) -> str:  # noqa: ARG002
            return "my {code} text"

    with closing(Jira("tickets", config(), Words())) as jira:
        fields = jira.render(delivery())["fields"]
        comment = jira.render(follow_up(Kind.UPDATE, Receipt(remote_id="SEC-1")))["comment"]
    assert fields["summary"].startswith(
        "mine: CVE-2026-10001: Authentication bypass in the example gateway second line"
    )
    assert units(fields["summary"]) == MAX_SUMMARY
    assert "my {code} text" in plain(fields["description"])
    assert plain(comment) == "my {code} text\n\nsentrytex update r2"


def test_an_update_says_in_words_what_changed(offline: Jira) -> None:
    """A comment gives the old and the new value of each field that people must hear of."""
    changes = (
        Change(field="severity", old="high", new="critical"),
        Change(field="cisa_kev", old=False, new=True),
        Change(field="cvss_score", old=None, new=9.8),
        Change(field="affected_vendors", old=["a", "b"], new=["b", "c", "d"]),
    )
    payload = offline.render(follow_up(Kind.UPDATE, Receipt(remote_id="SEC-1"), changes=changes, revision=3))
    assert set(payload) == {"comment"}
    assert plain(payload["comment"]).split("\n") == [
        "Severity is now critical; it was high.",
        "It is now on CISA's list of known exploited vulnerabilities (KEV).",
        "CVSS is now 9.8; it was none.",
        "Also affected: c, d. No longer affected: a.",
        "",
        "sentrytex update r3",
    ]


def test_the_preview_reads_like_the_ticket(connect: Callable[..., Jira]) -> None:
    """A person sees project, type, summary, priority, due date, labels, further fields and the text."""
    jira = connect(priority={"critical": "High"}, due_in={"critical": "1d"}, fields={"customfield_1": "x"})
    shown = jira.preview(jira.render(delivery()))
    assert shown.startswith(
        "SEC · Task\nSummary: CVE-2026-10001: Authentication bypass in the example gateway\n"
        f"Priority: High\nDue: 2026-03-02\nLabels: sentrytex, {LABEL}, CVE-2026-10001\ncustomfield_1: x\n\n"
        "- Severity: critical\n"
    )
    assert "Versions before 4.2.1 are affected." in shown
    both = jira.preview(jira.render(follow_up(Kind.UPDATE, None)))
    assert "SEC · Task" in both
    assert "Severity is now critical; it was high." in both


# The config


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"url": "example.atlassian.net"}, "must be an address that begins with https://"),
        ({"url": "ftp://example.com"}, "must be an address that begins with https://"),
        ({"url": "http://jira.example.com"}, "plain http is allowed to this machine"),
        ({"url": "https://me:not-a-real-token@example.com"}, "put credentials under email and token"),
        ({"url": "https://example.com/?x=1"}, "must be the bare address"),
        ({"email": None}, "email is missing"),
        ({"email": "no address"}, "must be the email address"),
        ({"token": " "}, "must be one word"),
        ({"token": "not-a-real-token…"}, "must be one word"),
        ({"token": "not-a-real-token\n"}, "must be one word"),
        ({"project": 'SEC" OR x'}, "pattern"),
        ({"labels": ["two words"]}, "a label has no spaces"),
        ({"labels": ["x" * 256]}, "a label has no spaces and at most 255 characters"),
        ({"fields": {"summary": "x", "project": "y"}}, "project, summary cannot be set here"),
        ({"fields": {"duedate": "2026-01-01"}, "due_in": {"high": "1d"}}, "duedate is set twice"),
        ({"fields": {"priority": {}}, "priority": {"high": "x"}}, "priority is set twice"),
        ({"reconcile_after": []}, "at least 1 item"),
        ({"priority": {"urgent": "High"}}, "critical"),
        ({"components": []}, "not permitted"),
    ],
)
def test_a_config_that_cannot_work_is_refused_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    """Mistakes are reported when the config is read, without the token."""
    with pytest.raises(ValidationError) as caught:
        config(**changes)
    assert sentence in str(caught.value)
    assert "not-a-real-token" not in str(caught.value)


def test_defaults() -> None:
    """What a config leaves out has a sane value; a trailing slash does no harm."""
    short = config(url="https://example.atlassian.net/ ")
    assert (short.url, short.issue_type, short.concurrency) == ("https://example.atlassian.net", "Task", 4)
    assert config(url="https://jira.example.com/jira", email="").email is None
    with closing(Jira("tickets", short)) as jira:
        assert jira.reconcile_after == (10, 60, 300)
    with closing(Jira("tickets", config(reconcile_after=["5s", "1m"]))) as jira:
        assert jira.reconcile_after == (5, 60)


# One ticket


def test_a_ticket_is_created(jira: Jira, sandbox: Sandbox) -> None:
    """What was rendered stands in Jira, and the receipt leads there; it took one search and one create."""
    outstanding = delivery()
    receipt = opened(jira, outstanding)
    assert receipt == Receipt(remote_id="SEC-1", url=f"{sandbox.jira.url}/browse/SEC-1")
    assert sandbox.jira.issues["SEC-1"]["fields"] == jira.render(outstanding)["fields"]
    assert [request.method for request in sandbox.jira.requests] == ["GET", "POST"]


def test_a_second_delivery_finds_the_ticket(jira: Jira, sandbox: Sandbox) -> None:
    """A crash between Jira's yes and the commit makes no second ticket."""
    first = opened(jira, delivery())
    second = send(jira, delivery())
    assert second == Delivered(first, note="the ticket was there already")
    assert len(sandbox.jira.issues) == 1


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(kind=FaultKind.STATUS, status=500, path=SEARCH), Retry),
        (Fault(kind=FaultKind.STATUS, status=429, path=SEARCH), RateLimited),
        (Fault(kind=FaultKind.STATUS, status=400, path=SEARCH), Broken),
        (Fault(kind=FaultKind.STATUS, status=404, path=SEARCH), Broken),
        (Fault(kind=FaultKind.STATUS, status=410, path=SEARCH), Broken),
        (Fault(kind=FaultKind.HTML, path=SEARCH), Retry),
        (Fault(kind=FaultKind.TRUNCATED, path=SEARCH), Retry),
        (Fault(kind=FaultKind.RESET_AFTER, path=SEARCH), Retry),
        (Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=60, path=SEARCH), Retry),
        (Fault(kind=FaultKind.STATUS, status=200, body="{}", path=SEARCH), Retry),
        (Fault(kind=FaultKind.STATUS, status=200, body="[]", path=SEARCH), Retry),
        (
            Fault(
                kind=FaultKind.STATUS,
                status=200,
                body='{"issues": []}',
                headers={"X-AUSERNAME": "anonymous"},
                path=SEARCH,
            ),
            Broken,
        ),
        (
            Fault(
                kind=FaultKind.STATUS,
                status=200,
                body='{"issues": []}',
                headers={"X-Seraph-LoginReason": "AUTHENTICATION_DENIED"},
                path=SEARCH,
            ),
            Broken,
        ),
    ],
)
def test_nothing_is_created_where_the_search_failed(
    connect: Callable[..., Jira], sandbox: Sandbox, fault: Fault, expected: type[Outcome]
) -> None:
    """An answer that does not say "there is none" is no reason to create one; ``find`` says that it could not look."""
    jira = connect(timeout=SHORT if fault.kind is FaultKind.TIMEOUT_BEFORE else LONG)
    sandbox.jira.inject(fault)
    assert isinstance(send(jira, delivery()), expected)
    sandbox.jira.inject(fault)
    with pytest.raises(Failed) as failed:
        jira.find(delivery())
    assert isinstance(failed.value.outcome, expected)
    assert sandbox.jira.issues == {}
    assert all(SEARCH in request.path for request in sandbox.jira.requests)


def test_an_expired_cloud_token_that_finds_nothing_makes_no_ticket(sandbox: Sandbox) -> None:
    """Cloud may answer a bad token with 200 and no results: the destination is broken, the ticket not gone."""
    settings = {"url": sandbox.jira.url, "email": sandbox.jira.email, "token": sandbox.jira.token}
    with closing(Jira("tickets", config(**settings))) as jira:
        opened(jira, delivery())
        sandbox.jira.seraph = True
        sandbox.jira.revoke()
        outcome = send(jira, delivery(alert=alert(id="another")))
    assert isinstance(outcome, Broken)
    assert "AUTHENTICATED_FAILED" in outcome.reason
    assert len(sandbox.jira.issues) == 1


@pytest.mark.parametrize("kind", [FaultKind.TRUNCATED, FaultKind.RESET_AFTER, FaultKind.TIMEOUT_AFTER])
def test_a_ticket_whose_answer_was_lost_is_found_when_the_index_has_it(
    connect: Callable[..., Jira], sandbox: Sandbox, kind: FaultKind
) -> None:
    """After an ambiguous create the ticket is looked for until the index has caught up, and there is one."""
    jira = connect(timeout=SHORT if kind is FaultKind.TIMEOUT_AFTER else LONG)
    sandbox.jira.index_lag = 45
    sandbox.jira.inject(Fault(kind=kind, seconds=60, path=CREATE))
    assert isinstance(send(jira, delivery()), Uncertain)
    sandbox.clock.advance(jira.reconcile_after[0])
    assert jira.find(delivery()) is None
    sandbox.clock.advance(jira.reconcile_after[1] - jira.reconcile_after[0])
    assert jira.find(delivery()) == Receipt(remote_id="SEC-1", url=f"{sandbox.jira.url}/browse/SEC-1")
    assert len(sandbox.jira.issues) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.HTML, path=CREATE),
        Fault(kind=FaultKind.STATUS, status=200, body="{}", path=CREATE),
        Fault(kind=FaultKind.STATUS, status=201, body='{"key": "../x"}', path=CREATE),
        Fault(kind=FaultKind.STATUS, status=201, body="[]", path=CREATE),
        Fault(kind=FaultKind.STATUS_AFTER, status=502, path=CREATE),
        Fault(kind=FaultKind.STATUS_AFTER, status=409, path=CREATE),
    ],
)
def test_an_answer_that_names_no_ticket_leaves_it_open_whether_there_is_one(
    jira: Jira, sandbox: Sandbox, fault: Fault
) -> None:
    """A proxy's page or error says nothing about what Jira did behind it."""
    sandbox.jira.inject(fault)
    assert isinstance(send(jira, delivery()), Uncertain)


def test_nothing_was_sent_where_there_is_no_connection() -> None:
    """A refused connection spends an attempt, and leaves nothing to look for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    with closing(Jira("tickets", config(url=url))) as jira:
        assert send(jira, delivery()) == Retry("no connection to Jira")


def test_an_address_that_leads_on_is_broken(jira: Jira, sandbox: Sandbox) -> None:
    """A redirect would turn a create into a read: the config must name the place itself."""
    sandbox.jira.inject(
        Fault(kind=FaultKind.STATUS, status=302, headers={"Location": "https://user:pw@login.example.com/x?secret"})
    )
    assert send(jira, delivery()) == Broken("Jira's url redirects to login.example.com: put that under url")


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({"summary": "Summary is too long."}, Rejected),
        ({"description": "is too long", "summary": "is too long"}, Rejected),
        ({"description": "Field 'description' cannot be set. It is not on the appropriate screen."}, Broken),
        ({"summary": "too long", "customfield_1": "Team is required."}, Broken),
        ({"labels": "Field 'labels' cannot be set."}, Broken),
        ({}, Rejected),
    ],
)
def test_a_refusal_concerns_this_alert_or_all(
    jira: Jira, sandbox: Sandbox, errors: dict[str, str], expected: type[Outcome]
) -> None:
    """What Jira has against the alert's own text is final for it; what it misses in every ticket waits for a person."""
    body = json.dumps({"errorMessages": [], "errors": errors})
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=400, body=body, path=CREATE))
    outcome = send(jira, delivery())
    assert isinstance(outcome, expected)
    assert isinstance(outcome, Broken | Rejected)
    assert all(text in outcome.reason for text in errors.values())


def test_a_required_field_is_named(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """The reason says which field is missing and where to put it; with it, the ticket is created."""
    sandbox.jira.required_fields["customfield_10050"] = "Team"
    outcome = send(connect(), delivery())
    assert isinstance(outcome, Broken)
    assert "customfield_10050: Team is required." in outcome.reason
    assert "fields of tickets" in outcome.reason
    assert isinstance(send(connect(fields={"customfield_10050": "Blue"}), delivery()), Delivered)


def test_a_ticket_is_worth_more_than_its_priority(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """Where Jira does not accept the priority or the due date, the ticket is created without, and a note says so."""
    sandbox.jira.project.hidden_fields.add("duedate")
    jira = connect(priority={"critical": "Blocker"}, due_in={"critical": "1d"})
    outcome = send(jira, delivery())
    assert isinstance(outcome, Delivered)
    assert "created without its" in outcome.note
    assert "The priority 'Blocker' is not valid." in outcome.note
    assert {"priority", "duedate"}.isdisjoint(sandbox.jira.issues["SEC-1"]["fields"])


def test_a_lost_permission_is_no_fault_of_the_alert(jira: Jira, sandbox: Sandbox) -> None:
    """What a refusal without a field means is found by asking what the account may do."""
    sandbox.jira.permissions.discard("CREATE_ISSUES")
    outcome = send(jira, delivery())
    assert isinstance(outcome, Broken)
    assert "permission to create tickets in SEC" in outcome.reason


# Searches of many threads


def test_threads_share_searches(jira: Jira, sandbox: Sandbox) -> None:
    """Who asks while a search is under way goes along with the next one: far fewer searches than tickets."""
    sandbox.jira.latency = 0.1
    outstanding = [delivery(alert=alert(id=f"alert-{number}")) for number in range(60)]
    start = threading.Barrier(len(outstanding))

    def send_it(one: Delivery) -> Outcome:
        start.wait()
        return jira.deliver(one, jira.render(one))

    with ThreadPoolExecutor(len(outstanding)) as pool:
        assert all(isinstance(outcome, Delivered) for outcome in pool.map(send_it, outstanding))
    assert len([request for request in sandbox.jira.requests if request.method == "GET"]) < 10


def test_after_a_failure_a_search_is_asked_for_alone(jira: Jira, sandbox: Sandbox) -> None:
    """What may be there already is looked for with one label in one question."""
    for again in (delivery(), delivery(attempt=2)):
        jira.find(again)
        jira.deliver(again, jira.render(again))
    searches = [request.query["jql"] for request in sandbox.jira.requests if request.method == "GET"]
    assert len(searches) == 4
    assert all(" AND labels = " in jql for jql in searches)


@pytest.mark.parametrize("ask", [Jira.find, send])
def test_what_was_tried_before_shares_no_search(
    jira: Jira, sandbox: Sandbox, ask: Callable[[Jira, Delivery], object]
) -> None:
    """While others share searches, a further attempt and a look ask for their one label in a search of their own."""
    sandbox.jira.latency = 0.1
    tried = [delivery(alert=alert(id=f"alert-{number}"), attempt=2) for number in range(12)]
    start = threading.Barrier(len(tried))

    def ask_for_it(one: Delivery) -> object:
        start.wait()
        return ask(jira, one)

    with ThreadPoolExecutor(len(tried)) as pool:
        list(pool.map(ask_for_it, tried))
    searches = [request.query["jql"] for request in sandbox.jira.requests if request.method == "GET"]
    labels = sorted(identity_label(one.alert.id) for one in tried)
    assert sorted(jql.partition('labels = "')[2].partition('"')[0] for jql in searches) == labels


def test_each_thread_gets_its_own_ticket(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """Shared answers are sorted out by label, also where one label's clones fill a page; the oldest ticket counts."""
    jira = connect(concurrency=40)
    first, last = delivery(alert=alert(id="first")), delivery(alert=alert(id="last"))
    keys = [opened(jira, first).remote_id]
    fields = sandbox.jira.issues[keys[0]]["fields"]
    for _ in range(150):
        sandbox.jira.project.create(fields, rich=isinstance(fields["description"], dict))
    keys.append(opened(jira, last).remote_id)
    with ThreadPoolExecutor(40) as pool:
        found = list(pool.map(jira.find, [first, last] * 20))
    assert [receipt and receipt.remote_id for receipt in found] == keys * 20


def test_as_many_connections_are_kept_as_deliveries_are_under_way(
    connect: Callable[..., Jira], sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """No connection is thrown away after a request only to be opened again for the next."""
    jira = connect(concurrency=8)
    sandbox.jira.latency = 0.05
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda number: send(jira, delivery(alert=alert(id=f"alert-{number}"))), range(24)))
    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert len(sandbox.jira.issues) == 24
    assert "pool is full" not in caplog.text


# What becomes of it


def test_an_update_only_comments(jira: Jira, sandbox: Sandbox) -> None:
    """People own the ticket: what they edited stays, and the comment is found again by its mark."""
    receipt = opened(jira, delivery())
    fields = sandbox.jira.issues["SEC-1"]["fields"]
    fields |= {"summary": "Edited", "labels": [LABEL], "assignee": {"name": "me"}, "priority": {"name": "Low"}}
    edited = dict(fields)
    update = follow_up(Kind.UPDATE, receipt)
    assert jira.find(update) is None
    assert send(jira, update) == Delivered(receipt)
    assert comments(sandbox) == ["Severity is now critical; it was high.\n\nsentrytex update r2"]
    assert sandbox.jira.issues["SEC-1"]["fields"] == edited
    assert jira.find(update) == receipt
    send(jira, replace(update, revision=30))
    assert jira.find(replace(update, revision=3)) is None


def test_a_comment_whose_answer_was_lost_is_found(jira: Jira, sandbox: Sandbox) -> None:
    """An ambiguous comment is looked for on the ticket itself, which no index delays."""
    receipt = opened(jira, delivery())
    sandbox.jira.inject(Fault(kind=FaultKind.RESET_AFTER, path="/comment"))
    update = follow_up(Kind.UPDATE, receipt)
    assert isinstance(send(jira, update), Uncertain)
    assert jira.find(update) == receipt
    assert len(comments(sandbox)) == 1


@pytest.mark.parametrize("body", ['{"comments": 1}', "{}", "[]", "<html>"])
def test_comments_that_cannot_be_read_are_not_taken_for_none(jira: Jira, sandbox: Sandbox, body: str) -> None:
    """``find`` must not say "not there" of a list that it could not read: the comment would be written twice."""
    receipt = opened(jira, delivery())
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=200, body=body, path="/comment"))
    with pytest.raises(Failed) as failed:
        jira.find(follow_up(Kind.UPDATE, receipt))
    assert isinstance(failed.value.outcome, Retry)


def test_an_update_without_a_receipt_finds_the_ticket_or_creates_it(jira: Jira, sandbox: Sandbox) -> None:
    """The alert as it is now stands in Jira, whatever became of the delivery that should have opened it."""
    update = follow_up(Kind.UPDATE, None)
    assert opened(jira, update).remote_id == "SEC-1"
    assert comments(sandbox) == []
    assert opened(jira, update).remote_id == "SEC-1"
    assert len(comments(sandbox)) == 1
    assert len(sandbox.jira.issues) == 1


def test_a_withdrawal_closes_the_ticket_whatever_the_status_is_called(jira: Jira, sandbox: Sandbox) -> None:
    """The workflow's names are German here; its category says what is done. Closed once, commented once."""
    receipt = opened(jira, delivery())
    withdrawal = follow_up(Kind.WITHDRAW, receipt)
    assert send(jira, withdrawal) == Delivered(receipt)
    issue = sandbox.jira.issues["SEC-1"]
    assert issue["status"].name == "Fertig"
    assert comments(sandbox) == ["Sentrytex no longer reports this alert.\n\nsentrytex withdraw r2"]
    assert jira.find(withdrawal) == receipt
    assert send(jira, replace(withdrawal, revision=3)) == Delivered(receipt)
    assert issue["transitions"] == ["31"]


def test_a_workflow_without_a_way_out_keeps_the_ticket_open_and_a_note_says_so(jira: Jira, sandbox: Sandbox) -> None:
    """The comment informs people; closing is theirs."""
    receipt = opened(jira, delivery())
    sandbox.jira.project.workflow = sandbox.jira.project.workflow[:2]
    outcome = send(jira, follow_up(Kind.WITHDRAW, receipt))
    assert isinstance(outcome, Delivered)
    assert "stays open" in outcome.note
    assert len(comments(sandbox)) == 1


def test_a_transition_that_is_refused_keeps_the_ticket_open_and_a_note_says_why(jira: Jira, sandbox: Sandbox) -> None:
    """A screen that asks for a resolution is no reason to inform nobody."""
    receipt = opened(jira, delivery())
    body = json.dumps({"errors": {"resolution": "Resolution is required."}})
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=400, body=body, path="POST /rest/api/"))
    outcome = send(jira, follow_up(Kind.WITHDRAW, receipt))
    assert isinstance(outcome, Delivered)
    assert "Resolution is required." in outcome.note
    assert len(comments(sandbox)) == 1


def test_a_withdrawal_that_is_repeated_comments_once(jira: Jira, sandbox: Sandbox) -> None:
    """A rate limit between the transition and the comment costs no second transition and no second comment."""
    receipt = opened(jira, delivery())
    sandbox.jira.inject(Fault(kind=FaultKind.STATUS, status=429, path="/comment"))
    withdrawal = follow_up(Kind.WITHDRAW, receipt)
    assert isinstance(send(jira, withdrawal), RateLimited)
    assert send(jira, withdrawal) == Delivered(receipt)
    assert sandbox.jira.issues["SEC-1"]["transitions"] == ["31"]
    assert len(comments(sandbox)) == 1


def test_a_ticket_that_people_deleted(jira: Jira, sandbox: Sandbox) -> None:
    """An update of it is a dead letter that says so; a withdrawal has nothing to do. Neither breaks the destination."""
    receipt = opened(jira, delivery())
    sandbox.jira.project.delete(sandbox.jira.issues["SEC-1"])
    update, withdrawal = follow_up(Kind.UPDATE, receipt), follow_up(Kind.WITHDRAW, receipt)
    assert send(jira, update) == Rejected("the ticket SEC-1 is gone, or the account may not see it any more")
    assert send(jira, withdrawal) == Delivered(receipt, note="the ticket is gone")
    assert jira.find(update) is None
    assert jira.find(withdrawal) is None


def test_a_withdrawal_of_what_never_arrived_does_nothing(jira: Jira, sandbox: Sandbox) -> None:
    """No ticket is created in order to close it, and what follows looks for the ticket anew."""
    outcome = send(jira, follow_up(Kind.WITHDRAW, None))
    assert outcome == Delivered(Receipt(remote_id=""), note="there is no ticket to close")
    assert sandbox.jira.issues == {}
    assert opened(jira, follow_up(Kind.UPDATE, outcome.receipt, revision=3)).remote_id == "SEC-1"


@pytest.mark.parametrize(("origin", "words"), [(Origin.TEST, "The test is over."), (Origin.ALARM, "is over.")])
def test_tests_and_alarms_are_marked_and_closed(jira: Jira, sandbox: Sandbox, origin: Origin, words: str) -> None:
    """A ticket without an alert says so, and is closed with words of its own."""
    receipt = opened(jira, delivery(origin=origin))
    assert "sentrytex-forwarder" in plain(sandbox.jira.issues["SEC-1"]["fields"]["description"])
    send(jira, follow_up(Kind.WITHDRAW, receipt, origin=origin))
    assert words in comments(sandbox)[0]
    assert sandbox.jira.issues["SEC-1"]["status"].category == "done"


# The live check


def test_a_check_of_a_site_that_works(jira: Jira, sandbox: Sandbox) -> None:
    """Every finding is good, the account and the project are named, and Jira is only read."""
    findings = jira.check()
    assert all(finding.ok for finding in findings)
    assert [finding.text for finding in findings] == [
        "Jira knows the account: Forwarder.",
        "The project SEC exists: Security.",
        "Tickets of type Task can be created as configured.",
    ]
    assert {request.method for request in sandbox.jira.requests} == {"GET"}


def _leave(sandbox: Sandbox) -> None:
    """The site is as it should be: the mistake is the config's."""


def _hide_labels(sandbox: Sandbox) -> None:
    sandbox.jira.project.hidden_fields |= {"labels", "duedate"}


@pytest.mark.parametrize(
    ("prepare", "changes", "sentences"),
    [
        (lambda sandbox: sandbox.jira.revoke(), {}, ["renew the token"]),
        (_leave, {"project": "NOPE"}, ["No project NOPE is visible"]),
        (_leave, {"issue_type": "Epic"}, ["set issue_type to one of Task, Bug, Story"]),
        (
            lambda sandbox: sandbox.jira.required_fields.update(customfield_7="Team", customfield_8="Site"),
            {"fields": {"customfield_8": "x"}},
            ['Jira requires "Team" in every ticket: add customfield_7 under fields.'],
        ),
        (
            _leave,
            {"priority": {"high": "Blocker", "low": "Low"}},
            ["no priority Blocker: set priority.high to one of Highest, High, Medium, Low, Lowest."],
        ),
        (_leave, {"fields": {"customfield_9": 1}}, ["or leave fields.customfield_9 out"]),
        (
            _hide_labels,
            {"due_in": {"high": "1d"}},
            ["labels cannot be set on a new Task in SEC: add it to the create screen.", "or leave due_in out"],
        ),
        (
            lambda sandbox: sandbox.jira.permissions.difference_update({"CREATE_ISSUES", "ADD_COMMENTS"}),
            {},
            ["lacks the permission Create Issues in SEC", "lacks the permission Add Comments in SEC"],
        ),
    ],
)
def test_a_check_says_what_is_wrong_and_where_to_put_it_right(
    connect: Callable[..., Jira],
    sandbox: Sandbox,
    prepare: Callable[[Sandbox], object],
    changes: dict[str, Any],
    sentences: list[str],
) -> None:
    """Each mistake is a sentence with the key or the place in Jira where it is fixed."""
    prepare(sandbox)
    wrong = [finding.text for finding in connect(**changes).check() if not finding.ok]
    assert len(wrong) == len(sentences)
    assert all(sentence in text for sentence, text in zip(sentences, wrong, strict=True))


def test_a_check_reads_lists_to_their_end(connect: Callable[..., Jira], sandbox: Sandbox) -> None:
    """Jira hands out issue types and fields in pages."""
    sandbox.jira.project.issue_types.update({str(number): f"Type {number}" for number in range(250)})
    assert all(finding.ok for finding in connect(issue_type="Type 249").check())


# Whatever the API may send


def test_hostile_and_odd_alerts_become_tickets(jira: Jira, sandbox: Sandbox) -> None:
    """Jira accepts every one of them, with a summary of one line and labels that it can find again."""
    outstanding = [delivery(alert=one) for one in (*hostile_alerts(), *odd_alerts())]
    for number, one in enumerate(outstanding):
        made = replace(one, alert=replace(one.alert, id=f"{one.alert.id[:200]}-{number}"))
        receipt = opened(jira, made)
        assert jira.find(made) == receipt
    assert len(sandbox.jira.issues) == len(outstanding)


def test_real_alerts_become_tickets(jira: Jira, sandbox: Sandbox) -> None:
    """Alerts made from real CVEs are taken as they are, none of them cut."""
    alerts = [Alert.parse(raw) for raw in real_alerts()[::8]]
    for one in alerts:
        fields = jira.render(delivery(alert=one))["fields"]
        assert fields["summary"].startswith(one.cve_id or one.title[:50])
        assert CUT_MARK not in plain(fields["description"])
        opened(jira, delivery(alert=one))
    assert len(sandbox.jira.issues) == len(alerts)


def test_a_due_date_follows_the_day_in_utc() -> None:
    """The day is that of the moment at which the ticket was enqueued, wherever the clock stands."""
    outstanding = delivery(enqueued_at=datetime.fromisoformat("2026-03-02T01:00:00+05:00"))
    with closing(Jira("tickets", config(due_in={"critical": timedelta(hours=3)}))) as jira:
        assert jira.render(outstanding)["fields"]["duedate"] == "2026-03-01"
