"""The client of the Sentrytex API, over real HTTP: what it asks, what it makes of each answer, how often it may."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.alert import Severity, Vendor
from forwarder.feed.client import (
    PAGE,
    REQUESTS_A_MINUTE,
    BadAnswer,
    FeedClient,
    KeyRefused,
    NotFound,
    RequestBudget,
    SentrytexError,
    Share,
    TooManyRequests,
    Unavailable,
)
from forwarder.feed.items import MAX_DEPTH, MAX_RAW
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import alert_json
from tests.kit.core import nobody_listens

SINCE = datetime(2026, 3, 1, 11, 0, tzinfo=UTC)
HTML = "<!doctype html><h1>Bad gateway</h1>"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The services by the machine's own time."""
    with Sandbox(limits=False) as running:
        yield running


@pytest.fixture
def connect(sandbox: Sandbox) -> Iterator[Callable[..., FeedClient]]:
    """Makes clients of the sandbox, or of another address."""
    with contextlib.ExitStack() as clients:

        def connect(url: str = sandbox.sentrytex.url, **options: Any) -> FeedClient:
            api = FeedClient(url, sandbox.sentrytex.token, **options)
            clients.callback(api.close)
            return api

        yield connect


@pytest.fixture
def api(connect: Callable[..., FeedClient]) -> FeedClient:
    return connect()


def answer(sandbox: Sandbox, body: str, **headers: str) -> None:
    """Lets the next answer be ``body``, with 200."""
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=200, body=body, headers=headers))


def refuse(sandbox: Sandbox, status: int, **more: Any) -> None:
    sandbox.sentrytex.inject(Fault(kind=FaultKind.STATUS, status=status, **more))


# What is asked


def test_it_asks_for_all_that_a_page_can_hold(sandbox: Sandbox, api: FeedClient) -> None:
    """A request names the largest page, the inclusive lower bound and, where one is meant, the severity."""
    api.alerts(SINCE, Severity.HIGH)
    api.alerts(None)
    first, second = sandbox.sentrytex.requests
    assert first.query == {"limit": "200", "since": "2026-03-01T11:00:00Z", "severity": "high"}
    assert second.query == {"limit": "200"}


def test_the_lower_bound_is_inclusive(sandbox: Sandbox, api: FeedClient) -> None:
    """An alert published at the very time asked from is on the page."""
    sandbox.sentrytex.publish(
        alert_json(id="at", published_at="2026-03-01T11:00:00Z"),
        alert_json(id="before", published_at="2026-03-01T10:59:59Z"),
    )
    assert [alert.id for alert in api.alerts(SINCE).alerts] == ["at"]


def test_a_page_tells_whether_there_may_be_more(sandbox: Sandbox, api: FeedClient) -> None:
    """A page tells how many items it held, its oldest time, and what it reaches behind."""
    sandbox.sentrytex.publish(
        *(alert_json(id=f"a{number}", published_at=f"2026-03-01T11:{number % 60:02}:00Z") for number in range(PAGE - 1))
    )
    page = api.alerts(SINCE)
    assert (page.size, len(page.alerts), page.oldest) == (PAGE - 1, PAGE - 1, SINCE)
    assert (page.reaches_behind(SINCE), page.reaches_behind(SINCE + timedelta(seconds=1))) == (False, True)
    sandbox.sentrytex.publish({"id": "no alert"})
    assert (api.alerts(SINCE).size, len(api.alerts(SINCE).alerts)) == (PAGE, PAGE - 1)


def test_the_server_s_time_is_read(sandbox: Sandbox, api: FeedClient) -> None:
    """Every answer carries the server's time."""
    sandbox.clock.advance(-86400)
    for told in (api.alerts(None).server_time, api.stack().server_time):
        assert told is not None
        assert abs(told - (datetime.now(UTC) - timedelta(days=1))) < timedelta(minutes=1)


@pytest.mark.parametrize("date", ["", "some day", "Fri, 31 Dec 9999 23:59:59 -1200"])
def test_a_date_that_cannot_be_read_is_none(sandbox: Sandbox, api: FeedClient, date: str) -> None:
    """A missing or senseless Date header tells no time, and breaks nothing."""
    answer(sandbox, '{"alerts": []}', Date=date)
    assert api.alerts(None).server_time is None


