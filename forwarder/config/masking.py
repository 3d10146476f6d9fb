"""The config as it may be shown: every secret in it found, and masked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel, RootModel, SecretBytes, SecretStr

from forwarder.common.databases import PostgresAddress
from forwarder.common.units import format_duration
from forwarder.config.model import Config

MASK: Final = "**********"


def dump(config: Config) -> dict[str, Any]:
    """The config as JSON has it, in the words of the file, with every secret as ``**********``."""
    shown: dict[str, Any] = jsonable(config)
    shown["web"]["listen"] = shown["web"]["listen"] or "off"
    return shown


def secrets_of(config: BaseModel) -> frozenset[str]:
    """Every secret value in a config, wherever it stands: what no log may show."""
    return frozenset(secret for secret in _secrets(config) if secret)


def jsonable(value: Any) -> Any:
    """A value of a config as JSON has it; durations as people write them, secrets masked."""
    match value:
        case None | bool() | int() | float():
            return value
        case SecretStr() | SecretBytes():
            return MASK
        case Enum():
            return jsonable(value.value)
        case timedelta():
            return format_duration(value)
        case date():
            return value.isoformat()
        case RootModel():
            return jsonable(value.root)
        case BaseModel():
            return {name: jsonable(getattr(value, name)) for name in type(value).model_fields}
        case Mapping():
            return {str(jsonable(key)): jsonable(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [jsonable(item) for item in value]
    return str(value)


def _secrets(value: Any) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case PostgresAddress():
            yield from value.secrets
        case SecretBytes():
            yield value.get_secret_value().decode("utf-8", "replace")
        case BaseModel():
            for name in type(value).model_fields:
                yield from _secrets(getattr(value, name))
        case Mapping():
            for item in value.values():
                yield from _secrets(item)
        case list() | tuple() | set() | frozenset():
            for item in value:
                yield from _secrets(item)
