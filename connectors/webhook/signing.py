"""Keys and signatures of Standard Webhooks.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Final

PREFIX: Final = "whsec_"
"""What a key of this scheme begins with; one without it is taken as well."""

MIN_KEY: Final = 24
"""Bytes, and so 192 bits."""

MAX_KEY: Final = 64
"""Bytes, and so 512 bits."""

_ASYMMETRIC: Final = ("whsk_", "whpk_")


def checked_key(key: str) -> str:
    """``key``; raises ValueError with a sentence, which shows nothing of it, where nothing can be signed with it."""
    if key.startswith(_ASYMMETRIC):
        raise ValueError(
            f"is of a pair of keys (whsk_, whpk_): what is signed here needs one that begins with {PREFIX}"
        )
    text = key.removeprefix(PREFIX)
    try:
        size = len(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except (binascii.Error, ValueError):
        raise ValueError(f"must be {PREFIX} and base64: make one with `openssl rand -base64 32`") from None
    if not MIN_KEY <= size <= MAX_KEY:
        raise ValueError(
            f"must be {MIN_KEY} to {MAX_KEY} bytes in base64, this is {size}: make one with `openssl rand -base64 32`"
        )
    return key


def signed(message: str, at: datetime, body: str, keys: Sequence[str]) -> dict[str, str]:
    """The headers that say who sent ``body``, at that moment, as the message of that id: a signature of each key."""
    from standardwebhooks.webhooks import Webhook as Signer

    # What is signed has whole seconds, and so has the header.
    seconds = at.replace(microsecond=0)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(seconds.timestamp())),
        "webhook-signature": " ".join(Signer(key).sign(message, seconds, body) for key in keys),
    }
