"""What the config says about a Jira connector."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.jira.ticket import MAX_LABEL, OURS
from forwarder.alert import Severity
from forwarder.connector import ConnectorConfig, Duration, OptionalInterval, web_address


class JiraComponent(BaseModel):
    """A component of the project."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=255, description="Its name, as Jira shows it.")


class JiraOwner(BaseModel):
    """Whose a new ticket is: its components, and the one whom it is assigned to."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"minProperties": 1})

    components: tuple[JiraComponent, ...] = Field(default=(), description="Components that the ticket gets.")
    assignee: str | None = Field(
        default=None, min_length=1, description="Whom it is assigned to: an account id on Cloud, a user name otherwise."
    )

    @model_validator(mode="after")
    def _says_something(self) -> JiraOwner:
        if not (self.components or self.assignee):
            raise ValueError("must have components, an assignee, or both")
        return self


class JiraConfig(ConnectorConfig):
    """Where tickets go, and what they look like there."""

    # A token under a wrong key must not come back in the error that says so.
    model_config = ConfigDict(hide_input_in_errors=True)

    type: Literal["jira"]
    url: str = Field(description="The site, such as https://example.atlassian.net or https://jira.example.com/jira.")
    email: str | None = Field(
        default=None, description="Cloud: the account that the API token belongs to. Data Center: leave it out."
    )
    token: SecretStr = Field(description="Cloud: an API token. Data Center: a personal access token.")
    project: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", description="The key of the project, such as SEC.")
    issue_type: str = Field(default="Task", min_length=1, description="The name of the issue type, as Jira shows it.")
    priority: dict[Severity, str] = Field(
        default={}, description="The priority of each severity, by its name in Jira. What is left out, Jira decides."
    )
    due_in: dict[Severity, Duration] = Field(
        default={}, description="How long after its arrival a ticket of each severity is due, such as 2d."
    )
    labels: tuple[str, ...] = Field(default=(), description="Labels of every ticket, next to the forwarder's own.")
    identity: Literal["label", "text"] = Field(
        default="label",
        description="By what a ticket is found again, so that there is one: a label, or text, a line at the end of its "
        "description, where the field Labels is not on the screen on which tickets are created.",
    )
    fields: dict[str, Any] = Field(
        default={},
        description="Further fields of every ticket, by id, as Jira's API takes them: components, customfield_…",
    )
    on_acknowledge: Literal["comment", "none"] = Field(
        default="comment", description="What becomes of a ticket whose alert was acknowledged elsewhere."
    )
    on_resolve: Literal["comment", "close", "none"] = Field(
        default="comment",
        description="What becomes of a ticket whose alert was resolved elsewhere: close moves it to done and comments.",
    )
    sync_every: OptionalInterval = Field(
        default=timedelta(minutes=1),
        description="How often Jira is asked, by one search, what people did with tickets: 1s at least, or off.",
    )
    reconcile_after: tuple[Duration, ...] = Field(
        default=(timedelta(seconds=10), timedelta(seconds=60), timedelta(seconds=300)),
        min_length=1,
        description="After an attempt of which it is not known whether it made the ticket: when the ticket is looked "
        "for before another is created. Jira's search sees a new ticket late.",
    )
    concurrency: int = Field(default=4, ge=1, le=128, description="How many deliveries may be under way at once.")

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        parts = urlsplit(web_address(url.strip()))
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("must be the bare address of the site: put credentials under email and token")
        return url.strip().rstrip("/")

    @field_validator("email")
    @classmethod
    def _is_email(cls, email: str | None) -> str | None:
        email = (email or "").strip()
        if email and not re.fullmatch(r"[!-9;-~]+@[!-9;-~]+", email):
            raise ValueError("must be the email address of the account that the token belongs to")
        return email or None

    @field_validator("token")
    @classmethod
    def _is_one_word(cls, token: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[!-~]+", token.get_secret_value()):
            raise ValueError("must be one word of plain characters, as Jira shows it when it is made")
        return token

    @field_validator("labels")
    @classmethod
    def _are_labels(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        for label in labels:
            if not label or len(label) > MAX_LABEL or re.search(r"\s", label):
                raise ValueError(f"a label has no spaces and at most {MAX_LABEL} characters")
        return labels

    @field_validator("fields")
    @classmethod
    def _are_further(cls, fields: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(OURS & fields.keys()):
            raise ValueError(
                f"{', '.join(taken)} cannot be set here: use the keys project, issue_type and labels, and templates "
                "for the words"
            )
        return fields

    @model_validator(mode="after")
    def _agrees(self) -> JiraConfig:
        host = urlsplit(self.url).hostname or ""
        if host.endswith(".atlassian.net") and self.email is None:
            raise ValueError("email is missing: Jira Cloud accepts an API token only together with its account's email")
        for field, key in (("priority", "priority"), ("duedate", "due_in")):
            if field in self.fields and getattr(self, key):
                raise ValueError(f"{field} is set twice, under fields and by {key}: leave one of them out")
        return self
