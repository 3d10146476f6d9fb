"""The config: read, checked all at once, shown without secrets, and described by its schema."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from forwarder.alert import Severity
from forwarder.config import ConfigError, Listen, advice, dump, json_schema, load, secrets_of
from forwarder.plugins import PluginError, connector_types, load_type
from tests.config.conftest import MINIMAL, Load, Problems

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
EXAMPLE_ENV = {
    "SENTRYTEX_API_KEY": "vk_not_a_real_key",
    "SLACK_BOT_TOKEN": "xoxb-not-a-real-token",
    "PAGERDUTY_ROUTING_KEY": "not-a-real-routing-key-32-chars!",
    "JIRA_API_TOKEN": "not-a-real-jira-token",
}


def with_line(line: str, section: str = "sentrytex") -> str:
    """The minimal config with one more line in a section of its own or in an old one."""
    if f"{section}:\n" in MINIMAL:
        return MINIMAL.replace(f"{section}:\n", f"{section}:\n  {line}\n", 1)
    return MINIMAL + f"{section}:\n  {line}\n"


# --- what a good config comes to ---------------------------------------------------------------------------------


def test_the_example_loads() -> None:
    """The example that people copy is a config, as soon as its four variables are set."""
    config = load(EXAMPLE, EXAMPLE_ENV)
    assert list(config.connectors) == ["secops", "oncall", "tickets"]
    assert [route.to for route in config.routes] == [
        ("oncall", "tickets", "secops"),
        ("oncall",),
        ("tickets", "secops"),
    ]
    assert config.routes[1].cisa_kev is True
    assert config.routes[2].severity == (Severity.HIGH, Severity.MEDIUM)
    assert config.alarms.to == ("secops", "oncall")
    assert advice(config) == []


def test_the_example_needs_nothing_but_its_variables() -> None:
    """Without variables the example has just one problem for each of them."""
    with pytest.raises(ConfigError) as caught:
        load(EXAMPLE, {})
    assert sorted(problem.message for problem in caught.value.problems) == sorted(
        f"the variable {name} is not set" for name in EXAMPLE_ENV
    )


def test_every_key_is_in_the_example() -> None:
    """Whoever reads the example has seen every key of the file's own sections."""
    text = EXAMPLE.read_text("utf-8")
    schema = json_schema()
    own = (
        *("SentrytexConfig", "Route", "Schedule", "Mute", "Reminder", "Report", "Recurring"),
        *("WebConfig", "AlarmsConfig", "HeartbeatConfig", "LogConfig"),
    )
    keys = {key for name in own for key in schema["$defs"][name]["properties"]} | schema["properties"].keys()
    assert [key for key in sorted(keys) if key not in text] == []


