"""What becomes of a message at the services of the stand-in: their own answers tell, for the library says yes or no."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.apprise import transport
from connectors.apprise.library import opened
from connectors.apprise.transport import Attempt, Exchange
from connectors.apprise.verdict import Judge
from forwarder.connector import Broken, Delivered, Kind, RateLimited, Receipt, Rejected, Retry, Uncertain
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.testing import (
    HOSTILE_TEXTS,
    NOW,
    Contract,
    Target,
    alert,
    delivery,
    follow_ups,
    new_delivery,
    responses_to,
)
from forwarder.wire.endpoint import Answer
from tests.connectors.apprise.kit import DISCORD, KINDS, connect, send
from tests.kit.contract import TARGETS

each_service = pytest.mark.parametrize("kind", KINDS)
OURS = next((one for one in TARGETS if one.name == "apprise"), None)


def at(sandbox: Sandbox, kind: str) -> str:
    return str(getattr(sandbox.apprise, kind))


@each_service
def test_each_service_gets_the_message(sandbox: Sandbox, kind: str) -> None:
    """One message for one alert, with what the service has of title and body, and the address to read on."""
    with closing(connect(at(sandbox, kind))) as connector:
        assert isinstance(send(connector, delivery()), Delivered)
    (message,) = sandbox.apprise.messages
    assert message["service"] == kind.partition("_")[0].replace("url", "json")
    assert "🔴 Authentication bypass in the example gateway" in message["title"] + message["text"]
    assert "https://nvd.nist.gov/vuln/detail/CVE-2026-10001" in message["text"]


@each_service
def test_what_becomes_of_an_alert_is_told_once_each(sandbox: Sandbox, kind: str) -> None:
    """A change, a withdrawal and what people decide are messages of their own; links alone are none."""
    first = new_delivery()
    with closing(connect(at(sandbox, kind))) as connector:
        outcome = send(connector, first)
        assert isinstance(outcome, Delivered)
        later = [*follow_ups(first, outcome.receipt), *responses_to(first, outcome.receipt)]
        for one in later:
            before = len(sandbox.apprise.messages)
            told = send(connector, one)
            assert isinstance(told, Delivered)
            assert told.receipt == outcome.receipt
            alone = one.kind is Kind.UPDATE and not one.changes
            assert len(sandbox.apprise.messages) == before + (not alone)


@each_service
@pytest.mark.parametrize(
    ("status", "comes_to"),
    [
        *((status, Broken) for status in (301, 401, 403, 404, 410)),
        *((status, Rejected) for status in (400, 413, 422)),
        (408, Retry),
        (429, RateLimited),
        *((status, Uncertain) for status in (500, 502)),
    ],
)
@pytest.mark.each_once
def test_each_status_means_the_same_at_every_service(
    sandbox: Sandbox, kind: str, status: int, comes_to: type[Any]
) -> None:
    """It is the service's own answer that counts, whatever its plugin makes of it."""
    sandbox.apprise.inject(Fault(kind=FaultKind.STATUS, status=status, body="no", path="POST", times=None))
    with closing(connect(at(sandbox, kind))) as connector:
        outcome = send(connector, new_delivery())
    assert isinstance(outcome, comes_to), outcome
    assert sandbox.apprise.messages == []


def test_a_refusal_counts_and_not_the_signing_out_after_it(sandbox: Sandbox) -> None:
    """Rocket.Chat's user signs in, is refused, and signs out: the message was refused."""
    sandbox.apprise.inject(Fault(kind=FaultKind.STATUS, status=400, body="too long", path="chat.postMessage"))
    with closing(connect(sandbox.apprise.rocket_url)) as connector:
        outcome = send(connector, new_delivery())
    assert isinstance(outcome, Rejected)
    assert "too long" in outcome.reason
    calls = [seen.path.rpartition("/")[2] for seen in sandbox.apprise.requests[-3:]]
    assert calls == ["login", "chat.postMessage", "logout"]


