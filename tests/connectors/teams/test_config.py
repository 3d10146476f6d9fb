"""What the config says of Teams: each mistake is a sentence with the way out, and shows no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.teams import TeamsConfig
from connectors.teams.config import RATE
from connectors.teams.owners import TeamsOwner
from forwarder.config import ConfigError, dump, load, secrets_of

SECRET = "not-a-real-signature-of-a-workflow"
FLOW = f"/workflows/0123/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={SECRET}"
URL = f"https://prod-01.westeurope.logic.azure.com:443{FLOW}"
NEWER = f"https://default0123.4.environment.api.powerplatform.com:443/powerautomate/automations/direct{FLOW}"


def written(folder: Path, url: str, owners: str = "{}") -> Path:
    path = folder / "config.yaml"
    path.write_text(
        f"sentrytex: {{api_key: vk_not-a-real-key}}\nconnectors:\n  room:\n    type: teams\n    url: '{url}'\n"
        f"owners: {owners}\nroutes: [{{to: [room]}}]\n"
    )
    return path


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (URL.replace("https:", "http:"), "must begin with https://"),
        (f"https://user:{SECRET}@prod-01.westeurope.logic.azure.com/", "must hold no user name and password"),
        (f"{URL}#{SECRET}", "must end before the #"),
        (f"https://example.webhook.office.com/webhookb2/{SECRET}", "which Microsoft has retired"),
        (f"https://outlook.office.com/webhook/{SECRET}", "which Microsoft has retired"),
        (URL.partition("&sig=")[0], 'let "Anyone" trigger the flow'),
        (NEWER.partition("&sig=")[0], 'let "Anyone" trigger the flow'),
    ],
)
def test_an_address_that_no_card_could_go_to(tmp_path: Path, url: str, says: str) -> None:
    """It is found out before the first card, with what to do."""
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, url), {})
    (problem,) = caught.value.problems
    assert (problem.path, problem.line) == ("connectors.room.url", 5)
    assert says in problem.message
    assert SECRET not in str(problem)


@pytest.mark.parametrize("url", [URL, NEWER, "https://flows.example.com/teams"])
def test_an_address_of_a_workflow_is_a_secret(tmp_path: Path, url: str) -> None:
    """Both of Microsoft's forms, and one of a gateway of one's own; none is shown, and it goes out slowly."""
    config = load(written(tmp_path, url), {})
    made = config.connectors["room"]
    assert isinstance(made, TeamsConfig)
    assert made.max_rate == RATE
    assert url in secrets_of(config)
    assert url not in str(dump(config))
    assert SECRET not in repr(config)


@pytest.mark.parametrize(
    ("text", "person"),
    [
        ("ada@example.com", ("ada@example.com", "ada@example.com")),
        (" Ada Lovelace <ada@example.com> ", ("Ada Lovelace", "ada@example.com")),
        ("Ada<49c4641c-ab91-4248-aebb-6a7de286397b>", ("Ada", "49c4641c-ab91-4248-aebb-6a7de286397b")),
        ("guest_example.org#EXT#@example.onmicrosoft.com", ("guest_example.org#EXT#@example.onmicrosoft.com",) * 2),
    ],
)
def test_an_owner_is_a_person(text: str, person: tuple[str, str]) -> None:
    """By the name to sign in with, or by a name and that or an object id."""
    assert TeamsOwner(text).person == person


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "@ada",
        "49c4641c-ab91-4248-aebb-6a7de286397b",
        "Ada <nobody>",
        "[Ada](https://evil.example) <ada@example.com>",
        "<at>Ada</at> <ada@example.com>",
        f"{'a' * 41} <ada@example.com>",
        f"{'a' * 200}@example.com",
    ],
)
def test_what_is_nobody_is_a_mistake(text: str) -> None:
    """A team, a bare object id, and a name that holds markup."""
    with pytest.raises(ValidationError, match="must be a person"):
        TeamsOwner(text)


def test_the_config_s_owners_reach_teams(tmp_path: Path) -> None:
    """A vendor's key names who must act there."""
    config = load(written(tmp_path, URL, "{github: {teams: ada@example.com}}"), {})
    found: Any = config.owners
    assert "ada@example.com" in repr(found)