def test_nothing_keeps_the_parser_once_it_is_forgotten(tmp_path: Path) -> None:
    """A daemon has read its config then; the next reading imports the parser anew, and tells mistakes as before."""
    written = tmp_path / "config.yaml"
    written.write_text(MINIMAL.replace("type: pigeon, ring: not-a-real-ring", "type: console"), "utf-8")
    code = f"""
import gc, sys, types, warnings
from forwarder.config import ConfigError, load
from forwarder.config.document import forget_reader
for _ in range(2):
    load({str(written)!r}, env={{}})
    forget_reader()
    gc.collect()
    modules = [one.__name__ for one in gc.get_objects() if isinstance(one, types.ModuleType)]
    print([name for name in modules if name.startswith("ruamel")], len(warnings.filters))
open({str(written)!r}, "a").write("web: 'on")
try:
    load({str(written)!r}, env={{}})
except ConfigError as error:
    print(error.problems[0].message)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second, told = ran.stdout.splitlines()
    assert first == second
    assert first.startswith("['ruamel.yaml.error'] ")
    assert told == "a quote is opened and not closed"


def test_defaults(loaded: Load, tmp_path: Path) -> None:
    """A config of three keys has the documented defaults, and its database beside the file."""
    config = loaded(MINIMAL)
    assert config.database == tmp_path / "forwarder.db"
    assert config.keep == timedelta(days=400)
    assert config.sentrytex.base_url == "https://www.sentrytex.com/api/v1"
    assert config.sentrytex.poll_every == timedelta(seconds=30)
    assert config.sentrytex.overlap == timedelta(hours=2)
    assert config.sentrytex.start_from == timedelta(hours=24)
    assert config.sentrytex.sweep_every == timedelta(minutes=15)
    assert config.sentrytex.look_back == timedelta(days=7)
    assert config.web.listen == Listen(host="127.0.0.1", port=8585)
    assert (config.web.token, config.web.public_hosts, config.alarms.to, config.heartbeat.url) == (None, (), (), None)
    assert (config.log.level, config.log.format) == ("info", "auto")


def test_null_section_is_all_defaults(loaded: Load) -> None:
    """A section whose keys are all commented out is as good as none."""
    text = MINIMAL + "web:\nalarms:\n  # to: [post]\nheartbeat:\nlog:\n"
    assert loaded(text) == loaded(MINIMAL)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("now", "now"),
        ("36h", timedelta(hours=36)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ('"2026-01-31"', datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_start_from(loaded: Load, written: str, meant: object) -> None:
    """The first start begins now, a duration back, or at a date, which is in UTC where it names no zone."""
    assert loaded(with_line(f"start_from: {written}")).sentrytex.start_from == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"off"', None),
        ("off", None),
        ("false", None),
        ("localhost:0", Listen(host="localhost", port=0)),
        ('"[::1]:8585"', Listen(host="::1", port=8585)),
    ],
)
def test_listen(loaded: Load, written: str, meant: Listen | None) -> None:
    """The page listens at a host and a port, or not at all, which YAML may write as false."""
    assert loaded(with_line(f"listen: {written}", "web")).web.listen == meant


def test_listen_beyond_this_machine_with_a_token(loaded: Load) -> None:
    """An address that others reach is allowed as soon as they must show a token."""
    config = loaded(MINIMAL + "web: {listen: '0.0.0.0:8585', token: not-a-real-token-at-all}")
    assert config.web.listen == Listen(host="0.0.0.0", port=8585)


def test_conditions_may_stand_without_a_list(loaded: Load) -> None:
    """One severity, vendor, type or CVE needs no brackets around it."""
    text = MINIMAL + "    severity: high\n    vendors: aws-*\n    alert_type: cve\n    cve_id: CVE-2026-*\n"
    route = loaded(text).routes[0]
    assert (route.severity, route.vendors, route.alert_type, route.cve_id, route.to) == (
        (Severity.HIGH,),
        ("aws-*",),
        ("cve",),
        ("CVE-2026-*",),
        ("post",),
    )


def test_colour_is_color(loaded: Load) -> None:
    """Both spellings of colour are understood."""
    assert loaded(with_line("format: colour", "log")).log.format == "color"


def test_anchors_and_merges(loaded: Load) -> None:
    """A connector can take its keys from another one and change some; an anchor's name can be used again."""
    config = loaded("""\
        sentrytex: &one {api_key: vk_not_a_real_key}
        connectors:
          one: &one {type: pigeon, ring: not-a-real-ring, loft: barn}
          two:
            <<: *one
            loft: tower
        routes: [{to: [one, two]}]
    """)
    shown = dump(config)["connectors"]
    assert (shown["one"]["loft"], shown["two"]["loft"], shown["two"]["ring"]) == ("barn", "tower", "**********")


# --- variables and secret files ------------------------------------------------------------------------------------


def test_variables_and_files(loaded: Load, tmp_path: Path) -> None:
    """Values come from variables, from defaults and from files beside the config, alone or within a longer text."""
    (tmp_path / "key").write_text("vk_from_a_file\n")
    config = loaded(
        """\
        sentrytex:
          api_key: ${file:key}
          poll_every: ${POLL:-45s}
          overlap: ${OVERLAP:-45s}
          base_url: https://${HOST}/${VERSION:-v1}
        keep: ${KEEP}
        connectors: {post: {type: pigeon, ring: "$$1 ${HOST} ${RAW} $5"}}
        routes: [{to: post, min_epss: "${EPSS}", cisa_kev: "${KEV}"}]
        """,
        {"HOST": "api.example.com", "KEEP": "30d", "RAW": "${HOST}", "OVERLAP": "1h", "EPSS": "0.25", "KEV": "true"},
    )
    assert config.sentrytex.keys["default"] == "vk_from_a_file"
    assert config.sentrytex.poll_every == timedelta(seconds=45)
    assert config.sentrytex.overlap == timedelta(hours=1)
    assert config.sentrytex.base_url == "https://api.example.com/v1"
    assert config.keep == timedelta(days=30)
    assert (config.routes[0].min_epss, config.routes[0].cisa_kev) == (0.25, True)
    assert "$1 api.example.com ${HOST} $5" in secrets_of(config)


