"""The sandbox's Slack, asked by the real SDK."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from forwarder.sandbox import Sandbox

START = datetime(2026, 5, 1, tzinfo=UTC)
METADATA = {"event_type": "sentrytex_alert", "event_payload": {"alert_id": "a1"}}


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, **more}


def button(**more: Any) -> dict[str, Any]:
    return {"type": "button", "text": plain("Open"), "action_id": "open", **more}


@pytest.fixture
def client(sandbox: Sandbox) -> WebClient:
    return WebClient(token=sandbox.slack.token, base_url=sandbox.slack.url, retry_handlers=[])


def refusal(client: WebClient, **message: Any) -> str:
    """The error at which Slack refuses the message; empty where it takes it."""
    try:
        client.chat_postMessage(**{"channel": "#secops", "text": "fallback", **message})
    except SlackApiError as error:
        return str(error.response["error"])
    return ""


def test_a_message_is_posted_found_changed_and_deleted(sandbox: Sandbox, client: WebClient) -> None:
    """A message lives in its channel: history finds it by its metadata, an update changes it, a delete ends it."""
    sent = client.chat_postMessage(channel="#secops", text="One", metadata=METADATA)
    place = {"channel": sent["channel"], "ts": sent["ts"]}
    found = client.conversations_history(channel="C0SECOPS", include_all_metadata=True)["messages"]
    assert [(one["ts"], one["metadata"]) for one in found] == [(sent["ts"], METADATA)]
    client.chat_update(**place, text="Two")
    link = client.chat_getPermalink(channel=sent["channel"], message_ts=sent["ts"])["permalink"]
    assert link.endswith(f"/C0SECOPS/p{sent['ts'].replace('.', '')}")
    (message,) = sandbox.slack.messages
    assert (message["text"], message["edits"][0]["text"], message["metadata"]) == ("Two", "One", METADATA)
    client.chat_delete(**place)
    assert client.conversations_history(channel="C0SECOPS")["messages"] == []
    assert sandbox.slack.messages[0]["deleted"] is True
    with pytest.raises(SlackApiError, match="message_not_found"):
        client.chat_update(**place, text="Three")


def test_metadata_shows_only_when_asked(client: WebClient) -> None:
    """History keeps metadata back unless `include_all_metadata` is set."""
    client.chat_postMessage(channel="#secops", text="One", metadata=METADATA)
    assert "metadata" not in client.conversations_history(channel="C0SECOPS")["messages"][0]


def test_an_update_with_text_alone_removes_the_blocks(sandbox: Sandbox, client: WebClient) -> None:
    """Text without blocks takes the blocks away; attachments stay unless they are sent."""
    section = {"type": "section", "text": plain("Block")}
    sent = client.chat_postMessage(channel="#secops", text="One", blocks=[section], attachments=[{"color": "#f00"}])
    client.chat_update(channel=sent["channel"], ts=sent["ts"], text="Two")
    (message,) = sandbox.slack.messages
    assert (message["blocks"], message["attachments"]) == ([], [{"color": "#f00"}])
    with pytest.raises(SlackApiError, match="msg_too_long"):
        client.chat_update(channel=sent["channel"], ts=sent["ts"], text="x" * 4001)


def test_history_pages_newest_first_and_leaves_threads_out(client: WebClient) -> None:
    """Pages follow the cursor; `oldest` is exclusive; replies show only where they were told to the channel."""
    sent = [client.chat_postMessage(channel="#secops", text=str(number))["ts"] for number in range(5)]
    client.chat_postMessage(channel="#secops", text="reply", thread_ts=sent[0])
    told = client.chat_postMessage(channel="#secops", text="told to all", thread_ts=sent[0], reply_broadcast=True)
    pages = [page["messages"] for page in client.conversations_history(channel="C0SECOPS", limit=2)]
    assert [[one["ts"] for one in page] for page in pages] == [[told["ts"], sent[4]], [sent[3], sent[2]], sent[1::-1]]
    assert len(client.conversations_history(channel="C0SECOPS", oldest=sent[4])["messages"]) == 1


def test_names_post_and_ids_do_the_rest(client: WebClient) -> None:
    """A channel's name is good for posting alone."""
    client.chat_postMessage(channel="secops", text="One")
    with pytest.raises(SlackApiError, match="channel_not_found"):
        client.conversations_history(channel="#secops")
    names = [channel["name"] for page in client.conversations_list(limit=1) for channel in page["channels"]]
    assert names == ["secops", "alerts", "oncall", "general"]
    assert client.conversations_info(channel="C0SECOPS")["channel"]["is_member"] is True


