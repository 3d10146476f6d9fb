"""What is valid in a config, and yet leaves people without an answer one day."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import SecretStr

from forwarder.config.model import Config
from forwarder.connector import ConnectorConfig


def advice(config: Config) -> list[str]:
    """Sentences that begin with the key in question; none where there is nothing to say. No secret is in them."""
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


def _are_one(config: Config, name: str, other: str) -> bool:
    return _service(config.connectors[name]) == _service(config.connectors[other])


def _service(settings: ConnectorConfig) -> tuple[str, str]:
    """What fails as one: the type, and the host where each customer has one of their own."""
    address = getattr(settings, "url", None) or getattr(settings, "base_url", None) or ""
    if isinstance(address, SecretStr):
        address = address.get_secret_value()
    return settings.type, urlsplit(str(address)).hostname or ""
