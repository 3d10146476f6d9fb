"""What people send by the forms of the page, and what a form of dead letters has done."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from forwarder.common.text import counted

MAX_FORM: Final = 256 * 1024
"""Bytes of a posted form."""

NOTHING: Final = "nothing"
"""What a form has done with which nothing was chosen."""

Form = Mapping[str, list[str]]


async def posted(request: Request) -> Form:
    """A posted form. It is read here, for the usual parser is a package of its own and made for uploads."""
    body = bytearray()
    with suppress(ClientDisconnect):
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM:
                raise HTTPException(413, "This form is too large.")
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20_000)
    except ValueError:
        raise HTTPException(400, "This is not a valid form.") from None


def one(form: Form, name: str) -> str:
    """A field of a form; empty where it has none of that name."""
    return form.get(name, [""])[-1]


def ids(form: Form) -> list[int]:
    """The deliveries that were chosen in a form."""
    return [int(text) for text in form.get("id", []) if text.isascii() and text.isdigit() and len(text) < 19]


def done_message(done: str) -> str:
    """What a form that was just sent has done."""
    if done == NOTHING:
        return "Nothing was chosen, so nothing was done: tick the deliveries that you mean first."
    action, _, count = done.partition("-")
    if action not in ("retry", "discard") or not (count.isascii() and count.isdigit() and len(count) < 10):
        return ""
    if int(count) == 0:
        return "Nothing was done: what was chosen is settled meanwhile, or its connector is not in the config."
    deliveries = counted(int(count), "delivery", "deliveries")
    return f"{deliveries} will be tried again now." if action == "retry" else f"{deliveries} discarded."