def test_the_stack(sandbox: Sandbox, api: FeedClient) -> None:
    """The vendors come by key, with their names and categories; entries without a key are passed over."""
    sandbox.sentrytex.add_vendor("github", "GitHub", "code hosting")
    assert api.stack().vendors == {
        "example": Vendor(key="example", name="Example Gateway", categories=("network",)),
        "github": Vendor(key="github", name="GitHub", categories=("code hosting",)),
    }
    answer(sandbox, '{"stack": [{"vendor_key": "okta"}, {"vendor_name": "x"}, {"vendor_key": ""}, 7]}')
    assert api.stack().vendors == {"okta": Vendor(key="okta", name="okta")}


@pytest.mark.parametrize(
    ("said", "categories"),
    [
        ("null", ()),
        ('""', ()),
        ("7", ("7",)),
        ('["payments", "cloud", null, "cloud"]', ("payments", "cloud")),
        ('{"main": "cloud"}', ('{"main": "cloud"}',)),
        (json.dumps("two\nlines\u202e " + "x" * 300), (f"two lines {'x' * 189}…",)),
    ],
)
def test_an_odd_category_is_read_as_far_as_it_goes(
    sandbox: Sandbox, api: FeedClient, said: str, categories: tuple[str, ...]
) -> None:
    """Whatever its type, the vendor is there, with a name that any place can show."""
    entry = f'{{"vendor_key": " okta\\n", "vendor_name": "Okta\\u0000 <b>", "category": {said}}}'
    answer(sandbox, f'{{"stack": [{entry}]}}')
    assert api.stack().vendors == {"okta": Vendor(key="okta", name="Okta\ufffd <b>", categories=categories)}


def test_a_single_alert_has_its_evidence(sandbox: Sandbox, api: FeedClient) -> None:
    """One alert comes as the API shows it now, whatever characters its id has, wrapped or not."""
    sandbox.sentrytex.publish(alert_json(id="a b/c?d#e%"))
    found = api.alert("a b/c?d#e%")
    assert (found["id"], "evidence_state" in found) == ("a b/c?d#e%", True)
    answer(sandbox, '{"alert": {"id": "wrapped"}}')
    assert api.alert("wrapped")["id"] == "wrapped"
    answer(sandbox, '{"alert": {"id": "wrapped"}, "evidence": "beside it"}')
    assert api.alert("wrapped") == {"id": "wrapped", "evidence": "beside it"}


# What is no alert


def test_malformed_alerts_are_set_aside(sandbox: Sandbox, api: FeedClient) -> None:
    """One malformed alert never stops a page: its text and the reason are kept, once, and the others go on."""
    sandbox.sentrytex.publish(alert_json(id="good"), {"id": "bad"}, "text", {"id": "bad"}, None)
    page = api.alerts(None)
    assert [alert.id for alert in page.alerts] == ["good"]
    assert {(item.raw, item.reason) for item in page.set_aside} == {
        ('{"id": "bad"}', "the alert has no date, no CVE, no title and no known severity"),
        ('"text"', "an alert must be a JSON object, this is a text"),
        ("null", "an alert must be a JSON object, this is null"),
    }


def test_what_is_set_aside_is_known_again(sandbox: Sandbox, api: FeedClient) -> None:
    """The same text has the same digest in every answer, and another one another; a long text is cut."""
    sandbox.sentrytex.publish({"text": "x" * MAX_RAW}, {"text": "x" * MAX_RAW + "y"})
    first, again = (api.alerts(None).set_aside for _ in range(2))
    assert first == again
    assert len({item.digest for item in first}) == 2
    assert {len(item.raw) for item in first} == {MAX_RAW}


def test_an_id_counts_once_on_a_page(sandbox: Sandbox, api: FeedClient) -> None:
    """Where an id comes twice, the newest form is taken."""
    forms = [alert_json(title="new"), alert_json(title="old", published_at="2026-03-01T11:00:00Z")]
    answer(sandbox, json.dumps({"alerts": forms}))
    (alert,) = api.alerts(None).alerts
    assert alert.title == "new"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, "1." + "9" * 5000])