@pytest.mark.parametrize(
    ("said", "comes_to"),
    [
        ('{"ok": false, "description": "Bad Request: chat not found"}', Broken),
        ('{"id": "web.incoming_webhook.invalid.app_error", "message": "Ungültig."}', Broken),
        ('{"message": "Invalid Webhook Token"}', Broken),
        ('{"error": "channel_is_archived", "ok": false}', Broken),
        ('{"description": "Bad Request: message is too long"}', Rejected),
        ('{"description": "Bad Request: can\'t parse entities"}', Rejected),
    ],
)
def test_a_refusal_of_the_key_blames_no_message(sandbox: Sandbox, said: str, comes_to: type[Any]) -> None:
    """Some services say with a 400 that the key or the recipient is wrong: the connector is paused, its queue kept."""
    sandbox.apprise.inject(Fault(kind=FaultKind.STATUS, status=400, body=said, path="POST"))
    with closing(connect(sandbox.apprise.url)) as connector:
        outcome = send(connector, new_delivery())
    assert isinstance(outcome, comes_to), outcome


@pytest.mark.parametrize("call", ["login", "chat.postMessage"])
def test_after_a_lost_answer_nothing_more_is_asked(sandbox: Sandbox, call: str) -> None:
    """What a plugin would try next is the outbox's business: the attempt ends there."""
    sandbox.apprise.inject(Fault(kind=FaultKind.RESET_AFTER, path=call))
    before = len(sandbox.apprise.arrived)
    with closing(connect(sandbox.apprise.rocket_url)) as connector:
        assert isinstance(send(connector, new_delivery()), Uncertain)
    assert sandbox.apprise.arrived[-1].endswith(call)
    assert len(sandbox.apprise.arrived) - before == (1 if call == "login" else 2)


def _exchange(method: str, status: int = 0, body: str = "", error: Exception | None = None) -> Exchange:
    answer = Answer(status=status, headers={}, body=body) if status else None
    return Exchange(method=method, url="https://chat.example.com/api/x", answer=answer, error=error)


@pytest.mark.parametrize(
    ("exchanges", "comes_to"),
    [
        ([], Retry),
        ([_exchange("POST", error=ConnectionRefusedError())], Retry),
        ([_exchange("GET", 200), _exchange("POST", error=ConnectionRefusedError())], Retry),
        ([_exchange("POST", 200), _exchange("POST", error=ConnectionRefusedError())], Uncertain),
        ([_exchange("POST", error=TimeoutError())], Uncertain),
        ([_exchange("GET", 404), _exchange("POST", 200, "{}")], Uncertain),
        ([_exchange("GET", 404)], Broken),
        ([_exchange("POST", 200), _exchange("PUT", 413), _exchange("POST", 200)], Rejected),
    ],
)
def test_what_an_attempt_came_to(exchanges: list[Exchange], comes_to: type[Any]) -> None:
    """No message went out where no connection came about, unless an earlier request of the attempt may have told it."""
    judge = Judge("ntfys://chat.example.com/topic", timedelta(seconds=10), lambda: NOW)
    failure = judge.failure(Attempt(exchanges=exchanges), "Chat", sent=False)
    assert isinstance(failure, comes_to), failure


def test_a_wait_that_stands_in_the_answer_alone_is_kept(sandbox: Sandbox) -> None:
    """As Discord, Telegram and Matrix tell it."""
    for said, seconds in (
        ({"retry_after": 2.5}, 2.5),
        ({"parameters": {"retry_after": 7}}, 7),
        ({"retry_after_ms": 1500}, 1.5),
        ({"retry_after": "soon"}, 30.0),
        ([1], 30.0),
    ):
        sandbox.apprise.inject(Fault(kind=FaultKind.STATUS, status=429, body=json.dumps(said), path="POST"))
        with closing(connect(sandbox.apprise.url)) as connector:
            outcome = send(connector, new_delivery())
        assert isinstance(outcome, RateLimited)
        assert outcome.after == seconds