def test_what_is_missing_outside(problems: Problems, tmp_path: Path) -> None:
    """A variable or file that is not there is named with the reason, and its key is not blamed a second time."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    text = """\
        sentrytex:
          api_key: ${NOT_SET}
          poll_every: ${EMPTY}
          overlap: ${file:nowhere}
          base_url: ${file:.}
          look_back: ${file:empty}
          sweep_every: ${file:binary}
        keep: ${not-a-name}
        connectors: {post: {type: pigeon, ring: ${UNSET_TOO}}}
        routes: [{to: "${NOT_SET}"}]
    """.replace("${UNSET_TOO}", '"${UNSET_TOO}"')
    assert problems(text, {"EMPTY": ""}) == [
        "config.yaml:2: sentrytex.api_key: the variable NOT_SET is not set",
        "config.yaml:3: sentrytex.poll_every: the variable EMPTY is empty: set it, or write ${EMPTY:-} "
        "if it may be empty",
        "config.yaml:4: sentrytex.overlap: the file nowhere cannot be read: no such file or directory",
        "config.yaml:5: sentrytex.base_url: the file . cannot be read: is a directory",
        "config.yaml:6: sentrytex.look_back: the file empty is empty",
        "config.yaml:7: sentrytex.sweep_every: the file binary cannot be read: it is not UTF-8 text",
        "config.yaml:8: keep: contains a ${ without a variable name: write ${NAME}, or $$ for a plain $",
        "config.yaml:9: connectors.post.ring: the variable UNSET_TOO is not set",
        "config.yaml:10: routes[0].to: the variable NOT_SET is not set",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_secret_file_that_may_not_be_read(problems: Problems, tmp_path: Path) -> None:
    """A secret file of another user is told as such."""
    (tmp_path / "key").write_text("vk_not_a_real_key")
    (tmp_path / "key").chmod(0)
    found = problems(MINIMAL.replace("vk_not_a_real_key", "${file:key}"))
    assert found == ["config.yaml:2: sentrytex.api_key: the file key cannot be read: permission denied"]


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("nowhere.pem", "no such file or directory"),
        ("config.yaml", "it holds no certificate in PEM form"),
    ],
)
def test_authorities_that_cannot_be_read(tmp_path: Path, name: str, file: str, reason: str) -> None:
    """No client is left to stumble over a file of authorities, each in a way of its own."""
    path = tmp_path / "config.yaml"
    path.write_text(MINIMAL)
    with pytest.raises(ConfigError) as error:
        load(path, {name: str(tmp_path / file)})
    assert str(error.value) == f"{name}: the file {tmp_path / file} cannot be read: {reason}"


def test_authorities_in_a_folder(tmp_path: Path) -> None:
    """A folder is what requests takes, and OpenSSL does not."""
    path = tmp_path / "config.yaml"
    path.write_text(MINIMAL)
    assert load(path, {"REQUESTS_CA_BUNDLE": str(tmp_path)}).connectors
    with pytest.raises(ConfigError, match="is a directory"):
        load(path, {"SSL_CERT_FILE": str(tmp_path)})


# --- everything that is wrong, at once -----------------------------------------------------------------------------


def test_all_problems_at_once(problems: Problems) -> None:
    """Every mistake is reported once, with its line, the path of its key and the way out, in the order of the file."""
    text = """\
        sentrytex:
          api_key: ""
          pol_every: 10s
          overlap: 30
          start_from: yesterday
          look_back: 30d
        keep: 10d
        connector: {}
        connectors:
          post: {type: pigeon, rin: not-a-real-ring, loft: ab, speed: fats, size: [1], concurrency: 0}
          "bad name": {type: pigeon, ring: not-a-real-ring}
          mail: {type: pidgeon}
          fax: {ring: x}
          bell: ring
          sick: {type: sick}
          stuffed: {type: stuffed}
        routes:
          - severity: [critcal, high]
            to: [pots, mail]
          - severity: []
            min_epss: 10
            min_cvss: a lot
            cisa_kev: perhaps
          - vendor: github
            to: []
          - to
        web: {listen: "0.0.0.0:8585"}
        alarms: {to: psot}
        heartbeat: {url: "http://ping.example.com/secret"}
        log: {level: infos, format: [json]}
    """
    known = "apprise, console, email, github, jira, jsm, pagerduty, pigeon, sick, slack, stuffed, teams, webhook"
    assert problems(text) == [
        "config.yaml:2: sentrytex.api_key: must not be empty",
        "config.yaml:3: sentrytex.pol_every: unknown key (did you mean poll_every?)",
        "config.yaml:4: sentrytex.overlap: must be a duration such as 30s or 2h",
        'config.yaml:5: sentrytex.start_from: must be "now", a duration back such as 24h, or an ISO date '
        "such as 2026-01-31",
        "config.yaml:8: connector: unknown key (did you mean connectors?)",
        "config.yaml:10: connectors.post.concurrency: must be at least 1",
        "config.yaml:10: connectors.post.loft: must have at least 3 characters",
        "config.yaml:10: connectors.post.rin: unknown key (did you mean ring?)",
        "config.yaml:10: connectors.post.size: must be a whole number or a number",
        "config.yaml:10: connectors.post.speed: must be slow or fast (did you mean fast?)",
        "config.yaml:11: connectors.bad name: a connector's name has 1 to 64 letters, digits, - and _",
        "config.yaml:12: connectors.mail.type: no connector of this type is installed; "
        f"installed types: {known} (did you mean pigeon?)",
        f"config.yaml:13: connectors.fax.type: is missing; installed types: {known}",
        "config.yaml:14: connectors.bell: must be a section with a type and its keys",
        "config.yaml:15: connectors.sick.type: the connector type sick of the package pigeon-post cannot be loaded: "
        "RuntimeError: no wings",
        "config.yaml:16: connectors.stuffed.type: the connector type stuffed of the package pigeon-post is not a "
        "Connector: stuffed_pigeon:Stuffed must name a subclass of it",
        "config.yaml:18: routes[0].severity[0]: must be critical, high, medium or low (did you mean critical?)",
        "config.yaml:19: routes[0].to[0]: no connector is named 'pots' (did you mean post?)",
        "config.yaml:20: routes[1].severity: must not be an empty list: omit the key if it does not matter",
        "config.yaml:20: routes[1].to: is missing",
        "config.yaml:21: routes[1].min_epss: must be at most 1",
        "config.yaml:22: routes[1].min_cvss: must be a number",
        "config.yaml:23: routes[1].cisa_kev: must be true or false",
        "config.yaml:24: routes[2].vendor: unknown key (did you mean vendors?)",
        "config.yaml:25: routes[2].to: must not be an empty list: omit the key if it does not matter",
        "config.yaml:26: routes[3]: must be a section with keys of its own",
        "config.yaml:27: web.listen: this address can be reached from other machines: set web.token as well",
        "config.yaml:28: alarms.to: no connector is named 'psot' (did you mean post?)",
        "config.yaml:29: heartbeat.url: must begin with https://: plain http is allowed to this machine (127.0.0.1) "
        "only",
        "config.yaml:30: log.format: must be auto, color or json",
        "config.yaml:30: log.level: must be debug, info, warning or error (did you mean info?)",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "",
            [
                "connectors: must name at least one connector: without one there is nowhere to send alerts",
                "routes: must be a list of at least one route, or no alert is sent anywhere",
                "sentrytex.api_key: is missing",
            ],
        ),
        ("- a\n- b", ["must be a section with keys such as sentrytex, connectors and routes"]),
        ("a: *hunter2", ["a value that begins with * must be in quotes"]),
        ("a: @x", ["a value that begins with @ must be in quotes"]),
        ("a: `x", ["a value that begins with ` must be in quotes"]),
        ("a: %x", ["a value that begins with % must be in quotes"]),
        (
            "a: &hunter2 &x b",
            ["cannot be read as YAML: while parsing a block mapping expected <block end>, but found '<anchor>'"],
        ),
        ("a: \x01", ["contains a character not allowed in YAML"]),
    ],
)
def test_a_file_that_says_nothing(problems: Problems, text: str, expected: list[str]) -> None:
    """An empty file lacks what every config needs; a file that is no YAML has just that problem."""
    assert problems(text) == [f"config.yaml:1: {line}" for line in expected]


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("a: b\nc: [1,\nd: e\n", 2, "a [ is opened and not closed with ]"),
        ("a: b\nc: {d: e\nf: g\n", 2, "a { is opened and not closed with }"),
        ('a: b\nc: "d\ne: f\n', 2, "a quote is opened and not closed"),
        ("a: b\nc\nd: e\n", 3, "a key needs a colon and a blank after it"),
        ("a: b: c\n", 1, "has a colon where none may be"),
        ("a:\n  b: c\n d: e\n", 3, "is indented neither as the lines before it nor as their section"),
        ("a:\n  - b\n - c\n", 3, "is indented neither as the lines before it"),
        ("a: b\n---\nc: d\n", 2, "begins a second document: leave out the line ---"),
    ],
)
def test_what_is_no_yaml_is_told_in_words(problems: Problems, text: str, line: int, expected: str) -> None:
    """What it is and what to do about it, of the line where it is; the parser's own words are none."""
    (told,) = problems(text)
    assert told.startswith(f"config.yaml:{line}: {expected}")


