"""The command report: on the terminal what the config's reports send."""

from __future__ import annotations

import json
import time
from pathlib import Path

from click.testing import CliRunner, Result

from forwarder.cli.root import group
from forwarder.connector import Action
from forwarder.response import PAGE
from forwarder.store import Store
from forwarder.testing import alert
from tests.kit.store import deliver, enqueue

CONFIG = """\
sentrytex: { api_key: vk_not-a-real-key }
database: forwarder.db
connectors:
  secops: { type: console }
routes: [{ to: secops }]
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["report", *arguments])


def place(folder: Path) -> str:
    """A config beside a database with a critical that is open and a high that was resolved an hour after it came."""
    now = float(int(time.time()))  # whole seconds, so that nine days are no moment less
    (folder / "config.yaml").write_text(CONFIG)
    with Store.open_exclusive(folder / "forwarder.db") as store:
        for severity, age in (("critical", 7200.0), ("high", 10 * 86400.0)):
            enqueue(store, alert(id=severity, severity=severity), "secops", now=now - age)
            deliver(store, "secops", severity, now=now - age)
        store.lifecycle.respond("high", Action.RESOLVE, place=PAGE, now=now - 86400, connectors=())
    return str(folder / "config.yaml")


def test_a_report_of_the_last_week(tmp_path: Path) -> None:
    told = run("-c", place(tmp_path))
    assert told.exit_code == 0
    assert told.output.startswith("Report: 1 new, 1 open\nFrom ")
    assert "New: 1 (1 critical).\n" in told.output
    assert "Time to resolve: median 9d (high 9d).\n" in told.output


def test_a_longer_time_and_json(tmp_path: Path) -> None:
    told = json.loads(run("-c", place(tmp_path), "--since", "30d", "--json").output)
    assert (told["new"], told["open"]) == ({"critical": 1, "high": 1}, {"critical": 1})
    assert [one["id"] for one in told["longest_unresolved"]] == ["critical"]


def test_it_needs_no_config(tmp_path: Path) -> None:
    place(tmp_path)
    assert run("--database", str(tmp_path / "forwarder.db")).output.startswith("Report: 1 new")


def test_mutes_that_end_soon_are_told(tmp_path: Path) -> None:
    config = place(tmp_path)
    args = ("-c", config, "--vendor", "okta", "--for", "2d", "--reason", "patched")
    assert CliRunner().invoke(group, ["mute", *args]).exit_code == 0
    assert "Mutes that end within 7 days:\n- vendor okta: " in run("-c", config).output
    (mute,) = json.loads(run("-c", config, "--json").output)["mutes_ending"]
    assert (mute["id"], mute["reason"], mute["quiet"]) == ("1", "patched", 0)


def test_a_time_to_come_is_refused(tmp_path: Path) -> None:
    """Nothing can be reported of it."""
    place(tmp_path)
    result = run("--database", str(tmp_path / "forwarder.db"), "--since", "2999-01-01")
    assert result.exit_code == 2
    assert "2999-01-01T00:00:00Z has not passed: name an earlier time with --since, such as 7d." in result.output
