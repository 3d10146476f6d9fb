"""Sessions of people who signed in: random, with an end, dead after signing out, and ended by another token."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from forwarder.store import Store
from forwarder.web.sessions import IDLE, LONGEST, MOST, SAVE_EVERY, Sessions
from tests.kit.store import NOW, Time
from tests.kit.web import HTML, TOKEN, Site, serving, words

OTHER: Final = "another-web-token-"
DAY: Final = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open_exclusive(tmp_path / "forwarder.db") as opened:
        yield opened


@pytest.fixture
def time() -> Time:
    return Time()


def sessions(store: Store, time: Time, token: str | None = TOKEN) -> Sessions:
    """Those of a process that starts now."""
    return Sessions(store.sessions, token, now=time)


def signed_in(site: Site, **headers: str) -> dict[str, str]:
    """Signs in as a browser of its own, and returns the header by which it is known from then on."""
    answer = site.client.post("/sign-in", data={"token": TOKEN}, headers=headers)
    assert answer.status_code == 303
    site.client.cookies.clear()
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0], **HTML}


def test_each_session_is_another_one(store: Store, time: Time) -> None:
    """No two are alike, none can be guessed, and only those that began are let in."""
    known = sessions(store, time)
    cookies = {known.begin() for _ in range(20)}
    assert len(cookies) == 20
    assert all(len(cookie) >= 43 for cookie in cookies)
    assert all(known.admits(cookie) for cookie in cookies)
    assert not any(known.admits(wrong) for wrong in ("", TOKEN, "\u00e9", next(iter(cookies))[:-1]))


def test_a_session_that_nobody_uses_ends(store: Store, time: Time) -> None:
    """Use keeps it; half a day without ends it, over a restart as well."""
    known = sessions(store, time)
    cookie = known.begin()
    for _ in range(3):
        time.advance(IDLE - 1)
        assert known.admits(cookie)
        known.save(cookie)
    time.advance(IDLE - 1)
    known = sessions(store, time)
    time.advance(1)
    assert not known.admits(cookie)
    assert not sessions(store, time).admits(cookie)
    assert store.sessions.all() == []


def test_every_session_ends_after_a_month(store: Store, time: Time) -> None:
    """However much it is used."""
    known = sessions(store, time)
    cookie = known.begin()
    while time.now < NOW + LONGEST - IDLE / 2:
        assert known.admits(cookie)
        time.advance(IDLE / 2)
    assert known.admits(cookie)
    time.advance(IDLE / 2)
    assert not known.admits(cookie)


def test_use_is_written_down_now_and_then(store: Store, time: Time) -> None:
    """A page that asks every few seconds does not keep the disk busy."""
    known = sessions(store, time)
    cookie = known.begin()
    assert not known.is_unsaved(cookie)
    time.advance(SAVE_EVERY)
    assert known.is_unsaved(cookie)
    known.save(cookie)
    assert not known.is_unsaved(cookie)
    (row,) = store.sessions.all()
    assert row.seen_at == NOW + SAVE_EVERY


def test_only_so_many_sessions_are_kept(store: Store, time: Time) -> None:
    """The one that was not used for longest makes room, in memory and on the disk."""
    known = sessions(store, time)
    first, second = known.begin(), known.begin()
    time.advance(1)
    known.admits(first)
    for _ in range(MOST - 1):
        time.advance(1)
        last = known.begin()
    assert known.admits(first)
    assert not known.admits(second)
    assert known.admits(last)
    assert len(store.sessions.all()) == MOST


def test_a_restart_signs_nobody_out(store: Store, time: Time) -> None:
    """A session and the end of one last."""
    known = sessions(store, time)
    kept, ended = known.begin(), known.begin()
    known.end([ended])
    for process in (known, sessions(store, time)):
        assert process.admits(kept)
        assert not process.admits(ended)


@pytest.mark.parametrize("between", [OTHER, None])
def test_another_token_ends_every_session(store: Store, time: Time, between: str | None) -> None:
    """For good: they do not come back with the token that they began under."""
    cookie = sessions(store, time).begin()
    assert not sessions(store, time, between).admits(cookie)
    assert store.sessions.all() == []
    assert not sessions(store, time).admits(cookie)


def test_a_copy_of_the_database_opens_nothing(store: Store, time: Time, tmp_path: Path) -> None:
    """It holds neither cookies nor the token, and what it holds does not do as a cookie."""
    known = sessions(store, time)
    cookie = known.begin()
    (row,) = store.sessions.all()
    assert not known.admits(row.digest)
    store.engine.backup(tmp_path / "copy.db")
    content = (tmp_path / "copy.db").read_bytes()
    assert row.digest.encode() in content
    assert cookie.encode() not in content
    assert TOKEN.encode() not in content
    # Rows that somebody writes into it by hand fit no cookie: their making takes the token.
    forged = Sessions(store.sessions, OTHER, now=time)
    planted = forged.begin()
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy, copy:
        copy.executemany(
            "INSERT INTO sessions VALUES (?, ?, ?)", [(one.digest, NOW, NOW) for one in store.sessions.all()]
        )
    with Store.open_exclusive(tmp_path / "copy.db") as copied:
        again = sessions(copied, time)
        assert again.admits(cookie)
        assert not again.admits(planted)


def test_a_database_that_takes_nothing_keeps_nobody_out(store: Store, time: Time) -> None:
    """Who comes to see what is wrong gets in, until the next restart."""
    known = sessions(store, time)
    store.close()
    with capture_logs() as logged:
        cookie = known.begin()
        unread = sessions(store, time)
    assert known.admits(cookie)
    assert not unread.admits(cookie)
    assert [event["event"] for event in logged] == ["web_session_unsaved", "web_sessions_unread"]


# At the page


def test_signing_out_ends_every_copy_of_the_cookie(tmp_path: Path) -> None:
    """A copy that somebody took opens nothing afterwards; another browser stays signed in."""
    with serving(tmp_path, token=TOKEN) as site:
        mine, other = signed_in(site), signed_in(site)
        assert mine != other
        page = site.client.get("/alerts", headers=mine)
        key = page.text.partition('name="form_key" value="')[2].partition('"')[0]
        # The key of one session's forms does not sign out another.
        assert site.client.post("/sign-out", data={"form_key": key}, headers=other).status_code == 403
        with capture_logs() as logged:
            assert site.client.post("/sign-out", data={"form_key": key}, headers=mine).status_code == 303
        assert [event["event"] for event in logged] == ["web_sign_out"]
        assert mine["Cookie"].partition("=")[2] not in str(logged)
        assert site.client.get("/alerts", headers=mine).status_code == 303
        assert site.client.get("/alerts", headers=other).status_code == 200


def test_a_session_lasts_over_a_restart_and_ends_with_its_token(tmp_path: Path) -> None:
    """The next process knows it and its forms; one with another token does not, nor any after it."""
    with serving(tmp_path, token=TOKEN) as site:
        cookie = signed_in(site)
        value = cookie["Cookie"].partition("=")[2]
        key = site.client.get("/alerts", headers=cookie).text.partition('form_key" value="')[2].partition('"')[0]

    def headers(site: Site) -> dict[str, str]:
        # The cookie's name has the port, which is another one in each process here.
        port = site.url.rstrip("/").rpartition(":")[2]
        return {**HTML, "Cookie": f"forwarder_{port}={value}"}

    with serving(tmp_path, token=TOKEN) as site:
        assert site.client.get("/alerts", headers=headers(site)).status_code == 200
        form = {"form_key": key, "action": "retry-all"}
        assert site.client.post("/dead-letters", data=form, headers=headers(site)).status_code == 303
    with serving(tmp_path, token=OTHER):
        # Nobody looks while the other token counts.
        pass
    with serving(tmp_path, token=TOKEN) as site:
        assert site.client.get("/alerts", headers=headers(site)).status_code == 303


def test_an_idle_session_is_sent_to_sign_in(tmp_path: Path) -> None:
    """A browser that was left alone signs in once more."""
    with serving(tmp_path, token=TOKEN) as site:
        cookie = signed_in(site)
        site.time.advance(SAVE_EVERY + 1)
        assert site.client.get("/alerts", headers=cookie).status_code == 200
        assert [row.seen_at for row in site.store.sessions.all()] == [site.time.now]
        site.time.advance(IDLE)
        sent = site.client.get("/alerts", headers=cookie)
        assert (sent.status_code, sent.headers["Location"]) == (303, "/sign-in?next=%2Falerts")


def test_cookies_of_others_on_the_same_host_do_no_harm(tmp_path: Path) -> None:
    """Behind a proxy other pages set cookies as they like, of our name too: the session is found among them."""
    with serving(tmp_path, token=TOKEN) as site:
        pair = signed_in(site)["Cookie"]
        name = pair.partition("=")[0]
        for line in (
            f'odd[x]={{"a":"b"}}; {pair}; {name}=old',
            f"{name}=old; {pair}",
            f"{name}=; =; ;;{pair};",
            f"a=b=c;{pair}",
            f'"; {pair}',
        ):
            assert site.client.get("/alerts", headers={"Cookie": line}).status_code == 200, line
        assert site.client.get("/alerts", headers={"Cookie": f"x{pair}"}).status_code == 401


def test_sign_ins_are_logged_with_whom_a_proxy_spoke_for(tmp_path: Path) -> None:
    """Success, failure and a wrong Bearer stand in the log; a token never does."""
    with serving(tmp_path, token=TOKEN) as site, capture_logs() as logged:
        signed_in(site, **{"X-Forwarded-For": "203.0.113.7"})
        wrong = site.client.post("/sign-in", data={"token": "my-secret-guess"}, headers=HTML)
        assert (wrong.status_code, "That is not the token." in words(wrong.text)) == (403, True)
        assert site.client.get("/metrics", headers={"Authorization": "Bearer my-secret-guess"}).status_code == 401
    assert [event["event"] for event in logged if event["event"] != "web_started"] == [
        "web_sign_in",
        "web_sign_in_refused",
        "web_token_refused",
    ]
    assert {event.get("forwarded_for") for event in logged if event["event"] == "web_sign_in"} == {"203.0.113.7"}
    assert "my-secret-guess" not in str(logged)
    assert TOKEN not in str(logged)