def test_a_tab_is_called_a_tab(problems: Problems) -> None:
    """YAML's own words for it name neither the tab nor what to do."""
    told = "config.yaml:2: contains a tab where YAML wants blanks: indent with blanks"
    assert problems("sentrytex:\n\tapi_key: x\n") == [told]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("poll_every: 500ms", "poll_every: must be at least 1s: the API allows 100 requests a minute"),
        ("sweep_every: 500ms", "sweep_every: must be at least 1s"),
        ("look_back: 0s", "look_back: must be at least 1s"),
        ("look_back: 9999w", "look_back: must be at most 3653d"),
        ("overlap: -2h", "overlap: must be a duration such as 30s, 15m, 2h or 7d"),
        ("start_from: 12", 'start_from: must be "now", a duration back such as 24h, or an ISO date such as 2026-01-31'),
        ("start_from: 99999w", 'start_from: must be "now", a duration back such as 24h, or an ISO date'),
        ("base_url: ftp://example.com", "base_url: must be an address that begins with https://"),
        ("base_url: https://", "base_url: must be an address that begins with https://"),
        ("base_url: http://example.com", "base_url: must begin with https://: plain http is allowed to this machine"),
        ("base_url: https://me:word@example.com", "base_url: must not contain a user name or a password"),
        ("base_url: https://example.com?a=b", "base_url: must not have a part after ? or #"),
        ("base_url: https://[x", "base_url: is no valid address"),
        ("overlap: !secret 1h", "overlap: has an unknown tag"),
        ("overlap: &a [*a]", "overlap[0]: refers to itself"),
        ("overlap: !!int x", "overlap: is not a valid value for its tag"),
        ("? [a]\n  : b", "?: a key must be text"),
        ("<<: 5", "<<: must refer to a section whose keys to merge"),
    ],
)
def test_values_of_the_feed(problems: Problems, line: str, expected: str) -> None:
    """An impossible value is refused with its bounds and the reason."""
    found = problems(with_line(line))
    assert [problem[: len("config.yaml:2: sentrytex.") + len(expected)] for problem in found] == [
        f"config.yaml:2: sentrytex.{expected}"
    ]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://localhost:9/api/", "http://[::1]:9"])
