"""The status page in a real browser: with hostile texts, without JavaScript, by keyboard, on a phone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Literal

import pytest

from forwarder.sandbox import Sandbox
from forwarder.store.query_records import Filter
from forwarder.store.records import State
from forwarder.testing import ALERT_ID, alert, hostile_alerts
from tests.kit import core
from tests.kit import store as store_kit
from tests.kit.nginx import HOST, proxying, shown
from tests.kit.store import NOW
from tests.kit.thorough import beyond
from tests.kit.web import TOKEN, Site, furnish, serving

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402 - where it is installed

CHROMIUM: Final = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {HOST} 127.0.0.1",
]
expect.set_options(timeout=1000 * core.PATIENCE)
PAGES: Final = ("", "alerts", f"alerts/{ALERT_ID}", "dead-letters", "figures", "mutes", "gaps", "set-aside", "nowhere")
SOME: Final = slice(1, None, 4)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: Debian has it in the package chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with something of everything, for tests that only look."""
    with serving(tmp_path_factory.mktemp("site")) as running:
        furnish(running.store)
        yield running


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    """A furnished site that a test may change."""
    with serving(tmp_path) as running:
        furnish(running.store)
        yield running


@contextmanager
def tab(browser: Browser, *, host: str = "127.0.0.1", **options: Any) -> Iterator[Page]:
    """A tab in which nothing may go wrong: no error, no refused content, no dialog, no request to elsewhere."""
    context = browser.new_context(**options)
    page, wrong = context.new_page(), list[str]()
    page.set_default_timeout(1000 * core.PATIENCE)
    page.on("console", lambda message: wrong.append(message.text) if "404" not in message.text else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("request", lambda request: wrong.append(request.url) if f"//{host}:" not in request.url else None)
    yield page
    context.close()
    assert wrong == []


@pytest.mark.parametrize("looked_at", beyond([SOME], [SOME, slice(None)]), ids=["a quarter of the pages", "all pages"])
def test_hostile_texts_do_nothing(browser: Browser, tmp_path: Path, looked_at: slice) -> None:
    """Whatever an alert says, the browser runs nothing of it, loads nothing for it and follows nothing in it."""
    with serving(tmp_path) as site, tab(browser) as page:
        shown = [alert(**{**given.raw, "id": f"hostile-{number}"}) for number, given in enumerate(hostile_alerts())]
        site.store.feed.commit_page([store_kit.routed(given, "secops") for given in shown], now=NOW)
        page.goto(f"{site.url}alerts?show=200")
        assert page.locator("a.title").count() == len(shown)
        assert page.locator("main img, main iframe, main script, main object").count() == 0
        links = page.locator("main a").evaluate_all("links => links.map(link => link.protocol)")
        assert set(links) == {"http:"}
        for given in shown[looked_at]:
            page.goto(f"{site.url}alerts/{given.id}")
            links = page.locator("main a").evaluate_all("links => links.map(link => link.protocol)")
            assert set(links) <= {"http:", "https:"}


def test_everything_works_without_javascript(browser: Browser, own: Site) -> None:
    """Reading, searching and deciding need no script at all."""
    with tab(browser, java_script_enabled=False) as page:
        page.goto(own.url)
        expect(page.get_by_role("heading", level=1)).to_contain_text("This needs you now")
        page.get_by_label("Search").fill("2025-7")
        page.get_by_role("button", name="Show").click()
        page.get_by_role("link", name="A small thing").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("A small thing")
        page.get_by_role("link", name="Dead letters").click()
        page.get_by_label("oncall: Authentication bypass").check()
        page.get_by_role("button", name="Discard the chosen…").first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Discard 1 delivery?")
        page.get_by_role("button", name="Discard").click()
        expect(page.get_by_role("status")).to_have_text("1 delivery discarded.")
    assert own.store.queries.deliveries(Filter(state=State.DEAD, origin=None)) == []


def test_the_page_keeps_itself_up_to_date(browser: Browser, own: Site) -> None:
    """News appear without a reload, a text that is being typed stays, and paused updates are not taken over."""
    with tab(browser) as page:
        page.clock.install()
        page.goto(own.url)
        search = page.get_by_label("Search")
        search.fill("2026")
        store_kit.enqueue(own.store, alert(id="news", title="It came meanwhile"), "secops", now=NOW)
        page.clock.fast_forward(10_000)
        expect(page.get_by_role("link", name="It came meanwhile")).to_be_visible()
        expect(search).to_have_value("2026")
        page.get_by_role("button", name="Pause updates").click()
        store_kit.enqueue(own.store, alert(id="later", title="It came later"), "secops", now=NOW)
        page.clock.fast_forward(60_000)
        assert page.get_by_role("link", name="It came later").count() == 0
        page.get_by_role("button", name="Resume updates").click()
        expect(page.get_by_role("link", name="It came later")).to_be_visible()


@contextmanager
def answering(port: int, status: int, headers: Mapping[str, str], body: str) -> Iterator[None]:
    """Something else at the forwarder's address, which gives everybody the same answer."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "text/html", "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def clocked(browser: Browser, url: str) -> Iterator[Page]:
    """A tab at ``url`` whose time a test moves."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(1000 * core.PATIENCE)
    page.clock.install()
    page.goto(url)
    yield page
    context.close()


def lost(page: Page, title: str) -> None:
    """Holds that nobody who looks at the page, or at its tab alone, can take it for well."""
    expect(page.get_by_role("alert")).to_contain_text(title)
    expect(page).to_have_title("No answer – Sentrytex forwarder")
    assert page.locator("link[rel=icon]").evaluate("link => link.href").split("?")[0].endswith("/static/icon-bad.svg")
    expect(page.locator("body")).not_to_contain_text("All is well")
    expect(page.locator("body")).not_to_contain_text("working")
    assert page.locator(".standing.fine").count() == 0
    banner = page.locator("#banner").bounding_box()
    assert banner
    assert banner["width"] == page.evaluate("document.documentElement.clientWidth")
    assert banner["height"] > 60


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ((502, {}, "<h1>Bad Gateway</h1>"), "The forwarder cannot show how things stand (error 502)."),
        ((302, {"Location": "/sign-in?next=/"}, ""), "You are signed out."),
        ((302, {"Location": "http://elsewhere.example/login"}, ""), "You are signed out."),
        ((200, {}, "<title>All is well</title><h1>Grafana</h1>"), "Something else answers in place of the forwarder."),
    ],
    ids=["an error", "a sign-in", "a sign-in elsewhere", "another program"],
)
def test_whatever_answers_in_its_place_is_told(
    browser: Browser, tmp_path: Path, answer: tuple[int, dict[str, str], str], title: str
) -> None:
    """An error, a redirect and another program's page are no answer: the page says which of them it is."""
    with ExitStack() as ends:
        with serving(tmp_path, at_port=(port := core.free_port())) as site:
            page = ends.enter_context(clocked(browser, site.url))
            expect(page).to_have_title("All is well · Sentrytex forwarder")
        with answering(port, *answer):
            page.clock.fast_forward(10_000)
            lost(page, title)


