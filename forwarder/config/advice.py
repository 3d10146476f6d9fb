"""What is valid in a config, and yet leaves people without an answer one day."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import SecretStr

from forwarder.config.model import Config
from forwarder.connector import Connector, ConnectorConfig
from forwarder.plugins import load_type


def advice(config: Config) -> list[str]:
    """Sentences that begin with the key in question; none where there is nothing to say. No secret is in them."""
    return [*_of_alarms(config), *_of_reminders(config)]


def _of_alarms(config: Config) -> list[str]:
    named = [name for name in config.alarms.to if name in config.connectors]
    services = {_service(config.connectors[name]) for name in named}
    if len(services) > 1:
        return []
    others = [name for name, settings in config.connectors.items() if _service(settings) not in services]
    if not named:
        first = others[0]
        second = next((name for name in others if not _are_one(config, name, first)), None)
        such = f", such as {first} and {second}" if second else ""
        return [
            "alarms.to: names no connector, so nobody hears of the forwarder's own troubles unless they are critical."
            f" Name two of different services{such}."
        ]
    way_out = f"name {others[0]} as well" if others else "add a connector of another service, and name it as well"
    return [
        f"alarms.to: all alarms end at one service ({', '.join(named)}). While that fails, only critical ones find"
        f" another way: {way_out}."
    ]


def _of_reminders(config: Config) -> list[str]:
    """A reminder of due dates, where no connector gives any, would never come."""
    if any(map(_dates, config.connectors.values())):
        return []
    return [
        f"reminders[{number}].overdue_for: no connector gives an alert a due date, so this reminds nobody. Set due_in"
        " of a connector that has that key."
        for number, reminder in enumerate(config.reminders)
        if reminder.overdue_for is not None
    ]


def _dates(settings: ConnectorConfig) -> bool:
    """Whether alerts that go there may be due; a type without the key ``due_in`` may have reasons of its own."""
    tells = load_type(settings.type).due is not Connector.due
    return tells and bool(getattr(settings, "due_in", True))


def _are_one(config: Config, name: str, other: str) -> bool:
    return _service(config.connectors[name]) == _service(config.connectors[other])


def _service(settings: ConnectorConfig) -> tuple[str, str]:
    """What fails as one: the type, and the host where each customer has one of their own."""
    address = getattr(settings, "url", None) or getattr(settings, "base_url", None) or ""
    if isinstance(address, SecretStr):
        address = address.get_secret_value()
    return settings.type, urlsplit(str(address)).hostname or ""
