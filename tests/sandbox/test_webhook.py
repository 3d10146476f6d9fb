"""The stand-in of a receiver: what it takes, what it refuses, and what it counts as a repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from standardwebhooks.webhooks import Webhook as Signer

from forwarder.sandbox import Sandbox

BODY = json.dumps({"type": "alert.opened", "data": {"alert": {"id": "a"}}})


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def post(
    sandbox: Sandbox, message: str = "msg_1", body: str = BODY, *, at: datetime | None = None, **headers: Any
) -> int:
    """The status of the answer to a message that is signed by the package's own signer."""
    when = at or datetime.now(UTC)
    made = {
        "webhook-id": message,
        "webhook-timestamp": str(int(when.timestamp())),
        "webhook-signature": Signer(sandbox.webhook.signing_keys[0]).sign(message, when, body),
        "Idempotency-Key": message,
        "Content-Type": "application/json",
        "Authorization": f"Bearer {sandbox.webhook.token}",
        **headers,
    }
    return httpx2.post(sandbox.webhook.url, content=body, headers=made).status_code


def test_a_message_is_taken_once(sandbox: Sandbox) -> None:
    """A repeat under the same id is accepted and counted, and other words under it are refused."""
    assert [post(sandbox), post(sandbox), post(sandbox, body="{}")] == [202, 200, 422]
    assert list(sandbox.webhook.messages) == ["msg_1"]
    assert sandbox.webhook.repeats == {"msg_1": 1}
    assert sandbox.webhook.conflicts == ["msg_1"]
    assert sandbox.webhook.about("a") == [json.loads(BODY)]
    assert sandbox.webhook.about("b") == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"webhook-signature": "v1,bm90LWEtcmVhbC1zaWduYXR1cmU="}, 401),
        ({"webhook-id": "msg_2"}, 401),
        ({"webhook-timestamp": "soon"}, 401),
        ({"Authorization": "Bearer not-the-token"}, 401),
        ({"Idempotency-Key": "msg_2"}, 400),
        ({"Content-Type": "text/plain"}, 400),
    ],
)
def test_what_is_not_genuine_is_refused(sandbox: Sandbox, headers: dict[str, Any], status: int) -> None:
    """Each header that is wrong is found out, by the package's verifier or by the stand-in."""
    assert post(sandbox, **headers) == status
    assert sandbox.webhook.messages == {}


def test_an_old_message_is_refused(sandbox: Sandbox) -> None:
    """What was signed more than five minutes ago may be somebody's recording."""
    assert post(sandbox, at=datetime.now(UTC) - timedelta(minutes=6)) == 401


def test_either_key_will_do(sandbox: Sandbox) -> None:
    """While it knows two keys, one of them must have signed."""
    sandbox.webhook.signing_keys.append("whsec_bm90LWEtcmVhbC1zaWduaW5nLWtleS0wMDAwMDI=")
    assert post(sandbox) == 202
    sandbox.webhook.signing_keys.reverse()
    assert post(sandbox, "msg_2") == 202


def test_a_receiver_has_a_limit_and_an_end(sandbox: Sandbox) -> None:
    """Too many in a minute are told to wait, a revoked key and a retired receiver say so, and it knows POST alone."""
    sandbox.webhook.limit_per_minute = 1
    assert [post(sandbox), post(sandbox, "msg_2")] == [202, 429]
    sandbox.webhook.revoke()
    assert post(sandbox, "msg_3") == 401
    sandbox.webhook.retire()
    assert post(sandbox, "msg_3") == 410
    sandbox.webhook.restore()
    assert httpx2.head(sandbox.webhook.url).status_code == 405
    assert httpx2.head(sandbox.webhook.origin).status_code == 404
