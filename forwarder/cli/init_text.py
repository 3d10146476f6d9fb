"""The files that `init` writes: a commented config without a secret, and the secrets as environment variables."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr

from forwarder.alert import Severity

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(?:://[A-Za-z0-9.:/_-]*[A-Za-z0-9/_-])?")
_NOT_TEXT: Final = {"true", "false", "null", "yes", "no", "on", "off"}
"""Words that some reader of YAML takes for something else than text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """What a person typed, and the environment variable in which the forwarder will find it."""

    variable: str
    value: SecretStr


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One connector's part of the config, or the feed's (then without a type): plain values, and secrets by key.

    ``severities`` are those that it gets by the first routes.
    """

    name: str
    type: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    severities: Sequence[Severity] = ()


def config_text(feed: Section, connectors: Sequence[Section]) -> str:
    """The config as YAML."""
    parts = [
        "# sentrytex-forwarder: what to watch, where to send it, who gets what. `forwarder check` checks it.",
        "# ${NAME} stands for the environment variable NAME: secrets stay out of this file.",
        "",
        "sentrytex:",
        *_lines(feed, "  "),
        "  poll_every: 30s # 1s at least",
        '  start_from: 24h # first start only: "now", a duration back, or an ISO date such as 2026-01-31',
        "",
        "database: forwarder.db # the state; a relative path counts from this file's folder",
        "",
        "# Every connector also takes: timeout, concurrency, max_rate, give_up_after, templates.",
        "connectors:",
    ]
    for section in connectors:
        parts += [f"  {section.name}:", f"    type: {section.type}", *_lines(section, "    ")]
    parts += [
        "",
        "# An alert goes to every connector named by any route that it matches, once each. A route can also ask for",
        "# cisa_kev: true, vendors: [github], categories: [payments], min_epss: 0.1, min_cvss: 7, cve_id, alert_type.",
        "routes:",
    ]
    for severity, names in _routes(connectors):
        parts += [f"  - severity: {severity}", f"    to: [{', '.join(names)}]"]
    parts += ["", "web:", '  listen: 127.0.0.1:8585 # status page, metrics and health; "off" for none']
    parts += [
        "",
        "# Who hears of the forwarder's own troubles: two services, for one of them may be the trouble.",
        "alarms:",
        f"  to: [{', '.join(_watchful(connectors))}]",
        "",
    ]
    return "\n".join(parts)


def env_text(secrets: Sequence[Secret]) -> str:
    """The secrets as a file that a shell can source, and systemd and Docker can read."""
    return "".join(f"{secret.variable}={shlex.quote(secret.value.get_secret_value())}\n" for secret in secrets)


def _lines(section: Section, indent: str) -> list[str]:
    return [
        *(f"{indent}{key}: ${{{secret.variable}}}" for key, secret in section.secrets.items()),
        *(f"{indent}{key}: {_yaml(value)}" for key, value in section.values.items()),
    ]


def _yaml(text: str) -> str:
    """``text`` as a YAML value that means just that; a $ must not begin a variable."""
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return json.dumps(text.replace("$", "$$"), ensure_ascii=False)


def _routes(connectors: Sequence[Section]) -> list[tuple[str, tuple[str, ...]]]:
    """Severities and who gets them, whoever gets least first. Where none is for a severity, all get it."""
    choosiest_first = sorted(connectors, key=lambda section: len(section.severities))
    everyone = tuple(section.name for section in connectors)
    found: dict[tuple[str, ...], list[str]] = {}
    for severity in Severity:
        names = tuple(section.name for section in choosiest_first if severity in section.severities)
        found.setdefault(names or everyone, []).append(severity.value)
    return [(kinds[0] if len(kinds) == 1 else f"[{', '.join(kinds)}]", names) for names, kinds in found.items()]


def _watchful(connectors: Sequence[Section]) -> list[str]:
    """Who hears of the forwarder's own troubles: who gets most alerts, and of another type who gets the worst alone."""
    chosen = sorted((section for section in connectors if section.severities), key=lambda one: len(one.severities))
    if not chosen:
        return []
    # Of several that get all of them the one that was asked about first, for people read there.
    most = max(chosen, key=lambda one: len(one.severities))
    return [most.name, *[section.name for section in chosen if section.type != most.type][:1]]
