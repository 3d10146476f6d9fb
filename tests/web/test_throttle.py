"""How fast wrong tokens may be tried, in a time that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
import httpx2
import pytest
from structlog.testing import capture_logs

from forwarder.web.sessions import Keys
from forwarder.web.throttle import BY_ALL, BY_PEER, PATIENCE, Door, Throttle, TokenCheck, TooManyTries
from tests.kit.store import Time
from tests.kit.web import HTML, TOKEN, serving, words

FORM: Final = Door("192.0.2.7", direct=False, by_header=False)
HOUR: Final = 3600


def tries(throttle: Throttle, time: Time, door: Callable[[int], Door], *, seconds: int, each: int) -> int:
    """How many of ``each`` tries a second are looked at."""
    passed = 0
    for number in range(seconds * each):
        time.advance(1 / each)
        try:
            throttle.enter(door(number))
        except TooManyTries:
            continue
        passed += 1
    return passed


def refused(throttle: Throttle, door: Door) -> bool:
    try:
        throttle.enter(door)
    except TooManyTries:
        return True
    return False


def test_the_first_tries_are_at_once_the_next_wait_the_rest_are_refused() -> None:
    """A person who mistypes notices nothing; what guesses waits in line, and then learns when to come back."""
    throttle = Throttle(Time())
    waits = [throttle.enter(FORM) for _ in range(BY_PEER.burst + int(PATIENCE))]
    assert waits == [0, 0, 0, 0, 0, 1, 2, 3, 4, 5]
    with pytest.raises(TooManyTries, match=r"^Too many wrong tokens were tried. Try again in 1 s\.$") as error:
        throttle.enter(FORM)
    assert error.value.after == 1


def test_an_hour_of_guessing_is_few_tries() -> None:
    """However often one address tries, one try a second is looked at."""
    time = Time()
    passed = tries(Throttle(time), time, lambda _: FORM, seconds=HOUR, each=20)
    assert passed <= BY_PEER.burst + (HOUR + PATIENCE) / BY_PEER.every


def test_many_addresses_are_slowed_down_together_and_forgotten() -> None:
    """A new address for each try gets no further than two a second, and takes no memory."""
    time = Time()
    throttle = Throttle(time)

    def door(number: int) -> Door:
        return Door(f"2001:db8:{number:x}::/64", direct=False, by_header=False)

    passed = tries(throttle, time, door, seconds=HOUR, each=20)
    assert passed <= BY_ALL.burst + (HOUR + PATIENCE) / BY_ALL.every
    assert len(throttle) <= BY_ALL.burst + PATIENCE / BY_ALL.every


def test_this_machine_and_programs_have_lines_of_their_own() -> None:
    """A flood at the form, from wherever, holds up neither who sits at the machine nor a program with the token."""
    throttle = Throttle(Time())
    for number in range(200):
        refused(throttle, Door(f"192.0.2.{number}", direct=False, by_header=False))
    assert refused(throttle, FORM)
    assert throttle.enter(Door("127.0.0.1", direct=True, by_header=False)) == 0
    assert throttle.enter(Door("192.0.2.7", direct=False, by_header=True)) == 0


def test_the_owner_gets_in_past_a_flood_of_one_other_address() -> None:
    """However fast that one guesses, through the same proxy or not: whoever else comes does not even wait."""
    time = Time()
    throttle = Throttle(time)
    flood = Door("127.0.0.1 for 203.0.113.66", direct=False, by_header=False)
    owner = Door("127.0.0.1 for 203.0.113.7", direct=False, by_header=False)
    for _ in range(HOUR):
        time.advance(1)
        assert sum(refused(throttle, flood) for _ in range(50)) >= 40
        assert throttle.enter(owner) == 0
        throttle.leave(owner)


def test_one_address_does_not_use_up_what_others_may() -> None:
    """Who is refused takes no place of all."""
    throttle = Throttle(Time())
    assert sum(refused(throttle, FORM) for _ in range(1000)) == 1000 - BY_PEER.burst - int(PATIENCE)
    assert throttle.enter(Door("198.51.100.1", direct=False, by_header=False)) == 0


@pytest.mark.parametrize("attackers", [1, 4])
def test_the_owner_gets_in_while_others_guess(attackers: int) -> None:
    """Behind a proxy all share one line: with a few who never stop, the right token waits for some seconds at most."""
    time = Time()
    throttle = Throttle(time)
    free_at = [0.0] * attackers
    for second in range(120):
        time.now = float(second)
        for guesser in range(attackers):
            if free_at[guesser] <= second:
                # Each sends its next guess as soon as the last one was answered.
                free_at[guesser] = second + throttle.enter(FORM)
    assert throttle.enter(FORM) <= PATIENCE


@dataclass
class Sleeper:
    """Sleeps in a moved time, and remembers how long."""

    time: Time
    slept: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time.advance(seconds)


def test_a_right_token_costs_nothing() -> None:
    """A monitor with the token asks as often as it likes."""
    time = Time()
    sleeper = Sleeper(time)
    check = TokenCheck(Keys(TOKEN), sleep=sleeper, clock=time)

    async def ask() -> None:
        for _ in range(1000):
            assert await check.admits(TOKEN, FORM)

    anyio.run(ask)
    assert sleeper.slept == []


def test_a_refused_token_is_not_looked_at_and_told_now_and_then() -> None:
    """Nothing is learnt from a refusal, the right token included; the log is not flooded, and holds no token."""
    time = Time()
    sleeper = Sleeper(Time())
    check = TokenCheck(Keys(TOKEN), Throttle(time), sleep=sleeper, clock=time)

    async def ask(token: str) -> bool | None:
        try:
            return await check.admits(token, FORM)
        except TooManyTries:
            return None

    with capture_logs() as logged:
        answers = [anyio.run(ask, "wrong") for _ in range(40)]
        assert answers == [False] * 10 + [None] * 30
        assert sleeper.slept == [1, 2, 3, 4, 5]
        assert anyio.run(ask, TOKEN) is None
        time.advance(1)
        assert anyio.run(ask, TOKEN) is True
    assert logged == [
        {"event": "web_tries_limited", "log_level": "warning", "client": "192.0.2.7", "retry_after": 1},
    ]


def test_wrong_tokens_are_refused_with_a_time_to_come_back(tmp_path: Path) -> None:
    """At the form and as Bearer; who is signed in reads on, and so do the health checks."""
    through = {"X-Forwarded-For": "203.0.113.7"}
    with serving(tmp_path, token=TOKEN) as site:
        site.client.post("/sign-in", data={"token": TOKEN})
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in site.client.cookies.items())}
        site.client.cookies.clear()
        at_form, as_bearer = anyio.run(guess, site.url, through)
        for answers in (at_form, as_bearer):
            assert {status for status, *_ in answers} <= {303, 403, 429}
            limited = [answer for answer in answers if answer[0] == 429]
            assert len(limited) >= 40
            assert all(1 <= int(after) <= 60 for _, after, _ in limited)
            assert "Too many wrong tokens were tried. Try again in" in words(limited[0][2])
        assert site.client.get("/alerts", headers={**cookie, **through}).status_code == 200
        for path in ("/healthz", "/static/style.css"):
            assert site.client.get(path, headers={"Authorization": "Bearer wrong", **through}).status_code == 200


async def guess(url: str, through: dict[str, str]) -> list[list[tuple[int, str, str]]]:
    """60 guesses at once at each door."""
    answers: list[list[tuple[int, str, str]]] = [[], []]
    limits = httpx2.Limits(max_connections=120)
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits, headers={**HTML, **through}) as client:

        async def at_form(number: int) -> None:
            answer = await client.post("/sign-in", data={"token": f"guess-{number}"})
            answers[0].append((answer.status_code, answer.headers.get("Retry-After", ""), answer.text))

        async def as_bearer(number: int) -> None:
            answer = await client.get("/metrics", headers={"Authorization": f"Bearer guess-{number}"})
            answers[1].append((answer.status_code, answer.headers.get("Retry-After", ""), answer.text))

        async with anyio.create_task_group() as group:
            for number in range(60):
                group.start_soon(at_form, number)
                group.start_soon(as_bearer, number)
    return answers
