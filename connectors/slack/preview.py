"""A message as people see it in Slack, in plain text. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from forwarder.connector import Payload


def preview(payload: Payload) -> str:
    """``payload`` as people see it, in plain text."""
    where = {"chat.postMessage": "To", "chat.update": "Edits the message in", "webhook": "Through the webhook"}
    if payload["method"] not in where:
        return "Nothing is sent: there is no message to follow up on."
    lines = [f"{where[payload['method']]} {payload.get('channel', '')}".rstrip() + ":"]
    lines += _drawn(payload["blocks"], "")
    for attachment in payload.get("attachments", ()):
        lines += _drawn(attachment["blocks"], "▌ ")
    if "reply" in payload:
        lines += ["In its thread:", *_drawn(payload["reply"]["blocks"], "↳ ")]
    return "\n".join(lines)


def _drawn(blocks: Sequence[Mapping[str, Any]], margin: str) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        texts = [block["text"]] if "text" in block else block.get("fields", [])
        if block["type"] == "actions":
            links = [f"[{button['text']['text']}] {button['url']}" for button in block["elements"] if "url" in button]
            acts = " ".join(f"[{button['text']['text']}]" for button in block["elements"] if "url" not in button)
            lines += [*links, *filter(None, [acts])]
        elif block["type"] == "context":
            lines.append(" · ".join(map(_read, block["elements"])))
        elif "fields" in block:
            lines += [": ".join(_read(field).split("\n", 1)) for field in texts]
        else:
            lines += [line for text in texts for line in _read(text).split("\n")]
    return [(margin + line).rstrip() for line in lines]


def _read(text: Mapping[str, Any]) -> str:
    """A text object as it reads: links and dates by their words, without markup of our own."""
    if text["type"] == "plain_text":
        return str(text["text"])
    shown = re.sub(r"<!date\^[^|>]*\|([^>]*)>", r"\1", text["text"])
    shown = re.sub(r"<(https?://[^|>]*)\|([^>]*)>", r"\2 (\1)", shown)
    shown = re.sub(r"^(. )?\*([^*\n]+)\*\n", r"\1\2\n", shown)
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
