"""Every key of the config, from the models that check it: what it takes, its default, what it does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, RootModel, TypeAdapter
from pydantic.fields import FieldInfo

from forwarder.config import (
    AlarmsConfig,
    Config,
    HeartbeatConfig,
    LogConfig,
    Mute,
    Recurring,
    Reminder,
    Report,
    Route,
    Schedule,
    SentrytexConfig,
    WebConfig,
)
from forwarder.config.masking import jsonable
from forwarder.config.model import Scalars
from forwarder.connector import ConnectorConfig, Duration, SendRate, Templates
from forwarder.plugins import connector_types, load_type

Schema = Mapping[str, Any]

_HEAD: Final = "| key | takes | default | what it is |\n|---|---|---|---|\n"
_NAMED: Final = (
    (TypeAdapter(Duration).json_schema(), "a duration"),
    (TypeAdapter(SendRate).json_schema(), "a rate"),
)
"""Schemas of values that have a name of their own, without what only adorns them."""
_SECTIONS: Final[dict[str, type[BaseModel]]] = {
    "sentrytex": SentrytexConfig,
    "routes": Route,
    "schedules": Schedule,
    "mutes": Mute,
    "reminders": Reminder,
    "reports": Report,
    "web": WebConfig,
    "alarms": AlarmsConfig,
    "heartbeat": HeartbeatConfig,
    "log": LogConfig,
}
"""The sections in the order in which people meet them; ``connectors`` comes after the first, ``owners`` after mutes."""
_OF_MANY: Final = {
    **dict.fromkeys(("routes", "mutes", "reminders", "reports"), "Each item of the list has these keys."),
    "schedules": "A name has 1 to 64 letters, digits, `-` and `_`. Each section has these keys.",
}


def reference() -> str:
    """Every key of the file, section by section."""
    parts = ["## Top level { #top }", _table(Scalars, Scalars.model_fields, "")]
    for name, model in _SECTIONS.items():
        parts += _section(name, model)
        if name == "sentrytex":
            parts += _connectors()
        if name == "routes":
            parts += ["### `digest` { #digest }", _table(Recurring, Recurring.model_fields, "digest.")]
        if name == "mutes":
            parts += _owners()
    return "\n\n".join(parts)


def connector_keys(kind: str) -> str:
    """The keys of one connector type: its own, then those that every connector takes."""
    model = load_type(kind).Config
    common = ConnectorConfig.model_fields
    own = [name for name in model.model_fields if name not in common]
    return _table(model, ["type", *own, *(name for name in common if name != "type")], f"{kind}.")


def _section(name: str, model: type[BaseModel]) -> Iterator[str]:
    many = _OF_MANY.get(name, "")
    description = Config.model_fields[name].description or ""
    optional = "" if Config.model_fields[name].is_required() else " The section may be left out."
    yield f"## `{name}` {{ #{name} }}"
    yield f"{description} {many}{optional}".replace("  ", " ").strip()
    yield _table(model, model.model_fields, f"{name}.")


def _connectors() -> Iterator[str]:
    yield "## `connectors` { #connectors }"
    yield f"{Config.model_fields['connectors'].description} A name has 1 to 64 letters, digits, `-` and `_`."
    yield "### Of every connector { #connector }"
    yield _table(ConnectorConfig, ConnectorConfig.model_fields, "connector.")
    yield "### `templates` { #templates }"
    yield "See [Word the messages](templates.md)."
    yield _table(Templates, Templates.model_fields, "templates.")
    for kind in connector_types():
        model = load_type(kind).Config
        yield f"### `type: {kind}` {{ #{kind} }}"
        yield " ".join((model.__doc__ or "").split())
        yield _table(model, _own(model), f"{kind}.")


def _owners() -> Iterator[str]:
    yield "## `owners` { #owners }"
    yield f"{Config.model_fields['owners'].description} The section may be left out."
    for kind in connector_types():
        if model := load_type(kind).Owner:
            yield f"### `{kind}` {{ #owners-{kind} }}"
            yield " ".join((model.__doc__ or "").split())
            if not issubclass(model, RootModel):
                yield _table(model, model.model_fields, f"owners.{kind}.")


def _own(model: type[BaseModel]) -> list[str]:
    """The keys that a type adds, then those to which it gives another default."""
    common, fields = ConnectorConfig.model_fields, model.model_fields
    added = [name for name in fields if name not in common]
    return added + [name for name in common if name != "type" and fields[name].default != common[name].default]


def _table(model: type[BaseModel], names: Iterable[str], prefix: str) -> str:
    schema = model.model_json_schema()
    # A key that is a word of Python has another name within the model.
    fields = {model.model_fields[name].alias or name: model.model_fields[name] for name in names}
    rows = [
        _row(name, field, schema["properties"][name], schema.get("$defs", {}), prefix) for name, field in fields.items()
    ]
    return _HEAD + "\n".join(rows)


def _row(name: str, field: FieldInfo, node: Schema, definitions: Schema, prefix: str) -> str:
    key = f'<span id="{prefix}{name}"></span>`{name}`'
    default = "**required**" if field.is_required() else _default(field)
    description = field.description or (ConnectorConfig.model_fields[name].description if name == "type" else "") or ""
    cells = (key, in_words(node, definitions), default, description.replace("*", "\\*"))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: FieldInfo) -> str:
    value = jsonable(field.get_default(call_default_factory=True))
    if value in (None, [], {}) or isinstance(value, Mapping):
        return "none"
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def in_words(node: Schema, definitions: Schema) -> str:
    """What a value with this JSON Schema is, for people."""
    if "$ref" in node:
        name = str(node["$ref"]).rpartition("/")[2]
        return "a section" if "properties" in definitions[name] else in_words(definitions[name], definitions)
    for known, words in _NAMED:
        if known.items() <= node.items():
            return words
    if "anyOf" in node:
        return _alternatives([option for option in node["anyOf"] if option != {"type": "null"}], definitions)
    if "enum" in node:
        return _or([f"`{value}`" for value in node["enum"]])
    if "const" in node:
        return f"`{json.dumps(node['const']) if not isinstance(node['const'], str) else node['const']}`"
    return _plain(node, definitions)


def _alternatives(options: list[Schema], definitions: Schema) -> str:
    match options:
        case [single, {"type": "array", "items": items}] if single == items:
            return f"{in_words(single, definitions)}; or a list of such"
        case [{"type": "string"}, {"const": False}]:
            return "an address with a port, or `off`"
        case [single, {"enum": ["off", False]}]:
            return f"{in_words(single, definitions)} or `off`"
    return _or([in_words(option, definitions) for option in options])


def _plain(node: Schema, definitions: Schema) -> str:
    match node.get("type"):
        case "array":
            return f"a list; each item: {in_words(node['items'], definitions)}"
        case "object" if isinstance(node.get("additionalProperties"), Mapping):
            keys = in_words(node["propertyNames"], definitions) if "propertyNames" in node else "any name"
            return f"a mapping; keys: {keys}; values: {in_words(node['additionalProperties'], definitions)}"
        case "object":
            return "a mapping"
        case "boolean":
            return "`true` or `false`"
        case "integer" | "number":
            least, most = node.get("minimum"), node.get("maximum")
            return "a number" if least is None or most is None else f"a number from {least:g} to {most:g}"
    if node.get("format") == "password":
        return "a secret text"
    if "examples" in node:
        return f"a text such as {_or([f'`{example}`' for example in node['examples']])}"
    return "a path" if node.get("format") == "path" else "a text"


def _or(words: list[str]) -> str:
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
