"""What Slack refuses in the elements with which people act: buttons, menus, inputs, and what they are made of.

Limits: https://docs.slack.dev/reference/block-kit/block-elements and .../composition-objects
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

MAX_ID: Final = 255
_MAX_BUTTON: Final = 75
_MAX_URL: Final = 3000
_MAX_VALUE: Final = 2000
_MAX_LABEL: Final = 75
_MAX_OVERFLOW: Final = 5
_MAX_OPTIONS: Final = 100
_MAX_RADIO: Final = 10
_MAX_OPTION: Final = 75
_MAX_OPTION_VALUE: Final = 150
_MAX_PLACEHOLDER: Final = 150
_MAX_INPUT: Final = 3000
_MAX_CONFIRM: Final = {"title": 100, "text": 300, "confirm": 30, "deny": 30}

_TEXT_KEYS: Final = {"mrkdwn": {"type", "text", "verbatim"}, "plain_text": {"type", "text", "emoji"}}
_FOCUSED: Final = {"type", "action_id", "placeholder", "focus_on_load"}
_KEYS: Final[Mapping[str, set[str]]] = {
    "button": {"type", "text", "action_id", "url", "value", "style", "confirm", "accessibility_label"},
    "overflow": {"type", "action_id", "options", "confirm"},
    "static_select": {*_FOCUSED, "options", "option_groups", "initial_option", "confirm"},
    "radio_buttons": {"type", "action_id", "focus_on_load", "options", "initial_option", "confirm"},
    "checkboxes": {"type", "action_id", "focus_on_load", "options", "initial_options", "confirm"},
    "datepicker": {*_FOCUSED, "initial_date", "confirm"},
    "users_select": {*_FOCUSED, "initial_user", "confirm"},
    "plain_text_input": {
        *_FOCUSED, "initial_value", "multiline", "min_length", "max_length", "dispatch_action_config",
    },
}  # fmt: skip
ACTIONS: Final = _KEYS.keys() - {"plain_text_input"}
"""The elements that may stand in an actions block."""
INPUTS: Final = _KEYS.keys() - {"button", "overflow"}
"""The elements that may stand in an input block."""


def in_element(element: Any, where: str, allowed: set[str]) -> Iterator[str]:
    """What is wrong with an element that must be one of ``allowed``."""
    kind = element.get("type") if isinstance(element, dict) else None
    if kind not in allowed:
        yield wrong("unsupported element", where)
        return
    yield from extra(element, _KEYS[kind], where)
    yield from _in_length(element, where, {"action_id": MAX_ID})
    if element.get("confirm") is not None:
        yield from _in_confirm(element["confirm"], f"{where}/confirm")
    if element.get("placeholder") is not None:
        yield from in_text(element["placeholder"], f"{where}/placeholder", _MAX_PLACEHOLDER, plain=True)
    yield from _CHECKS[kind](element, where)


def in_text(value: Any, where: str, limit: int, *, plain: bool = False) -> Iterator[str]:
    """What is wrong with a text object of at most ``limit`` characters."""
    if not isinstance(value, dict) or value.get("type") not in _TEXT_KEYS:
        yield wrong("must be a text object", where)
        return
    if plain and value["type"] != "plain_text":
        yield wrong("must be plain_text", f"{where}/type")
    yield from extra(value, _TEXT_KEYS[value["type"]], where)
    text = value.get("text")
    if not isinstance(text, str) or not text:
        yield wrong("must be more than 0 characters", f"{where}/text")
    elif len(text) > limit:
        yield wrong(f"must be less than {limit + 1} characters", f"{where}/text")


def extra(value: dict[str, Any], known: set[str], where: str) -> Iterator[str]:
    yield from (wrong(f"invalid additional property: {key}", where) for key in sorted(set(value) - known))


def wrong(what: str, where: str) -> str:
    return f"{what} [json-pointer:{where}]"


def _in_button(button: dict[str, Any], where: str) -> Iterator[str]:
    yield from in_text(button.get("text"), f"{where}/text", _MAX_BUTTON, plain=True)
    yield from _in_length(button, where, {"url": _MAX_URL, "value": _MAX_VALUE, "accessibility_label": _MAX_LABEL})
    yield from _in_url(button, where)
    yield from _in_style(button, where)


def _in_overflow(menu: dict[str, Any], where: str) -> Iterator[str]:
    yield from _in_options(menu.get("options"), f"{where}/options", _MAX_OVERFLOW)


def _in_select(menu: dict[str, Any], where: str) -> Iterator[str]:
    options, groups = menu.get("options"), menu.get("option_groups")
    if (options is None) == (groups is None):
        yield wrong("must have either options or option_groups", where)
    if options is not None:
        yield from _in_options(options, f"{where}/options", _MAX_OPTIONS)
    for index, group in enumerate(groups if isinstance(groups, list) else []):
        here = f"{where}/option_groups/{index}"
        if not isinstance(group, dict):
            yield wrong("must be an object", here)
            continue
        yield from in_text(group.get("label"), f"{here}/label", _MAX_OPTION, plain=True)
        yield from _in_options(group.get("options"), f"{here}/options", _MAX_OPTIONS)
    every = [*(options or []), *(one for group in groups or [] for one in group.get("options", []))]
    yield from _in_initial(menu, where, every)


def _in_choice(choice: dict[str, Any], where: str) -> Iterator[str]:
    yield from _in_options(choice.get("options"), f"{where}/options", _MAX_RADIO)
    yield from _in_initial(choice, where, choice.get("options") or [])


def _in_date(picker: dict[str, Any], where: str) -> Iterator[str]:
    initial = picker.get("initial_date")
    if initial is not None and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(initial)):
        yield wrong("must be a date YYYY-MM-DD", f"{where}/initial_date")


def _in_text_input(field: dict[str, Any], where: str) -> Iterator[str]:
    least, most = field.get("min_length", 0), field.get("max_length", _MAX_INPUT)
    for name, value, low in (("min_length", least, 0), ("max_length", most, 1)):
        if not isinstance(value, int) or not low <= value <= _MAX_INPUT:
            yield wrong(f"must be {low} to {_MAX_INPUT}", f"{where}/{name}")


def _nothing(_element: dict[str, Any], _where: str) -> Iterator[str]:
    yield from ()


_CHECKS: Final[Mapping[str, Callable[[dict[str, Any], str], Iterator[str]]]] = {
    "button": _in_button,
    "overflow": _in_overflow,
    "static_select": _in_select,
    "radio_buttons": _in_choice,
    "checkboxes": _in_choice,
    "datepicker": _in_date,
    "users_select": _nothing,
    "plain_text_input": _in_text_input,
}


def _in_options(options: Any, where: str, most: int) -> Iterator[str]:
    if not isinstance(options, list) or not 1 <= len(options) <= most:
        yield wrong(f"must have 1 to {most} items", where)
        return
    for index, option in enumerate(options):
        here = f"{where}/{index}"
        if not isinstance(option, dict):
            yield wrong("must be an object", here)
            continue
        yield from extra(option, {"text", "value", "description", "url"}, here)
        yield from in_text(option.get("text"), f"{here}/text", _MAX_OPTION)
        yield from _in_length(option, here, {"value": _MAX_OPTION_VALUE, "url": _MAX_URL})
        yield from _in_url(option, here)
        if "value" not in option:
            yield wrong("missing required field: value", here)
        if option.get("description") is not None:
            yield from in_text(option["description"], f"{here}/description", _MAX_OPTION)


def _in_initial(menu: dict[str, Any], where: str, options: list[Any]) -> Iterator[str]:
    chosen = menu.get("initial_options", [menu["initial_option"]] if menu.get("initial_option") else [])
    if any(one not in options for one in chosen):
        yield wrong("initial option must be one of the options", where)


def _in_confirm(confirm: Any, where: str) -> Iterator[str]:
    if not isinstance(confirm, dict):
        yield wrong("must be an object", where)
        return
    yield from extra(confirm, {*_MAX_CONFIRM, "style"}, where)
    for name, most in _MAX_CONFIRM.items():
        yield from in_text(confirm.get(name), f"{where}/{name}", most, plain=True)
    yield from _in_style(confirm, where)


def _in_length(value: dict[str, Any], where: str, limits: Mapping[str, int]) -> Iterator[str]:
    for key, most in limits.items():
        given = value.get(key)
        if given is not None and (not isinstance(given, str) or not 1 <= len(given) <= most):
            yield wrong(f"must be 1 to {most} characters", f"{where}/{key}")


def _in_url(value: dict[str, Any], where: str) -> Iterator[str]:
    url = value.get("url")
    if url is not None and not re.match(r"[a-z][a-z0-9+.-]*:\S+$", str(url), re.IGNORECASE):
        yield wrong("must be a valid URL", f"{where}/url")


def _in_style(value: dict[str, Any], where: str) -> Iterator[str]:
    if value.get("style") not in (None, "primary", "danger"):
        yield wrong("must be primary or danger", f"{where}/style")