def test_a_forwarder_that_died_is_seen_at_once(browser: Browser, tmp_path: Path) -> None:
    """One missed look is enough: the whole page says so, its age goes on, and it recovers by itself."""
    with ExitStack() as ends:
        with serving(tmp_path, at_port=(port := core.free_port())) as site:
            page = ends.enter_context(clocked(browser, site.url))
            expect(page.locator("#fresh")).to_contain_text(re.compile(r"as of 12:00:00 UTC, (just now|\d+s ago)"))
        page.clock.fast_forward(10_000)
        lost(page, "The forwarder does not answer.")
        expect(page.locator("#banner")).to_contain_text(
            re.compile(r"What you see here is as of 12:00:00 UTC, (\d\ds|1m \d+s) ago")
        )
        page.clock.fast_forward(600_000)
        expect(page.locator("#banner")).to_contain_text(re.compile(r"as of 12:00:00 UTC, 1\dm( \d+s)? ago"))
        with serving(tmp_path, at_port=port):
            page.clock.fast_forward(2_000)
            expect(page).to_have_title("All is well · Sentrytex forwarder")
            expect(page.get_by_role("heading", level=1)).to_contain_text("All is well")
            expect(page.locator("#banner")).to_be_hidden()
            assert "icon.svg" in page.locator("link[rel=icon]").evaluate("link => link.href")
            expect(page.locator(".card .state")).to_have_text(["working"] * 3)


