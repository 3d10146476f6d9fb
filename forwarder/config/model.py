"""The sections of the config and the bounds of their values. Descriptions become the schema's and the reference's."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    SerializeAsAny,
    WithJsonSchema,
    model_validator,
)

from forwarder.common.accounts import DEFAULT
from forwarder.common.databases import Database, parse_database
from forwarder.common.units import Duration, parse_duration
from forwarder.common.urls import is_loopback, web_address
from forwarder.config.life import Conditions, Mute, Owners, Reminder, Report
from forwarder.config.times import Digest, Schedule
from forwarder.config.values import DECADE, Names, OneOrMore, Section, Text, bounded, instant, within
from forwarder.connector import ConnectorConfig

StartFrom = Literal["now"] | timedelta | datetime
"""Where the first start begins: now, so far back, or at an instant (aware, in UTC)."""

MIN_WEB_TOKEN: Final = 16
"""Characters: 64 bits as hexadecimal digits, too many to be guessed over a network."""

OWN_PATHS: Final = frozenset(
    {"alerts", "dead-letters", "gaps", "healthz", "metrics", "probe", "readyz", "set-aside", "sign-in", "sign-out"}
    | {"figures", "mutes", "respond", "static"}
)
"""How the addresses of the page begin: below a path of that name nobody could tell one from the other."""

_LISTEN: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\s/\[\]]+):(\d{1,5})")
_ONE_WORD: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Listen:
    """An address to listen on; port 0 is any free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_far_back = bounded(timedelta(0))


def _base_address(url: str) -> str:
    parts = urlsplit(web_address(url))
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or a password")
    if parts.query or parts.fragment:
        raise ValueError("must not have a part after ? or #")
    return url.rstrip("/")


def _secret_address(url: SecretStr) -> SecretStr:
    web_address(url.get_secret_value())
    return url


def _header_secret(secret: SecretStr) -> SecretStr:
    # It travels in an HTTP header, which takes no spaces or line breaks here and no letters beyond ASCII.
    if not secret.get_secret_value():
        raise ValueError("must not be empty")
    if not _ONE_WORD.fullmatch(secret.get_secret_value()):
        raise ValueError("must be one word of plain letters, digits and signs")
    return secret


def _web_token(token: SecretStr) -> SecretStr:
    if len(_header_secret(token).get_secret_value()) < MIN_WEB_TOKEN:
        raise ValueError(f"must have at least {MIN_WEB_TOKEN} characters (openssl rand -hex 16 makes a good one)")
    return token


def _start_from(value: object) -> StartFrom:
    if isinstance(value, timedelta) or value == "now":
        return value
    if isinstance(value, str):
        with suppress(ValueError):
            return _far_back(parse_duration(value))
    if moment := instant(value):
        return moment
    raise ValueError('must be "now", a duration back such as 24h, or an ISO date such as 2026-01-31')


def _listen(value: object) -> Listen | None:
    if isinstance(value, Listen):
        return value
    if value is False or value == "off":
        return None
    match = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if not match or int(match[2]) > 65535:
        raise ValueError('must be an address and a port such as 127.0.0.1:8585, or "off"')
    return Listen(host=match[1].strip("[]"), port=int(match[2]))


def _host_name(host: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._\[\]:-]+", host):
        raise ValueError("must be a host name such as alerts.example.com, without https://")
    return host.lower()


def _base_path(path: str) -> str:
    inside = path.strip("/")
    if not inside:
        return ""
    if not re.fullmatch(r"/[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*/?", path) or {".", ".."} & set(inside.split("/")):
        raise ValueError("must be a path such as /forwarder")
    if (first := inside.split("/")[0]) in OWN_PATHS:
        raise ValueError(f"must not begin with /{first}, which is an address of the page itself")
    return f"/{inside}"


class AccountConfig(Section):
    """One of several accounts whose feeds are polled."""

    api_key: Annotated[SecretStr, AfterValidator(_header_secret)] = Field(
        description="The account's Sentrytex API key; it begins with vk_."
    )