def test_plain_http_to_this_machine(loaded: Load, address: str) -> None:
    """Stand-ins on this machine are reached in plain http."""
    assert loaded(with_line(f"base_url: '{address}'")).sentrytex.base_url == address.rstrip("/")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("listen: 8585", 'listen: must be an address and a port such as 127.0.0.1:8585, or "off"'),
        ("listen: 127.0.0.1:70000", 'listen: must be an address and a port such as 127.0.0.1:8585, or "off"'),
        ("listen:", 'listen: must be an address and a port such as 127.0.0.1:8585, or "off"'),
        ("token: short", "token: must have at least 16 characters (openssl rand -hex 16 makes a good one)"),
        ("token: two words are too many here", "token: must be one word of plain letters, digits and signs"),
        (
            "public_hosts: https://example.com",
            "public_hosts: must be a host name such as alerts.example.com, without https://",
        ),
    ],
)
def test_values_of_the_page(problems: Problems, line: str, expected: str) -> None:
    """What the page cannot listen at, or be guarded with, is refused."""
    assert problems(with_line(line, "web")) == [f"config.yaml:8: web.{expected}"]


@pytest.mark.parametrize("hosts", ["alerts.example.com", "[alerts.example.com, forwarder]", "localhost"])
def test_public_hosts_require_a_token(problems: Problems, loaded: Load, hosts: str) -> None:
    """Whoever reaches a proxy in front would otherwise read and change everything; without a page nobody can."""
    with_hosts = with_line(f"public_hosts: {hosts}", "web")
    assert problems(with_hosts) == [
        "config.yaml:8: web.public_hosts: whoever reaches the page under these names could read and change everything: "
        "set web.token as well"
    ]
    assert loaded(f"{with_hosts}  token: 0123456789abcdef\n").web.public_hosts
    assert loaded(f"{with_hosts}  listen: 'off'\n").web.public_hosts


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/forwarder", "/forwarder"),
        ("/forwarder/", "/forwarder"),
        ("/ops/alerts", "/ops/alerts"),
        ("/a.b-c_d~1", "/a.b-c_d~1"),
        ("/", ""),
        ("''", ""),
    ],
)
def test_a_base_path(loaded: Load, given: str, path: str) -> None:
    """It stands with or without a slash at its end; the root is none."""
    assert loaded(with_line(f"base_path: {given}", "web")).web.base_path == path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *(
            (given, "must be a path such as /forwarder")
            for given in ("forwarder", "//forwarder", "/a//b", "/a/../b", "/.", "/a b", "/a%2Fb", "/é", "https://a/b")
        ),
        *(("/a?b", "must be a path such as /forwarder"), ("'/a#b'", "must be a path such as /forwarder")),
        ("/alerts", "must not begin with /alerts, which is an address of the page itself"),
        ("/static/x", "must not begin with /static, which is an address of the page itself"),
    ],
)
def test_a_base_path_that_cannot_be(problems: Problems, given: str, expected: str) -> None:
    """What is no path is refused, and so is one that nobody could tell from an address of the page itself."""
    assert problems(with_line(f"base_path: {given}", "web")) == [f"config.yaml:8: web.base_path: {expected}"]


