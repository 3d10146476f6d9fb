"""What the config says of every connector, whatever its type."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from forwarder.common.units import Duration, SendRate


class Templates(BaseModel):
    """Jinja2 templates in place of the built-in words.

    They have ``alert``, ``vendors`` (their names), ``evidence``, ``changes``, ``kind`` and ``built_in``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str | None = Field(default=None, description="Template of the title: one line of plain text.")
    text: str | None = Field(default=None, description="Template of the body: plain text.")


class ConnectorConfig(BaseModel):
    """What every connector can be told. A type adds its own keys; their descriptions become the schema's.

    Secrets are SecretStr: the forwarder finds them by that type and keeps them out of everything it shows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: str = Field(description="What kind of destination it is.")
    timeout: Duration = Field(
        default=timedelta(seconds=10),
        description="How long one request may take as a whole, from connecting to the last byte of its answer.",
    )
    concurrency: int = Field(default=2, ge=1, le=128, description="How many deliveries may be under way at once.")
    max_rate: SendRate | None = Field(default=None, description="The most that is sent, such as 1/s.")
    give_up_after: Duration = Field(
        default=timedelta(days=3),
        description="How long a delivery that fails is tried again before it becomes a dead letter.",
    )
    templates: Templates = Field(default=Templates(), description="Your own words for the title and the text.")