@pytest.mark.parametrize("path", beyond(["", "gaps"], PAGES[:-1]))
def test_every_page_notices_and_recovers(browser: Browser, tmp_path: Path, path: str) -> None:
    """Also a page of which nothing is renewed, or one whose updates are paused, says when nothing answers."""
    with ExitStack() as ends:
        with serving(tmp_path, at_port=(port := core.free_port())) as site:
            furnish(site.store)
            page = ends.enter_context(clocked(browser, site.url + path))
            title, pause = page.title(), page.get_by_role("button", name="Pause updates")
            page.clock.fast_forward(10_000)
            expect(page.locator("#banner")).to_be_hidden()
            if pause.count():
                pause.click()
                expect(page).to_have_title("Paused – Sentrytex forwarder")
        page.clock.fast_forward(10_000)
        expect(page.get_by_role("alert")).to_contain_text("The forwarder does not answer.")
        expect(page).to_have_title("No answer – Sentrytex forwarder")
        with serving(tmp_path, at_port=port):
            page.clock.fast_forward(2_000)
            expect(page.locator("#banner")).to_be_hidden()
            expect(page).to_have_title(title)


def test_a_daemon_that_is_killed_or_stands_still_is_seen(browser: Browser, tmp_path: Path) -> None:
    """The real process: stopped so that it takes connections and says nothing, continued, and killed."""
    port = core.free_port()
    with Sandbox() as sandbox:
        config = {**core.settings(sandbox), "web": {"listen": f"127.0.0.1:{port}"}}
        core.written(tmp_path, config)
        with core.Process(tmp_path, core.secrets(sandbox)) as process:
            process.until_started()
            with clocked(browser, f"http://127.0.0.1:{port}/") as page:
                process.freeze()
                page.clock.fast_forward(10_000)
                expect(page.get_by_role("alert")).to_contain_text("does not answer")
                process.signal(signal.SIGCONT)
                page.clock.fast_forward(2_000)
                expect(page.locator("#banner")).to_be_hidden()
                process.kill()
                page.clock.fast_forward(10_000)
                lost(page, "The forwarder does not answer.")


def test_the_icon_of_a_dead_forwarder_was_loaded_while_it_lived(browser: Browser, own: Site) -> None:
    """The tab can turn red although nobody is left to ask for the picture."""
    asked: list[str] = []
    with tab(browser) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.goto(own.url)
        page.wait_for_load_state("networkidle")
    assert [url for url in asked if "/static/icon-bad.svg?v=" in url]


def test_how_things_stand_is_told_whatever_one_does(browser: Browser, tmp_path: Path) -> None:
    """A selected text, or the focus on a link, keeps no sentence on the page that is not true any more."""
    with serving(tmp_path) as site, tab(browser) as page:
        page.clock.install()
        for number in (1, 2):
            store_kit.enqueue(site.store, alert(id=f"a{number}"), "secops")
            store_kit.settle(site.store, store_kit.claim(site.store), store_kit.dead())
            if number == 1:
                page.goto(site.url)
                page.locator("#standing a").focus()
                page.evaluate("getSelection().selectAllChildren(document.body)")
        page.clock.fast_forward(10_000)
        expect(page.get_by_role("heading", level=1)).to_have_text("This needs you now: secops has 2 dead letters.")
        expect(page.locator("#standing a")).to_be_focused()


