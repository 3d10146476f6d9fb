"""Payloads are kept packed, without the words that most have in common, and can be read for as long as they are."""

from __future__ import annotations

import json
import zlib
from contextlib import closing
from random import Random
from typing import Any, Final

import pytest

from forwarder.sandbox import Sandbox
from forwarder.store.payloads import WORDS, pack, unpack
from forwarder.testing import Target
from forwarder.testing.samples import delivery
from tests.kit.contract import TARGETS

PAYLOAD: Final = {"id": "msg_1", "text": "ünïcode, \U0001f6a8 and \ud800", "number": 0.1, "nothing": None, "in": [{}]}


def by_an_older_version(payload: Any) -> bytes:
    """A payload as it was packed before any words were left out."""
    return zlib.compress(json.dumps(payload, separators=(",", ":")).encode(), 6)


@pytest.mark.parametrize("packed", [pack, by_an_older_version])
def test_a_payload_is_read_as_it_was(packed: Any) -> None:
    """In the order of its keys, of any length, and whichever version packed it."""
    long = [Random(size).randbytes(size).hex() for size in (0, 100, 4_000, 9_000, 20_000, 100_000)]
    payloads: list[dict[str, Any]] = [PAYLOAD, {}, *({"text": text} for text in long)]
    for payload in payloads:
        assert list(unpack(packed(payload)).items()) == list(payload.items())


@pytest.mark.parametrize("missing", [1, 4, 10])
def test_a_payload_that_ends_too_early_is_damaged(missing: int) -> None:
    """Nothing is taken for a payload that is only a part of one."""
    with pytest.raises(zlib.error):
        unpack(pack(PAYLOAD)[:-missing])


def test_the_words_are_those_that_payloads_were_packed_by() -> None:
    """Who edits the words makes everything unreadable that was kept until then; they carry their checksum."""
    assert zlib.adler32(WORDS) == 0xD5F504D9
    assert pack(PAYLOAD)[2:6] == zlib.adler32(WORDS).to_bytes(4, "big")


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target.name))
def test_what_connectors_send_takes_far_less_room(target: Target[Sandbox]) -> None:
    """The words are those that are sent: hardly more than an alert's own text is kept of it."""
    with Sandbox(limits=False) as sandbox, closing(target.connect(sandbox)) as connector:
        payload = connector.render(delivery(connector=target.name))
    assert len(pack(payload)) < 0.7 * len(by_an_older_version(payload))
