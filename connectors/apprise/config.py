"""What the config says about a service that is reached through Apprise."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.apprise.library import RATE, opened
from forwarder.connector import ConnectorConfig, SendRate


class AppriseConfig(ConnectorConfig):
    """Sends each alert to one of a hundred services and more, which the library Apprise knows by an address."""

    model_config = ConfigDict(hide_input_in_errors=True)

    type: Literal["apprise"]
    url: SecretStr = Field(
        description="Address of one service and one recipient, as Apprise writes it, such as discord://… or "
        "ntfys://…. It holds keys, so it is kept secret."
    )
    max_rate: SendRate | None = Field(
        default=RATE, description="The most that is sent; less by default where the library itself sends less often."
    )

    @model_validator(mode="before")
    @classmethod
    def _is_paced(cls, values: Any) -> Any:
        """Fills in the rate of the service, where its address can be read and none is given."""
        url = values.get("url") if isinstance(values, dict) else None
        if not isinstance(url, str | SecretStr) or "max_rate" in values:
            return values
        try:
            rate = opened(url if isinstance(url, str) else url.get_secret_value()).rate
        except ValueError:
            return values  # what is wrong is told of the key
        return {**values, "max_rate": rate} if rate else values

    @field_validator("url")
    @classmethod
    def _is_a_service(cls, url: SecretStr) -> SecretStr:
        opened(url.get_secret_value())
        return url
