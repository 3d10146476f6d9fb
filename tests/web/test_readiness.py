"""Readiness after a reload: of a feed that was never read, or whose key is refused, nobody says that it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from forwarder.app import Forwarder
from forwarder.feed.client import SentrytexError
from forwarder.sandbox import Fault, FaultKind, Sandbox
from forwarder.store import Store
from forwarder.web.health import Health, Missing
from tests.kit.core import Time, loaded, settings

OUTAGE = Fault(kind=FaultKind.STATUS, status=503, path="/alerts", times=99)


class Rig:
    """A forwarder that has read its feed, and what a probe hears of it."""

    def __init__(self, folder: Path, sandbox: Sandbox, store: Store) -> None:
        self.time, self._folder, self._sandbox = Time(), folder, sandbox
        self.forwarder = Forwarder(loaded(folder, sandbox), store, clock=self.time.clock())
        self._health = Health(self.forwarder, store)
        self.forwarder.poll()

    def reload(self, **sentrytex: Any) -> None:
        config = settings(self._sandbox)
        config["sentrytex"].update(sentrytex)
        self.forwarder.reload(loaded(self._folder, self._sandbox, config))

    def poll(self) -> None:
        with suppress(SentrytexError):
            self.forwarder.poll()

    def missing(self) -> list[Missing]:
        return self._health.missing()


@pytest.fixture
def rig(tmp_path: Path, sandbox: Sandbox) -> Iterator[Rig]:
    with Store.open_exclusive(tmp_path / "forwarder.db") as store:
        made = Rig(tmp_path, sandbox, store)
        assert made.missing() == []
        yield made
        made.forwarder.stop(5)


@pytest.mark.parametrize("change", [{"api_key": "stx_wrong_key_wrong_key"}, {"base_url": "http://127.0.0.1:9/api/v1"}])
def test_a_reload_to_another_feed_is_ready_once_that_was_read(rig: Rig, change: dict[str, str]) -> None:
    """Not before, however long it takes: the reason is told from the first moment."""
    rig.reload(**change)
    for seconds in (0, 590):
        rig.time.pass_(seconds)
        (missing,) = rig.missing()
        assert missing.what == "feed"
        assert missing.why.startswith("No poll was complete since the reload that changed the feed.")
        rig.poll()
    assert any(word in missing.why for word in ("refused the key", "reach"))
    rig.reload()
    assert [missing.what for missing in rig.missing()] == ["feed"]
    rig.poll()
    assert rig.missing() == []


def test_a_reload_that_reads_the_same_feed_stays_ready(rig: Rig) -> None:
    """How often it is read is no other feed."""
    rig.reload(poll_every="2s")
    assert rig.missing() == []


def test_a_poll_that_a_reload_overtook_says_nothing_of_the_new_feed(rig: Rig) -> None:
    """It read the feed of before."""
    poller = rig.forwarder.feeds["default"].poller
    poll = poller.poll

    def overtaken() -> Any:
        result = poll()
        rig.reload(api_key="stx_wrong_key_wrong_key")
        return result

    poller.poll = overtaken  # type: ignore[method-assign]
    rig.forwarder.poll()
    assert [missing.what for missing in rig.missing()] == ["feed"]


def test_a_refused_key_is_told_at_once(rig: Rig, sandbox: Sandbox) -> None:
    """It does not pass by itself, and stands until a poll is complete again."""
    sandbox.sentrytex.revoke()
    rig.poll()
    (missing,) = rig.missing()
    assert missing.what == "feed"
    assert "Put a valid one into sentrytex.api_key." in missing.why
    sandbox.sentrytex.inject(OUTAGE)
    rig.poll()
    assert rig.missing() == [missing]


def test_a_short_outage_of_the_feed_is_none_of_readiness(rig: Rig, sandbox: Sandbox) -> None:
    """Another process would not read it either."""
    sandbox.sentrytex.inject(OUTAGE)
    rig.poll()
    assert rig.missing() == []
