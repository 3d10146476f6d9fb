"""The accounts of the sandbox's Jira: the forwarder's own, and those of people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

BOT: Final = "forwarder"
"""The name of the account whose token it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """One account: known by its ``id`` on Cloud, by its ``name`` on Data Center."""

    id: str
    name: str
    display_name: str
    email: str

    def shown(self, *, cloud: bool) -> dict[str, Any]:
        """As the API shows it to others; on Cloud people's addresses are kept back."""
        about = {"displayName": self.display_name, "active": True}
        if cloud:
            return {**about, "accountId": self.id, "accountType": "atlassian"}
        return {**about, "name": self.name, "key": f"JIRAUSER{self.id[-5:]}", "emailAddress": self.email}


class Accounts:
    """All accounts, by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Account] = {}
        self.add(BOT, "Forwarder")
        self.add("alice", "Alice Example")
        self.add("bob", "Bob Example")

    def add(self, name: str, display_name: str = "") -> Account:
        """Make the account ``name``, or remake it."""
        number = f"5f{len(self._by_name):022}"
        account = Account(id=number, name=name, display_name=display_name or name.title(), email=f"{name}@example.com")
        self._by_name[name] = account
        return account

    def named(self, name: str) -> Account:
        """The account of that name; raises LookupError."""
        if name not in self._by_name:
            raise LookupError(f"no account {name}")
        return self._by_name[name]

    def meant(self, value: Any) -> Account | None:
        """The account that ``{"accountId": …}``, ``{"id": …}`` or ``{"name": …}`` means; None where there is none."""
        if not isinstance(value, dict):
            return None
        for account in self._by_name.values():
            if account.id in (value.get("accountId"), value.get("id")) or account.name == value.get("name"):
                return account
        return None
