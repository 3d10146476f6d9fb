"""People in the sandbox's Slack: what they do comes to an app over Socket Mode, through the real SDK's own client."""

from __future__ import annotations

import gc
import logging
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.sandbox.slack_socket import MAX_CONNECTIONS
from tests.kit.core import PATIENCE, until
from tests.sandbox.test_slack import mrkdwn, plain

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""The SDK's client leaves a socket to the garbage where a handshake fails, or a connection ends while it makes one."""

START = datetime(2026, 5, 1, tzinfo=UTC)
BUTTONS: dict[str, Any] = {
    "type": "actions",
    "block_id": "act",
    "elements": [
        {"type": "button", "text": plain("Acknowledge"), "action_id": "acknowledge", "value": "a1", "style": "primary"},
        {"type": "button", "text": plain("Open"), "action_id": "open", "url": "https://example.com/a1"},
        {
            "type": "overflow",
            "action_id": "mute",
            "options": [{"text": plain("1 day"), "value": "1d"}, {"text": plain("7 days"), "value": "7d"}],
        },
    ],
}
VIEW: dict[str, Any] = {
    "type": "modal",
    "title": plain("Resolve"),
    "submit": plain("Resolve"),
    "callback_id": "resolve",
    "private_metadata": "a1",
    "blocks": [
        {
            "type": "input",
            "block_id": "how",
            "label": plain("How"),
            "element": {
                "type": "static_select",
                "action_id": "how",
                "options": [{"text": plain("Done"), "value": "done"}, {"text": plain("Not affected"), "value": "not"}],
            },
        },
        {
            "type": "input",
            "block_id": "reason",
            "label": plain("Reason"),
            "optional": True,
            "element": {"type": "plain_text_input", "action_id": "reason", "max_length": 100},
        },
    ],
}


class App:
    """The real SDK's Socket Mode client. ``heard`` are the envelopes that came; ``answer`` is what acknowledges one."""

    def __init__(self, sandbox: Sandbox, web: WebClient) -> None:
        self.socket = sandbox.slack.socket
        self.heard: queue.Queue[SocketModeRequest] = queue.Queue()
        self.hellos: queue.Queue[dict[str, Any]] = queue.Queue()
        self.answer: Callable[[SocketModeRequest], dict[str, Any] | None] = lambda _: {}
        quiet = logging.getLogger("sandbox.test")
        quiet.setLevel(logging.CRITICAL)
        self.client = SocketModeClient(
            app_token=sandbox.slack.app_token, web_client=web, logger=quiet, ping_interval=0.05
        )
        self.client.message_listeners.append(self._hello)
        self.client.socket_mode_request_listeners.append(self._listen)
        self.client.connect()

    def close(self) -> None:
        # A connection that ends by itself is let go at once; of one that stands the client waits for the next message.
        self.client.auto_reconnect_enabled = False
        self.socket.cut(reset=False)
        # The client's own close waits for ever where its reader begins just then, and leaves a connection that its
        # monitor makes just then.
        closing = threading.Thread(target=self.client.close)
        closing.start()
        while closing.is_alive():
            self.client.current_session_state.terminated = True
            closing.join(0.02)
        self.client.disconnect()
        gc.collect()  # so that what it left is found missing here, and in no other test

    def next(self) -> SocketModeRequest:
        return self.heard.get(timeout=PATIENCE)

    def _hello(self, _client: BaseSocketModeClient, message: dict[str, Any], _raw: str | None = None) -> None:
        if message.get("type") == "hello":
            self.hellos.put(message)

    def _listen(self, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        payload = self.answer(request)
        if payload is not None:
            client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id, payload=payload))
        self.heard.put(request)


@pytest.fixture
def web(sandbox: Sandbox) -> WebClient:
    return WebClient(token=sandbox.slack.token, base_url=sandbox.slack.url, retry_handlers=[])


@pytest.fixture
def app(sandbox: Sandbox, web: WebClient) -> Iterator[App]:
    with closing(App(sandbox, web)) as app:
        until(lambda: sandbox.slack.socket.connections)
        yield app