def test_what_is_broken_says_so(sandbox: Sandbox, client: WebClient) -> None:
    """Tokens, scopes and channels fail with Slack's own words."""
    assert refusal(client, channel="#nowhere") == "channel_not_found"
    sandbox.slack.archive("#alerts")
    assert refusal(client, channel="#alerts") == "is_archived"
    sandbox.slack.scopes = {"chat:write"}
    sandbox.slack.add_channel("ops", member=False)
    assert refusal(client, channel="#ops") == "not_in_channel"
    with pytest.raises(SlackApiError) as missing:
        client.conversations_history(channel="C0SECOPS")
    assert (missing.value.response["error"], missing.value.response["needed"]) == ("missing_scope", "channels:history")
    assert client.auth_test().headers["X-OAuth-Scopes"] == "chat:write"
    sandbox.slack.revoke()
    assert refusal(client) == "token_revoked"
    client.token = "xoxb-not-this-one"
    assert refusal(client) == "invalid_auth"
    client.token = None
    assert refusal(client) == "not_authed"


SECTION_AT_LIMIT = {"type": "section", "text": mrkdwn("x" * 3000)}


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (SECTION_AT_LIMIT, {"type": "section", "text": mrkdwn("x" * 3001)}),
        ({"type": "section", "text": plain("x")}, {"type": "section", "text": plain("")}),
        ({"type": "section", "text": plain("x")}, {"type": "section", "text": plain("x") | {"verbatim": True}}),
        ({"type": "section", "text": plain("x")}, {"type": "section"}),
        ({"type": "section", "fields": [plain("x")] * 10}, {"type": "section", "fields": [plain("x")] * 11}),
        ({"type": "section", "fields": [plain("x" * 2000)]}, {"type": "section", "fields": [plain("x" * 2001)]}),
        ({"type": "header", "text": plain("x" * 150)}, {"type": "header", "text": plain("x" * 151)}),
        ({"type": "header", "text": plain("x")}, {"type": "header", "text": mrkdwn("x")}),
        ({"type": "context", "elements": [plain("x")] * 10}, {"type": "context", "elements": [plain("x")] * 11}),
        (
            {"type": "actions", "elements": [button(text=plain("x" * 75))]},
            {"type": "actions", "elements": [button(text=plain("x" * 76))]},
        ),
        (
            {"type": "actions", "elements": [button(url="https://" + "x" * 2992)]},
            {"type": "actions", "elements": [button(url="https://" + "x" * 2993)]},
        ),
        (
            {"type": "actions", "elements": [button(action_id=str(number)) for number in range(25)]},
            {"type": "actions", "elements": [button(action_id=str(number)) for number in range(26)]},
        ),
        (
            {"type": "actions", "elements": [button(), button(action_id="other")]},
            {"type": "actions", "elements": [button(), button()]},
        ),
        ({"type": "divider"}, {"type": "dividers"}),
        ({"type": "divider"}, {"type": "divider", "text": plain("x")}),
    ],
)
def test_blocks_are_held_to_their_limits(client: WebClient, good: dict[str, Any], bad: dict[str, Any]) -> None:
    """A block at its limit passes, one past it does not, at the top and in an attachment."""
    assert refusal(client, blocks=[good]) == ""
    assert refusal(client, blocks=[bad]) == "invalid_blocks"
    assert refusal(client, attachments=[{"color": "#f00", "blocks": [bad]}]) == "invalid_blocks"


