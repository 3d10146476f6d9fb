"""People press buttons in Slack, and the desk hears each click once, whatever happens on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from connectors.slack.buttons import MEANINGS
from connectors.slack.listener import Access, Listener
from forwarder.connector import NOT_KEPT, NOT_KNOWN, Action, Reaction
from forwarder.sandbox import Fault, FaultKind, Sandbox
from tests.kit.core import PATIENCE, until
from tests.kit.people import HearingDesk, Office
from tests.kit.slack import by_token, new_delivery


@pytest.fixture
def office(sandbox: Sandbox) -> Iterator[Office]:
    """A connector that is heard."""
    with closing(Office(sandbox)) as office:
        office.open()
        yield office


def threads(name: str = "secops") -> list[threading.Thread]:
    """What of a listener lives, the SDK's own threads included."""
    ours, theirs = f"{name}-", ("ThreadPoolExecutor",)
    return [one for one in threading.enumerate() if one.name.startswith((ours, *theirs)) or "(_run)" in one.name]


def test_a_click_is_heard_once(office: Office) -> None:
    """The desk hears who did what to which message and when, and only then Slack hears that it was heard."""
    ts = office.posted()
    click = office.click(ts, user="bob")
    assert click.wait(PATIENCE)
    (reaction,) = office.heard.told
    action = click.payload["actions"][0]
    assert reaction == Reaction(
        remote_id=f"C0SECOPS:{ts}",
        action=Action.ACKNOWLEDGE,
        key=f"C0SECOPS:{ts}:sentrytex_acknowledge:U0BOB:{action['action_ts']}",
        at=reaction.at,
        person="Bob",
    )
    assert f"{reaction.at.timestamp():.6f}" == action["action_ts"]
    assert (click.deliveries, click.acknowledgements) == (1, [None])
    assert office.sandbox.slack.ephemerals == []


@pytest.mark.parametrize("button", MEANINGS)
def test_each_button_says_what_it_means(office: Office, button: str) -> None:
    """Acknowledging, resolving in either way and reopening are told apart."""
    ts = office.posted()
    message = next(one for one in office.sandbox.slack.messages if one["ts"] == ts)
    (block,) = (one for one in message["blocks"] if one["type"] == "actions")
    block["elements"] = [{**block["elements"][0], "action_id": button}]
    assert office.click(ts, button).wait(PATIENCE)
    (reaction,) = office.heard.reactions
    assert (reaction.action, reaction.resolution) == (MEANINGS[button].action, MEANINGS[button].resolution)


def test_two_clicks_of_one_person_are_two(office: Office) -> None:
    """Pressing the same button again is another event, and they are heard in order."""
    ts = office.posted()
    clicks = [office.click(ts, button) for button in ("sentrytex_acknowledge", "sentrytex_resolve_done") * 3]
    assert all(click.wait(PATIENCE) for click in clicks)
    heard = [one.key.rpartition(":")[2] for one in office.heard.reactions]
    assert heard == [click.payload["actions"][0]["action_ts"] for click in clicks]


def test_two_people_at_once_are_both_heard(office: Office) -> None:
    """Clicks in the same moment are each heard, and acknowledged."""
    ts = office.posted()
    start = threading.Barrier(2)
    clicks: list[Any] = []

    def press(user: str) -> None:
        start.wait()
        clicks.append(office.click(ts, user=user))

    pressing = [threading.Thread(target=press, args=(user,)) for user in ("alice", "bob")]
    for one in pressing:
        one.start()
    for one in pressing:
        one.join()
    assert all(click.wait(PATIENCE) for click in clicks)
    assert {one.person for one in office.heard.reactions} == {"Alice", "Bob"}


def test_what_is_told_again_has_the_same_key(office: Office) -> None:
    """Slack sends a click twice, in the same envelope or in another one: its key is that of the first."""
    click = office.click(office.posted(), duplicates=1)
    until(lambda: len(click.acknowledgements) == 2)
    again = office.sandbox.slack.socket.deliver(click.payload)
    assert again.wait(PATIENCE)
    assert again.envelope_id != click.envelope_id
    assert len(office.heard.told) == 3
    assert len(office.heard.reactions) == 1


def test_a_click_is_acknowledged_only_once_it_is_kept(sandbox: Sandbox) -> None:
    """While the desk has not kept it, Slack is told nothing; a slow desk is waited for."""
    kept, asked = threading.Event(), threading.Event()

    def slowly(_: object) -> str:
        asked.set()
        kept.wait(PATIENCE)
        return ""

    with closing(Office(sandbox, HearingDesk(slowly))) as office:
        office.open()
        click = office.click(office.posted())
        assert asked.wait(PATIENCE)
        assert not click.acknowledged
        kept.set()
        assert click.wait(PATIENCE)


