"""What the config may say of GitHub, and what is a mistake."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from connectors.github.config import GitHubOwner
from tests.connectors.github.kit import config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("repository", "security"),
        ("repository", "https://github.com/example/security"),
        ("token", "two words"),
        ("token", ""),
        ("base_url", "https://github.com"),
        ("base_url", "http://ghe.example.com/api/v3"),
        ("base_url", "https://user:secret@ghe.example.com/api/v3"),
        ("labels", ["a,b"]),
        ("labels", ["x" * 51]),
        ("labels", [" a"]),
        ("assignees", ["@ada"]),
        ("assignees", [f"a{number}" for number in range(11)]),
        ("severity_labels", {"severe": "x"}),
        ("on_resolve", "delete"),
    ],
)
def test_mistakes_are_found_when_the_config_is_read(key: str, value: Any) -> None:
    """Each is about its key, and shows no value."""
    with pytest.raises(ValidationError) as caught:
        config(**{key: value})
    assert [str(error["loc"][0]) for error in caught.value.errors()] == [key]
    assert "secret" not in str(caught.value)


def test_an_address_is_no_repository() -> None:
    """What people copy is the address: what to write instead is said in words."""
    with pytest.raises(ValidationError, match="an owner and a name alone, such as example/security"):
        config(repository="https://github.com/example/security")


def test_an_enterprise_server_has_its_own_address() -> None:
    assert config(base_url="https://ghe.example.com/api/v3/").base_url == "https://ghe.example.com/api/v3"
    assert config(labels=["x" * 50, "good first issue"]).labels[1] == "good first issue"


@pytest.mark.parametrize("said", [{}, {"mention": "ada"}, {"mention": "@ada and @grace"}, {"assignees": ["@ada"]}])
def test_an_owner_names_accounts_or_a_mention(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GitHubOwner.model_validate(said)
    assert GitHubOwner.model_validate({"mention": "@example/dev-tools"}).mention == "@example/dev-tools"