def test_messages_are_held_to_their_limits(client: WebClient) -> None:
    """A message has a content, 50 blocks, 40,000 characters and 13,000 characters of blocks at most."""
    with pytest.raises(SlackApiError, match="no_text"):
        client.api_call("chat.postMessage", json={"channel": "#secops", "blocks": []})
    assert refusal(client, text="x" * 40_001) == "msg_too_long"
    assert refusal(client, blocks=[{"type": "divider"}] * 50) == ""
    assert refusal(client, blocks=[{"type": "divider"}] * 51) == "invalid_blocks"
    assert refusal(client, blocks=[SECTION_AT_LIMIT] * 4) == ""
    assert refusal(client, blocks=[SECTION_AT_LIMIT] * 5) == "msg_blocks_too_long"
    assert refusal(client, blocks=[{"type": "divider", "block_id": "one"}] * 2) == "invalid_blocks"
    assert refusal(client, metadata={"event_type": "x"}) == "invalid_metadata_format"
    assert refusal(client, thread_ts="1.0") == "thread_not_found"


@pytest.mark.parametrize(
    ("message", "pings"),
    [
        ({"text": "look <!channel>, <!here|here> and <@U012AB>"}, ["!channel", "!here", "@U012AB"]),
        ({"text": "look &lt;!channel&gt; @here"}, []),
        ({"blocks": [{"type": "section", "text": mrkdwn("@here <!everyone>")}]}, ["!everyone", "@here"]),
        ({"blocks": [{"type": "section", "text": mrkdwn("@here", verbatim=True)}]}, []),
        ({"blocks": [{"type": "section", "text": plain("@here <!channel>")}]}, []),
        ({"blocks": [{"type": "section", "text": mrkdwn("someone@channel.example")}]}, []),
        ({"attachments": [{"blocks": [{"type": "context", "elements": [mrkdwn("@channel")]}]}]}, ["@channel"]),
        ({"attachments": [{"text": "<!subteam^S012>"}]}, ["!subteam^S012"]),
    ],
)
def test_what_would_ping_people_is_told(
    sandbox: Sandbox, client: WebClient, message: dict[str, Any], pings: list[str]
) -> None:
    """A message's `pings` are the mentions that Slack would have acted on."""
    assert refusal(client, **message) == ""
    assert sandbox.slack.messages[0]["pings"] == pings


def test_one_message_a_second_and_channel() -> None:
    """After a short burst a channel takes a message a second; another channel is free."""
    with Sandbox(clock=lambda: START) as sandbox:
        client = WebClient(token=sandbox.slack.token, base_url=sandbox.slack.url, retry_handlers=[])
        assert [refusal(client) for _ in range(5)] == ["", "", "", "", "ratelimited"]
        with pytest.raises(SlackApiError) as limited:
            client.chat_postMessage(channel="#secops", text="x")
        assert (limited.value.response.status_code, limited.value.response.headers["Retry-After"]) == (429, "1")
        assert refusal(client, channel="#alerts") == ""
        sandbox.clock.advance(1)
        assert [refusal(client) for _ in range(2)] == ["", "ratelimited"]
        assert len({one["ts"] for one in sandbox.slack.messages}) == 6


def test_the_webhook(sandbox: Sandbox) -> None:
    """An incoming webhook answers in plain text: ok, or the word for what is wrong."""
    url = sandbox.slack.webhook_url

    def post(**arguments: Any) -> tuple[int, str]:
        answer = httpx2.post(**{"url": url, **arguments})
        return answer.status_code, answer.text

    assert post(json={"text": "One"}) == (200, "ok")
    assert post(data={"payload": '{"text": "Two"}'}) == (200, "ok")
    assert [(one["channel"], one["webhook"]) for one in sandbox.slack.messages] == [("C0SECOPS", True)] * 2
    assert post(json={}) == (400, "no_text")
    assert post(json={"blocks": [{"type": "nonsense"}]}) == (400, "invalid_blocks")
    assert post(content=b"{") == (400, "invalid_payload")
    assert post(url=f"{url}x", json={"text": "x"}) == (404, "no_service")
    sandbox.slack.archive("#secops")
    assert post(json={"text": "x"}) == (410, "channel_is_archived")
    sandbox.slack.revoke()
    assert post(json={"text": "x"}) == (404, "no_service")
