"""The arguments of a call of the sandbox's Slack, and the pages of its answers.

https://docs.slack.dev/apis/web-api and https://docs.slack.dev/apis/web-api/pagination
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from forwarder.sandbox.exchange import Request
from forwarder.sandbox.slack_message import SlackError

_JSON_PARAMS: Final = ("blocks", "attachments", "metadata", "view")

Params = dict[str, Any]


def read(request: Request) -> Params:
    """The arguments, from the query, a form or a JSON body; in the first two, structures are JSON in a text."""
    params: Params = dict(request.query)
    if "json" in request.header("Content-Type"):
        try:
            body = request.json() if request.body else {}
        except ValueError:
            raise SlackError("invalid_json") from None
        if not isinstance(body, dict):
            raise SlackError("json_not_object")
        return params | body
    params |= request.form()
    for key in _JSON_PARAMS:
        if params.get(key):
            try:
                params[key] = json.loads(params[key])
            except ValueError:
                raise SlackError("invalid_arguments") from None
    return params


def page(items: list[dict[str, Any]], params: Params) -> tuple[list[dict[str, Any]], str]:
    """One page of ``items``, and the cursor of the next, empty at the end."""
    try:
        limit = min(max(int(params.get("limit") or 100), 1), 1000)
        start = int(base64.b64decode(str(params.get("cursor") or ""), validate=True) or 0)
    except (ValueError, binascii.Error):
        raise SlackError("invalid_cursor") from None
    end = start + limit
    return items[start:end], base64.b64encode(str(end).encode()).decode() if end < len(items) else ""


def timestamp(params: Params, name: str, default: float) -> float:
    try:
        return float(params.get(name) or default)
    except ValueError:
        raise SlackError(f"invalid_ts_{name}") from None


def truth(value: Any) -> bool:
    return value in (True, 1, "1", "true", "True")
