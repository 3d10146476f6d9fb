"""What the config says about a Slack connector."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Literal, Self

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from forwarder.connector import (
    ConnectorConfig,
    Duration,
    Rate,
    SendRate,
    web_address,
)


class SlackConfig(ConnectorConfig):
    """Posts each alert to a channel of a Slack workspace, by a bot token (best) or an incoming webhook."""

    model_config = ConfigDict(
        hide_input_in_errors=True,
        json_schema_extra={
            "dependentRequired": {"token": ["channel"], "app_token": ["token"]},
            "anyOf": [{"required": ["token"]}, {"required": ["webhook_url"]}],
        },
    )

    type: Literal["slack"]
    token: SecretStr | None = Field(default=None, description="Bot token (xoxb-…) with the scope chat:write.")
    app_token: SecretStr | None = Field(
        default=None,
        description="App-level token (xapp-…) with the scope connections:write: messages get buttons to acknowledge, "
        "resolve and reopen alerts, and the forwarder hears them over Socket Mode, without an open port.",
    )
    webhook_url: SecretStr | None = Field(
        default=None, description="Incoming webhook, in place of a token: no edits, no threads, no finding again."
    )
    channel: str | None = Field(
        default=None, min_length=1, description='Channel for a token: "#name" or its id. A webhook posts to its own.'
    )
    base_url: str = Field(default="https://slack.com/api/", description="Address of Slack's Web API.")
    max_rate: SendRate | None = Field(
        default=Rate(1, 1.0), description="The most that is sent; Slack allows 1/s per channel."
    )
    reconcile_after: tuple[Duration, ...] = Field(
        default=(timedelta(seconds=5), timedelta(seconds=30)),
        min_length=1,
        description="With a token, when it is not known whether an attempt posted the message: after how long the "
        "channel is searched for it before another is posted. Slack's history shows a message within moments.",
    )

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        return web_address(url)

    @field_validator("token", "app_token", "webhook_url")
    @classmethod
    def _fits_a_header(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret and not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
            raise ValueError("must be one word of plain letters, digits and signs")
        return secret

    @field_validator("app_token")
    @classmethod
    def _is_of_the_app(cls, token: SecretStr | None) -> SecretStr | None:
        if token and not token.get_secret_value().startswith("xapp-"):
            raise ValueError("must be an app-level token, which begins with xapp-")
        return token

    @field_validator("webhook_url")
    @classmethod
    def _leads_to_slack(cls, url: SecretStr | None) -> SecretStr | None:
        if url:
            web_address(url.get_secret_value())
        return url

    @model_validator(mode="after")
    def _has_one_way_in(self) -> Self:
        if (self.token is None) == (self.webhook_url is None):
            raise ValueError("needs either a token or a webhook_url")
        if self.app_token and not self.token:
            raise ValueError("an app_token goes with a token: a webhook's messages have no buttons")
        if self.token and not self.channel:
            raise ValueError('a token needs a channel, such as "#secops"')
        return self