def posted(web: WebClient, **more: Any) -> str:
    """The ts of a message with buttons."""
    sent = web.chat_postMessage(**{"channel": "#secops", "text": "An alert", "blocks": [BUTTONS], **more})
    return str(sent["ts"])


def error(call: Callable[[], Any]) -> str:
    with pytest.raises(SlackApiError) as refused:
        call()
    return str(refused.value.response["error"])


def test_a_click_comes_to_the_app_and_is_acknowledged(sandbox: Sandbox, web: WebClient, app: App) -> None:
    """A button's click is one envelope that tells who, where, on what and which button."""
    ts = posted(web)
    click = sandbox.slack.click("#secops", ts, "acknowledge", user="bob")
    request = app.next()
    payload = request.payload
    assert (request.type, request.envelope_id, payload["type"]) == ("interactive", click.envelope_id, "block_actions")
    assert payload["user"] == {"id": "U0BOB", "username": "bob", "name": "bob", "team_id": "T0SANDBOX"}
    assert payload["channel"] == {"id": "C0SECOPS", "name": "secops"}
    assert payload["container"] == {
        "type": "message", "message_ts": ts, "channel_id": "C0SECOPS", "is_ephemeral": False,
    }  # fmt: skip
    (action,) = payload["actions"]
    assert (action["action_id"], action["block_id"], action["value"]) == ("acknowledge", "act", "a1")
    assert (payload["message"]["ts"], payload["message"]["text"]) == (ts, "An alert")
    assert payload["message"]["blocks"] == [BUTTONS]
    assert click.wait(PATIENCE)
    assert (click.deliveries, click.acknowledgements) == (1, [{}])
    sandbox.slack.click("#secops", ts, "open")
    assert app.next().payload["actions"][0]["url"] == "https://example.com/a1"
    sandbox.slack.click("#secops", ts, "mute", value="7d")
    assert app.next().payload["actions"][0]["selected_option"]["value"] == "7d"


def test_a_person_can_only_do_what_is_there(sandbox: Sandbox, web: WebClient) -> None:
    """No button that is not there is clicked, and nothing is chosen that is not offered."""
    ts = posted(web)
    with pytest.raises(LookupError, match="acknowledge, open, mute"):
        sandbox.slack.click("#secops", ts, "resolve")
    with pytest.raises(ValueError, match="no option 30d"):
        sandbox.slack.click("#secops", ts, "mute", value="30d")


def test_a_click_that_no_app_hears_is_lost(sandbox: Sandbox, web: WebClient) -> None:
    """Without a connection the person sees a warning, and nothing comes later."""
    click = sandbox.slack.click("#secops", posted(web), "acknowledge")
    assert (click.deliveries, click.acknowledged) == (0, False)


def test_what_is_not_acknowledged_comes_again(sandbox: Sandbox, web: WebClient, app: App) -> None:
    """The same envelope is sent until it is acknowledged; one more may be under way by then."""
    sandbox.slack.socket.ack_within = 0.02
    app.answer = lambda _: {} if app.heard.qsize() >= 2 else None
    click = sandbox.slack.click("#secops", posted(web), "acknowledge")
    assert click.wait(PATIENCE)
    assert [app.next().envelope_id for _ in range(3)] == [click.envelope_id] * 3
    assert click.deliveries >= 3


def test_what_is_never_acknowledged_is_given_up(sandbox: Sandbox, web: WebClient, app: App) -> None:
    """After so many times Slack tries no more."""
    sandbox.slack.socket.ack_within, sandbox.slack.socket.resends = 0.01, 2
    app.answer = lambda _: None
    click = sandbox.slack.click("#secops", posted(web), "acknowledge")
    until(lambda: app.heard.qsize() == 3)
    assert (click.deliveries, click.acknowledged) == (3, False)


