"""The documentation site: it builds without a warning, fetches nothing, leaves nothing out, and what it shows works."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, cast

import click
import pytest
import yaml
from pydantic import BaseModel

from forwarder.alarms import AlarmType
from forwarder.cli import root
from forwarder.cli.root import COMMANDS, group
from forwarder.config import Config, Mute, Recurring, Reminder, Report, Route, Schedule, json_schema, load
from forwarder.connector import ConnectorConfig
from forwarder.new_connector import written
from forwarder.plugins import connector_types, load_type
from forwarder.sandbox import Sandbox
from forwarder.testing import alert_json
from forwarder.web.metrics import Gauges, Metrics

ROOT: Final = Path(__file__).resolve().parent.parent
DOCS: Final = ROOT / "docs"
BIN: Final = Path(sys.executable).parent

ELSEWHERE: Final = re.compile(r"""(?:\bsrc|<link\b[^>]*\bhref)=["'](?:https?:)?//[^"']*""")
"""What a browser would fetch from another host while it shows a page; a link that a person follows is none of that."""

FENCE: Final = re.compile(
    r'^(?P<indent> *)```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^(?P=indent)```$',
    re.MULTILINE | re.DOTALL,
)
FOREIGN: Final = {"display_information", "http", "image", "mode", "scrape_configs"}
"""First keys of YAML in the docs that is another program's."""


@dataclass(frozen=True, kw_only=True)
class Fence:
    """A block of code in a page."""

    page: str
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0][:40] if self.text else ''}"


