"""Which addresses are taken, and what is said of those that are not."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from pydantic import ValidationError

from connectors.apprise import AppriseConfig
from connectors.apprise.library import opened
from forwarder.common.units import Rate
from forwarder.config import ConfigError, load
from tests.connectors.apprise.kit import DISCORD, TELEGRAM, TWILIO

SECRET = "not-a-real-secret"


def config(url: str, **more: object) -> AppriseConfig:
    return AppriseConfig.model_validate({"type": "apprise", "url": url, **more})


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        (SECRET, "must be the address of a service"),
        ("", "must be the address of a service"),
        (f"pigeon://{SECRET}", "begins with pigeon://, which is no service that Apprise knows"),
        (f"slack://{SECRET}", "is no address of Slack as Apprise writes it: see https://appriseit.com/"),
        (f"https://example.com/{SECRET}", "is no address of a service as Apprise writes it"),
        (f"mailto://ada:{SECRET}@example.com", "speaks no HTTP, so that nobody could tell what became of a message"),
        (f"mqtt://example.com/{SECRET}", "speaks no HTTP"),
        (f"syslog://{SECRET}", "speaks no HTTP"),
        (f"apprises://example.com/{SECRET}", "hands a message on to others"),
        (f"file:///etc/{SECRET}.yaml", "begins with file://, which is no service that Apprise knows"),
        (f"{TWILIO}/+15551231235/+15551231236", "names 2 recipients at Twilio: make a connector for each"),
        (f"rockets://ada:{SECRET}@example.com/#", "is no address of Rocket.Chat"),
        (f"json://example.com/{SECRET}", "would send without encryption"),
        (f"dapnet://ada:{SECRET}@DF1ABC", "would send without encryption"),
        (f"jsons://example.com/{SECRET}?verify=no", "must not say verify=no"),
    ],
)
def test_what_is_no_single_service_is_refused(url: str, wrong: str) -> None:
    """The sentence says what is wrong, and shows nothing of the address but its scheme."""
    with pytest.raises(ValidationError) as refused:
        config(url)
    (error,) = refused.value.errors()
    assert wrong in error["msg"]
    assert SECRET not in str(refused.value)
    assert len(error["msg"].splitlines()) == 1


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (DISCORD, "Discord"),
        (DISCORD.replace("discord://", "https://discord.com/api/webhooks/"), "Discord"),
        (TELEGRAM, "Telegram"),
        ("ntfys://alerts.example.com/topic", "ntfy"),
        ("json://127.0.0.1:8000/alerts", "JSON"),
        (f"{TWILIO}/+15551231235", "Twilio"),
        (f"{TWILIO}/+15551231235?retry=3&wait=60&optional=yes&overflow=split", "Twilio"),
    ],
)
def test_a_service_is_known_by_its_address(url: str, name: str) -> None:
    """Its own, that of a page which a service gives out, and one on this machine without encryption."""
    assert opened(config(url).url.get_secret_value()).name == name


@pytest.mark.parametrize(
    ("url", "rate"),
    [(DISCORD, Rate(1, 1.0)), ("ntfys://alerts.example.com/topic", Rate(10, 60.0)), (TELEGRAM, Rate(1, 1.0))],
)
def test_the_rate_is_the_slower_one(url: str, rate: Rate) -> None:
    """Where the library sends less often than once in a second, so does the forwarder, unless it is told otherwise."""
    assert config(url).max_rate == rate
    assert config(url, max_rate="3/s").max_rate == Rate(3, 1.0)
    assert config(url, max_rate=None).max_rate is None


def test_what_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    """`forwarder check` names the key."""
    path = tmp_path / "config.yaml"
    path.write_text(
        textwrap.dedent(
            f"""\
            sentrytex: {{api_key: vk_not_a_real_key}}
            connectors:
              push:
                type: apprise
                url: pigeon://{SECRET}
            routes: [{{to: [push]}}]
            """
        )
    )
    with pytest.raises(ConfigError) as refused:
        load(path, {})
    assert [str(one).partition("config.yaml")[2] for one in refused.value.problems] == [
        ":5: connectors.push.url: begins with pigeon://, which is no service that Apprise knows: "
        "https://appriseit.com/services/"
    ]


WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Hidden(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == "apprise" else super().find_spec(name, path, target)

sys.meta_path[:] = [Hidden if one is PathFinder else one for one in sys.meta_path]
from connectors.apprise import Apprise, AppriseConfig
AppriseConfig.model_json_schema()
print(sorted({"apprise", "requests"} & set(sys.modules)))
try:
    AppriseConfig(type="apprise", url="ntfys://example.com/topic")
except ValueError as error:
    print(error.errors()[0]["msg"])
"""


def test_without_the_library_it_is_said_how_to_install_it() -> None:
    """Nothing of it is imported before a config names it, and where it is missing one sentence says what to do."""
    ran = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [
        "[]",
        "Value error, is for a library that is not installed: pip install 'sentrytex-forwarder[apprise]'",
    ]