def test_an_envelope_may_come_twice(sandbox: Sandbox, web: WebClient, app: App) -> None:
    """By order or by a fault, the same envelope is there twice."""
    ts = posted(web)
    click = sandbox.slack.click("#secops", ts, "acknowledge", duplicates=1)
    assert [app.next().envelope_id for _ in range(2)] == [click.envelope_id] * 2
    sandbox.slack.inject(Fault(kind=FaultKind.TWICE, path="SOCKET interactive"))
    click = sandbox.slack.click("#secops", ts, "acknowledge")
    assert [app.next().envelope_id for _ in range(2)] == [click.envelope_id] * 2
    until(lambda: len(click.acknowledgements) == 2)


def test_a_disconnect_asks_for_a_new_connection(sandbox: Sandbox, web: WebClient, app: App) -> None:
    """The client opens a new connection as it is told to; the old one ends."""
    (old,) = sandbox.slack.socket.connections
    sandbox.slack.socket.disconnect("refresh_requested", ends_after=0.01)
    until(lambda: sandbox.slack.socket.connections and old not in sandbox.slack.socket.connections)
    assert sandbox.slack.socket.opened == 2
    assert app.hellos.get(timeout=PATIENCE)["connection_info"] == {"app_id": "A0SANDBOX"}
    sandbox.slack.click("#secops", posted(web), "acknowledge")
    assert app.next().payload["type"] == "block_actions"


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.TRUNCATED, FaultKind.RESET_AFTER])
def test_a_connection_that_is_cut_is_made_anew(sandbox: Sandbox, web: WebClient, app: App, kind: FaultKind) -> None:
    """Where an envelope was lost with its connection, it comes over the next one."""
    sandbox.slack.socket.ack_within, sandbox.slack.socket.resends = 0.2, 100
    app.answer = lambda _: {} if sandbox.slack.socket.opened > 1 else None
    sandbox.slack.inject(Fault(kind=kind, path="SOCKET interactive"))
    click = sandbox.slack.click("#secops", posted(web), "acknowledge")
    assert click.wait(PATIENCE)
    assert sandbox.slack.socket.opened > 1


def test_pings_go_both_ways_until_the_line_is_dead(sandbox: Sandbox, app: App) -> None:
    """Client and service answer each other's pings; a held connection answers nothing, and nobody says so."""
    (line,) = sandbox.slack.socket.connections
    sandbox.slack.socket.ping()
    until(lambda: line.pings > 1 and line.pongs)
    sandbox.slack.socket.hold()
    pings = line.pings
    # Stale is what has not answered for four intervals, in whole seconds.
    until(lambda: sandbox.slack.socket.opened > 1)
    assert line.pings == pings


def test_each_envelope_goes_to_one_connection(sandbox: Sandbox, web: WebClient, app: App) -> None:
    """Two clients of one app share what comes."""
    with closing(App(sandbox, web)) as other:
        until(lambda: len(sandbox.slack.socket.connections) == 2)
        ts = posted(web)
        clicks = [sandbox.slack.click("#secops", ts, "acknowledge") for _ in range(4)]
        assert all(click.wait(PATIENCE) for click in clicks)
        heard = [one.next().envelope_id for one in (app, other) for _ in range(2)]
        assert sorted(heard) == sorted(click.envelope_id for click in clicks)


def test_who_may_open_a_connection(sandbox: Sandbox, web: WebClient) -> None:
    """The app's token opens one, by its scope, as a header; no other token does, and it opens nothing else."""
    slack = sandbox.slack
    assert web.apps_connections_open(app_token=slack.app_token)["url"].startswith("ws://127.0.0.1:")
    assert error(lambda: web.apps_connections_open(app_token=slack.token)) == "not_allowed_token_type"
    assert error(lambda: web.apps_connections_open(app_token="xapp-not-this-one")) == "invalid_auth"
    assert error(lambda: web.auth_test(token=slack.app_token)) == "not_allowed_token_type"
    form = httpx2.post(f"{slack.url}apps.connections.open", data={"token": slack.app_token})
    assert form.json()["error"] == "invalid_auth"
    slack.app_scopes = {"authorizations:read"}
    with pytest.raises(SlackApiError) as missing:
        web.apps_connections_open(app_token=slack.app_token)
    assert (missing.value.response["error"], missing.value.response["needed"]) == ("missing_scope", "connections:write")
    slack.revoke()
    assert error(lambda: web.apps_connections_open(app_token=slack.app_token)) == "token_revoked"