def test_a_yes_that_the_service_takes_back_in_words_is_in_doubt(sandbox: Sandbox) -> None:
    """A login that is answered 200 without a token is no login: the plugin says no, and what was said is told."""
    sandbox.apprise.inject(Fault(kind=FaultKind.STATUS, status=200, body='["busy"]', path="login"))
    with closing(connect(sandbox.apprise.rocket_url)) as connector:
        outcome = send(connector, new_delivery())
    assert isinstance(outcome, Uncertain)
    assert outcome.reason == '127.0.0.1 answered with status 200: ["busy"], which is no yes of Rocket.Chat'


@each_service
def test_a_page_is_nobodys_yes(sandbox: Sandbox, kind: str) -> None:
    """A proxy's page with a 200 has kept the message from the service, whose plugin takes it for a yes."""
    sandbox.apprise.inject(Fault(kind=FaultKind.HTML, path="POST", times=None))
    with closing(connect(at(sandbox, kind))) as connector:
        outcome = send(connector, new_delivery())
    assert isinstance(outcome, Uncertain)
    assert "web page" in outcome.reason


@pytest.mark.each_once
@each_service
def test_a_long_alert_is_one_message(sandbox: Sandbox, kind: str) -> None:
    """Whatever the address asks for, nothing is split: of two halves one could be lost, or come twice."""
    address = at(sandbox, kind)
    asked = f"{address}{'&' if '?' in address else '?'}overflow=split"
    with closing(connect(asked)) as connector:
        assert isinstance(send(connector, new_delivery(alert=alert(description="word 🚨 " * 5000))), Delivered)
    assert len(sandbox.apprise.messages) == 1


def test_what_is_no_message_is_not_sent(sandbox: Sandbox) -> None:
    """What became of an alert that stands nowhere is settled without one."""
    with closing(connect(sandbox.apprise.url)) as connector:
        for one in (delivery(kind=Kind.WITHDRAW), *responses_to(delivery(), None)):
            assert "Nothing is sent" in connector.preview(connector.render(one))
            assert isinstance(send(connector, one), Delivered)
    assert sandbox.apprise.messages == []


@pytest.mark.thorough
@each_service
def test_hostile_texts_call_nobody_at_any_service(sandbox: Sandbox, kind: str) -> None:
    """Nor lead anywhere behind other words, and all of them arrive."""
    with closing(connect(at(sandbox, kind))) as connector:
        for text in HOSTILE_TEXTS:
            one = new_delivery(alert=alert(title=text[:3000], description=text[:50_000], source_urls=[]))
            assert isinstance(send(connector, one), Delivered), text[:100]
    assert sandbox.apprise.pings == []


def test_a_check_tells_who_was_reached_and_what_it_does_not_know(sandbox: Sandbox) -> None:
    """The host of the service is asked for its front page, and nothing is sent."""
    with closing(connect(sandbox.apprise.gotify_url)) as connector:
        (finding,) = connector.check()
    assert finding.ok
    assert finding.text == (
        "127.0.0.1, which is Gotify, can be reached. Nothing but a message shows whether it takes what url holds: "
        "`forwarder test push` sends one."
    )
    assert sandbox.apprise.arrived[-1] == "HEAD /"
    assert sandbox.apprise.messages == []


def test_a_preview_names_the_service() -> None:
    """Its title and its body, as they are sent."""
    with closing(connect(DISCORD)) as connector:
        lines = connector.preview(connector.render(delivery())).splitlines()
    assert lines[:4] == ["To Discord:", "🔴 Authentication bypass in the example gateway", "", "Severity: Critical"]