def test_keep_is_as_long_as_the_feed_is_read(problems: Problems) -> None:
    """Ids that are forgotten while the feed still shows them would be sent twice."""
    why = "alerts forgotten while the feed still shows them would go out twice"
    assert problems(MINIMAL + "keep: 6d\n") == [
        f"config.yaml:7: keep: must be at least 7d, as long as look_back: {why}"
    ]
    assert problems(with_line("overlap: 500d")) == [
        f"config.yaml:2: sentrytex.overlap: must be at most 400d, as long as keep: {why}"
    ]


@pytest.mark.parametrize("repeated", ["[{0}]", "{{<<: [{0}]}}"], ids=["lists", "merges"])
def test_what_repeats_itself_without_end_is_refused(problems: Problems, repeated: str) -> None:
    """A few lines that stand for billions of values take neither the memory nor the minutes for them."""
    nested = "".join(
        f"{name}: &{name} {repeated.format(', '.join([f'*{of}'] * 20))}\n"
        for of, name in itertools.pairwise("abcdefgh")
    )
    (told,) = problems(f"a: &a {{x: 1}}\n{nested}")
    assert "has more than 200,000 keys and values, with all that * and << repeat" in told


def test_an_address_in_place_of_a_name_is_not_shown(problems: Problems) -> None:
    """Whoever writes a webhook's address where its connector's name belongs reads no secret of it in the log."""
    (told,) = problems(MINIMAL + "alarms: {to: [https://hooks.example.com/services/hidden]}\n")
    assert told == "config.yaml:7: alarms.to[0]: no connector has this name"


@pytest.mark.parametrize("key", ["headers", "signing_key", "url"])
def test_half_a_character_is_a_mistake(problems: Problems, key: str) -> None:
    """YAML can write one, and nothing can be sent that holds it; it is no unexpected error."""
    hook = {"url": "https://example.com/", "signing_key": f"whsec_{'A' * 32}", key: "\ud800"}
    told = problems(
        MINIMAL.replace("connectors:\n", f"connectors:\n  hook: {json.dumps({'type': 'webhook', **hook})}\n")
    )
    assert told == [
        f"config.yaml:4: connectors.hook.{key}: holds half a character (\\ud800 to \\udfff), which stands in no text"
    ]


def test_a_key_or_a_name_makes_no_line_of_its_own(problems: Problems) -> None:
    """Nor does it move a terminal's cursor, or fill the screen."""
    told = problems(MINIMAL + f'"a\\nb\\e[31m": 1\n"{"k" * 500}": 2\nalarms: {{to: ["x\\ny"]}}\n')
    assert [len(one) < 500 and one.isprintable() for one in told] == [True] * 3


def test_duplicate_keys(problems: Problems) -> None:
    """A key that stands twice is refused, with both lines, and the rest of the file is checked all the same."""
    assert problems(MINIMAL + "keep: 400d\nkeep: 500d\nlogs: {}\n") == [
        "config.yaml:8: keep: is set twice, on lines 7 and 8",
        "config.yaml:9: logs: unknown key (did you mean log?)",
    ]


def test_models_of_other_packages(problems: Problems) -> None:
    """A rule of another package's model is told at its connector, without the secret that its sentence quotes."""
    assert problems(MINIMAL.replace("not-a-real-ring", "not-a-real-ring, loft: nowhere")) == [
        "config.yaml:4: connectors.post: the ring [secret] fits no loft"
    ]


def test_our_own_words_stay_readable(problems: Problems) -> None:
    """A variable's value that is also one of our words does not blot the choices out."""
    text = MINIMAL.replace("ring:", "loft: '${SPEED}', speed: '${SPEED}x', ring:")
    assert problems(text, {"SPEED": "fast"}) == [
        "config.yaml:4: connectors.post.speed: must be slow or fast (did you mean fast?)"
    ]


