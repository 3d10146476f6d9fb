"""What the config says about a GitHub connector."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.github.issue import MAX_ASSIGNEES, MAX_LABEL
from forwarder.alert import Severity
from forwarder.connector import ConnectorConfig, Duration, Interval, Rate, SendRate, web_address

MAX_RATE: Final = Rate(500, 3600)
"""Requests an hour that make something, beside 80 a minute:
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits
"""

_LOGIN: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9_])?"
_REPOSITORY: Final = rf"{_LOGIN}/[A-Za-z0-9._-]{{1,100}}"


def _label(label: str) -> str:
    # A list of issues takes several labels with commas in between.
    if label != label.strip() or not label or len(label) > MAX_LABEL or "," in label or not label.isprintable():
        raise ValueError(f"a label is one line without commas, of {MAX_LABEL} characters at most")
    return label


def _login(login: str) -> str:
    if not re.fullmatch(_LOGIN, login):
        raise ValueError("must be an account's name, without the @")
    return login


Label = Annotated[str, AfterValidator(_label)]
Login = Annotated[str, AfterValidator(_login)]


class GitHubOwner(BaseModel):
    """Who must act: whom a new issue is assigned to, and who is mentioned in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"minProperties": 1})

    assignees: tuple[Login, ...] = Field(
        default=(), max_length=MAX_ASSIGNEES, description="Accounts that the issue is assigned to."
    )
    mention: str | None = Field(
        default=None,
        pattern=rf"^@{_LOGIN}(/{_LOGIN})?$",
        examples=["@example/dev-tools"],
        description="Who is mentioned in it, and so notified: an account or a team, with the @.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> GitHubOwner:
        if not (self.assignees or self.mention):
            raise ValueError("must have assignees, a mention, or both")
        return self


class GitHubConfig(ConnectorConfig):
    """Opens an issue for each alert, in a repository on GitHub."""

    # A token under a wrong key must not come back in the error that says so.
    model_config = ConfigDict(hide_input_in_errors=True)

    type: Literal["github"]
    repository: str = Field(
        pattern=f"^{_REPOSITORY}$",
        description="Where issues are opened: its owner and its name, such as example/security.",
    )
    token: SecretStr = Field(
        description="Fine-grained personal access token of a machine account, with Issues: read and write."
    )
    base_url: str = Field(
        default="https://api.github.com",
        description="Address of the REST API. GitHub Enterprise Server: https://HOST/api/v3.",
    )
    labels: tuple[Label, ...] = Field(default=(), description="Labels of every issue, next to the forwarder's own.")
    severity_labels: dict[Severity, Label] = Field(
        default={severity: f"severity: {severity.value}" for severity in Severity},
        description="The label of each severity. {} is for none; what is left out has none.",
    )
    assignees: tuple[Login, ...] = Field(
        default=(), max_length=MAX_ASSIGNEES, description="Accounts that every new issue is assigned to."
    )
    on_acknowledge: Literal["comment", "none"] = Field(
        default="comment", description="What becomes of an issue whose alert was acknowledged elsewhere."
    )
    on_resolve: Literal["comment", "close", "none"] = Field(
        default="comment",
        description="What becomes of an issue whose alert was resolved elsewhere: close closes it and comments, and "
        "opens it again once the alert is open again.",
    )
    sync_every: Interval = Field(
        default=timedelta(minutes=1),
        description="How often GitHub is asked what people did with issues; 1s at least.",
    )
    reconcile_after: tuple[Duration, ...] = Field(
        default=(timedelta(seconds=10), timedelta(seconds=60)),
        min_length=1,
        description="How long after an attempt of which it is uncertain whether it opened the issue it is looked for "
        "before another is opened.",
    )
    max_rate: SendRate | None = Field(default=MAX_RATE, description="The most that is sent, such as 500/h.")
    concurrency: int = Field(
        default=1,
        ge=1,
        le=128,
        description="How many deliveries may be under way at once. GitHub asks for one after the other.",
    )

    @field_validator("repository", mode="before")
    @classmethod
    def _is_a_repository(cls, repository: object) -> object:
        if isinstance(repository, str) and not re.fullmatch(_REPOSITORY, repository):
            raise ValueError("must be an owner and a name alone, such as example/security, and no address")
        return repository

    @field_validator("token")
    @classmethod
    def _is_one_word(cls, token: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[!-~]+", token.get_secret_value()):
            raise ValueError("must be one word of plain characters, as GitHub shows it when it is made")
        return token

    @field_validator("base_url")
    @classmethod
    def _is_the_api(cls, url: str) -> str:
        parts = urlsplit(web_address(url.strip()))
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("must be the bare address of the REST API: put the token under token")
        if parts.hostname in {"github.com", "www.github.com"}:
            raise ValueError("must be the address of the REST API: leave it out for github.com")
        return url.strip().rstrip("/")