def test_nothing_of_the_library_is_logged(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """What it logs of a request holds the address; what matters of it is in the outcome."""
    caplog.set_level(logging.DEBUG, logger="apprise")
    sandbox.apprise.inject(Fault(kind=FaultKind.STATUS, status=404, path="POST"))
    with closing(connect(sandbox.apprise.url)) as connector:
        send(connector, new_delivery())
        send(connector, new_delivery())
    assert [record for record in caplog.records if record.name.startswith("apprise")] == []


def test_a_text_of_any_letters_is_sent_as_utf8(sandbox: Sandbox) -> None:
    """A plugin that hands over a text and no bytes, as that for XML does, has its emoji arrive."""
    place = sandbox.apprise.origin.partition("://")[2]
    with closing(connect(f"xml://{place}/nowhere")) as connector:
        assert isinstance(send(connector, new_delivery()), Broken)
    assert "🔴" in sandbox.apprise.requests[-1].body.decode()


def test_a_short_password_is_shown_nowhere(sandbox: Sandbox) -> None:
    """A service that repeats what it was sent brings no piece of the address into a reason."""
    place = sandbox.apprise.origin.partition("://")[2]
    body = json.dumps({"error": "user ada with hunter2 at s3cret-path"})
    sandbox.apprise.inject(Fault(kind=FaultKind.STATUS, status=400, body=body, path="POST"))
    with closing(connect(f"json://ada:hunter2@{place}/s3cret-path")) as connector:
        outcome = send(connector, new_delivery())
    assert isinstance(outcome, Rejected)
    assert "hunter2" not in outcome.reason
    assert "s3cret" not in outcome.reason
    assert "user ada with [secret]" in outcome.reason


def test_no_plugin_sends_by_a_way_of_its_own() -> None:
    """Those that are taken send by what is put in the place of requests: none has a session, or parts of it, itself."""
    opened("ntfys://example.com/topic")
    own = [
        (name, found)
        for name, module in list(sys.modules.items())
        if name.startswith("apprise.plugins.") and isinstance(vars(module).get("requests"), transport.Requests)
        for found in ("Session", "HTTPAdapter", "urlopen", "HTTPConnection", "HTTPSConnection", "PoolManager")
        if found in vars(module)
    ]
    assert own == []
    asked = transport.Requests()
    assert not hasattr(asked, "Session")


def test_a_plugin_that_signs_out_at_its_end_asks_nobody(sandbox: Sandbox) -> None:
    """What a plugin does when it is collected is part of no attempt."""
    from requests import ConnectionError as NotSent

    before = len(sandbox.apprise.arrived)
    with pytest.raises(NotSent):
        transport.Requests().post(sandbox.apprise.origin)
    assert len(sandbox.apprise.arrived) == before


def test_the_library_is_loaded_where_it_is_used_and_nowhere_else() -> None:
    """The connector's class, as `forwarder schema` and `init` load it, brings nothing along."""
    code = (
        "import sys, connectors.apprise\nconnectors.apprise.AppriseConfig.model_json_schema()\n"
        "print(sorted({'apprise', 'requests', 'httpx2'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def _target(name: str, kind: str, send_path: str) -> Target[Sandbox]:
    assert OURS is not None
    return replace(
        OURS,
        name=name,
        config=lambda sandbox: {"url": at(sandbox, kind), "max_rate": None},
        send=send_path,
        secrets=lambda sandbox: (at(sandbox, kind), sandbox.apprise.token),
        count=lambda sandbox, one: sum(one.title in told["title"] + told["text"] for told in sandbox.apprise.messages),
    )


@pytest.mark.thorough
class TestOtherServices(Contract):
    """Each other service of the stand-in is held to the contract, too."""

    targets = (
        ()
        if OURS is None
        else (
            _target("ntfy", "ntfy_url", "POST /"),
            _target("gotify", "gotify_url", "POST /message"),
            _target("mattermost", "mattermost_url", "POST /hooks/"),
            _target("rocket", "rocket_url", "POST /api/v1/chat.postMessage"),
        )
    )

    @classmethod
    def open(cls) -> Sandbox:
        return Sandbox(limits=False)


def test_a_receipt_leads_to_the_first_message(sandbox: Sandbox) -> None:
    """What follows keeps the receipt of the message that told of the alert first."""
    receipt = Receipt(remote_id="as an earlier version wrote it")
    with closing(connect(sandbox.apprise.url)) as connector:
        outcome = send(connector, delivery(kind=Kind.REMIND, receipt=receipt))
    assert outcome == Delivered(receipt)
