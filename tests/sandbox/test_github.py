"""The stand-in of GitHub: its limits, what it drops in silence, and what it takes out of a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from forwarder.sandbox import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def ask(sandbox: Sandbox, method: str, path: str, **more: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {sandbox.github.token}", "X-GitHub-Api-Version": "2022-11-28"}
    url = f"{sandbox.github.url}/repos/example/security/{path}"
    return httpx2.request(method, url, headers=headers, **more)


def opened(sandbox: Sandbox, **fields: Any) -> httpx2.Response:
    return ask(sandbox, "POST", "issues", json={"title": "A title", **fields})


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"title": "x" * 257}, "title"),
        ({"title": " "}, "title"),
        ({"body": "x" * 65_537}, "body"),
        ({"labels": ["x" * 51]}, "name"),
        ({"assignees": ["nobody"]}, "assignees"),
    ],
)
def test_what_is_too_long_or_unknown_is_refused(sandbox: Sandbox, fields: dict[str, Any], wrong: str) -> None:
    """With the field's name, and nothing is opened."""
    answer = opened(sandbox, **fields)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, wrong)
    assert sandbox.github.issues == {}
    assert opened(sandbox, title="x" * 256, body="x" * 65_536, labels=["x" * 50]).status_code == 201


def test_who_may_not_push_opens_an_issue_without_labels(sandbox: Sandbox) -> None:
    sandbox.github.may_push = False
    assert opened(sandbox, labels=["a"], assignees=["ada"]).json()["labels"] == []
    assert ask(sandbox, "POST", "labels", json={"name": "a"}).status_code == 403
    sandbox.github.may_push = True
    assert [ask(sandbox, "POST", "labels", json={"name": name}).status_code for name in ("a", "A")] == [201, 422]


def test_a_list_comes_in_pages_and_knows_of_an_issue_at_once(sandbox: Sandbox) -> None:
    """Labels of any case; closed ones only where they are asked for."""
    for _ in range(3):
        opened(sandbox, labels=["One", "two"])
    sandbox.github.close_issue(2, "ada")
    assert [one["number"] for one in ask(sandbox, "GET", "issues?labels=one,TWO").json()] == [3, 1]
    first = ask(sandbox, "GET", "issues?labels=one&state=all&per_page=2")
    last = ask(sandbox, "GET", first.links["next"]["url"].rpartition("/")[2])
    assert [one["number"] for one in (*first.json(), *last.json())] == [3, 2, 1]
    assert "next" not in last.links


def test_people_are_told_apart_from_the_forwarder(sandbox: Sandbox) -> None:
    opened(sandbox, assignees=["ada"])
    sandbox.github.close_issue(1, "grace", "not_planned")
    ask(sandbox, "PATCH", "issues/1", json={"state": "open", "state_reason": "reopened"})
    told = [(one["event"], one["actor"]["login"]) for one in ask(sandbox, "GET", "issues/1/events").json()]
    assert told == [("assigned", "forwarder-bot"), ("closed", "grace"), ("reopened", "forwarder-bot")]


def test_a_body_that_came_in_part_is_refused_and_nothing_is_opened(sandbox: Sandbox) -> None:
    """Whoever sent it may have been killed meanwhile."""
    assert ask(sandbox, "POST", "issues", content=b'{"title": "A ti').status_code == 400
    assert sandbox.github.issues == {}