def upgrade(url: str) -> tuple[socket.socket, bytes]:
    """A handshake by hand, and the beginning of what it got."""
    address = httpx2.URL(url)
    wire = socket.create_connection((address.host, address.port or 80), timeout=PATIENCE)
    path = f"{address.path}?{address.query.decode()}"
    head = f"GET {path} HTTP/1.1\r\nHost: sandbox\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    try:
        wire.sendall(f"{head}Sec-WebSocket-Key: {'A' * 22}==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        return wire, wire.recv(4096)
    except OSError:
        wire.close()
        raise


def test_a_ticket_is_good_once_and_for_half_a_minute(web: WebClient, sandbox: Sandbox) -> None:
    """The address of a connection is spent with its first use, and by time."""
    url = web.apps_connections_open(app_token=sandbox.slack.app_token)["url"]
    first, status = upgrade(url)
    assert status.startswith(b"HTTP/1.1 101")
    again, status = upgrade(url)
    assert status.startswith(b"HTTP/1.1 403")
    late = web.apps_connections_open(app_token=sandbox.slack.app_token)["url"]
    sandbox.clock.advance(31)
    third, status = upgrade(late)
    assert status.startswith(b"HTTP/1.1 403")
    for wire in (first, again, third):
        wire.close()


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.RESET_BEFORE, FaultKind.TRUNCATED, FaultKind.HTML])
def test_a_handshake_fails_on_order(sandbox: Sandbox, web: WebClient, kind: FaultKind) -> None:
    """It is a request like any other; no connection comes of it."""
    sandbox.slack.inject(Fault(kind=kind, status=503, path="GET /link/"))
    url = web.apps_connections_open(app_token=sandbox.slack.app_token)["url"]
    status = b""
    with suppress(ConnectionResetError):
        wire, status = upgrade(url)
        wire.close()
    assert b"\r\n\r\n" not in status or not status.startswith(b"HTTP/1.1 101")
    assert sandbox.slack.socket.opened == 0


@pytest.mark.parametrize("kind", [FaultKind.LATENCY, FaultKind.DRIP])
def test_a_handshake_takes_its_time_on_order(sandbox: Sandbox, web: WebClient, kind: FaultKind) -> None:
    """Late or byte by byte, the connection stands in the end."""
    sandbox.slack.inject(Fault(kind=kind, seconds=0.05, path="GET /link/"))
    wire, _ = upgrade(web.apps_connections_open(app_token=sandbox.slack.app_token)["url"])
    until(lambda: sandbox.slack.socket.connections)
    wire.close()
    until(lambda: not sandbox.slack.socket.connections)


def test_a_connection_speaks_websocket_or_ends(sandbox: Sandbox, web: WebClient) -> None:
    """What is no frame ends it, and what is no handshake begins none."""
    wire, _ = upgrade(web.apps_connections_open(app_token=sandbox.slack.app_token)["url"])
    until(lambda: sandbox.slack.socket.connections)
    wire.sendall(b"GET / HTTP/1.1\r\n\r\n")
    until(lambda: not sandbox.slack.socket.connections)
    wire.close()
    url = web.apps_connections_open(app_token=sandbox.slack.app_token)["url"].replace("ws:", "http:")
    assert httpx2.get(url).status_code == 426


@pytest.mark.parametrize("kind", [FaultKind.LATENCY, FaultKind.DRIP, FaultKind.HTML])
def test_an_envelope_comes_late_or_garbled(sandbox: Sandbox, web: WebClient, app: App, kind: FaultKind) -> None:
    """In the end it is there, if only when it is sent again; a header in pieces is too much for the SDK's client."""
    sandbox.slack.socket.ack_within, sandbox.slack.socket.resends = 0.2, 100
    sandbox.slack.inject(Fault(kind=kind, seconds=0.05, path="SOCKET interactive"))
    click = sandbox.slack.click("#secops", posted(web), "acknowledge")
    assert click.wait(PATIENCE)
    assert app.next().envelope_id == click.envelope_id