def test_what_could_not_be_kept_comes_again(sandbox: Sandbox) -> None:
    """It is not acknowledged, so Slack sends it again; the person is told once, and the click counts once."""
    sandbox.slack.socket.ack_within = 0.05
    answers = [NOT_KEPT, NOT_KEPT]
    with closing(Office(sandbox, HearingDesk(lambda _: answers.pop() if answers else ""))) as office:
        office.open()
        click = office.click(office.posted())
        assert click.wait(PATIENCE)
        assert len(click.acknowledgements) == 1
        assert click.deliveries == 3
        until(lambda: sandbox.slack.ephemerals)
        (whisper,) = sandbox.slack.ephemerals
        assert (whisper["user"], whisper["text"]) == ("U0ALICE", NOT_KEPT)


def test_the_desk_s_answer_is_for_the_person_alone(sandbox: Sandbox) -> None:
    """A sentence is shown to the one who clicked, as text; that it cannot be shown changes nothing."""
    with closing(Office(sandbox, HearingDesk(lambda _: "Acknowledged by <!channel> & Bob already."))) as office:
        office.open()
        ts = office.posted()
        assert office.click(ts).wait(PATIENCE)
        until(lambda: sandbox.slack.ephemerals)
        (whisper,) = sandbox.slack.ephemerals
        assert (whisper["channel"], whisper["user"]) == ("C0SECOPS", "U0ALICE")
        assert whisper["text"] == "Acknowledged by &lt;!channel&gt; &amp; Bob already."
        assert whisper["pings"] == []
        sandbox.slack.inject(Fault(kind=FaultKind.STATUS, status=500, path="chat.postEphemeral"))
        assert office.click(ts).wait(PATIENCE)
        assert office.click(ts).wait(PATIENCE)
        until(lambda: len(sandbox.slack.ephemerals) == 2)


def test_what_is_not_ours_is_ignored(office: Office) -> None:
    """Another button, another team's or app's click, a form or an event of another kind do nothing, and come once."""
    ts = office.posted()
    payload = office.click(ts).payload
    (action,) = payload["actions"]
    others: list[dict[str, Any]] = [
        {"actions": [{**action, "action_id": "somebody_else_s"}]},
        {"actions": []},
        {"actions": None},
        {"actions": [{**action, "action_ts": None}]},
        {"team": {"id": "T0ANOTHER"}},
        {"api_app_id": "A0ANOTHER"},
        {"container": None},
        {"user": None},
        {"type": "message_action"},
        {"type": "view_submission"},
        {"type": "view_submission", "view": {"callback_id": "sentrytex_mute_form", "id": "V1", "state": 1}},
    ]
    told = [office.sandbox.slack.socket.deliver({**payload, **other}) for other in others]
    assert all(one.wait(PATIENCE) for one in told)
    assert len(office.heard.told) == 1


def test_a_link_s_button_is_no_reaction(office: Office) -> None:
    """Slack tells also of a button that only opens a page: it is acknowledged, and that is all."""
    ts = office.posted()
    message = next(one for one in office.sandbox.slack.messages if one["ts"] == ts)
    links = message["attachments"][0]["blocks"][2]["elements"]
    links[0]["action_id"] = "e40"
    assert "url" in links[0]
    assert office.click(ts, "e40").wait(PATIENCE)
    assert office.heard.told == []


def test_a_message_that_the_store_does_not_know_is_answered(sandbox: Sandbox) -> None:
    """Whether a message is ours only a receipt shows: the person is told, and the click does not come again."""
    with closing(Office(sandbox, HearingDesk(lambda _: NOT_KNOWN))) as office:
        office.open()
        ts = office.posted()
        sandbox.clock.advance(121)
        assert office.click(ts).wait(PATIENCE)
        until(lambda: [one["text"] for one in sandbox.slack.ephemerals] == [NOT_KNOWN])


def test_a_person_may_be_quicker_than_the_receipt(sandbox: Sandbox) -> None:
    """Of a message that was sent just now the desk may not know yet: it is asked again, and nobody is told nonsense."""
    answers = [NOT_KNOWN, NOT_KNOWN]
    with closing(Office(sandbox, HearingDesk(lambda _: answers.pop() if answers else ""))) as office:
        office.open()
        assert office.click(office.posted()).wait(PATIENCE)
        assert len(office.heard.told) == 3
        assert sandbox.slack.ephemerals == []


def test_what_stays_unknown_is_left_to_whoever_knows_it(sandbox: Sandbox) -> None:
    """Another forwarder with the same app may have sent the message: it is not acknowledged, so Slack asks on."""
    sandbox.slack.socket.ack_within, sandbox.slack.socket.resends = 0.1, 1000
    with closing(Office(sandbox, HearingDesk(lambda _: NOT_KNOWN))) as office:
        office.open()
        click = office.click(office.posted())
        until(lambda: len(office.heard.told) > 8)
        assert (click.acknowledged, sandbox.slack.ephemerals) == (False, [])


