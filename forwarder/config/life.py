"""What the config says of an alert's life: which alerts are meant, what is muted, who must act, who is reminded."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from forwarder.alert import Severity
from forwarder.common.units import Duration
from forwarder.config.times import Recurring
from forwarder.config.values import OneOrMore, Section, Text, instant, within

Owners = dict[Text, dict[str, Any]]
"""Vendor key or category -> connector type -> who must act there, as the type's ``Owner`` model says."""

_A_MINUTE: Final = timedelta(minutes=1)


def _until(value: object) -> datetime:
    if moment := instant(value):
        return moment
    raise ValueError("must be an ISO date such as 2027-01-31, or a time such as 2027-01-31T18:00+01:00")


class Conditions(Section):
    """Which alerts are meant: every condition that is given must hold; in a list, one of its items must."""

    severity: OneOrMore[Severity] = Field(default=(), description="Severities: critical, high, medium, low.")
    cisa_kev: bool | None = Field(
        default=None, description="Whether CISA lists it as exploited (the KEV catalog): true or false."
    )
    vendors: OneOrMore[Text] = Field(
        default=(), description="Vendor keys of your stack, such as github; * and ? stand for any characters."
    )
    categories: OneOrMore[Text] = Field(
        default=(),
        description="Categories of your vendors, as the stack names them, such as payments; "
        "* and ? stand for any characters.",
    )
    min_epss: float | None = Field(
        default=None, ge=0, le=1, description="Minimum EPSS score: a probability from 0 to 1, so 0.1 is 10%."
    )
    min_cvss: float | None = Field(default=None, ge=0, le=10, description="Minimum CVSS score, from 0 to 10.")
    account: OneOrMore[Text] = Field(
        default=(),
        description="Names of the accounts that see it, as sentrytex.accounts has them; * and ? stand for any "
        "characters. A mute asks that no other account sees it.",
    )
    alert_type: OneOrMore[Text] = Field(default=(), description="Alert types, such as cve.")
    cve_id: OneOrMore[Text] = Field(
        default=(), description="CVE ids, such as CVE-2026-*; * and ? stand for any characters."
    )

    @property
    def has_conditions(self) -> bool:
        """Whether there is one: without any, every alert is meant."""
        return any(getattr(self, name) not in {None, ()} for name in Conditions.model_fields)


class Mute(Conditions):
    """Alerts that do not go out for a time. They are kept, and shown as muted."""

    until: Annotated[
        datetime,
        PlainValidator(_until),
        WithJsonSchema({"type": "string", "minLength": 1, "examples": ["2027-01-31", "2027-01-31T18:00+01:00"]}),
    ] = Field(
        description="When it ends: an ISO date or time, in UTC where it names no zone. A day alone is its beginning."
    )
    reason: Text = Field(description="Why, for whoever asks where an alert has gone.")
    even_if_worse: bool = Field(
        default=False, description="Whether an alert that gets worse stays muted; otherwise it goes out then."
    )

    @model_validator(mode="after")
    def _not_everything(self) -> Self:
        if not self.has_conditions:
            raise ValueError("has no condition and would mute every alert: add one, such as vendors or cve_id")
        return self


class Reminder(Conditions):
    """What is told once more because nobody acted."""

    unacknowledged_for: Annotated[Duration, within(_A_MINUTE)] | None = Field(
        default=None, description="How long an alert has gone out and nobody has acknowledged it."
    )
    overdue_for: Annotated[Duration, within(timedelta(0))] | None = Field(
        default=None, description="How long its due date has passed and nobody has resolved it."
    )
    every: Annotated[Duration, within(_A_MINUTE)] | None = Field(
        default=None, description="How often it is repeated while that lasts; without it, it is told once."
    )
    to: OneOrMore[Text] = Field(description="Names of the connectors that are reminded.")

    @model_validator(mode="after")
    def _of_one_thing(self) -> Self:
        if (self.unacknowledged_for is None) == (self.overdue_for is None):
            raise ValueError("must have either unacknowledged_for or overdue_for: write a reminder for each")
        return self


class Report(Recurring):
    """A summary of what was new, what is open and how long it took."""

    to: OneOrMore[Text] = Field(description="Names of the connectors that get it.")