def test_the_keyboard_reaches_everything(browser: Browser, own: Site) -> None:
    """The first stop skips the menu; each stop can be seen; a dead letter is retried without a mouse."""
    with tab(browser) as page:
        page.goto(f"{own.url}dead-letters")
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to the content")).to_be_focused()
        expect(page.get_by_text("Skip to the content")).to_be_in_viewport()
        page.keyboard.press("Enter")
        names = []
        for _ in range(12):
            page.keyboard.press("Tab")
            names.append(page.evaluate("document.activeElement.getAttribute('type')"))
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            if names[-1] == "checkbox":
                break
        page.keyboard.press("Space")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_have_text("1 delivery will be tried again now.")


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_cut_off_on_a_phone(browser: Browser, site: Site, width: int) -> None:
    """No page is wider than the screen, from the smallest phone on."""
    with tab(browser, viewport={"width": width, "height": 800}) as page:
        for path in PAGES:
            page.goto(site.url + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_why_a_letter_is_dead_is_read_on_a_phone_without_moving_anything(browser: Browser, site: Site) -> None:
    """The reason is what decides between a retry and a discard, so it is no column beyond the edge."""
    with tab(browser, viewport={"width": 320, "height": 800}) as page:
        page.goto(site.url + "dead-letters")
        box = page.get_by_role("cell", name="PagerDuty refuses the event").bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 320


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_that_goes_on_says_so(browser: Browser, site: Site, scheme: Literal["light", "dark"]) -> None:
    """A shade lies on the side to which it can be moved, and on no other."""
    with tab(browser, color_scheme=scheme, viewport={"width": 360, "height": 800}) as page:
        page.goto(site.url + "figures")
        table = page.locator(".scroll").first
        box = table.bounding_box()
        assert box is not None

        def edge(x: float) -> bytes:
            """What is seen there, above all text."""
            return page.screenshot(clip={"x": x, "y": box["y"] + 3, "width": 2, "height": 3})

        left, right = box["x"] + 3, box["x"] + box["width"] - 5
        there, goes_on = edge(left), edge(right)
        assert goes_on != there
        table.evaluate("table => { table.scrollLeft = table.scrollWidth }")
        assert edge(right) == there
        assert edge(left) != there


def test_both_themes_follow_the_system(browser: Browser, site: Site) -> None:
    """A dark system gets a dark page, a light one a light page."""
    grounds = {}
    for scheme in ("light", "dark"):
        with tab(browser, color_scheme=scheme) as page:
            page.goto(site.url)
            grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert grounds == {"light": "rgb(244, 246, 248)", "dark": "rgb(14, 19, 24)"}


def test_names_and_roles_are_there_for_screen_readers(browser: Browser, site: Site) -> None:
    """States are told in words, tables and regions have names, and on a phone a table stays a table."""
    with tab(browser, viewport={"width": 390, "height": 800}) as page:
        page.goto(site.url)
        table = page.get_by_role("table", name="The newest alerts, and where each went")
        expect(table.get_by_role("row").filter(has_text="Authentication bypass")).to_contain_text("oncall: dead letter")
        expect(page.get_by_role("img", name="Alerts a day, by severity")).to_be_visible()
        expect(page.get_by_role("navigation", name="Pages").get_by_role("link")).to_have_count(7)
        expect(page.get_by_role("search", name="Alerts")).to_be_visible()


def violations(page: Page) -> str:
    """What axe finds wrong by WCAG's rules and its own, what is folded up included; empty where that is nothing."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    found = axe.Axe().run(page)
    return str(found.generate_report()) if found.violations_count else ""


@pytest.mark.each_once
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
@pytest.mark.parametrize("pages", [PAGES[::2], PAGES[1::2]], ids=["some", "the others"])
def test_axe_finds_nothing_wrong(
    *,
    browser: Browser,
    site: Site,
    tmp_path: Path,
    scheme: Literal["light", "dark"],
    width: int,
    pages: Sequence[str],
) -> None:
    """On any page, in both themes, on a desk and on a phone; nor where one signs in."""
    with (
        serving(tmp_path, token=TOKEN) as guarded,
        tab(browser, color_scheme=scheme, viewport={"width": width, "height": 800}) as page,
    ):
        for address in (*(site.url + path for path in pages), guarded.url):
            page.goto(address)
            assert violations(page) == "", address


def test_signing_in_leads_to_where_one_wanted_to_go(browser: Browser, tmp_path: Path) -> None:
    """A person signs in once with the token, and sees the page that was asked for."""
    with serving(tmp_path, token=TOKEN) as site, tab(browser) as page:
        furnish(site.store)
        page.goto(f"{site.url}alerts?severity=low")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("link", name="A small thing")).to_be_visible()
        assert page.url == f"{site.url}alerts?severity=low"
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()


@pytest.mark.parametrize(
    ("title", "base"), [("nginx: a host name of its own", ""), ("nginx: below a path", "/forwarder")]
)
def test_a_person_works_behind_nginx(browser: Browser, tmp_path: Path, title: str, base: str) -> None:
    """Signing in, reading, news, a decision and signing out work over https, each below the path."""
    with (
        serving(tmp_path, token=TOKEN, public_hosts=(HOST,), base_path=base) as site,
        proxying(tmp_path, shown(title), to=site.url) as proxy,
        tab(browser, host=HOST, ignore_https_errors=True) as page,
    ):
        furnish(site.store)
        page.clock.install()
        page.goto(f"{proxy.url}{base}/alerts?severity=low")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("link", name="A small thing")).to_be_visible()
        assert page.url == f"{proxy.url}{base}/alerts?severity=low"
        (cookie,) = page.context.cookies()
        assert (cookie["secure"], cookie["httpOnly"], cookie["path"]) == (True, True, base or "/")
        page.get_by_role("link", name="Overview").click()
        expect(page.get_by_role("link", name="Overview")).to_have_attribute("aria-current", "page")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(244, 246, 248)"
        store_kit.enqueue(site.store, alert(id="news", title="It came meanwhile"), "secops", now=NOW)
        page.clock.fast_forward(10_000)
        expect(page.get_by_role("link", name="It came meanwhile")).to_be_visible()
        page.get_by_role("link", name="Dead letters").click()
        page.get_by_label("oncall: Authentication bypass").check()
        page.get_by_role("button", name="Retry the chosen").click()
        expect(page.get_by_role("status")).to_have_text("1 delivery will be tried again now.")
        assert page.url.startswith(f"{proxy.url}{base}/dead-letters?")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        assert page.url == f"{proxy.url}{base}/sign-in"


@pytest.mark.parametrize("scripted", [True, False])
def test_times_are_the_reader_s_own(browser: Browser, own: Site, scripted: bool) -> None:
    """With JavaScript in the reader's zone, also in what is renewed, with UTC to point at; without it in UTC."""
    with tab(browser, timezone_id="America/New_York", java_script_enabled=scripted) as page:
        page.goto(f"{own.url}alerts/{ALERT_ID}")
        seen = page.locator(".history time").filter(has_text=re.compile(":00:00"))
        if not scripted:
            expect(seen.first).to_have_text("11:00:00")
            expect(page.locator("#fresh")).to_contain_text("as of 12:00:00 UTC")
            expect(page.locator("footer")).to_contain_text("all times are UTC")
            return
        expect(seen.first).to_have_text("06:00:00")
        expect(seen.first).to_have_attribute("title", "11:00:00 UTC")
        expect(page.locator("#fresh")).to_contain_text("as of 07:00:00,")
        expect(page.locator("footer")).to_contain_text("times are in your zone, America/New_York")


def test_what_is_renewed_is_in_the_reader_s_zone_too(browser: Browser, own: Site) -> None:
    """A part is replaced only where it says something new, and its times are the reader's then."""
    with tab(browser, timezone_id="America/New_York") as page:
        page.clock.install()
        page.goto(own.url)
        page.evaluate("document.getElementById('newest').untouched = document.getElementById('cards').untouched = true")
        store_kit.enqueue(own.store, alert(id="news", title="It came meanwhile"), "secops", now=NOW)
        page.clock.fast_forward(10_000)
        row = page.get_by_role("row").filter(has_text="It came meanwhile")
        expect(row).to_contain_text("07:00:00")
        assert not page.evaluate("document.getElementById('newest').untouched === true")
        page.clock.fast_forward(10_000)
        page.evaluate("document.getElementById('newest').untouched = true")
        with page.expect_response(own.url):
            page.clock.fast_forward(10_000)
        expect(row).to_contain_text("07:00:00")
        assert page.evaluate("document.getElementById('newest').untouched === true")


def test_a_person_says_who_has_it(browser: Browser, own: Site) -> None:
    """The main path: from the list to the alert, Acknowledge, and everybody sees who has it; the name stays known."""
    with tab(browser) as page:
        page.goto(f"{own.url}alerts")
        page.get_by_role("link", name="Authentication bypass").click()
        page.get_by_label("Your name").fill("Ada Byron")
        page.get_by_label("Reason").fill("I look at it.")
        page.get_by_role("button", name="Acknowledge").click()
        expect(page.get_by_role("status")).to_contain_text("Acknowledged by Ada Byron.")
        expect(page.locator("#history")).to_contain_text("Acknowledged by Ada Byron")
        page.get_by_role("link", name="Alerts", exact=True).click()
        row = page.get_by_role("row").filter(has_text="Authentication bypass")
        expect(row).to_contain_text("acknowledged by Ada Byron")
        page.get_by_role("link", name="Held up").click()
        expect(page.get_by_label("Your name")).to_have_value("Ada Byron")
        page.get_by_role("button", name="Resolve: not affected").click()
        expect(page.get_by_role("status")).to_contain_text("Resolved (not affected) by Ada Byron.")
        page.get_by_role("button", name="Reopen").click()
        expect(page.get_by_role("button", name="Acknowledge")).to_be_visible()
