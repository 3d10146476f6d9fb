"""From a YAML file to a Config, or to everything that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr, ValidationError

from forwarder.common.databases import PostgresAddress, in_folder, missing_driver
from forwarder.common.units import format_duration
from forwarder.config.accounts import account_problems
from forwarder.config.authorities import unusable
from forwarder.config.document import Document, NotYaml, Where, read
from forwarder.config.life import Mute, Owners, Reminder, Report
from forwarder.config.model import (
    AlarmsConfig,
    Config,
    HeartbeatConfig,
    LogConfig,
    Route,
    Scalars,
    SentrytexConfig,
    WebConfig,
)
from forwarder.config.problems import ConfigError, Problem, did_you_mean, known_keys, path_of, sentences, unknown_name
from forwarder.config.times import Schedule
from forwarder.config.values import NAME
from forwarder.config.variables import Variables, os_reason
from forwarder.connector import Connector, ConnectorConfig
from forwarder.logs import Redactor
from forwarder.plugins import PluginError, connector_types, load_type
from forwarder.templates import problems as template_problems

M = TypeVar("M", bound=BaseModel)


def load(path: str | Path, env: Mapping[str, str] = os.environ) -> Config:
    """The config that a file holds; raises ConfigError with every problem that it has.

    ``env`` is where ``${VAR}`` comes from. Relative paths in the file count from its own folder.
    """
    shown, folder = str(path), Path(path).absolute().parent
    variables = Variables(env, folder)
    try:
        document = read(Path(path).read_text("utf-8-sig"), variables.expand)
    except OSError as error:
        raise ConfigError([Problem(file=shown, line=None, path="", message=os_reason(error))]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(file=shown, line=None, path="", message="is not UTF-8 text")]) from None
    except NotYaml as error:
        raise ConfigError([Problem(file=shown, line=error.line, path="", message=str(error))]) from None
    checker = _Checker(document, variables)
    config = checker.config(folder)
    problems = [
        Problem(file=shown, line=document.line(where), path=path_of(where), message=message)
        for where, message in checker.faults.items()
    ]
    problems += unusable(env)
    if config is None or problems:
        raise ConfigError(problems)
    return config


class _Checker:
    """Checks a document section by section, so that a mistake in one hides none in another."""

    def __init__(self, document: Document, variables: Variables) -> None:
        self._document = document
        self._variables = variables
        self.faults: dict[Where, str] = dict(document.faults)

    def config(self, folder: Path) -> Config | None:
        """The config, None where something is wrong. A relative database path counts from ``folder``."""
        root = self._document.values
        if root is not None and not isinstance(root, dict):
            self._fault((), "must be a section with keys such as sentrytex, connectors and routes")
            return None
        root = root or {}
        for key in root.keys() - Config.model_fields.keys():
            self._fault((key,), f"unknown key{did_you_mean(key, known_keys(Config, ()))}")
        scalars = self._model(Scalars, {key: root[key] for key in Scalars.model_fields if key in root}, ())
        sentrytex = self._section(SentrytexConfig, root, "sentrytex")
        web = self._section(WebConfig, root, "web")
        alarms = self._section(AlarmsConfig, root, "alarms")
        heartbeat = self._section(HeartbeatConfig, root, "heartbeat")
        log = self._section(LogConfig, root, "log")
        connectors = self._connectors(root.get("connectors"))
        routes = self._routes(root.get("routes"))
        schedules = self._schedules(root.get("schedules"))
        mutes = self._list(Mute, root, "mutes")
        owners = self._owners(root.get("owners"))
        reminders = self._list(Reminder, root, "reminders")
        reports = self._list(Report, root, "reports")
        self._check_names(root)
        for where, message in account_problems(root, self._variables.values):
            self._fault(where, message)
        self._check_bounds(scalars, sentrytex, web)
        self._check_database(scalars, folder)
        if not (scalars and sentrytex and web and alarms and heartbeat and log) or self.faults:
            return None
        return Config(
            database=in_folder(scalars.database, folder),
            keep=scalars.keep,
            sentrytex=sentrytex,
            connectors=connectors,
            routes=routes,
            schedules=schedules,
            mutes=mutes,
            owners=owners,
            reminders=reminders,
            reports=reports,
            web=web,
            alarms=alarms,
            heartbeat=heartbeat,
            log=log,
        )

    def _check_database(self, scalars: Scalars | None, folder: Path) -> None:
        place = in_folder(scalars.database, folder) if scalars else None
        if isinstance(place, PostgresAddress):
            if problem := missing_driver():
                self._fault(("database",), problem)
        elif place is not None and place.is_dir():
            self._fault(("database",), "is a folder: name a file in it, such as forwarder.db")

    def _section(self, model: type[M], root: dict[str, Any], name: str) -> M | None:
        # A section whose every line is commented out is null to YAML, and meant to be all defaults.
        given = root.get(name)
        return self._model(model, {} if given is None else given, (name,))

    def _model(self, model: type[M], raw: Any, at: Where) -> M | None:
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            conceal = self._concealer(model, raw)
            for where, message in sentences(error.errors(include_url=False), raw, model, conceal).items():
                self._fault((*at, *where), message)
            return None

    def _concealer(self, model: type[BaseModel], raw: Any) -> Redactor:
        """Blots out what no message about ``raw`` may show: another package's model may quote what it was given."""
        concealed = set(self._variables.values)
        for name, field in model.model_fields.items():
            value = raw.get(name) if isinstance(raw, dict) else None
            if isinstance(value, str) and SecretStr.__name__ in repr(field.annotation):
                concealed.add(value)
        return Redactor(concealed, patterns=False)

    def _connectors(self, raw: Any) -> dict[str, ConnectorConfig]:
        at: Where = ("connectors",)
        if not raw:
            self._fault(at, "must name at least one connector: without one there is nowhere to send alerts")
            return {}
        if not isinstance(raw, dict):
            self._fault(at, "must be a section of names, each with a type and its keys")
            return {}
        found = {name: self._connector(name, section, (*at, name)) for name, section in raw.items()}
        return {name: config for name, config in found.items() if config}

    def _connector(self, name: str, raw: Any, at: Where) -> ConnectorConfig | None:
        if not NAME.fullmatch(name):
            self._fault(at, "a connector's name has 1 to 64 letters, digits, - and _")
        if not isinstance(raw, dict):
            self._fault(at, "must be a section with a type and its keys")
            return None
        made = self._type(raw.get("type"), (*at, "type"))
        if made is None:
            return None
        model = made.Config
        config = self._model(model, raw, at)
        if config:
            conceal = self._concealer(model, raw)
            for key, message in template_problems(config.templates):
                self._fault((*at, "templates", key), conceal(message))
        return config

    def _type(self, kind: Any, at: Where) -> type[Connector[Any]] | None:
        known = list(connector_types())
        if kind not in known:
            what = "no connector of this type is installed" if kind else "is missing"
            self._fault(at, f"{what}; installed types: {', '.join(known)}{did_you_mean(kind, known)}")
            return None
        try:
            return load_type(kind)
        except PluginError as error:
            self._fault(at, str(error))
            return None

    def _routes(self, raw: Any) -> tuple[Route, ...]:
        if not raw or not isinstance(raw, list):
            self._fault(("routes",), "must be a list of at least one route, or no alert is sent anywhere")
            return ()
        return self._items(Route, raw, "routes")

    def _list(self, model: type[M], root: dict[str, Any], name: str) -> tuple[M, ...]:
        raw = root.get(name)
        if raw is not None and not isinstance(raw, list):
            self._fault((name,), "must be a list")
            return ()
        return self._items(model, raw or [], name)

    def _items(self, model: type[M], raw: list[Any], name: str) -> tuple[M, ...]:
        found = [self._model(model, item, (name, place)) for place, item in enumerate(raw)]
        return tuple(item for item in found if item)

    def _schedules(self, raw: Any) -> dict[str, Schedule]:
        at: Where = ("schedules",)
        if raw is not None and not isinstance(raw, dict):
            self._fault(at, "must be a section of names, each with days, hours and a timezone")
            return {}
        for name in raw or {}:
            if not NAME.fullmatch(name):
                self._fault((*at, name), "a schedule's name has 1 to 64 letters, digits, - and _")
        found = {name: self._model(Schedule, section, (*at, name)) for name, section in (raw or {}).items()}
        return {name: schedule for name, schedule in found.items() if schedule}

    def _owners(self, raw: Any) -> Owners:
        at: Where = ("owners",)
        if raw is not None and not isinstance(raw, dict):
            self._fault(at, "must be a section of vendor keys and categories, each with those who must act")
            return {}
        return {name: self._owner(section, (*at, name)) for name, section in (raw or {}).items()}

    def _owner(self, raw: Any, at: Where) -> dict[str, Any]:
        if not raw or not isinstance(raw, dict):
            self._fault(at, "must be a section of connector types, each with who must act there")
            return {}
        return {kind: self._owner_at(kind, value, (*at, kind)) for kind, value in raw.items()}

    def _owner_at(self, kind: str, raw: Any, at: Where) -> BaseModel | None:
        made = self._type(kind, at)
        if made and made.Owner is None:
            self._fault(at, "connectors of this type can name nobody who must act")
        return self._model(made.Owner, raw, at) if made and made.Owner else None

    def _check_names(self, root: dict[str, Any]) -> None:
        """Whether whatever is named exists, and can do what it is named for."""
        for where, name in _named(root, "to"):
            self._check_connector(root, where, name)
        schedules = root.get("schedules")
        for where, name in _named(root, "during"):
            if isinstance(name, str) and name and name not in (known := _names_in(schedules)):
                self._fault(where, unknown_name("schedule", name, known, self._variables.values))

    def _check_connector(self, root: dict[str, Any], where: Where, name: Any) -> None:
        """Silent where no connector is: that is told already."""
        known = _names_in(root.get("connectors"))
        if not known or not isinstance(name, str) or not name:
            return
        if name not in known:
            self._fault(where, unknown_name("connector", name, known, self._variables.values))
        elif _tells_of_many(root, where) and self._refuses_digests(root["connectors"][name]):
            way_out = "name another" + (", or give it a route without digest" if where[0] == "routes" else "")
            self._fault(
                where, f"a connector of this type takes one alert at a time, and neither digests nor reports: {way_out}"
            )

    def _refuses_digests(self, connector: Any) -> bool:
        kind = connector.get("type") if isinstance(connector, dict) else None
        if not isinstance(kind, str):
            return False
        with suppress(PluginError):  # a type that cannot be used has been told already
            return not load_type(kind).takes_digests
        return False

    def _check_bounds(self, scalars: Scalars | None, sentrytex: SentrytexConfig | None, web: WebConfig | None) -> None:
        """What two keys must agree on."""
        if scalars and sentrytex:
            longest, name = max((sentrytex.look_back, "look_back"), (sentrytex.overlap, "overlap"))
            why = "alerts forgotten while the feed still shows them would go out twice"
            if scalars.keep < longest and self._document.has(("keep",)):
                self._fault(("keep",), f"must be at least {format_duration(longest)}, as long as {name}: {why}")
            elif scalars.keep < longest:
                most = format_duration(scalars.keep)
                self._fault(("sentrytex", name), f"must be at most {most}, as long as keep: {why}")
        if web and web.listen and not web.listen.is_loopback and not web.token:
            self._fault(("web", "listen"), "this address can be reached from other machines: set web.token as well")
        if web and web.listen and web.public_hosts and not web.token:
            why = "whoever reaches the page under these names could read and change everything"
            self._fault(("web", "public_hosts"), f"{why}: set web.token as well")
        if web and web.public_url and urlsplit(web.public_url).path != web.base_path:
            path = web.base_path or "a host name and a port"
            self._fault(("web", "public_url"), f"must end with {path}: base_path says below which path the page is")

    def _fault(self, where: Where, message: str) -> None:
        # What could not be read has been reported already, and has no value to check.
        if not self._document.spoiled(where):
            self.faults.setdefault(where, message)


def _named(root: dict[str, Any], key: str) -> Iterator[tuple[Where, Any]]:
    """What stands at ``key`` in sections that name others, item by item where it is a list."""
    for section in ("routes", "reminders", "reports", "alarms"):
        raw = root.get(section)
        items: list[tuple[Where, Any]] = [((section,), raw)]
        if isinstance(raw, list):
            items = [((section, place), item) for place, item in enumerate(raw)]
        for where, item in items:
            names = item.get(key) if isinstance(item, dict) else None
            if isinstance(names, list):
                yield from (((*where, key, place), name) for place, name in enumerate(names))
            else:
                yield (*where, key), names


def _names_in(section: Any) -> Collection[str]:
    return section.keys() if isinstance(section, dict) else ()


def _tells_of_many(root: dict[str, Any], where: Where) -> bool:
    """Whether what is sent to the connector named at ``where`` tells of many alerts at once."""
    section, place, *_ = where
    return section == "reports" or (section == "routes" and root["routes"][place].get("digest") is not None)