def test_a_held_connection_ends_in_the_end(sandbox: Sandbox, web: WebClient, app: App) -> None:
    """It says nothing for the fault's seconds; what it was to carry comes over the next connection."""
    sandbox.slack.socket.ack_within, sandbox.slack.socket.resends = 0.2, 100
    sandbox.slack.inject(Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=0.05, path="SOCKET interactive"))
    click = sandbox.slack.click("#secops", posted(web), "acknowledge")
    assert click.wait(PATIENCE)
    assert sandbox.slack.socket.opened > 1


def test_people_act_from_another_process(sandbox: Sandbox, web: WebClient, app: App) -> None:
    """Over the control path; what cannot be done is said there."""
    url = f"{sandbox.slack.origin}/_sandbox/people/click"
    ts = posted(web)
    assert httpx2.post(url, json={"channel": "#secops", "ts": ts, "action_id": "acknowledge"}).status_code == 200
    assert app.next().payload["actions"][0]["action_id"] == "acknowledge"
    refused = httpx2.post(url, json={"channel": "#secops", "ts": ts, "action_id": "nothing"})
    assert (refused.status_code, "it has acknowledge" in refused.json()["error"]) == (400, True)
    assert httpx2.post(f"{sandbox.slack.origin}/_sandbox/people/close", json={}).status_code == 404


def test_an_app_has_ten_connections(sandbox: Sandbox, web: WebClient) -> None:
    """The eleventh is told to go."""
    urls = [web.apps_connections_open(app_token=sandbox.slack.app_token)["url"] for _ in range(MAX_CONNECTIONS + 1)]
    wires = [upgrade(url)[0] for url in urls[:-1]]
    until(lambda: len(sandbox.slack.socket.connections) == MAX_CONNECTIONS)
    last, told = upgrade(urls[-1])
    while b"too_many_websockets" not in told:
        piece = last.recv(4096)
        assert piece, "closed without a word"
        told += piece
    for wire in (*wires, last):
        wire.close()


def test_connections_are_limited_in_number_a_minute() -> None:
    """One who reconnects without end is told to wait."""
    with Sandbox(clock=lambda: START) as sandbox:
        web = WebClient(token=sandbox.slack.token, base_url=sandbox.slack.url, retry_handlers=[])
        for _ in range(50):
            web.apps_connections_open(app_token=sandbox.slack.app_token)
        with pytest.raises(SlackApiError) as limited:
            web.apps_connections_open(app_token=sandbox.slack.app_token)
        assert (limited.value.response.status_code, limited.value.response.headers["Retry-After"]) == (429, "60")


def test_a_modal_from_its_trigger_to_its_submission(sandbox: Sandbox, web: WebClient, app: App) -> None:
    """A click's trigger opens a modal; what a person fills in comes back, and the modal closes."""
    sandbox.slack.click("#secops", posted(web), "acknowledge", user="U0BOB")
    trigger = app.next().payload["trigger_id"]
    view = web.views_open(trigger_id=trigger, view=VIEW)["view"]
    assert error(lambda: web.views_open(trigger_id=trigger, view=VIEW)) == "exchanged_trigger_id"
    with pytest.raises(ValueError, match="how must be filled in"):
        sandbox.slack.submit(view["id"], {"reason": "patched"})
    submitted = sandbox.slack.submit(view["id"], {"how": "Not affected", "reason": "patched"})
    payload = app.next().payload
    assert (payload["type"], payload["user"]["id"]) == ("view_submission", "U0BOB")
    assert (payload["view"]["callback_id"], payload["view"]["private_metadata"]) == ("resolve", "a1")
    values = payload["view"]["state"]["values"]
    assert values["how"]["how"]["selected_option"]["value"] == "not"
    assert values["reason"]["reason"] == {"type": "plain_text_input", "value": "patched"}
    assert submitted.wait(PATIENCE)
    until(lambda: sandbox.slack.views.open_views == [])