def test_two_connectors_of_one_app_hear_each_other_s_clicks(sandbox: Sandbox) -> None:
    """Slack tells a click to any connection of the app: whichever hears it, the desk that knows the message gets it."""
    knowing = HearingDesk()
    with (
        closing(Office(sandbox, HearingDesk(lambda _: NOT_KNOWN))) as other,
        closing(Office(sandbox, knowing)) as office,
    ):
        other.open()
        office.open()
        ts = office.posted()
        clicks = [office.click(ts) for _ in range(6)]
        assert all(click.wait(PATIENCE) for click in clicks)
        assert len(knowing.reactions) == 6
        assert 0 < len(other.heard.told) < 6
        assert sandbox.slack.ephemerals == []


@pytest.mark.parametrize("allowed", [True, False])
def test_a_person_has_a_name(office: Office, allowed: bool) -> None:
    """The real name where the token may ask for it, else the one that came with the click; it is asked for once."""
    office.sandbox.slack.people.add("grace.hopper")
    if not allowed:
        office.sandbox.slack.scopes -= {"users:read"}
    ts = office.posted()
    for _ in range(3):
        assert office.click(ts, user="grace.hopper").wait(PATIENCE)
    assert {one.person for one in office.heard.reactions} == {"Grace Hopper" if allowed else "grace.hopper"}
    asked = [one for one in office.sandbox.slack.requests if "users.info" in one.path]
    assert len(asked) == 1


# The connection


@pytest.mark.parametrize("reset", [True, False])
def test_a_connection_that_was_cut_is_made_anew(office: Office, reset: bool) -> None:
    """Without being told to, and what is pressed then is heard."""
    office.sandbox.slack.socket.cut(reset=reset)
    until(lambda: office.sandbox.slack.socket.opened == 2 and office.listens())
    assert office.click(office.posted()).wait(PATIENCE)
    assert len(office.heard.reactions) == 1


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.TRUNCATED, FaultKind.RESET_AFTER])
def test_a_click_that_was_under_way_comes_over_the_next_one(office: Office, kind: FaultKind) -> None:
    """A connection that ends with an envelope on it loses nothing."""
    socket = office.sandbox.slack.socket
    socket.ack_within, socket.resends = 0.2, 1000
    office.sandbox.slack.inject(Fault(kind=kind, path="SOCKET interactive"))
    click = office.click(office.posted())
    assert click.wait(PATIENCE)
    assert socket.opened == 2
    assert len(office.heard.reactions) == 1


def test_slack_asks_for_a_new_connection(office: Office) -> None:
    """The new one is there before the old one ends, so that at no time nothing is heard."""
    socket = office.sandbox.slack.socket
    (old,) = socket.connections
    socket.disconnect("refresh_requested", ends_after=None)
    until(lambda: socket.opened == 2 and old not in socket.connections)
    assert office.trouble() == ""
    assert office.click(office.posted()).wait(PATIENCE)


def test_a_dead_line_is_noticed(sandbox: Sandbox) -> None:
    """Nothing comes any more, and nobody says so: pings without an answer end it."""
    access = Access(
        app_token=sandbox.slack.app_token, token=sandbox.slack.token, base_url=sandbox.slack.url, seconds=5.0
    )
    office = Office(sandbox)
    account = office.slack._remote.account  # type: ignore[union-attr] # a workspace, for it has a token
    with closing(Listener("secops", access, account, now=lambda: new_delivery().enqueued_at, ping_every=0.05)) as one:
        one.listen(office.desk)
        line = sandbox.slack.socket.connections[0]
        until(lambda: line.pings > 1)
        sandbox.slack.socket.hold()
        until(lambda: sandbox.slack.socket.opened == 2)


def test_a_wrong_token_is_said_and_tried_again(sandbox: Sandbox) -> None:
    """What is wrong with the app token is a sentence with the way out; once it is right, nothing more is needed."""
    sandbox.slack.app_scopes = set()
    with closing(Office(sandbox)) as office:
        assert "the app token lacks the scope connections:write: make one" in office.trouble()
        sandbox.slack.app_scopes = {"connections:write"}
        office.open()
        assert len(sandbox.slack.socket.connections) == 1
    with closing(Office(sandbox, app_token="xapp-another")) as office:
        assert "Slack does not accept the app token (invalid_auth): make one" in office.trouble()
        assert "xapp-another" not in office.trouble()


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(kind=FaultKind.STATUS, status=403, path="/link/", times=None), "lets no WebSocket through"),
        (Fault(kind=FaultKind.HTML, path="/link/", times=None), "lets no WebSocket through"),
        (Fault(kind=FaultKind.RESET_BEFORE, path="/link/", times=None), "no"),
        (Fault(kind=FaultKind.STATUS, status=500, path="apps.connections.open", times=None), "internal_error"),
        (Fault(kind=FaultKind.STATUS, status=429, path="apps.connections.open", times=None), "rate limit"),
    ],
)
def test_what_keeps_it_from_connecting_is_said(sandbox: Sandbox, fault: Fault, why: str) -> None:
    """A sentence tells it, as long as it lasts; afterwards everything is heard."""
    sandbox.slack.inject(fault)
    with closing(Office(sandbox)) as office:
        until(lambda: "being made" not in office.trouble())
        assert why in office.trouble()
        sandbox.slack.clear_faults()
        office.open()


