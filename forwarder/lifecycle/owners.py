"""Who must act on an alert, as the config's ``owners`` say. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from forwarder.config import Owners
from forwarder.connector import Delivery, Origin


def owners_of(owners: Owners, kind: str, delivery: Delivery) -> tuple[BaseModel, ...]:
    """Who must act at connectors of the type ``kind``, each once: by vendor key, then by the vendors' categories.

    Only an alert of the feed has owners: what the alert says can choose among those of the config, and bring in none
    of its own.
    """
    if not owners or delivery.origin is not Origin.FEED:
        return ()
    keys = delivery.alert.affected_vendors
    known = [delivery.vendors[key] for key in keys if key in delivery.vendors]
    names = [*keys, *(category for vendor in known for category in vendor.categories)]
    return _each_once(_named(owners, kind, names))


def all_owners(owners: Owners, kind: str) -> tuple[BaseModel, ...]:
    """Whoever ``owners`` name for connectors of the type ``kind``, each once."""
    return _each_once(by_type[kind] for by_type in owners.values() if kind in by_type)


def _named(owners: Owners, kind: str, names: Iterable[str]) -> Iterable[BaseModel]:
    # As conditions of routes are compared; the same key in other letters is another line of the config.
    for name in dict.fromkeys(name.casefold() for name in names):
        for key, by_type in owners.items():
            if key.casefold() == name and kind in by_type:
                yield by_type[kind]


def _each_once(owners: Iterable[BaseModel]) -> tuple[BaseModel, ...]:
    found: list[BaseModel] = []
    for owner in owners:
        if owner not in found:
            found.append(owner)
    return tuple(found)
