"""What the config says about a PagerDuty connector."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final, Literal

from pydantic import ConfigDict, Field, RootModel, SecretStr, field_validator

from connectors.pagerduty.event import ROUTING_KEY_LENGTH
from forwarder.connector import ConnectorConfig, OptionalInterval, Rate, SendRate, web_address

MAX_RATE: Final = Rate(120, 60)
"""Events a key may send: https://developer.pagerduty.com/docs/events-api-v2/overview/"""
_HOSTS: Final = {"us": "https://events.pagerduty.com", "eu": "https://events.eu.pagerduty.com"}
_API_HOSTS: Final = {"us": "https://api.pagerduty.com", "eu": "https://api.eu.pagerduty.com"}
KEY_HINT: Final = "put the integration key of an Events API v2 integration into routing_key"
"""Where the right key comes from, for a message about a wrong one."""
TOKEN_HINT: Final = "put a read-only REST API key (Integrations > API Access Keys) into api_token"  # noqa: S105
"""The same for the other one."""


class PagerDutyOwner(RootModel[str]):
    """Who must act, in words such as the name of a team: shown in an incident's details."""

    root: str = Field(min_length=1, max_length=255, examples=["dev-tools"])


class PagerDutyConfig(ConnectorConfig):
    """Opens one PagerDuty incident per alert, through the Events API v2 integration of a service."""

    model_config = ConfigDict(hide_input_in_errors=True)

    type: Literal["pagerduty"]
    routing_key: SecretStr = Field(
        description="Integration key of an Events API v2 integration (Service > Integrations): 32 characters."
    )
    region: Literal["us", "eu"] = Field(default="us", description="The service region of the PagerDuty account.")
    base_url: str | None = Field(default=None, description="Address of the Events API, in place of the region's.")
    api_token: SecretStr | None = Field(
        default=None,
        description="Read-only REST API key, by which the forwarder hears who acknowledges and resolves incidents.",
    )
    api_url: str | None = Field(default=None, description="Address of the REST API, in place of the region's.")
    sync_every: OptionalInterval = Field(
        default=timedelta(minutes=1),
        description="How often PagerDuty is asked, where there is an api_token, what people did: 1s at least, or off.",
    )
    max_rate: SendRate | None = Field(default=MAX_RATE, description="The most that is sent, such as 120/min.")

    @field_validator("routing_key")
    @classmethod
    def _is_a_key(cls, key: SecretStr) -> SecretStr:
        if not re.fullmatch(rf"[!-~]{{{ROUTING_KEY_LENGTH}}}", key.get_secret_value()):
            raise ValueError(f"must be {ROUTING_KEY_LENGTH} characters without spaces: {KEY_HINT}")
        return key

    @field_validator("api_token")
    @classmethod
    def _is_a_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not re.fullmatch(r"[!-~]+", token.get_secret_value()):
            raise ValueError(f"must be characters without spaces: {TOKEN_HINT}")
        return token

    @field_validator("base_url", "api_url")
    @classmethod
    def _is_safe_to_send_to(cls, url: str | None) -> str | None:
        return None if url is None else web_address(url)

    @property
    def address(self) -> str:
        """Where events go: scheme and host, without a slash at the end."""
        return (self.base_url or _HOSTS[self.region]).rstrip("/")

    @property
    def api_address(self) -> str:
        """Where the REST API is, in the same form."""
        return (self.api_url or _API_HOSTS[self.region]).rstrip("/")
