"""What the config says of a webhook: each mistake is one sentence with its line, and shows no secret."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.webhook.config import TIMEOUT, WebhookConfig
from forwarder.config import ConfigError, dump, load, secrets_of
from forwarder.connector import ConnectorConfig
from tests.connectors.webhook.kit import NEW_KEY
from tests.kit.certificates import Certificates

EXAMPLE = Path(__file__).parents[3] / "config.example.yaml"
SECRET = "not-a-real-secret"


def written(folder: Path, **hook: Any) -> Path:
    """A config with one webhook, a key a line, so that a line names a key."""
    hook = {"type": "webhook", "url": "https://alerts.example.com/hook", "signing_key": NEW_KEY, **hook}
    lines = ["sentrytex: {api_key: vk_not-a-real-key}", "connectors:", "  hook:"]
    lines += [f"    {key}: {json.dumps(value)}" for key, value in hook.items()]
    path = folder / "config.yaml"
    path.write_text("\n".join([*lines, "routes: [{to: [hook]}]", ""]))
    return path


def complaint(folder: Path, **hook: Any) -> str:
    """What is wrong, as one sentence, at the line of the key that comes last."""
    path = written(folder, **hook)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    (problem,) = caught.value.problems
    starts = [line.split(":")[0].strip() for line in path.read_text().splitlines()]
    assert problem.line == starts.index(list(hook)[-1]) + 1
    assert problem.path.startswith(f"connectors.hook.{list(hook)[-1]}")
    assert SECRET not in str(problem)
    return problem.message


def key_of(size: int) -> str:
    return f"whsec_{base64.b64encode(b'x' * size).decode()}"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://alerts.example.com/hook", "must begin with https://"),
        ("ftp://alerts.example.com", "must be an address that begins with https://"),
        ("https://", "must be an address that begins with"),
        ("https://alerts.example.com:port/", "is no valid address"),
        (f"https://user:{SECRET}@alerts.example.com/", "must hold no user name and password"),
        (f"https://alerts.example.com/#{SECRET}", "must end before the #"),
        (f"https://alerts.example.com/{SECRET}\r\nX-Header: 1", "must be an address that begins with https://"),
    ],
)
def test_an_address_that_cannot_be_posted_to(tmp_path: Path, url: str, says: str) -> None:
    """Nothing goes out unencrypted, nothing secret stands where it is shown, and no line is added to a request."""
    assert says in complaint(tmp_path, url=url)


@pytest.mark.parametrize("which", ["signing_key", "previous_signing_key"])
@pytest.mark.parametrize(
    ("key", "says"),
    [
        (SECRET, "must be whsec_ and base64"),
        ("", "must be 24 to 64 bytes"),
        ("whsec_", "must be 24 to 64 bytes"),
        (key_of(23), "this is 23"),
        (key_of(65), "this is 65"),
        ("whsk_" + "A" * 44, "is of a pair of keys"),
    ],
)
def test_a_key_that_cannot_sign(tmp_path: Path, which: str, key: str, says: str) -> None:
    """A key has the length and the form that Standard Webhooks asks for."""
    assert says in complaint(tmp_path, **{which: key})


@pytest.mark.parametrize("key", [key_of(24), key_of(64), key_of(24).removeprefix("whsec_"), key_of(25).rstrip("=")])
def test_a_key_that_can_sign(tmp_path: Path, key: str) -> None:
    """Both ends of the range, without the prefix and without padding too, as the package takes them."""
    assert load(written(tmp_path, signing_key=key), {}).connectors


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"X-Token": f"{SECRET}\r\nX-Other: 1"}, "must be one line"),
        ({"X-Token": f"{SECRET}\n"}, "must be one line"),
        ({"X-Token": ""}, "must be one line"),
        ({"X-Token": "ünï"}, "must be one line"),
        ({"X Token": SECRET}, "is no name of a header"),
        ({"X-Token: 1\r\nX": SECRET}, "is no name of a header"),
        ({"Webhook-Id": SECRET}, "is a header that the forwarder sets itself"),
        ({"content-length": "1"}, "is a header that the forwarder sets itself"),
        ({"X-Token": SECRET, "x-token": SECRET}, "must name each header once"),
        ({"X-Token": 7}, "must be text"),
        ("X-Token", "must be a section"),
    ],
)
def test_a_header_that_cannot_be_sent(tmp_path: Path, headers: Any, says: str) -> None:
    """No header adds another one, replaces ours, or comes twice."""
    assert says in complaint(tmp_path, headers=headers)


def test_what_is_secret_is_known_as_such(tmp_path: Path) -> None:
    """The address, the keys and the values of headers are masked, and known to whatever blots secrets out."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    config = load(written(tmp_path, previous_signing_key=key_of(32), headers=headers), {})
    known = {"https://alerts.example.com/hook", NEW_KEY, key_of(32), f"Bearer {SECRET}"}
    assert known <= secrets_of(config)
    shown = json.dumps(dump(config))
    assert not any(secret in shown for secret in known)
    assert config.connectors["hook"].timeout == TIMEOUT