def test_no_number_stops_a_page(sandbox: Sandbox, api: FeedClient, number: str) -> None:
    """Numbers that JSON does not have, or no computer, leave an alert that can be written again as strict JSON."""
    alert_text = f'{{"id": "a", "published_at": "2026-03-01T11:30:00Z", "cvss_score": {number}, "x": [{number}]}}'
    answer(sandbox, f'{{"alerts": [{alert_text}]}}')
    (alert,) = api.alerts(None).alerts
    assert alert.cvss_score is None or 0 <= alert.cvss_score <= 10
    json.dumps(alert.raw, allow_nan=False)


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH, 800])
def test_no_depth_stops_a_page(sandbox: Sandbox, api: FeedClient, depth: int) -> None:
    """An alert that is nested too deeply to be written again is set aside, and the others go on."""
    deep = f'{{"id": "deep", "published_at": "2026-03-01T11:30:00Z", "x": {"[" * depth}{"]" * depth}}}'
    answer(sandbox, f'{{"alerts": [{deep}, {json.dumps(alert_json(id="good"))}]}}')
    page = api.alerts(None)
    assert [alert.id for alert in page.alerts] == (["deep", "good"] if depth < MAX_DEPTH else ["good"])
    assert [item.reason for item in page.set_aside] == (
        [] if depth < MAX_DEPTH else [f"it is nested more than {MAX_DEPTH} levels deep"]
    )


def test_bytes_that_are_no_text_stop_nothing(connect: Callable[..., FeedClient]) -> None:
    """Invalid UTF-8 within a text leaves the alert and its page."""
    body = b'{"alerts": [{"id": "a", "published_at": "2026-03-01T11:30:00Z", "title": "caf\xe9 \\ud800"}]}'
    with one_answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body) as url:
        (alert,) = connect(url).alerts(None).alerts
    assert alert.title == "caf\ufffd \ufffd"


# What goes wrong


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, KeyRefused, "refused the key (Missing or invalid API key). Put a valid one into sentrytex.api_key."),
        (403, KeyRefused, "may not read this (This endpoint requires a Business plan). It needs a Business account"),
        (404, BadAnswer, "/api/v1/alerts answers, but not as the Sentrytex API does (404 (Not found)): correct"),
        (429, TooManyRequests, "asks for fewer requests (429)"),
        (400, BadAnswer, "answered with 400"),
        (500, Unavailable, "has a fault of its own (500 (Internal server error))"),
        (502, Unavailable, "has a fault of its own (502"),
        (302, BadAnswer, "a redirect (302), which is not followed: check base_url"),
        (204, BadAnswer, "answered with 204"),
    ],
)
def test_each_status_has_its_error(
    sandbox: Sandbox, api: FeedClient, status: int, error: type[SentrytexError], words: str
) -> None:
    """Every status that is not 200 raises the error of its kind, with a sentence that says what to do."""
    refuse(sandbox, status)
    with pytest.raises(error) as raised:
        api.alerts(None)
    assert words in str(raised.value)


def test_the_names_of_results_are_a_small_set() -> None:
    """Every kind of error has a name of its own, for the metrics."""
    kinds = (KeyRefused, NotFound, TooManyRequests, Unavailable, BadAnswer)
    assert {kind.result for kind in kinds} == {"key_refused", "not_found", "rate_limited", "unavailable", "bad_answer"}


@pytest.mark.parametrize("status", [401, 403, 404, 500, 502])
@pytest.mark.parametrize("body", [HTML, "", "[]", '{"error": {"code": 1}}', '{"error": ""}', "[" * 2000])
def test_an_error_in_another_form(sandbox: Sandbox, api: FeedClient, status: int, body: str) -> None:
    """A proxy's page in place of the API's error goes by its status, and nothing of it is shown."""
    refuse(sandbox, status, body=body)
    with pytest.raises(SentrytexError) as raised:
        api.alerts(None)
    assert "<" not in str(raised.value)


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("soon", 60.0), (None, 60.0), ("-1", 0.0), ("1e9", 3600.0)]
)
def test_retry_after_is_read(sandbox: Sandbox, api: FeedClient, header: str | None, seconds: float) -> None:
    """A 429 says when to come again; where it does not, a minute is the window's length."""
    refuse(sandbox, 429, headers={"Retry-After": header or ""})
    with pytest.raises(TooManyRequests) as raised:
        api.alerts(None)
    assert raised.value.after == seconds


