"""What a config may say, and what it leaves out."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.jira import Jira
from tests.connectors.jira.kit import config


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"url": "example.atlassian.net"}, "must be an address that begins with https://"),
        ({"url": "ftp://example.com"}, "must be an address that begins with https://"),
        ({"url": "http://jira.example.com"}, "plain http is allowed to this machine"),
        ({"url": "https://me:not-a-real-token@example.com"}, "put credentials under email and token"),
        ({"url": "https://example.com/?x=1"}, "must be the bare address"),
        ({"email": None}, "email is missing"),
        ({"email": "no address"}, "must be the email address"),
        ({"token": " "}, "must be one word"),
        ({"token": "not-a-real-token…"}, "must be one word"),
        ({"token": "not-a-real-token\n"}, "must be one word"),
        ({"project": 'SEC" OR x'}, "pattern"),
        ({"labels": ["two words"]}, "a label has no spaces"),
        ({"labels": ["x" * 256]}, "a label has no spaces and at most 255 characters"),
        ({"sync_every": "999ms"}, "must be at least 1s"),
        ({"sync_every": 30}, 'must be a duration such as 1m, or "off"'),
        ({"fields": {"summary": "x", "project": "y"}}, "project, summary cannot be set here"),
        ({"fields": {"duedate": "2026-01-01"}, "due_in": {"high": "1d"}}, "duedate is set twice"),
        ({"fields": {"priority": {}}, "priority": {"high": "x"}}, "priority is set twice"),
        ({"reconcile_after": []}, "at least 1 item"),
        ({"priority": {"urgent": "High"}}, "critical"),
        ({"components": []}, "not permitted"),
    ],
)
def test_a_config_that_cannot_work_is_refused_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    """Mistakes are reported when the config is read, without the token."""
    with pytest.raises(ValidationError) as caught:
        config(**changes)
    assert sentence in str(caught.value)
    assert "not-a-real-token" not in str(caught.value)


def test_defaults() -> None:
    """What a config leaves out has a sane value; a trailing slash does no harm."""
    short = config(url="https://example.atlassian.net/ ")
    assert (short.url, short.issue_type, short.concurrency) == ("https://example.atlassian.net", "Task", 4)
    assert config(url="https://jira.example.com/jira", email="").email is None
    with closing(Jira("tickets", short)) as jira:
        assert jira.reconcile_after == (10, 60, 300)
    with closing(Jira("tickets", config(reconcile_after=["5s", "1m"]))) as jira:
        assert jira.reconcile_after == (5, 60)


def test_nobody_looks_at_a_site_that_is_not_to_be_asked() -> None:
    """``sync_every: off`` is one way, and anything longer than a second is how often."""
    with closing(Jira("tickets", config(sync_every="off"))) as jira:
        assert jira.look_every is None
    with closing(Jira("tickets", config(sync_every="5m"))) as jira:
        assert jira.look_every == 300
