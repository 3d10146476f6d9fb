"""The sections of the config and the bounds of their values. Descriptions become the schema's and the reference's."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    SecretStr,
    SerializeAsAny,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from forwarder.alert import Severity
from forwarder.common.units import Duration, format_duration, parse_duration
from forwarder.common.urls import is_loopback, web_address
from forwarder.connector import ConnectorConfig

StartFrom = Literal["now"] | timedelta | datetime
"""Where the first start begins: now, so far back, or at an instant (aware, in UTC)."""

MIN_WEB_TOKEN: Final = 16
"""Characters: 64 bits as hexadecimal digits, too many to be guessed over a network."""

OWN_PATHS: Final = frozenset(
    {"alerts", "dead-letters", "gaps", "healthz", "metrics", "probe", "readyz", "set-aside", "sign-in", "sign-out"}
    | {"static"}
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


def _within(least: timedelta, most: timedelta, why: str = "") -> Callable[[timedelta], timedelta]:
    def check(duration: timedelta) -> timedelta:
        if duration < least:
            raise ValueError(f"must be at least {format_duration(least)}{why}")
        if duration > most:
            raise ValueError(f"must be at most {format_duration(most)}")
        return duration

    return check


def _start_from(value: object) -> StartFrom:
    if isinstance(value, timedelta) or value == "now":
        return value
    instant: datetime | None = value if isinstance(value, datetime) else None
    if isinstance(value, str):
        try:
            return _far_back(parse_duration(value))
        except ValueError:
            instant = _instant(value)
    if instant is None:
        raise ValueError('must be "now", a duration back such as 24h, or an ISO date such as 2026-01-31')
    try:
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range in UTC") from None


def _instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


def _listen(value: object) -> Listen | None:
    if isinstance(value, Listen):
        return value
    if value is False or value == "off":
        return None
    match = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if not match or int(match[2]) > 65535:
        raise ValueError('must be an address and a port such as 127.0.0.1:8585, or "off"')
    return Listen(host=match[1].strip("[]"), port=int(match[2]))


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _not_empty(items: tuple[T, ...]) -> tuple[T, ...]:
    if not items:
        raise ValueError("must not be an empty list: omit the key if it does not matter")
    return items


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


class _ScalarToo:
    """Tells the schema that one item may stand without the list around it."""

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        listed = handler(core_schema)
        return {"anyOf": [listed["items"], listed]}


T = TypeVar("T")
Names = Annotated[tuple[T, ...], BeforeValidator(_as_list), _ScalarToo()]
"""A list, or one item without the list around it."""
OneOrMore = Annotated[tuple[T, ...], BeforeValidator(_as_list), AfterValidator(_not_empty), _ScalarToo()]
"""The same, not empty where it is given."""

Text = Annotated[str, Field(min_length=1)]
_DECADE: Final = timedelta(days=3653)
_far_back = _within(timedelta(0), _DECADE)


class Section(BaseModel):
    """A part of the config: fixed, and nothing in it that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SentrytexConfig(Section):
    """The feed that is polled."""

    api_key: Annotated[SecretStr, AfterValidator(_header_secret)] = Field(
        description="Your Sentrytex API key; it begins with vk_."
    )
    base_url: Annotated[str, AfterValidator(_base_address)] = Field(
        default="https://www.sentrytex.com/api/v1",
        description="The address of the API. Plain http is allowed to this machine only.",
    )
    poll_every: Annotated[
        Duration,
        AfterValidator(_within(timedelta(seconds=1), timedelta(days=1), ": the API allows 100 requests a minute")),
    ] = Field(default=timedelta(seconds=30), description="How often new alerts are asked for; 1s at least.")
    overlap: Annotated[Duration, AfterValidator(_within(timedelta(0), _DECADE))] = Field(
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
    sweep_every: Annotated[Duration, AfterValidator(_within(timedelta(seconds=1), _DECADE))] = Field(
        default=timedelta(minutes=15),
        description="How often look_back is read again, for alerts that were verified late or have changed; "
        "1s at least.",
    )
    look_back: Annotated[Duration, AfterValidator(_within(timedelta(seconds=1), _DECADE))] = Field(
        default=timedelta(days=7), description="How far back a sweep reads."
    )


class Route(Section):
    """Which alerts go where: every condition that is given must hold; in a list, one of its items must."""

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
    alert_type: OneOrMore[Text] = Field(default=(), description="Alert types, such as cve.")
    cve_id: OneOrMore[Text] = Field(
        default=(), description="CVE ids, such as CVE-2026-*; * and ? stand for any characters."
    )
    to: OneOrMore[Text] = Field(description="Names of the connectors that get it.")
    stop: bool = Field(default=False, description="Whether the routes below are passed over for what matches here.")


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

    database: Path = Field(
        default=Path("forwarder.db"),
        description="The SQLite file that keeps the state; a relative path counts from the config file's folder.",
    )
    keep: Annotated[Duration, AfterValidator(_within(timedelta(seconds=1), 10 * _DECADE))] = Field(
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
    web: WebConfig = Field(default=WebConfig(), description="Where people and monitors look.")
    alarms: AlarmsConfig = Field(default=AlarmsConfig(), description="Who is notified of its own problems.")
    heartbeat: HeartbeatConfig = Field(
        default=HeartbeatConfig(), description="A dead man's switch, such as healthchecks.io."
    )
    log: LogConfig = Field(default=LogConfig(), description="How much is logged, and for whom.")