def test_retry_after_may_be_a_date(sandbox: Sandbox, api: FeedClient) -> None:
    """A 429 may name the time itself."""
    when = datetime.now(UTC) + timedelta(seconds=90)
    refuse(sandbox, 429, headers={"Retry-After": when.strftime("%a, %d %b %Y %H:%M:%S GMT")})
    with pytest.raises(TooManyRequests) as raised:
        api.alerts(None)
    assert 60 < raised.value.after <= 90


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.HTML, BadAnswer),
        (FaultKind.TRUNCATED, Unavailable),
        (FaultKind.RESET_BEFORE, Unavailable),
        (FaultKind.RESET_AFTER, Unavailable),
        (FaultKind.TIMEOUT_BEFORE, Unavailable),
    ],
)
def test_a_broken_exchange(
    sandbox: Sandbox, connect: Callable[..., FeedClient], kind: FaultKind, error: type[SentrytexError]
) -> None:
    """A proxy's page, half an answer, a reset and silence each raise the error of their kind."""
    sandbox.sentrytex.publish(alert_json())
    sandbox.sentrytex.inject(Fault(kind=kind, seconds=30))
    with pytest.raises(error):
        connect(timeout=httpx2.Timeout(0.5 if kind is FaultKind.TIMEOUT_BEFORE else 60.0)).alerts(None)
    assert len(connect().alerts(None).alerts) == 1


@pytest.mark.parametrize("body", ["[]", "7", "null", "{}", '{"alerts": {}}', "{", '{"alerts": []', "[" * 100_000])
def test_an_answer_of_another_shape(sandbox: Sandbox, api: FeedClient, body: str) -> None:
    """JSON that is no page, and what is no JSON, is a bad answer: not an empty page."""
    answer(sandbox, body)
    with pytest.raises(BadAnswer):
        api.alerts(None)
    answer(sandbox, body)
    with pytest.raises(BadAnswer):
        api.stack()


def test_an_answer_that_is_too_large(sandbox: Sandbox, connect: Callable[..., FeedClient]) -> None:
    """An answer is read up to a limit, and no further."""
    sandbox.sentrytex.publish(alert_json(description="x" * 100_000))
    with pytest.raises(BadAnswer, match="larger than 50000 bytes"):
        connect(max_body=50_000).alerts(None)


def test_an_answer_that_comes_too_slowly(sandbox: Sandbox, connect: Callable[..., FeedClient]) -> None:
    """An answer that drips in, each byte in time, still has an end."""
    sandbox.sentrytex.publish(alert_json())
    started = time.monotonic()
    for kind in (FaultKind.DRIP, FaultKind.DRIP_BODY):
        sandbox.sentrytex.inject(Fault(kind=kind, seconds=600))
        with pytest.raises(Unavailable, match="took longer than 0"):
            connect(max_seconds=0.1).alerts(None)
    # Of the first drip not even the head is whole after a minute.
    assert time.monotonic() - started < 60


def test_nobody_listens(connect: Callable[..., FeedClient]) -> None:
    """An address where nothing answers is told as such."""
    with (
        nobody_listens() as port,
        pytest.raises(Unavailable, match=r"refuses the connection.* check sentrytex\.base_url"),
    ):
        connect(f"http://127.0.0.1:{port}").alerts(None)


def test_the_key_follows_no_redirect(sandbox: Sandbox, api: FeedClient) -> None:
    """A redirect is refused: the key goes to no other address."""
    refuse(sandbox, 307, headers={"Location": f"{sandbox.slack.url}stolen"})
    with pytest.raises(BadAnswer):
        api.alerts(None)
    assert sandbox.slack.requests == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
@pytest.mark.parametrize("before", [0, 175], ids=["short", "long"])
def test_the_key_is_never_shown(sandbox: Sandbox, api: FeedClient, status: int, before: int) -> None:
    """Not even an API that quotes the key in its error brings it into ours, whole or cut."""
    token = sandbox.sentrytex.token
    refuse(sandbox, status, body=json.dumps({"error": "x" * before + f" bad key {token},\nsee \x1b[31mhelp"}))
    with pytest.raises(SentrytexError) as raised:
        api.alerts(None)
    told = f"{raised.value!s} {raised.value!r} {api!r}"
    assert token[:10] not in told
    assert token[-10:] not in told
    assert told.isprintable()


