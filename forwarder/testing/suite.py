"""What the tests of the contract stand on: a stand-in, a target, and a connector that is set up against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any, ClassVar

import pytest

from forwarder.connector import Connector, Delivery, Receipt
from forwarder.sandbox import Fault
from forwarder.testing.samples import responses_to
from forwarder.testing.target import UNSEEN, Target, connector_class

Advance = Callable[[float], None]
"""Lets that many seconds pass for the stand-in."""

Responses = Callable[[Delivery, Receipt | None], list[Delivery]]
"""What people may decide about a delivery that stands there, or does not, in order."""


class Suite:
    """Runs each test over every target, with one stand-in for all tests of a class."""

    targets: ClassVar[Sequence[Target[Any]]] = ()

    @classmethod
    def open(cls) -> AbstractContextManager[Any]:
        """A new stand-in, which answers until the end of the ``with``. Yours to say."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Gives each test its targets, and with them the statuses or the answers that it goes through."""
        asked = set(metafunc.fixturenames)
        if "status" in asked:
            cells: list[tuple[Any, ...]] = [(one, status) for one in self.targets for status in one.statuses]
            metafunc.parametrize(("target", "status"), cells, ids=_named)
        elif "unseen" in asked:
            asking = [one for one in self.targets if one.find_path]
            cells = [(one, fault) for one in asking for fault in UNSEEN if not fault.body or fault.body != one.nothing]
            metafunc.parametrize(("target", "unseen"), cells, ids=_named)
        elif "target" in asked:
            takes: list[Any] = [one for one in self.targets if _serves(one, asked)]
            nobody = pytest.param(None, marks=pytest.mark.skip("it is about no target's kind"), id="nobody")
            metafunc.parametrize("target", takes or [nobody], ids=_named)

    @pytest.fixture(scope="class")
    @classmethod
    def opened(cls) -> Iterator[Any]:
        """The stand-in of a class."""
        with cls.open() as stand_in:
            yield stand_in

    @pytest.fixture
    def stand_in(self, opened: Any, target: Target[Any]) -> Any:
        """The stand-in, with everything as it should be."""
        service = target.service(opened)
        service.clear_faults()
        service.restore()
        target.delay(opened, 0)
        return opened

    @pytest.fixture
    def connector(self, target: Target[Any], stand_in: Any) -> Iterator[Connector[Any]]:
        """A connector that is set up against the stand-in."""
        with closing(target.connect(stand_in)) as connected:
            yield connected

    @pytest.fixture
    def responses(self) -> Responses:
        """What people may decide. A test that asks for it runs where responses are told."""
        return responses_to

    @pytest.fixture
    def over_http(self) -> None:
        """A test that asks for it runs where HTTP is spoken."""

    @pytest.fixture
    def advance(self, target: Target[Any], stand_in: Any) -> Advance:
        """Lets seconds pass for the stand-in."""
        return target.service(stand_in).clock.advance


def _serves(target: Target[Any], asked: set[str]) -> bool:
    if "over_http" in asked and not target.http:
        return False
    return "responses" not in asked or connector_class(target.kind).tells_responses


def _named(value: object) -> str:
    if isinstance(value, Target):
        return value.name
    if isinstance(value, Fault):
        return f"{value.kind.value} {value.status} {value.body}"
    return str(value)
