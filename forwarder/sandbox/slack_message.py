"""What a Slack message may say, and how the API shows it.

https://docs.slack.dev/reference/methods/chat.postMessage
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from forwarder.sandbox import blockkit

APP_ID: Final = "A0SANDBOX"
TEAM_ID: Final = "T0SANDBOX"
BOT_USER: Final = "U0FORWARDER"
MAX_TEXT: Final = 40_000
MAX_TEXT_UPDATE: Final = 4000
_MAX_ATTACHMENTS: Final = 100
_MAX_METADATA: Final = 16_000


class SlackError(Exception):
    """An ``ok: false`` answer: the error's code and what else the answer says."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.more = more


def content(params: Mapping[str, Any], *, max_text: int) -> dict[str, Any]:
    """What a message says, checked; raises SlackError."""
    text, blocks, attachments = params.get("text") or "", params.get("blocks") or [], params.get("attachments") or []
    if not (text or blocks or attachments):
        raise SlackError("no_text")
    if not isinstance(text, str) or not isinstance(attachments, list):
        raise SlackError("invalid_arguments")
    if len(text) > max_text:
        raise SlackError("msg_too_long")
    if len(attachments) > _MAX_ATTACHMENTS:
        raise SlackError("too_many_attachments")
    nested = [attachment.get("blocks") or [] for attachment in attachments if isinstance(attachment, dict)]
    wrong = [problem for each in (blocks, *nested) for problem in blockkit.problems(each)]
    if wrong:
        told = {"messages": [f"[ERROR] {problem}" for problem in wrong]}
        raise SlackError("invalid_blocks", errors=wrong, response_metadata=told)
    if sum(blockkit.size(each) for each in (blocks, *nested)) > blockkit.MAX_CHARS:
        raise SlackError("msg_blocks_too_long")
    return {
        "text": text,
        "blocks": blocks,
        "attachments": attachments,
        "metadata": _metadata(params.get("metadata")),
        "pings": blockkit.pings(text, blocks, attachments),
    }


def _metadata(value: Any) -> dict[str, Any] | None:
    if not value:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("event_type"), str):
        raise SlackError("invalid_metadata_format")
    if not isinstance(value.get("event_payload"), dict):
        raise SlackError("invalid_metadata_format")
    if len(json.dumps(value)) > _MAX_METADATA:
        raise SlackError("metadata_too_large")
    return value


def public(message: Mapping[str, Any], *, metadata: bool = False) -> dict[str, Any]:
    shown = {key: message[key] for key in ("ts", "text", "blocks", "attachments", "thread_ts") if message[key]}
    shown |= {"type": "message", "user": BOT_USER, "bot_id": "B0SANDBOX" if message["webhook"] else "B0FORWARDER"}
    if message["edits"]:
        shown["edited"] = {"user": BOT_USER, "ts": message["ts"]}
    if metadata and message["metadata"]:
        shown["metadata"] = message["metadata"]
    return {"text": "", **shown}


def alert_id(metadata: Mapping[str, Any] | None) -> Any:
    return metadata["event_payload"].get("alert_id") if metadata else None