def fences(language: str) -> list[Fence]:
    return [
        Fence(page=path.name, language=language, title=match["title"] or "", text=textwrap.dedent(match["text"]))
        for path in sorted(DOCS.glob("*.md"))
        for match in FENCE.finditer(path.read_text("utf-8"))
        if match["language"] == language
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A broken link, a missing page or anchor, and any other warning end the build."""
    target = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", target],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return target


def read(site: Path, page: str) -> str:
    return (site / f"{page}.html").read_text("utf-8")


def part(html: str, anchor: str) -> str:
    """What a page says from a heading on to the next of its rank."""
    found = re.search(rf'<h(?P<rank>[23]) id="{re.escape(anchor)}">.*?(?=<h(?P=rank)\b|</article>)', html, re.DOTALL)
    assert found, f"there is no heading {anchor}"
    return unescape(re.sub(r"<[^>]+>", "", found[0]))


def test_every_page_is_built_whole(site: Path) -> None:
    """Each source becomes a page, with each of its generated parts in place."""
    for source in DOCS.glob("*.md"):
        html = read(site, source.stem)
        assert "<article" in html
        assert "<!-- generated:" not in html


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """A reader's browser asks no other host for anything: not for fonts, scripts, styles or pictures."""
    for path in site.rglob("*.html"):
        assert not ELSEWHERE.findall(path.read_text("utf-8")), path.name
    for path in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", path.read_text("utf-8")), path.name


def test_every_command_and_option_is_there(site: Path) -> None:
    """The page of the commands has each command with its help and every option."""
    html = read(site, "commands")
    context = click.Context(group)
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        section = part(html, name)
        assert (command.help or "").split(".")[0].replace("`", "").split("\n")[0] in section
        for option in command.params:
            assert option.opts[0] in section or isinstance(option, click.Argument), f"{name}: {option.opts}"


def test_every_config_key_is_there(site: Path) -> None:
    """The reference has each key, with what it is, and the page of each connector has its own."""
    reference = read(site, "config-reference")
    models: dict[str, type[BaseModel]] = {"connector": ConnectorConfig, "routes": Route, "digest": Recurring}
    models |= {"schedules": Schedule, "mutes": Mute, "reminders": Reminder, "reports": Report}
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            models[name] = field.annotation
        else:
            assert f'id="{name}"' in reference
    for name, model in models.items():
        assert_keys(reference, name, model)
    for kind in connector_types():
        assert_keys(read(site, kind), kind, load_type(kind).Config)


def assert_keys(html: str, prefix: str, model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        key = field.alias or name
        row = re.search(rf'<tr>\s*<td><span id="{prefix}\.{key}"></span>(.*?)</tr>', html, re.DOTALL)
        assert row, f"{prefix}.{key}"
        assert unescape(re.sub(r"<[^>]+>", "", row[1])).rstrip().endswith(field.description or "")


def test_every_alarm_is_there_with_what_to_do(site: Path) -> None:
    """Each alarm has a part of its own, with its words and what a person does about it."""
    html = read(site, "alarms")
    for kind in AlarmType:
        section = part(html, kind.value)
        assert kind.remedy.format(subject="NAME").replace("`", "") in section
        assert "Do this:" in section


def metric_names() -> set[str]:
    registry = Metrics(lambda: ["secops"], now=time.time).registry
    # What describes the gauges needs neither a forwarder nor a store.
    families = [*registry.collect(), *Gauges(cast(Any, None), cast(Any, None)).describe()]
    ours = [family for family in families if family.name.startswith("forwarder_")]
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in ours}


def test_every_metric_is_there_and_no_other(site: Path) -> None:
    """The page of the metrics has each, and no page names one that does not exist."""
    names = metric_names()
    listed = set(re.findall(r'<span id="(forwarder_\w+)"></span>', read(site, "metrics")))
    assert listed == names
    for path in DOCS.glob("*.md"):
        named = set(re.findall(r"`(forwarder_[a-z_]+)`", path.read_text("utf-8")))
        assert named - {"forwarder_alarm"} <= names, path.name


def test_every_outcome_is_explained() -> None:
    """The table of outcomes has the words that the counter of deliveries uses, each with its reason, and no other."""
    registry = Metrics(lambda: ["secops"], now=time.time).registry
    (counter,) = (family for family in registry.collect() if family.name == "forwarder_deliveries")
    used = {(sample.labels["outcome"], sample.labels["reason"]) for sample in counter.samples}
    table = re.findall(r"^\| `(\w+)` \| (?:`(\w+)` )?\|", (DOCS / "metrics.md").read_text("utf-8"), re.MULTILINE)
    assert set(table) == used


def test_the_schema_can_be_downloaded(site: Path) -> None:
    """The site's JSON Schema is the one that `forwarder schema` prints."""
    assert json.loads((site / "config.schema.json").read_text("utf-8")) == json.loads(json.dumps(json_schema()))


def test_every_exit_status_is_explained() -> None:
    """The table of exit statuses has every status that the commands name."""
    explained = set(re.findall(r"^\| (\d+) \|", (DOCS / "operate.md").read_text("utf-8"), re.MULTILINE))
    statuses = {str(value) for name, value in vars(root).items() if name.startswith("EX_")}
    assert statuses <= explained


def test_files_that_pages_name_exist() -> None:
    """A path within this repository that a page names leads to something."""
    for path in DOCS.glob("*.md"):
        for name in re.findall(r"`((?:deploy|docs|tests|forwarder|connectors)/[\w./-]+)`", path.read_text("utf-8")):
            assert (ROOT / name).exists(), f"{path.name} names {name}"


# What the pages show works


@pytest.mark.parametrize("fence", [one for one in fences("yaml") if "writing" not in one.page], ids=str)
def test_configs_in_the_pages_are_valid(fence: Fence, tmp_path: Path) -> None:
    """A whole config loads as it stands, and a part of one loads within a whole."""
    shown = yaml.safe_load(fence.text)
    if not shown or shown.keys() & FOREIGN:
        return
    assert shown.keys() <= Config.model_fields.keys()
    whole = shown if {"sentrytex", "connectors", "routes"} <= shown.keys() else completed(shown)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(whole), "utf-8")
    assert load(path, variables(fence.text)).connectors


def completed(shown: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a config within a whole one that has the usual connectors."""
    usual = {name: {"type": "console"} for name in ("secops", "oncall", "tickets")}
    whole = {"sentrytex": {"api_key": "vk_none"}, "routes": [{"to": "secops"}], **shown}
    return {**whole, "connectors": {**usual, **shown.get("connectors", {})}}


def variables(text: str) -> dict[str, str]:
    """A value for every variable that a text refers to, in the form that its name says, else as long as any key."""
    forms = {
        "URL": "https://hooks.slack.com/services/T0/B0/none",
        "APP_TOKEN": "xapp-none",
        "SIGNING_KEY": f"whsec_{'0' * 32}",
    }
    return {
        name: next((value for end, value in forms.items() if name.endswith(end)), f"{number:032}")
        for number, name in enumerate(re.findall(r"\$\{([A-Z_]+)\}", text))
    }


def test_commands_in_the_pages_exist() -> None:
    """Every call of `forwarder` that a page shows names a command, and options that it has."""
    shown = [line[2:] for one in fences("console") for line in one.text.splitlines() if line.startswith("$ forwarder ")]
    for path in DOCS.glob("*.md"):
        shown += re.findall(r"`(forwarder [a-z][^`]*)`", path.read_text("utf-8"))
    assert len(shown) > 40
    context = click.Context(group)
    for line in shown:
        words = shlex.split(line.replace("\n", " "))
        command = group if words[1].startswith("-") else group.get_command(context, words[1])
        assert command, line
        known = {name for option in command.params for name in option.opts} | {"-h", "--help"}
        assert {word for word in words[1:] if re.match(r"--?[a-z]", word)} <= known, line


# The connector of the page that teaches how to write one


class Receiver(ThreadingHTTPServer):
    """Takes whatever is posted, and keeps it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_HEAD(self) -> None:
        self.send_response(204)
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.headers["Idempotency-Key"], json.loads(body)))
        self.do_HEAD()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@dataclass(frozen=True, kw_only=True)
