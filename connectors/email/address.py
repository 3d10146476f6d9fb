"""Addresses of mailboxes: such as can stand in a header and in a command of SMTP, and nothing else. Pure.

Nothing of an alert is ever part of one: they come from the config alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

MAX_LOCAL: Final = 64
MAX_DOMAIN: Final = 255
MAX_ADDRESS: Final = 254
"""Characters before the @, after it, and of both: https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1 (a path of 256
has its brackets)."""

MAX_NAME: Final = 100
"""Our own, in characters of the name that people see beside the address."""

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
"""A dot-atom before the @, and a domain after it: https://www.rfc-editor.org/rfc/rfc5321#section-4.1.2. Quoted local
parts and address literals are left out, for hardly any server takes them, and they can hold anything."""
_NAMED: Final = re.compile(r"\s*(?:\"(?P<quoted>[^\"\\]*)\"|(?P<plain>[^<>\",@]*?))\s*<(?P<address>[^<>\s]+)>\s*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mailbox:
    """Where mail goes to or comes from. ``name`` is what people see beside the address; it may be empty."""

    address: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """A mailbox as people write it, ``ops@example.com`` or ``Ops <ops@example.com>``; raises ValueError."""
        named = _NAMED.fullmatch(text)
        address = named["address"] if named else text.strip()
        name = (named["quoted"] or named["plain"] or "") if named else ""
        # What is encoded already would be decoded, and mean something else.
        if not name.isprintable() or len(name) > MAX_NAME or "=?" in name:
            raise ValueError(
                f"the name beside an address must be one line of at most {MAX_NAME} characters, as it reads"
            )
        local, at, domain = address.rpartition("@")
        if not at or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
            hint = "" if address.isascii() else ": plain letters alone, a domain of others in its form with xn--"
            raise ValueError(f"must be an address such as ops@example.com, or a name and the address in <>{hint}")
        if len(local) > MAX_LOCAL or len(domain) > MAX_DOMAIN or len(address) > MAX_ADDRESS:
            raise ValueError(f"must be an address of at most {MAX_ADDRESS} characters, {MAX_LOCAL} before the @")
        return cls(address=address, name=name.strip())

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    @property
    def key(self) -> str:
        """By which the same mailbox is known, however its domain is written."""
        local, _, domain = self.address.rpartition("@")
        return f"{local}@{domain.lower()}"

    @property
    def header(self) -> str:
        """As it stands in a header, encoded where the name asks for it."""
        from email.headerregistry import Address

        return str(Address(display_name=self.name, addr_spec=self.address))


def listed(value: object) -> object:
    """A text of addresses with commas between them as a list of them; anything else as it stands."""
    if not isinstance(value, str):
        return value
    return [part for part in (one.strip() for one in re.split(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", value)) if part]
