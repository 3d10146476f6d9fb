"""What the config says about a Teams connector."""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import ConfigDict, Field, SecretStr, field_validator

from forwarder.connector import ConnectorConfig, Rate, SendRate, web_address

RATE: Final = Rate(1, 1.0)
"""Well below the first two limits that Teams names for what one webhook posts to a channel: 4 in a second, 60 in 30
seconds, 100 in an hour, 150 in two hours, 1,800 in a day. The longer ones hold back a burst, which a workflow tries
again by itself.
https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using#rate-limiting-for-connectors
"""

_RETIRED: Final = ("webhook.office.com", "outlook.office.com", "outlook.office365.com")
"""Hosts of Office 365 connectors.
https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using"""

_WORKFLOWS: Final = (".logic.azure.com", ".api.powerplatform.com")
"""What the hosts of workflows end with."""


class TeamsConfig(ConnectorConfig):
    """Posts each alert as a card to a channel or a chat of Microsoft Teams, through a Workflows webhook."""

    model_config = ConfigDict(hide_input_in_errors=True)

    type: Literal["teams"]
    url: SecretStr = Field(
        description="Address of the workflow, with the sig= at its end. Whoever has it can post, so it is kept secret."
    )
    max_rate: SendRate | None = Field(
        default=RATE, description="The most that is sent; Teams allows 4 in a second, 60 in 30 seconds, 100 in an hour."
    )

    @field_validator("url")
    @classmethod
    def _is_a_workflow(cls, url: SecretStr) -> SecretStr:
        parts = urlsplit(web_address(url.get_secret_value()))
        host = parts.hostname or ""
        if "@" in parts.netloc:
            raise ValueError("must hold no user name and password")
        if parts.fragment:
            raise ValueError("must end before the #, for what follows it is never sent")
        if host in _RETIRED or host.endswith(tuple(f".{one}" for one in _RETIRED)):
            raise ValueError(
                "is the address of an Office 365 connector, which Microsoft has retired: make a workflow in the channel"
            )
        if host.endswith(_WORKFLOWS) and not parse_qs(parts.query).get("sig"):
            raise ValueError(
                'has no signature, sig=: let "Anyone" trigger the flow, save it, and copy the whole address anew'
            )
        return url