class SentrytexConfig(Section):
    """The feed that is polled, or those of several accounts."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["api_key"]}, {"required": ["accounts"]}]})

    api_key: Annotated[SecretStr, AfterValidator(_header_secret)] | None = Field(
        default=None, description="Your Sentrytex API key; it begins with vk_. Required unless accounts are named."
    )
    accounts: dict[str, AccountConfig] = Field(
        default={},
        description="Name -> an account and its API key, in place of api_key: each has its own cursor, sweeps, "
        "requests and alarms, and an alert that several of them see goes to each connector once.",
    )
    base_url: Annotated[str, AfterValidator(_base_address)] = Field(
        default="https://www.sentrytex.com/api/v1",
        description="The address of the API. Plain http is allowed to this machine only.",
    )
    poll_every: Annotated[
        Duration,
        within(timedelta(seconds=1), timedelta(days=1), ": the API allows 100 requests a minute"),
    ] = Field(default=timedelta(seconds=30), description="How often new alerts are asked for; 1s at least.")
    overlap: Annotated[Duration, within(timedelta(0))] = Field(
        default=timedelta(hours=2),
        description="How far every poll reaches behind the newest alert seen: alerts are verified before they show, "
        "so arriving late is normal.",
    )
    start_from: Annotated[
        StartFrom,
        PlainValidator(_start_from),
        WithJsonSchema({"type": "string", "minLength": 1, "examples": ["now", "24h", "2026-01-31"]}),
    ] = Field(
        default=timedelta(hours=24),
        description='Where the first start begins: "now", a duration back, or an ISO date (UTC where it names no zone).'
        " Later starts go on where the last one ended.",
    )
    sweep_every: Annotated[Duration, within(timedelta(seconds=1))] = Field(
        default=timedelta(minutes=15),
        description="How often look_back is read again, for alerts that were verified late or have changed; "
        "1s at least.",
    )
    look_back: Annotated[Duration, within(timedelta(seconds=1))] = Field(
        default=timedelta(days=7), description="How far back a sweep reads."
    )
    evidence: bool = Field(
        default=True,
        description="Whether the API is asked for the evidence of each alert that goes to a pager or a ticket: one "
        "request for each, and one more when it changes.",
    )

    @property
    def keys(self) -> dict[str, str]:
        """The key of each account by its name; of a config with a single key there is one, named DEFAULT."""
        if self.api_key is not None:
            return {DEFAULT: self.api_key.get_secret_value()}
        return {name: account.api_key.get_secret_value() for name, account in self.accounts.items()}

    @staticmethod
    def key_at(account: str) -> str:
        """Where the config has an account's key."""
        return "sentrytex.api_key" if account == DEFAULT else f"sentrytex.accounts.{account}.api_key"


class Route(Conditions):
    """Which alerts go where: every condition that is given must hold; in a list, one of its items must."""

    to: OneOrMore[Text] = Field(description="Names of the connectors that get it.")
    stop: bool = Field(default=False, description="Whether the routes below are passed over for what matches here.")
    during: Text | None = Field(
        default=None, description="Name of the schedule outside which it waits, and then goes out most severe first."
    )
    digest: Digest | None = Field(
        default=None,
        description='When all that has come meanwhile is told in one message: "monday 09:00", "daily 09:00" or 4h, in '
        "UTC; or a section with every and timezone.",
    )

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if self.during and self.digest:
            raise ValueError("has both during and digest: a digest has times of its own, so leave one of them out")
        return self


