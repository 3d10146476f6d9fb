"""What the usual run of the tests leaves out: ``make test-all`` runs it, CI with ``CI_ALL=1``, and whoever releases.

A test is thorough where it shows once more, in another form or for longer, what another test shows as well. Three marks
say so where the test stands:

``thorough``
    The test, or one of its cases, is left out.
``each_once``
    Of the cases of a test with several parameters as few are run as have each value of each parameter once.
``few(count)``
    Of the cases so many are run, the first, the last, and others evenly between them.

A plain ``pytest`` leaves nothing out: ``-m "not thorough"`` does, which the Makefile says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import pytest

MARK: Final = "thorough"
_LEFT_OUT: Final = pytest.StashKey[int]()


def beyond(usual: Collection[object], cases: Iterable[Any]) -> list[Any]:
    """Cases for ``parametrize``: those that are not among the usual ones are thorough."""
    known = list(cases)
    assert all(one in known for one in usual), f"not among the cases: {[one for one in usual if one not in known]}"
    return [one if one in usual else pytest.param(one, marks=pytest.mark.thorough) for one in known]


def covering(cases: Sequence[Mapping[str, int]]) -> set[int]:
    """The numbers of as few of the cases as have each value of each parameter, found one after the other."""
    missing = {pair for case in cases for pair in case.items()}
    chosen: set[int] = set()
    while missing:
        best = max(range(len(cases)), key=lambda number: len(missing & cases[number].items()))
        chosen.add(best)
        missing -= cases[best].items()
    return chosen


def spread(count: int, among: int) -> set[int]:
    """So many numbers below ``among``, evenly, with the first and the last."""
    if count >= among:
        return set(range(among))
    return {number * (among - 1) // max(count - 1, 1) for number in range(count)}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the cases that ``each_once`` and ``few`` leave, before pytest selects by marks."""
    tests: dict[object, list[pytest.Function]] = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            tests[item.parent, item.originalname].append(item)
    for cases in tests.values():
        usual = _usual(cases)
        for number, item in enumerate(cases):
            if number not in usual:
                item.add_marker(MARK)


def _usual(cases: Sequence[pytest.Function]) -> Collection[int]:
    if cases[0].get_closest_marker("each_once"):
        # A case that is thorough by itself stands for no value.
        mine = [number for number, item in enumerate(cases) if not item.get_closest_marker(MARK)]
        # Each case has the very objects that the test lists; not all of them can be compared.
        values = [{name: id(value) for name, value in cases[number].callspec.params.items()} for number in mine]
        return {mine[number] for number in covering(values)}
    if few := cases[0].get_closest_marker("few"):
        return spread(few.args[0], len(cases))
    return range(len(cases))


# How many there are is told at the end: by the process that prints, which is not the one that collects, with workers.


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Counts what is left out because it is thorough, and not because somebody asked for other tests."""
    if items and f"not {MARK}" in items[0].config.getoption("markexpr"):
        stash = items[0].config.stash
        stash[_LEFT_OUT] = stash.get(_LEFT_OUT, 0) + sum(item.get_closest_marker(MARK) is not None for item in items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Lets a worker pass its count on."""
    passed_on: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if passed_on is not None:
        passed_on[MARK] = session.config.stash.get(_LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes a worker's count over; each collects everything, so each has the whole."""
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get(MARK, 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says what this run did not show."""
    if count := config.stash.get(_LEFT_OUT, 0):
        terminalreporter.write_line(f"{count} thorough tests were left out: `make test-all` runs them, too.")