def test_templates_are_tried(problems: Problems) -> None:
    """A template that cannot work for every alert is a problem of its own line."""
    text = """\
        sentrytex: {api_key: vk_not_a_real_key}
        connectors:
          post:
            type: pigeon
            ring: not-a-real-ring
            templates:
              title: "{{ alert.titel }}"
              text: "{% if %}"
              txet: x
          mail:
            type: pigeon
            ring: not-a-real-ring
            templates:
              title: "{{ alert.titel }}"
              text: "{% if %}"
        routes: [{to: post}]
    """
    assert problems(text) == [
        "config.yaml:9: connectors.post.templates.txet: unknown key (did you mean text?)",
        "config.yaml:14: connectors.mail.templates.title: fails for an alert with every field, as an open: "
        "'forwarder.alert.Alert object' has no attribute 'titel'",
        "config.yaml:15: connectors.mail.templates.text: is no template that can be used: line 1 of the template: "
        "Expected an expression, got 'end of statement block'",
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is told in one sentence, by the name it was given."""
    with pytest.raises(ConfigError, match=r"^nowhere/config\.yaml: no such file or directory$"):
        load("nowhere/config.yaml", {})
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    with pytest.raises(ConfigError, match=r"latin\.yaml: is not UTF-8 text$"):
        load(tmp_path / "latin.yaml", {})


# --- no secret leaves it -------------------------------------------------------------------------------------------

HIDDEN = "hunter2hunter2"


@pytest.mark.parametrize(
    "wrong",
    [
        *(f"sentrytex: {{{key}: {HIDDEN}}}" for key in ("poll_every", "base_url", "start_from", "nokey")),
        *(f"routes: [{{{key}: {HIDDEN}}}]" for key in ("severity", "cisa_kev", "min_epss", "stop")),
        *(f"web: {{{key}: '{HIDDEN} {HIDDEN}'}}" for key in ("listen", "token", "public_hosts")),
        *(f"connectors: {{a: {{type: pigeon, ring: x, {key}: {HIDDEN}}}}}" for key in ("speed", "size", "timeout")),
        f"connectors: {{a: {{type: {HIDDEN}}}}}",
        f"heartbeat: {{url: 'ftp://{HIDDEN}'}}",
        f"log: {HIDDEN}",
        f"database: [{HIDDEN}]",
        f"a: *{HIDDEN}",
        f"a: !{HIDDEN} b",
        f"a: '{HIDDEN}",
        f"a: {HIDDEN}: b",
        f"%{HIDDEN}\n---\na: b",
        f"a: !{HIDDEN}!b c",
    ],
)
@pytest.mark.parametrize("from_outside", [False, True])
def test_no_value_is_shown(problems: Problems, wrong: str, from_outside: bool) -> None:
    """No problem shows a value, wherever it stands and wherever it came from: it may be a secret at the wrong key."""
    env = {"HIDDEN": HIDDEN}
    if from_outside:
        wrong = wrong.replace(f" {HIDDEN}", ' "${HIDDEN}"') if "'" not in wrong else wrong.replace(HIDDEN, "${HIDDEN}")
    assert HIDDEN not in "\n".join(problems(wrong, env))


def test_the_name_in_to_that_came_from_outside_is_not_shown(problems: Problems) -> None:
    """An unknown connector's name is shown, unless a variable brought it."""
    found = problems(MINIMAL.replace("to: post", 'to: ["${TOKEN}", mail]'), {"TOKEN": HIDDEN})
    assert found == [
        "config.yaml:6: routes[0].to[0]: no connector has this name",
        "config.yaml:6: routes[0].to[1]: no connector is named 'mail'",
    ]


def test_dump_and_secrets(loaded: Load) -> None:
    """A config is shown in the words of the file, with every secret masked; all secrets are known for blotting out."""
    config = loaded(
        MINIMAL
        + "heartbeat: {url: https://ping.example.com/not-a-real-check}\n"
        + "web: {listen: off, token: not-a-real-web-token}\n"
    )
    assert secrets_of(config) == {
        "vk_not_a_real_key",
        "not-a-real-ring",
        "https://ping.example.com/not-a-real-check",
        "not-a-real-web-token",
    }
    shown = dump(config)
    for text in (json.dumps(shown), repr(config), str(config)):
        assert [secret for secret in secrets_of(config) if secret in text] == []
    assert shown["sentrytex"]["api_key"] == "**********"
    assert shown["sentrytex"]["poll_every"] == "30s"
    assert shown["web"]["listen"] == "off"
    assert shown["connectors"]["post"]["give_up_after"] == "3d"
    assert shown["routes"][0]["to"] == ["post"]


def test_a_database_that_is_a_folder(problems: Problems, tmp_path: Path) -> None:
    """It is told with its line, not when the store is opened."""
    (tmp_path / "state").mkdir()
    told = "config.yaml:7: database: is a folder: name a file in it, such as forwarder.db"
    assert problems(MINIMAL + "database: state\n") == [told]


# --- the schema ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The schema, as an editor would read it."""
    return dict(json.loads(json.dumps(json_schema())))


def told(schema: dict[str, Any], text: str) -> list[str]:
    """What a schema's user would be told of a text."""
    return [error.message for error in Draft202012Validator(schema).iter_errors(YAML(typ="safe").load(text))]


def test_the_schema_accepts_what_loads(schema: dict[str, Any]) -> None:
    """The schema is one, and finds nothing wrong with the example or with variables at any key."""
    Draft202012Validator.check_schema(schema)
    assert told(schema, EXAMPLE.read_text("utf-8")) == []
    assert told(schema, MINIMAL) == []
    wide = with_line("poll_every: ${A}") + (
        "    severity: [high, '${B}']\n    min_epss: ${C}\n    cisa_kev: ${D}\nlog: {level: '${E}'}\nweb:\nheartbeat:\n"
    )
    assert told(schema, wide) == []
    silent = EXAMPLE.read_text("utf-8").replace("sync_every: 1m", "sync_every: off")
    assert told(schema, silent.replace("evidence: true", "evidence: false")) == []


@pytest.mark.parametrize(
    "text",
    [
        with_line("poll_evry: 10s"),
        with_line("poll_every: 10"),
        with_line("level: loud", "log"),
        MINIMAL.replace("type: pigeon, ", ""),
        MINIMAL.replace("pigeon", "dodo"),
        MINIMAL.replace("ring:", "rong:"),
        MINIMAL.replace("  post:", "  p o s t:"),
        MINIMAL.replace("- to: post", "- severity: high"),
        MINIMAL.replace("- to: post", "- {to: post, min_cvss: 11}"),
        MINIMAL.replace("vk_not_a_real_key", "1"),
        "sentrytex: {api_key: x}",
    ],
)
def test_the_schema_refuses_what_does_not_load(schema: dict[str, Any], problems: Problems, text: str) -> None:
    """What an editor underlines is what the forwarder refuses."""
    assert told(schema, text) != []
    assert problems(text) != []


def test_the_schema_names_the_typo(schema: dict[str, Any]) -> None:
    """And not that the section fits none of the types."""
    assert told(schema, MINIMAL.replace("ring:", "rong:")) == [
        "Additional properties are not allowed ('rong' was unexpected)",
        "'ring' is a required property",
    ]


def test_the_schema_wants_a_channel_for_a_token(schema: dict[str, Any]) -> None:
    """A webhook brings its own."""
    for keys, wrong in {
        "token: x": 1,
        "token: x, channel: '#a'": 0,
        "webhook_url: x": 0,
        "channel: '#a'": 1,
    }.items():
        text = MINIMAL.replace("{type: pigeon, ring: not-a-real-ring}", f"{{type: slack, {keys}}}")
        assert len(told(schema, text)) == wrong, keys


def test_every_key_is_described(schema: dict[str, Any]) -> None:
    """Every key of every section and of every connector type of ours says what it is."""
    definitions = {name: part for name, part in schema["$defs"].items() if not name.startswith(("pigeon", "sick"))}
    parts = [schema, *definitions.values()]
    named = itertools.chain.from_iterable(part.get("properties", {}).items() for part in parts)
    assert [key for key, value in named if not value.get("description")] == []


def test_a_broken_package_does_not_break_the_schema(schema: dict[str, Any]) -> None:
    """A type that cannot be loaded stands in the schema with the reason."""
    assert "cannot be loaded: RuntimeError: no wings" in schema["$defs"]["sick"]["description"]


# --- the types that are installed ----------------------------------------------------------------------------------


def test_types_are_found() -> None:
    """Our types and other packages' are listed together; a name of ours cannot be taken over."""
    assert {"slack", "pagerduty", "jira", "console", "pigeon"} <= connector_types().keys()
    assert connector_types()["console"].value == "connectors.console:Console"


def test_an_unknown_type() -> None:
    """A type that nobody installed is told with those that are."""
    with pytest.raises(PluginError, match=r"no connector type dodo is installed; known types: apprise, console, "):
        load_type("dodo")


def test_only_the_types_in_use_are_imported(loaded: Load) -> None:
    """A config that names one type leaves the modules of all others alone."""
    sys.modules.pop("stuffed_pigeon", None)
    loaded(MINIMAL)
    assert "stuffed_pigeon" not in sys.modules
