"""What the config says about a webhook."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    RootModel,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from connectors.webhook.signing import checked_key
from forwarder.connector import ConnectorConfig, Duration, web_address
from forwarder.wire import certificates

TIMEOUT: Final = timedelta(seconds=15)
"""The shorter end of what Standard Webhooks advises, 15 to 30 seconds:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#deliverability-and-reliability
"""

OURS: Final = frozenset(
    {"connection", "content-length", "content-type", "expect", "host", "idempotency-key", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "webhook-id", "webhook-signature", "webhook-timestamp"}
)
"""Headers, in small letters, that follow from the message or the connection."""

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2"""
_VALUE: Final = re.compile(r"[!-~](?:[ \t!-~]*[!-~])?")


def _header_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("is no name of a header: letters, digits and - alone")
    if name.lower() in OURS:
        raise ValueError("is a header that the forwarder sets itself")
    return name


def _header_value(value: SecretStr) -> SecretStr:
    if not _VALUE.fullmatch(value.get_secret_value()):
        raise ValueError("must be one line of plain letters, digits and signs, and not empty")
    return value


class WebhookOwner(RootModel[str]):
    """Who must act, in words such as the name of a team: handed on as they stand."""

    root: str = Field(min_length=1, max_length=255, examples=["dev-tools"])


class WebhookConfig(ConnectorConfig):
    """Posts JSON to an address of your own, signed as Standard Webhooks asks."""

    model_config = ConfigDict(hide_input_in_errors=True)

    type: Literal["webhook"]
    url: SecretStr = Field(
        description="Where to post to. It is kept secret like a key, for such addresses often hold one."
    )
    signing_key: SecretStr = Field(
        description="What messages are signed with: whsec_ and 24 to 64 bytes in base64. The receiver has it, too."
    )
    previous_signing_key: SecretStr | None = Field(
        default=None,
        description="While keys are changed, the one before: messages are signed with both, to be taken by either.",
    )
    headers: dict[Annotated[str, AfterValidator(_header_name)], Annotated[SecretStr, AfterValidator(_header_value)]] = (
        Field(default={}, description="Further headers, such as Authorization. Their values are kept secret.")
    )
    ca_file: str | None = Field(
        default=None,
        description="PEM file of the certificate authorities that are trusted there, in place of the system's.",
    )
    cert_file: str | None = Field(
        default=None, description="PEM file of the certificate that the forwarder shows there, for mutual TLS."
    )
    key_file: str | None = Field(
        default=None,
        validate_default=True,
        description="PEM file of that certificate's private key, where it is not in cert_file. It has no passphrase.",
    )
    timeout: Duration = Field(
        default=TIMEOUT,
        description="How long one request may take as a whole, from connecting to the last byte of its answer.",
    )

    @field_validator("url")
    @classmethod
    def _is_safe_to_post_to(cls, url: SecretStr) -> SecretStr:
        parts = urlsplit(web_address(url.get_secret_value()))
        if "@" in parts.netloc:
            raise ValueError("must hold no user name and password: put them into headers, as Authorization")
        if parts.fragment:
            raise ValueError("must end before the #, for what follows it is never sent")
        return url

    @field_validator("signing_key", "previous_signing_key")
    @classmethod
    def _can_sign(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            checked_key(key.get_secret_value())
        return key

    @field_validator("headers")
    @classmethod
    def _are_named_once(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        if len({name.lower() for name in headers}) < len(headers):
            raise ValueError("must name each header once: large and small letters are the same there")
        return headers

    @field_validator("ca_file")
    @classmethod
    def _holds_authorities(cls, path: str | None) -> str | None:
        return path if path is None else certificates.checked_authorities(path)

    @field_validator("cert_file")
    @classmethod
    def _holds_a_certificate(cls, path: str | None) -> str | None:
        return path if path is None else certificates.checked_certificate(path)

    @field_validator("key_file")
    @classmethod
    def _holds_its_key(cls, path: str | None, known: ValidationInfo) -> str | None:
        if "cert_file" not in known.data:
            return path  # what is wrong there is told there
        certificate = known.data["cert_file"]
        if certificate:
            certificates.checked_key(path, certificate)
        elif path:
            raise ValueError("goes with a cert_file, which is missing")
        return path

    @model_validator(mode="after")
    def _is_encrypted_where_it_has_certificates(self) -> Self:
        if (self.ca_file or self.cert_file) and not self.url.get_secret_value().lower().startswith("https:"):
            raise ValueError("ca_file and cert_file are for an address that begins with https://")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that each message is signed with, the newer one first."""
        return tuple(key.get_secret_value() for key in (self.signing_key, self.previous_signing_key) if key)