def test_an_answer_to_a_submission_shows_errors_or_another_view(sandbox: Sandbox, web: WebClient, app: App) -> None:
    """The acknowledgement may keep the modal open, with errors or as another one."""
    sandbox.slack.click("#secops", posted(web), "acknowledge")
    view = web.views_open(trigger_id=app.next().payload["trigger_id"], view=VIEW)["view"]
    app.answer = lambda _: {"response_action": "errors", "errors": {"reason": "Say more."}}
    sandbox.slack.submit(view["id"], {"how": "done"})
    until(lambda: sandbox.slack.views.open_views[0]["errors"] == {"reason": "Say more."})
    app.answer = lambda _: {"response_action": "update", "view": {**VIEW, "title": plain("Thank you")}}
    sandbox.slack.submit(view["id"], {"how": "done"})
    until(lambda: sandbox.slack.views.open_views[0]["title"] == plain("Thank you"))


def test_a_trigger_is_good_for_three_seconds(sandbox: Sandbox, web: WebClient) -> None:
    """Too late, made up or left out, a trigger opens nothing."""
    trigger = sandbox.slack.views.trigger("U0BOB")
    sandbox.clock.advance(4)
    assert error(lambda: web.views_open(trigger_id=trigger, view=VIEW)) == "expired_trigger_id"
    assert error(lambda: web.views_open(trigger_id="1.2.3", view=VIEW)) == "invalid_trigger_id"
    assert error(lambda: web.api_call("views.open", json={"view": VIEW})) == "invalid_arguments"


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": plain(text)}


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"title": plain("x" * 24)}, {"title": plain("x" * 25)}),
        ({"submit": plain("x" * 24)}, {"submit": plain("x" * 25)}),
        ({"close": plain("x" * 24)}, {"close": mrkdwn("x")}),
        ({"private_metadata": "x" * 3000}, {"private_metadata": "x" * 3001}),
        ({"callback_id": "x" * 255}, {"callback_id": "x" * 256}),
        ({"blocks": [section("x")] * 100}, {"blocks": [section("x")] * 101}),
        ({"blocks": [section("x" * 3000)]}, {"blocks": [section("x" * 3001)]}),
        ({}, {"submit": None}),
        ({}, {"type": "home"}),
        ({}, {"titel": "x"}),
        ({}, {"blocks": []}),
    ],
)
def test_modals_are_held_to_their_limits(
    sandbox: Sandbox, web: WebClient, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    """A modal at its limit opens; one past it is refused, and its trigger is good still."""
    trigger = sandbox.slack.views.trigger("U0BOB")
    assert error(lambda: web.views_open(trigger_id=trigger, view={**VIEW, **bad})) == "invalid_arguments"
    assert web.views_open(trigger_id=trigger, view={**VIEW, **good})["ok"] is True


def option(**more: Any) -> dict[str, Any]:
    return {"text": plain("x"), "value": "x", **more}


def overflow(*options: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "overflow", "action_id": "m", "options": list(options), **more}


def confirmed(**more: Any) -> dict[str, Any]:
    dialog = {"title": plain("x"), "text": plain("x"), "confirm": plain("x"), "deny": plain("x"), **more}
    return {"type": "button", "text": plain("x"), "action_id": "b", "confirm": dialog}


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (overflow(*[option()] * 5), overflow(*[option()] * 6)),
        (overflow(option(text=plain("x" * 75))), overflow(option(text=plain("x" * 76)))),
        (overflow(option(value="x" * 150)), overflow(option(value="x" * 151))),
        (overflow(option(), action_id="x" * 255), overflow(option(), action_id="x" * 256)),
        (confirmed(title=plain("x" * 100)), confirmed(title=plain("x" * 101))),
        (confirmed(text=plain("x" * 300)), confirmed(text=plain("x" * 301))),
        (confirmed(confirm=plain("x" * 30)), confirmed(confirm=plain("x" * 31))),
        (confirmed(deny=plain("x" * 30)), confirmed(deny=plain("x" * 31))),
        (confirmed(style="danger"), confirmed(style="red")),
        (confirmed(), {"type": "plain_text_input", "action_id": "p"}),
    ],
)
def test_what_people_act_on_is_held_to_its_limits(web: WebClient, good: dict[str, Any], bad: dict[str, Any]) -> None:
    """An element at its limit is posted and edited in, one past it is not."""
    place = {"channel": "C0SECOPS", "ts": posted(web), "text": "x"}
    for method in ("chat.postMessage", "chat.update"):

        def send(element: dict[str, Any], method: str = method) -> None:
            for block in ({"type": "actions", "elements": [element]}, {**section("x"), "accessory": element}):
                web.api_call(method, json={**place, "blocks": [block]})

        send(good)
        assert error(lambda send=send: send(bad)) == "invalid_blocks"  # type: ignore[misc]