def test_certificates_are_read_when_the_config_is(tmp_path: Path, certificates: Certificates) -> None:
    """Files that fit are taken, also where certificate and key are one file."""
    files = {"ca_file": certificates.ca, "cert_file": certificates.client, "key_file": certificates.client_key}
    assert load(written(tmp_path, **{key: str(path) for key, path in files.items()}), {}).connectors
    assert load(written(tmp_path, cert_file=str(certificates.server)), {}).connectors


def test_a_certificate_that_cannot_be_used(tmp_path: Path, certificates: Certificates) -> None:
    """What is missing, damaged or does not fit is told at its line, without a trace of OpenSSL's own words."""
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    broken = tmp_path / "broken.key"
    broken.write_text("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
    locked = tmp_path / "locked.key"
    locked.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nnonsense\n-----END ENCRYPTED PRIVATE KEY-----\n")
    client, key = str(certificates.client), str(certificates.client_key)
    missing = str(tmp_path / "missing.pem")
    for name in ("ca_file", "cert_file"):
        assert complaint(tmp_path, **{name: missing}) == (
            "the file that it names cannot be read: no such file or directory"
        )
        assert "is a directory" in complaint(tmp_path, **{name: str(tmp_path)})
        assert "must be the whole path" in complaint(tmp_path, **{name: "ca.pem"})
        assert "holds no certificate" in complaint(tmp_path, **{name: key})
        assert "is damaged" in complaint(tmp_path, **{name: str(nonsense)})
    assert "cannot be read" in complaint(tmp_path, cert_file=client, key_file=missing)
    assert "holds no private key" in complaint(tmp_path, cert_file=client, key_file=client)
    assert "is damaged" in complaint(tmp_path, cert_file=client, key_file=str(broken))
    assert "asks for a passphrase" in complaint(tmp_path, cert_file=client, key_file=str(locked))
    other = str(certificates.stranger)
    assert "belongs to another certificate" in complaint(tmp_path, cert_file=client, key_file=other)
    assert "goes with a cert_file" in complaint(tmp_path, key_file=key)


def test_a_certificate_without_a_key_and_one_without_encryption(tmp_path: Path, certificates: Certificates) -> None:
    """A key that nobody names, and certificates for an address that has no use for them, are told of the connector."""
    for hook, says in (
        ({"cert_file": str(certificates.client)}, "name the file that does in key_file"),
        ({"url": "http://127.0.0.1/", "ca_file": str(certificates.ca)}, "for an address that begins with https://"),
    ):
        with pytest.raises(ConfigError, match=re.escape(says)):
            load(written(tmp_path, **hook), {})


def test_the_example_works(tmp_path: Path, certificates: Certificates) -> None:
    """The webhook of the example config loads once its lines are no comments any more, and has every key of its own."""
    text = EXAMPLE.read_text("utf-8")
    (block,) = re.findall(r"^  # hook:\n(?:  #   .*\n)+", text, re.MULTILINE)
    shown = yaml.safe_load(re.sub(r"^  # ", "", block, flags=re.MULTILINE))["hook"]
    files = {"ca_file": certificates.ca, "cert_file": certificates.client, "key_file": certificates.client_key}
    path = written(tmp_path, **{**shown, **{name: str(file) for name, file in files.items()}})
    env = {"WEBHOOK_URL": "https://alerts.example.com/hook", "WEBHOOK_TOKEN": SECRET}
    env |= {"WEBHOOK_SIGNING_KEY": key_of(32), "WEBHOOK_PREVIOUS_SIGNING_KEY": key_of(33)}
    assert load(path, env).connectors
    assert WebhookConfig.model_fields.keys() - ConnectorConfig.model_fields.keys() == shown.keys() - {"type"}