class WebConfig(Section):
    """The status page, the metrics and the health checks."""

    listen: Annotated[
        Listen | None,
        PlainValidator(_listen),
        WithJsonSchema(
            {"anyOf": [{"type": "string", "pattern": r"^(off|.+:\d+)$"}, {"const": False}], "examples": ["off"]}
        ),
    ] = Field(
        default=Listen(host="127.0.0.1", port=8585),
        description='Address and port, or "off" for none. Beyond this machine a token is required.',
    )
    token: Annotated[SecretStr, AfterValidator(_web_token)] | None = Field(
        default=None, description=f"What a visitor must show, {MIN_WEB_TOKEN} characters at least."
    )
    public_hosts: Names[Annotated[str, AfterValidator(_host_name)]] = Field(
        default=(),
        description="Further host names under which the page is reached, such as a proxy's. They require a token.",
    )
    base_path: Annotated[str, AfterValidator(_base_path)] = Field(
        default="", description="The path below which a proxy shows the page, such as /forwarder."
    )
    public_url: Annotated[str, AfterValidator(_base_address)] | None = Field(
        default=None,
        description="The address under which people reach the page, base_path included, for links in messages: "
        "https, or http to this machine.",
    )

    def page_of(self, alert_id: str) -> str | None:
        """The address of an alert's own page; None without ``public_url``."""
        return f"{self.public_url}/alerts/{quote(alert_id, safe='')}" if self.public_url else None


class AlarmsConfig(Section):
    """The forwarder's own alarms, sent through connectors that work."""

    to: Names[Text] = Field(default=(), description="Names of the connectors that receive alarms.")


class HeartbeatConfig(Section):
    """A dead man's switch: someone else notices when the forwarder falls silent."""

    url: Annotated[SecretStr, AfterValidator(_secret_address)] | None = Field(
        default=None, description="The address that is asked after each complete poll. Kept secret."
    )


class LogConfig(Section):
    """What is logged, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Minimum level to log.")
    format: Annotated[
        Literal["auto", "color", "json"], BeforeValidator(lambda value: "color" if value == "colour" else value)
    ] = Field(default="auto", description="auto is colour on a terminal and JSON otherwise.")


class Scalars(Section):
    """The keys that stand in no section."""

    database: Annotated[
        Database, PlainValidator(parse_database), WithJsonSchema({"type": "string", "default": "forwarder.db"})
    ] = Field(
        default=Path("forwarder.db"),
        description="Where the state is kept: a SQLite file (a relative path counts from the config file's folder), or "
        "the address of a PostgreSQL database: postgresql://user:password@host/name. A password in it is kept secret.",
    )
    keep: Annotated[Duration, within(timedelta(seconds=1), 10 * DECADE)] = Field(
        default=timedelta(days=400),
        description="How long alerts, deliveries and attempts stay in the database; never less than look_back.",
    )


class Config(Scalars):
    """The whole config of the forwarder."""

    sentrytex: SentrytexConfig = Field(description="Which feed is polled, and how often.")
    connectors: dict[str, SerializeAsAny[ConnectorConfig]] = Field(
        min_length=1, description="Name -> where to send; as many of a type as you like."
    )
    routes: tuple[Route, ...] = Field(
        min_length=1, description="An alert goes to every connector named by any route that it matches, once each."
    )
    schedules: dict[str, Schedule] = Field(default={}, description="Name -> times, for routes to name at during.")
    mutes: tuple[Mute, ...] = Field(default=(), description="Alerts that do not go out for a time, with the reason.")
    owners: Owners = Field(
        default={},
        description="Vendor key or category -> who must act, by connector type: those who are mentioned, assigned or "
        "named there.",
    )
    reminders: tuple[Reminder, ...] = Field(
        default=(), description="What is told when nobody acts, once for each alert and step."
    )
    reports: tuple[Report, ...] = Field(
        default=(), description="Summaries: what was new, is open or overdue, and how long it took."
    )
    web: WebConfig = Field(default=WebConfig(), description="Where people and monitors look.")
    alarms: AlarmsConfig = Field(default=AlarmsConfig(), description="Who is notified of its own problems.")
    heartbeat: HeartbeatConfig = Field(
        default=HeartbeatConfig(), description="A dead man's switch, such as healthchecks.io."
    )
    log: LogConfig = Field(default=LogConfig(), description="How much is logged, and for whom.")
