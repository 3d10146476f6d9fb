"""The status page of a real process: there while it runs, gone when it ends, and never in the way of a start."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import httpx2

from forwarder.sandbox import Sandbox
from tests.kit import core as core_kit
from tests.kit.core import PATIENCE, Process, command, until


def written(folder: Path, sandbox: Sandbox, listen: str) -> dict[str, str]:
    """Writes the sandbox's config with a page at ``listen``, and returns the environment for it."""
    core_kit.written(folder, {**core_kit.settings(sandbox), "web": {"listen": listen}})
    return core_kit.secrets(sandbox)


def test_the_page_is_there_while_the_daemon_runs(tmp_path: Path, sandbox: Sandbox) -> None:
    """A process serves its page, counts its first poll too, takes a reload, and ends cleanly when told to."""
    env = written(tmp_path, sandbox, "127.0.0.1:0")
    sandbox.sentrytex.publish(core_kit.recent(1))
    with Process(tmp_path, env) as process:
        until(lambda: process.logged("web_started"))
        url = process.logged("web_started")[0]["url"]
        with httpx2.Client(base_url=url, timeout=PATIENCE) as client:
            until(lambda: sandbox.slack.messages)
            assert client.get("/readyz").json() == {"ready": True}
            assert "Alert 1" in client.get("/").text
            until(lambda: 'outcome="delivered",reason=""} 1.0' in client.get("/metrics").text)
            assert 'forwarder_alerts_total{severity="critical"} 1.0' in client.get("/metrics").text
            process.signal(signal.SIGHUP)
            until(lambda: 'forwarder_config_reloads_total{result="ok"} 1.0' in client.get("/metrics").text)
        assert process.stop() == 0
        assert process.logged("stopped")


def test_a_proxy_without_a_token_ends_the_start(tmp_path: Path, sandbox: Sandbox) -> None:
    """public_hosts without a token is refused with a sentence and the exit status 78."""
    web = {"listen": "127.0.0.1:0", "public_hosts": ["alerts.example.com"]}
    core_kit.written(tmp_path, {**core_kit.settings(sandbox), "web": web})
    ended = command(tmp_path, "run", env=core_kit.secrets(sandbox))
    assert ended.returncode == 78
    assert "web.public_hosts: whoever reaches the page under these names" in ended.stderr
    assert "set web.token as well" in ended.stderr


def test_an_address_in_use_ends_the_start(tmp_path: Path, sandbox: Sandbox) -> None:
    """Where something listens already, the start is refused with a sentence and the exit status 69."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        env = written(tmp_path, sandbox, f"127.0.0.1:{other.getsockname()[1]}")
        ended = command(tmp_path, "run", env=env)
    assert ended.returncode == 69
    assert "something listens there already" in ended.stderr
    assert "Traceback" not in ended.stderr