def test_a_response_url_is_good_five_times(sandbox: Sandbox, web: WebClient, app: App) -> None:
    """It edits the message or whispers to the one who clicked, without a token, for half an hour."""
    sandbox.slack.click("#secops", posted(web), "acknowledge", user="U0BOB")
    url = app.next().payload["response_url"]
    assert httpx2.post(url, json={"text": "Thank you"}).json() == {"ok": True}
    assert [(one["user"], one["text"]) for one in sandbox.slack.ephemerals] == [("U0BOB", "Thank you")]
    httpx2.post(url, json={"text": "Edited", "replace_original": True})
    assert sandbox.slack.messages[0]["text"] == "Edited"
    for _ in range(3):
        httpx2.post(url, json={"text": "Once more"})
    spent = httpx2.post(url, json={"text": "Once too often"})
    assert (spent.status_code, spent.json()["error"]) == (404, "used_url")


def test_a_whisper_is_seen_by_one(sandbox: Sandbox, web: WebClient) -> None:
    """An ephemeral message is no message of the channel."""
    web.chat_postEphemeral(channel="C0SECOPS", user="U0ALICE", text="Just you")
    assert [(one["user"], one["text"]) for one in sandbox.slack.ephemerals] == [("U0ALICE", "Just you")]
    assert sandbox.slack.messages == []
    assert error(lambda: web.chat_postEphemeral(channel="C0SECOPS", user="U0NOBODY", text="x")) == "user_not_found"


def test_people_and_groups_are_found(sandbox: Sandbox, web: WebClient) -> None:
    """Users and groups are told by their scopes; addresses take one of their own, disabled groups are left out."""
    slack = sandbox.slack
    slack.people.add_group("old-team", disabled=True)
    groups = web.usergroups_list(include_users=True)["usergroups"]
    assert [(one["id"], one["handle"], one["users"]) for one in groups] == [
        ("S0DEVTOOLS", "dev-tools", ["U0ALICE", "U0BOB"])
    ]
    assert len(web.usergroups_list(include_disabled=True)["usergroups"]) == 2
    assert web.users_info(user="U0ALICE")["user"]["profile"].get("email") is None
    assert [one["name"] for page in web.users_list(limit=2) for one in page["members"]] == ["forwarder", "alice", "bob"]
    assert error(lambda: web.users_info(user="U0NOBODY")) == "user_not_found"
    assert error(lambda: web.users_lookupByEmail(email="bob@example.com")) == "missing_scope"
    slack.scopes |= {"users:read.email"}
    assert web.users_lookupByEmail(email="Bob@example.com")["user"]["id"] == "U0BOB"
    assert error(lambda: web.users_lookupByEmail(email="nobody@example.com")) == "users_not_found"
    slack.scopes = {"chat:write"}
    for call in (web.usergroups_list, web.users_list):
        assert error(call) == "missing_scope"
