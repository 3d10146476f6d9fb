"""What the config says about Jira Service Management's alerts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from pydantic import ConfigDict, Field, RootModel, SecretStr, field_validator

from forwarder.alert import Severity
from forwarder.connector import ConnectorConfig, Rate, SendRate, web_address

ADDRESS: Final = "https://api.atlassian.com/jsm/ops/integration/v2"
"""Of the integration events, for every site and region.
https://developer.atlassian.com/cloud/jira/service-desk-ops/rest/v2/api-group-integration-events/"""

RATE: Final = Rate(60, 60.0)
"""Our own: Atlassian limits by the number of the account's users, and says with a 429 when it is enough.
https://docs.opsgenie.com/docs/api-rate-limiting"""

KEY_HINT: Final = "it is in the API integration of a team (Operations > Integrations > API)"
"""Where people find the key."""

Priority = Literal["P1", "P2", "P3", "P4", "P5"]

PRIORITIES: Final[Mapping[Severity, Priority]] = {
    Severity.CRITICAL: "P1",
    Severity.HIGH: "P2",
    Severity.MEDIUM: "P3",
    Severity.LOW: "P4",
}


class JsmOwner(RootModel[str]):
    """Who must act, in words such as the name of a team: shown among an alert's properties."""

    root: str = Field(min_length=1, max_length=255, examples=["dev-tools"])


class JsmConfig(ConnectorConfig):
    """Opens one alert of Jira Service Management per alert, through the API integration of a team."""

    model_config = ConfigDict(hide_input_in_errors=True)

    type: Literal["jsm"]
    api_key: SecretStr = Field(description="Key of an API integration of the team that is to be paged.")
    priority: dict[Severity, Priority] = Field(
        default={}, description="Other priorities than P1 for critical, P2 for high, P3 for medium and P4 for low."
    )
    base_url: str = Field(default=ADDRESS, description="Address of the integration events.")
    max_rate: SendRate | None = Field(default=RATE, description="The most that is sent, such as 60/min.")

    @field_validator("api_key")
    @classmethod
    def _is_a_key(cls, key: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[!-~]{8,}", key.get_secret_value()):
            raise ValueError(f"must be one word of plain letters, digits and signs: {KEY_HINT}")
        return key

    @field_validator("base_url")
    @classmethod
    def _is_safe_to_send_to(cls, url: str) -> str:
        return web_address(url).rstrip("/")

    def priority_of(self, severity: Severity) -> Priority:
        """What an alert of that severity gets."""
        return self.priority.get(severity, PRIORITIES[severity])
