"""What the config says about a connector for e-mail."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from connectors.email.address import Mailbox, listed
from forwarder.connector import ConnectorConfig, Duration, is_loopback
from forwarder.wire import certificates

TIMEOUT: Final = timedelta(seconds=60)
"""RFC 5321 would wait for minutes at each step, ten of them for the last reply, so that nothing comes twice:
https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.2. Servers that look a mail through answer within seconds."""

MAX_RECIPIENTS: Final = 50
"""Of one mail. Amazon's server takes 50: https://docs.aws.amazon.com/ses/latest/dg/quotas.html. By the standard each
should take 100: https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.8"""

MAX_PREFIX: Final = 60
"""Our own, in characters: what stands before each subject must leave room for it."""

PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
"""Where mail is handed in: https://www.rfc-editor.org/rfc/rfc8314#section-3.3, and a relay on this machine."""

_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_LIST: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+")
_ONE_LINE: Final = re.compile(r"[ -~]+")

Recipients = Annotated[list[str], BeforeValidator(listed)]


class EmailOwner(RootModel[str]):
    """Who must act, as an address: what is told of an alert goes there, too."""

    root: str = Field(examples=["dev-tools@example.com"])

    @field_validator("root")
    @classmethod
    def _is_an_address(cls, address: str) -> str:
        return Mailbox.parse(address).address


class EmailConfig(ConnectorConfig):
    """Sends mail through a server of yours, over SMTP: one mail for each thing that is told, in one thread an alert."""

    model_config = ConfigDict(hide_input_in_errors=True, populate_by_name=True)

    type: Literal["email"]
    host: str = Field(description="Name of the server that takes the mail, such as smtp.example.com.")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="Its port; by default 587 with starttls, 465 with tls, 25 with none."
    )
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="How the connection is encrypted: after STARTTLS, from its first byte on (tls), or not at all "
        "(none), to this machine alone.",
    )
    username: str | None = Field(default=None, description="Who logs in there. Without it nobody does.")
    password: SecretStr | None = Field(default=None, description="The password for it, or what stands in for one.")
    sender: str = Field(
        alias="from",
        description="Whom the mail is from: an address, or a name and the address in <>. Your server must let the "
        "user send as it.",
    )
    to: Recipients = Field(min_length=1, description="Who gets it: addresses, each of which the others see.")
    cc: Recipients = Field(default=[], description="Who gets it as well, as a copy.")
    subject_prefix: str = Field(
        default="[Sentrytex]", max_length=MAX_PREFIX, description="What each subject begins with; may be empty."
    )
    list_id: str | None = Field(
        default=None,
        description="What people's filters know the mail by, in its header List-Id, such as alerts.example.com; by "
        "default the connector's name and the domain of from.",
    )
    ca_file: str | None = Field(
        default=None,
        description="PEM file of the certificate authorities that are trusted there, in place of the system's.",
    )
    timeout: Duration = Field(
        default=TIMEOUT,
        description="How long one mail may take as a whole, from connecting to the server's last reply.",
    )

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, host: str) -> str:
        if not _HOST.fullmatch(host):
            raise ValueError("must be the name or the address of a server alone, without a port and without smtp://")
        return host

    @field_validator("username")
    @classmethod
    def _is_a_user(cls, user: str | None) -> str | None:
        if user is not None and not _ONE_LINE.fullmatch(user):
            raise ValueError("must be one line of plain letters, digits and signs")
        return user

    @field_validator("password")
    @classmethod
    def _can_be_sent(cls, password: SecretStr | None) -> SecretStr | None:
        if password is not None and not _ONE_LINE.fullmatch(password.get_secret_value()):
            raise ValueError("must be one line of plain letters, digits and signs, and not empty")
        return password

    @field_validator("sender")
    @classmethod
    def _is_an_address(cls, sender: str) -> str:
        Mailbox.parse(sender)
        return sender

    @field_validator("to", "cc")
    @classmethod
    def _are_addresses(cls, recipients: list[str]) -> list[str]:
        for one in recipients:
            Mailbox.parse(one)
        return recipients

    @field_validator("subject_prefix")
    @classmethod
    def _is_one_line(cls, prefix: str) -> str:
        if not prefix.isprintable():
            raise ValueError("must be one line")
        return prefix.strip()

    @field_validator("list_id")
    @classmethod
    def _names_a_list(cls, name: str | None) -> str | None:
        if name is not None and not _LIST.fullmatch(name):
            raise ValueError("must be like the name of a domain, such as alerts.example.com")
        return name

    @field_validator("ca_file")
    @classmethod
    def _holds_authorities(cls, path: str | None, known: ValidationInfo) -> str | None:
        if path is not None and known.data.get("security") == "none":
            raise ValueError("is for a connection that is encrypted: security is none")
        return path if path is None else certificates.checked_authorities(path)

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.security == "none" and not is_loopback(self.host):
            raise ValueError("security: none is allowed to this machine (127.0.0.1) only: use starttls or tls")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if len(self.everybody) > MAX_RECIPIENTS:
            raise ValueError(f"to and cc name more than {MAX_RECIPIENTS} recipients: use the address of a list")
        return self

    @property
    def everybody(self) -> tuple[Mailbox, ...]:
        """Who gets each mail, each once."""
        return tuple({one.key: one for one in map(Mailbox.parse, (*self.to, *self.cc))}.values())

    @property
    def its_port(self) -> int:
        return self.port or PORTS[self.security]

    @property
    def place(self) -> str:
        """The server, for people."""
        return f"{self.host}:{self.its_port}"