# How often


def test_a_refusal_tells_the_server_s_time(sandbox: Sandbox, api: FeedClient) -> None:
    """An answer that is an error has a Date as well; where there was no answer, there is none."""
    sandbox.clock.advance(-86400)
    for status in (401, 403, 404, 429, 503):
        refuse(sandbox, status)
        with pytest.raises(SentrytexError) as raised:
            api.alerts(None)
        assert raised.value.server_time is not None
        assert abs(raised.value.server_time - (datetime.now(UTC) - timedelta(days=1))) < timedelta(minutes=1)
    sandbox.sentrytex.inject(Fault(kind=FaultKind.RESET_BEFORE))
    with pytest.raises(Unavailable) as unanswered:
        api.alerts(None)
    assert unanswered.value.server_time is None


def test_the_budget_is_kept_by_the_client(sandbox: Sandbox, connect: Callable[..., FeedClient]) -> None:
    """What is beyond the budget is not sent, and says when to come again; each kind has its own share."""
    api = connect(budget=RequestBudget(limit=10, clock=lambda: 0.0))
    for _ in range(8):
        api.alerts(None)
    with pytest.raises(TooManyRequests, match="spent") as raised:
        api.alerts(None)
    assert raised.value.after == 61.0
    for _ in range(2):
        api.alerts(None, share=Share.SWEEPS)
    for refused in (api.stack, lambda: api.alert("a"), lambda: api.alerts(None, share=Share.SWEEPS)):
        with pytest.raises(TooManyRequests, match="spent"):
            refused()
    assert len(sandbox.sentrytex.requests) == 10


@given(st.lists(st.tuples(st.floats(0, 90), st.sampled_from(Share)), max_size=400), st.floats(0, 1e9))
def test_never_more_than_the_limit_in_any_minute(steps: list[tuple[float, Share]], start: float) -> None:
    """However requests come, no minute sees more than the limit, and who has not had its share gets it."""
    now = [start]
    budget = RequestBudget(clock=lambda: now[0])
    sent: deque[tuple[float, Share]] = deque()
    for number, (pause, share) in enumerate(steps):
        # Long pauses are rare, so that the budget is under pressure.
        now[0] += pause if number % 50 == 0 else pause / 100
        while sent and sent[0][0] <= now[0] - 62.0:
            sent.popleft()
        had = len([by for _, by in sent if by is share])
        wait = budget.take(share)
        if wait == 0.0:
            sent.append((now[0], share))
        assert len([at for at, _ in sent if at > now[0] - 60.0]) <= REQUESTS_A_MINUTE
        assert 0.0 <= wait <= 61.0
        if had < int(REQUESTS_A_MINUTE * share.value):
            assert wait == 0.0


@pytest.mark.parametrize("share", Share)
def test_whoever_asks_all_the_time_leaves_the_others_their_shares(share: Share) -> None:
    """One kind that asks a hundred times a second for minutes: each other kind gets its share in every minute."""
    now = [0.0]
    budget = RequestBudget(clock=lambda: now[0])
    got = dict.fromkeys(Share, 0)
    for tick in range(1, 30_000):
        now[0] = tick / 100
        got[share] += budget.take(share) == 0.0
        for other in Share:
            if other is not share and tick % 100 == 0:
                got[other] += budget.take(other) == 0.0
    for one, count in got.items():
        assert count >= 4 * min(int(REQUESTS_A_MINUTE * one.value), 55)


def test_a_wait_is_long_enough() -> None:
    """After the seconds that the budget told, one more request may go."""
    now = [100.0]
    budget = RequestBudget(limit=3, clock=lambda: now[0])
    for _ in range(3):
        assert budget.take() == 0.0
        now[0] += 1.0
    assert budget.left == 0
    now[0] += budget.take()
    assert budget.take() == 0.0
    assert budget.take() > 0.0


