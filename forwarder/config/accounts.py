"""What must hold of the accounts that a config names, and of those who name them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

from forwarder.common.accounts import DEFAULT
from forwarder.config.document import Where
from forwarder.config.model import SentrytexConfig
from forwarder.config.problems import did_you_mean, known_keys, unknown_name
from forwarder.config.values import NAME

_AT: Final[Where] = ("sentrytex",)
_CONDITIONS: Final = ("routes", "mutes", "reminders")
_WILD: Final = frozenset("*?[")


def account_problems(root: dict[str, Any], secret: Collection[str]) -> Iterator[tuple[Where, str]]:
    """What is wrong with the accounts of a file, and where; neither a key nor what is ``secret`` is told."""
    section = root.get("sentrytex")
    raw: dict[str, Any] = section if isinstance(section, dict) else {}
    accounts = raw.get("accounts")
    has_key = raw.get("api_key") is not None
    if has_key and accounts:
        yield (*_AT, "accounts"), "stands beside api_key: leave that out, and name its account here"
    elif not has_key and not accounts and not _is_misspelled(raw):
        yield (*_AT, "api_key"), "is missing"
    named: dict[str, Any] = accounts if isinstance(accounts, dict) else {}
    yield from _of_names(named)
    for where, name in _asked_for(root):
        if not named:
            yield where, "the config names no accounts (sentrytex.accounts)"
        elif not _WILD & set(name) and name.casefold() not in {str(known).casefold() for known in named}:
            keys = (str(account.get("api_key")) for account in named.values() if isinstance(account, dict))
            yield where, unknown_name("account", name, list(map(str, named)), [*secret, *keys])


def _is_misspelled(raw: dict[str, Any]) -> bool:
    """Whether a key that is not known is meant: that is told already."""
    unknown = raw.keys() - set(known_keys(SentrytexConfig, ()))
    return any(did_you_mean(key, ("api_key", "accounts")) for key in unknown)


def _of_names(named: dict[str, Any]) -> Iterator[tuple[Where, str]]:
    keys: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, account in named.items():
        where = (*_AT, "accounts", name)
        if (like := names.setdefault(str(name).casefold(), str(name))) != str(name):
            yield where, f"differs from {like} in capital letters alone, and routes would mean both"
        if not NAME.fullmatch(str(name)):
            yield where, "an account's name has 1 to 64 letters, digits, - and _"
        elif str(name).casefold() == DEFAULT:
            yield where, f"no account can be called {DEFAULT}: that is the one of a config with a single api_key"
        key = account.get("api_key") if isinstance(account, dict) else None
        if isinstance(key, str) and key:
            if key in keys:
                yield (*where, "api_key"), f"is the key of {keys[key]}, too: a key has one account, and one limit"
            keys.setdefault(key, str(name))


def _asked_for(root: dict[str, Any]) -> Iterator[tuple[Where, str]]:
    """The accounts that conditions name, each with its place."""
    for section in _CONDITIONS:
        items = root.get(section)
        for place, item in enumerate(items if isinstance(items, list) else ()):
            names = item.get("account") if isinstance(item, dict) else None
            if isinstance(names, str) and names:
                yield (section, place, "account"), names
            elif isinstance(names, list):
                yield from (
                    ((section, place, "account", number), name)
                    for number, name in enumerate(names)
                    if isinstance(name, str) and name
                )
