"""The JSON Schema of the config file, by which editors complete and check it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from forwarder.config.masking import jsonable
from forwarder.config.model import Config
from forwarder.plugins import PluginError, connector_types, load_type

Schema = dict[str, Any]

_VARIABLE: Final[Schema] = {"type": "string", "pattern": r"^\$\{"}
_SHORTEST: Final = len("${A}")
_NAME: Final[Schema] = {"pattern": "^[A-Za-z0-9_-]{1,64}$"}
_OPTIONAL: Final = ("schedules", "mutes", "owners", "reminders", "reports", "web", "alarms", "heartbeat", "log")


class _Generator(GenerateJsonSchema):
    """Writes defaults as the file has them: 30s, not PT30S."""

    def encode_default(self, dft: Any) -> Any:
        return jsonable(dft)


def json_schema() -> Schema:
    """JSON Schema (draft 2020-12) of the whole file, with the keys of every connector type that is installed."""
    schema = _untitled(Config.model_json_schema(schema_generator=_Generator))
    definitions = schema["$defs"]
    definitions.pop("ConnectorConfig", None)
    definitions.pop("Templates", None)
    for kind in connector_types():
        definitions |= _connector(kind)
    properties = schema["properties"]
    properties["connectors"] |= {
        "propertyNames": _NAME,
        "additionalProperties": {
            "type": "object",
            "required": ["type"],
            "properties": {"type": {"enum": list(connector_types())}},
            # Not `oneOf`: of a typo that would only say that none of the types fits.
            "allOf": [_if_of_type(kind) for kind in connector_types()],
        },
    }
    properties["schedules"]["propertyNames"] = _NAME
    definitions["SentrytexConfig"]["properties"]["accounts"]["propertyNames"] = _NAME
    properties["owners"]["additionalProperties"] = {
        "type": "object",
        "minProperties": 1,
        "properties": {
            kind: {"$ref": f"#/$defs/{name}"} for kind in connector_types() if (name := _owner(kind)) in definitions
        },
        "additionalProperties": False,
    }
    for name in _OPTIONAL:
        properties[name] = _or({"type": "null"}, properties[name])
    head = {"$schema": GenerateJsonSchema.schema_dialect, "title": "sentrytex-forwarder"}
    return head | _allow_variables(schema)


def _if_of_type(kind: str) -> Schema:
    return {
        "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
        "then": {"$ref": f"#/$defs/{kind}"},
    }


def _connector(kind: str) -> dict[str, Schema]:
    """The definitions that one connector type brings, its own first; an open object where it cannot be loaded."""
    pinned: Schema = {"const": kind, "description": "What kind of destination this is."}
    try:
        made = load_type(kind)
    except PluginError as error:
        return {kind: {"type": "object", "description": str(error), "properties": {"type": pinned}}}
    definitions = _definitions(kind, kind, made.Config)
    schema = definitions[kind]
    schema["properties"]["type"] = pinned
    schema["required"] = sorted({"type", *schema.get("required", ())})
    return definitions | (_definitions(kind, _owner(kind), made.Owner) if made.Owner else {})


def _owner(kind: str) -> str:
    """The name of the definition of who must act at a connector of a type."""
    return f"{kind}.owner"


def _definitions(kind: str, name: str, model: type[BaseModel]) -> dict[str, Schema]:
    """The definition of a type's model under ``name``, then those that it rests on."""
    schema = _untitled(model.model_json_schema(schema_generator=_Generator, ref_template=f"#/$defs/{kind}.{{model}}"))
    inner = {f"{kind}.{other}": definition for other, definition in schema.pop("$defs", {}).items()}
    return {name: schema, **inner}


def _untitled(schema: Schema) -> Schema:
    """Without the titles that pydantic makes of names: they say nothing that the keys do not."""
    return _each(schema, lambda node: {key: value for key, value in node.items() if key != "title"})


def _allow_variables(schema: Schema) -> Schema:
    """With ``${VAR}`` allowed wherever a value is no free text."""

    def widen(node: Schema) -> Schema:
        bounded = bool(node.keys() & {"pattern", "enum", "maxLength"}) or node.get("minLength", 0) > _SHORTEST
        narrow = node.get("type") in {"integer", "number", "boolean"} or (node.get("type") == "string" and bounded)
        if not narrow or node == _VARIABLE:
            return node
        return _or(_VARIABLE, node)

    return _each(schema, widen)


def _or(other: Schema, node: Schema) -> Schema:
    """``node`` or ``other``; what tells of the value stays outside, where editors look for it."""
    outside: Schema = {key: node[key] for key in ("description", "default", "examples") if key in node}
    inside = {key: item for key, item in node.items() if key not in outside}
    return {"anyOf": [inside, other]} | outside


def _each(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """``schema`` with ``change`` made to every schema in it, the innermost first."""
    changed: Schema = {}
    for key, value in schema.items():
        if key in {"properties", "$defs", "patternProperties"}:
            changed[key] = {name: _each(inner, change) for name, inner in value.items()}
        elif key in {"anyOf", "oneOf", "allOf", "prefixItems"}:
            changed[key] = [_each(inner, change) for inner in value]
        elif key in {"items", "additionalProperties", "propertyNames"} and isinstance(value, dict):
            changed[key] = _each(value, change)
        else:
            changed[key] = value
    return change(changed)
