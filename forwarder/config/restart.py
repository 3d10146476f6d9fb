"""What of a config only a restart brings in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from forwarder.config.model import Config, WebConfig

_AT_ONCE: Final = frozenset({"public_url"})
"""Keys of the page that only messages go by."""


def needs_restart(before: Config, after: Config) -> str:
    """The keys that differ and are read at the start alone, such as `` `web.token` and `database` ``; empty without."""
    keys = [f"`{key}`" for key in _differing(before, after)]
    return " and ".join([", ".join(keys[:-1]), keys[-1]] if len(keys) > 1 else keys)


def _differing(before: Config, after: Config) -> Iterator[str]:
    if before.database != after.database:
        yield "database"
    for name in WebConfig.model_fields:
        if name not in _AT_ONCE and getattr(before.web, name) != getattr(after.web, name):
            yield f"web.{name}"
