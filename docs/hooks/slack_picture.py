"""A message as it looks in Slack, as HTML made of the payload that goes on the wire.

It draws the blocks that the Slack connector sends, and fails on any other: a picture must not leave something out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape, unescape
from typing import Any, Final

Block = Mapping[str, Any]

_TOKEN: Final = re.compile(r"(<[^<>|]+\|[^<>]+>)")
_BOLD: Final = re.compile(r"\*([^*\n]+)\*")
_CODE: Final = re.compile(r"`([^`\n]+)`")
_STRUCK: Final = re.compile(r"~([^~\n]+)~")


def preview(payload: Mapping[str, Any], *, at: datetime) -> str:
    """One message, with its thread where the payload has a reply."""
    edited = ' <span class="slack-edited">(edited)</span>' if payload["method"] == "chat.update" else ""
    inner = _blocks(payload["blocks"])
    for attachment in payload.get("attachments", ()):
        inner += (
            f'<div class="slack-attachment" style="border-color:{attachment["color"]}">'
            f"{_blocks(attachment['blocks'])}</div>"
        )
    drawn = _message(inner + edited, at)
    if reply := payload.get("reply"):
        also = '<div class="slack-also">also sent to the channel</div>' if reply.get("reply_broadcast") else ""
        drawn += f'<div class="slack-thread">{_message(also + _blocks(reply["blocks"]), at)}</div>'
    return f'<div class="slack"><div class="slack-channel"># secops</div>{drawn}</div>'


def _button(button: Block) -> str:
    """A link, or a button that acts in Slack and does nothing in a picture."""
    text = _text(button["text"])
    if "url" in button:
        return f'<a href="{escape(button["url"])}" rel="nofollow">{text}</a>'
    return f'<span class="slack-button {escape(button.get("style", ""))}">{text}</span>'


def _message(inner: str, at: datetime) -> str:
    return (
        '<div class="slack-message"><div class="slack-avatar" aria-hidden="true">SA</div><div class="slack-body">'
        '<div class="slack-who"><b>Security alerts</b> <span class="slack-app">APP</span> '
        f"<time>{at:%H:%M}</time></div>{inner}</div></div>"
    )


def _blocks(blocks: Sequence[Block]) -> str:
    return "".join(map(_block, blocks))


def _block(block: Block) -> str:
    match block:
        case {"type": "header", "text": text}:
            return f'<div class="slack-header">{_text(text)}</div>'
        case {"type": "section", "fields": fields}:
            return f'<div class="slack-fields">{"".join(f"<div>{_text(field)}</div>" for field in fields)}</div>'
        case {"type": "section", "text": text}:
            return f'<div class="slack-section">{_text(text)}</div>'
        case {"type": "actions", "elements": buttons}:
            return f'<div class="slack-actions">{"".join(map(_button, buttons))}</div>'
        case {"type": "context", "elements": elements}:
            return (
                f'<div class="slack-context">{"".join(f"<span>{_text(element)}</span>" for element in elements)}</div>'
            )
    raise ValueError(f"no picture of a {block['type']} block is known")


def _text(text: Block) -> str:
    """A text object as HTML: plain text as it stands, mrkdwn with the markup that the connector uses."""
    if text["type"] == "plain_text":
        return _broken(escape(text["text"]))
    return _broken("".join(map(_mrkdwn, _TOKEN.split(text["text"]))))


def _mrkdwn(part: str) -> str:
    """A link, a date, or what stands between those; Slack's escapes become HTML's."""
    if _TOKEN.fullmatch(part):
        target, _, words = part[1:-1].partition("|")
        shown = escape(unescape(words))
        return (
            f'<a href="{escape(unescape(target))}" rel="nofollow">{shown}</a>' if target.startswith("http") else shown
        )
    shown = escape(unescape(part), quote=False)
    shown = _CODE.sub(r"<code>\1</code>", shown)
    return _STRUCK.sub(r"<del>\1</del>", _BOLD.sub(r"<b>\1</b>", shown))


def _broken(text: str) -> str:
    return text.replace("\n", "<br>")