@pytest.mark.parametrize(
    ("reason", "why"), [("link_disabled", "switched off"), ("too_many_websockets", "ten connections")]
)
def test_a_farewell_is_said_and_is_no_reason_to_hurry(office: Office, reason: str, why: str) -> None:
    """Slack ends the connection for good: why is said, and the next try has time."""
    office.sandbox.slack.socket.disconnect(reason, ends_after=None)
    until(lambda: why in office.trouble())
    until(office.listens)


def test_listening_never_blocks_long(sandbox: Sandbox) -> None:
    """Slack does not answer: who asks is told so while the connection is being made."""
    sandbox.slack.inject(Fault(kind=FaultKind.TIMEOUT_BEFORE, seconds=30, path="apps.connections.open", times=None))
    with closing(Office(sandbox, timeout="10s")) as office:
        assert office.trouble() == "Slack's buttons are not heard: the connection is being made."
    sandbox.slack.clear_faults()


@pytest.mark.parametrize("path", ["apps.connections.open", "/link/"])
def test_no_token_is_told(sandbox: Sandbox, path: str) -> None:
    """Whatever an answer repeats of the app token or the connection's ticket, no sentence has it."""
    token = sandbox.slack.app_token
    answers = [
        Fault(
            kind=FaultKind.STATUS, status=302, headers={"Location": f"https://{token}.example.com/{token}"}, path=path
        ),
        Fault(kind=FaultKind.STATUS, status=403, body=token, path=path),
        Fault(kind=FaultKind.STATUS, status=200, body=f'{{"ok": false, "error": "{token}"}}', path=path),
        Fault(kind=FaultKind.STATUS, status=200, body=f'{{"ok": true, "url": "wss://{token}:x/{token}"}}', path=path),
        Fault(kind=FaultKind.STATUS, status=200, body=f'{{"ok": true, "url": "ws://[{token}"}}', path=path),
    ]
    for answer in answers:
        sandbox.slack.inject(answer, answer)
        with closing(Office(sandbox)) as office:
            told = [office.trouble(), *(finding.text for finding in office.slack.check())]
        sandbox.slack.clear_faults()
        assert not any(secret in text for text in told for secret in (token, "ticket=")), told


# The end


def test_an_end_is_quick_and_whole(office: Office) -> None:
    """No connection and no thread is left, and nothing is heard afterwards."""
    ts = office.posted()
    assert office.click(ts).wait(PATIENCE)
    assert threads()
    office.close()
    assert threads() == []
    until(lambda: office.sandbox.slack.socket.connections == [])
    assert (office.click(ts).deliveries, office.trouble()) == (0, "")
    assert threads() == []


def test_what_is_under_way_at_the_end_is_not_lost(sandbox: Sandbox) -> None:
    """A click that was not kept is not acknowledged: Slack has it for the one who listens next."""
    sandbox.slack.socket.ack_within, sandbox.slack.socket.resends = 0.2, 1000
    first, second = threading.Event(), threading.Event()

    def stuck(_: object) -> str:
        first.set()
        second.wait(PATIENCE)
        return ""

    office = Office(sandbox, HearingDesk(stuck))
    office.open()
    ts = office.posted()
    clicks = [office.click(ts), office.click(ts)]
    assert first.wait(PATIENCE)
    closing_it = threading.Thread(target=office.close)
    closing_it.start()
    until(lambda: not sandbox.slack.socket.connections)
    second.set()
    closing_it.join()
    assert not any(click.acknowledged for click in clicks)
    assert len(office.heard.told) == 1
    with closing(Office(sandbox)) as next_one:
        next_one.open()
        assert all(click.wait(PATIENCE) for click in clicks)
        assert {one.key for one in next_one.heard.reactions} >= {office.heard.reactions[0].key}


def test_one_that_never_listened_ends_too(sandbox: Sandbox) -> None:
    """A connector that a refused reload made is closed without a connection."""
    Office(sandbox).close()
    by_token(sandbox).close()
    assert sandbox.slack.socket.opened == 0