def test_what_another_share_gets_back_is_not_waited_for() -> None:
    """A sweep's request that ends its minute is kept for the next sweep; a poll waits for one of its own."""
    now = [0.0]
    budget = RequestBudget(limit=10, clock=lambda: now[0])
    assert budget.take(Share.SWEEPS) == 0.0
    now[0] = 1.0
    assert [budget.take() for _ in range(8)] == [0.0] * 8
    now[0] = 2.0
    assert budget.take() == 60.0
    now[0] = 61.5
    assert budget.take() > 0.0
    assert [budget.take(Share.SWEEPS) for _ in range(2)] == [0.0] * 2


@given(st.lists(st.tuples(st.floats(0, 2), st.sampled_from(Share)), max_size=300), st.sampled_from(Share))
def test_a_wait_is_long_enough_for_every_share(steps: list[tuple[float, Share]], share: Share) -> None:
    """Where nobody else asks meanwhile, one request may go after the seconds that were told, and none before."""
    now = [0.0]
    budget = RequestBudget(limit=50, clock=lambda: now[0])
    for pause, by in steps:
        now[0] += pause
        budget.take(by)
    wait = budget.take(share)
    if wait:
        now[0] += wait - 1e-6
        assert budget.take(share) > 0.0
        now[0] += 2e-6
        assert budget.take(share) == 0.0


def test_rounding_gives_no_request_away() -> None:
    """Right before the window ends, at times that cannot be written exactly, the budget is still spent."""
    for tenth in range(1, 2000):
        now = [tenth / 10]
        budget = RequestBudget(limit=1, clock=lambda now=now: now[0])  # type: ignore[misc]
        assert budget.take() == 0.0
        now[0] = tenth / 10 + 61.0 - 1e-14
        took = budget.take() == 0.0
        assert took == (budget.left == 0 and budget.take() > 60.0)


def test_the_budget_is_shared_by_threads() -> None:
    """Threads that ask at once get the limit together, not each."""
    budget = RequestBudget(limit=50, clock=lambda: 0.0)
    with ThreadPoolExecutor(8) as threads:
        for share, expected in ((Share.POLLS, 50 - 10 - 2 - 3), (Share.SWEEPS, 10)):
            got = [wait for wait in threads.map(lambda _, by=share: budget.take(by), range(200)) if wait == 0.0]
            assert len(got) == expected


class one_answer:  # noqa: N801 - used as a function
    """A server that answers the first request with given bytes; the value is its address."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(self._wire)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listener.close()


@pytest.mark.parametrize("body", [HTML, '{"error": "no such route"}', '{"message": "Not found"}', "", "[]"])
@pytest.mark.parametrize("status", [200, 404])
def test_an_address_that_is_no_sentrytex_api(sandbox: Sandbox, api: FeedClient, status: int, body: str) -> None:
    """A web server or another API is told as such, with host and path, and is no matter of the account."""
    for ask in (lambda: api.alerts(None), api.stack):
        refuse(sandbox, status, body=body)
        with pytest.raises(BadAnswer) as raised:
            ask()
        assert "127.0.0.1:" in str(raised.value)
        assert "/api/v1/" in str(raised.value)
        assert "sentrytex.base_url" in str(raised.value)
        assert "in the stack" not in str(raised.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_web_server_that_refuses_is_no_matter_of_the_key_alone(
    sandbox: Sandbox, api: FeedClient, status: int
) -> None:
    """A page of HTML says nothing about keys and accounts."""
    refuse(sandbox, status, body=HTML)
    with pytest.raises(KeyRefused) as raised:
        api.alerts(None)
    assert "correct sentrytex.base_url" in str(raised.value)
    assert "Business" not in str(raised.value)


@pytest.mark.parametrize("field", ["title", "severity", "cve_id", "published_at"])
def test_no_depth_of_what_is_told_stops_a_page(sandbox: Sandbox, api: FeedClient, field: str) -> None:
    """What can be read of an item that is nested too deeply is told, whichever field is."""
    item = {"cve_id": "CVE-2026-1", "title": "Login bypass", "severity": "critical"}
    item[field] = "DEEP"
    deep = json.dumps(item).replace('"DEEP"', "[" * 800 + "]" * 800)
    answer(sandbox, f'{{"alerts": [{deep}, {json.dumps(alert_json(id="good"))}]}}')
    page = api.alerts(None)
    assert [alert.id for alert in page.alerts] == ["good"]
    (aside,) = page.set_aside
    assert ("CVE-2026-1" in aside.told) is (field != "cve_id")
    assert "[[" not in aside.told
