"""How a connector is set up and tried: what `forwarder init` asks about it, and what a live check found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forwarder.alert import Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence of a live check: what works, or what is missing and where to put it right."""

    ok: bool
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What `forwarder init` asks for one key of a connector's config.

    With ``variable`` the answer is a secret: it is kept in that environment variable, and not shown. Without a
    ``default`` there must be an answer; with an empty one the key is left out. An answer that is a web address belongs
    to ``if_address``, where there is one, and the questions after it are not asked.
    """

    key: str
    prompt: str
    variable: str = ""
    default: str | None = None
    choices: Sequence[str] = ()
    if_address: Question | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """How `forwarder init` sets a connector up: the name it gets, whether it is wanted, and what must be known.

    ``severities`` are those that the first routes send there. ``usual`` says that most people want it: what
    is not usual is offered last, and only a yes takes it.
    """

    name: str
    offer: str
    questions: Sequence[Question]
    severities: Sequence[Severity] = tuple(Severity)
    usual: bool = True