class Package:
    """The package that the page lays out: its source, and where it is installed."""

    source: Path
    installed: Path

    def run(self, *args: str | Path, cwd: Path, **env: str) -> str:
        """What a program prints that finds the package as if it were installed beside the forwarder."""
        done = subprocess.run(
            args,
            cwd=cwd,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join((str(self.installed), str(ROOT))),
                "PYTHONDONTWRITEBYTECODE": "1",
                **env,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    made = Package(source=tmp_path_factory.mktemp("source"), installed=tmp_path_factory.mktemp("installed"))
    for fence in (*fences("toml"), *fences("python")):
        path = made.source / fence.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(fence.text, "utf-8")
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    target = ("--target", made.installed)
    made.run(sys.executable, "-m", "pip", "install", *options, *target, made.source, cwd=made.source)
    return made


def test_the_connector_of_the_page_passes_its_own_tests(package: Package) -> None:
    """The tests that the page shows run, the whole contract among them, with warnings as errors, and pass."""
    said = package.run(
        *(sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "tests"), cwd=package.source
    )
    assert (passed := re.search(r"(\d+) passed", said))
    assert int(passed[1]) > 70


def test_the_package_that_is_written_is_that_of_the_page() -> None:
    """What ``python -m forwarder.new_connector`` writes is what the page shows, under another name."""
    page = {fence.title: fence.text for fence in (*fences("toml"), *fences("python"))}
    assert written("intake") == page
    named = written("acme-chat2")
    assert set(named) == {"pyproject.toml", "src/forwarder_acme_chat2/__init__.py", "tests/test_acme_chat2.py"}
    assert not any("intake" in text.lower() for text in named.values())
    assert 'acme-chat2 = "forwarder_acme_chat2:AcmeChat2"' in named["pyproject.toml"]


def test_the_connector_of_the_page_keeps_to_the_form(package: Package) -> None:
    """The code that the page shows keeps to the rules of this project's own code."""
    rules = ("--no-cache", "--config", ROOT / "pyproject.toml")
    package.run(BIN / "ruff", "check", *rules, "src", cwd=package.source)
    package.run(BIN / "ruff", "format", "--check", *rules, ".", cwd=package.source)


def test_the_connector_of_the_page_delivers(
    package: Package, sandbox: Sandbox, receiver: Receiver, tmp_path: Path
) -> None:
    """Installed, it is found by its type; the commands work with it, and each alert is posted once."""
    (shown,) = [yaml.safe_load(one.text) for one in fences("yaml") if "writing" in one.page]
    shown["sentrytex"] |= {"base_url": sandbox.sentrytex.url, "start_from": "2020-01-01"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(shown), "utf-8")
    address = f"http://127.0.0.1:{receiver.server_port}/hook/not-a-real-secret"

    def forwarder(*args: str) -> str:
        said = package.run(
            BIN / "forwarder", *args, cwd=tmp_path, SENTRYTEX_API_KEY=sandbox.sentrytex.token, INTAKE_URL=address
        )
        assert "not-a-real-secret" not in said
        return said

    assert '"intake"' in forwarder("schema")
    assert "ok   hook" in forwarder("check", "--live")
    assert "Log4Shell" in forwarder("preview", "hook")
    assert "arrived" in forwarder("test", "hook")
    assert [body["kind"] for _, body in receiver.got] == ["open", "withdraw"]
    receiver.got.clear()
    sandbox.sentrytex.publish(*(alert_json(id=f"alert-{number}") for number in range(3)))
    forwarder("once")
    forwarder("once")
    assert sorted(key for key, _ in receiver.got) == [f"alert-{number}/open/1" for number in range(3)]
