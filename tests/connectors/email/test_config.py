"""What the config says of e-mail: each mistake is one sentence, and shows no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from connectors.email.address import Mailbox
from connectors.email.config import MAX_RECIPIENTS, TIMEOUT, EmailConfig
from tests.connectors.email.kit import config
from tests.kit.certificates import Certificates

EXAMPLE = Path(__file__).parents[3] / "config.example.yaml"


def complaint(**changes: Any) -> str:
    """What is wrong, as one sentence."""
    with pytest.raises(ValidationError) as caught:
        EmailConfig.model_validate(config(**changes))
    (error,) = caught.value.errors()
    return str(error["msg"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"host": "smtp://mail.example.com"}, "the name or the address of a server alone"),
        ({"host": "mail.example.com:25"}, "the name or the address of a server alone"),
        ({"host": "mail.example.com", "security": "none"}, "security: none is allowed to this machine"),
        ({"username": None}, "username and password go together"),
        ({"password": "two\nlines"}, "must be one line"),
        ({"username": "us\rer"}, "must be one line"),
        ({"to": []}, "at least 1 item"),
        ({"to": "a@example.com, nobody"}, "must be an address such as"),
        ({"to": ["a@example.com\r\nRCPT TO:<evil@example.net>"]}, "must be an address such as"),
        ({"to": ["a@example.com> SIZE=1"]}, "must be an address such as"),
        ({"to": ["<a@example.com>,<evil@example.net>"]}, "must be an address such as"),
        ({"cc": ["ä@example.com"]}, "plain letters alone, a domain of others in its form with xn--"),
        ({"to": [f"{'a' * 65}@example.com"]}, "at most 254 characters, 64 before the @"),
        ({"from": "Al\nBcc: evil@example.net <alerts@example.com>"}, "must be an address such as"),
        ({"from": "Al\r\nSubject: evil <alerts@example.com>"}, "must be one line"),
        ({"from": "=?utf-8?q?Ops=2C?= <alerts@example.com>"}, "must be one line"),
        ({"from": "alerts"}, "must be an address such as"),
        ({"subject_prefix": "[x]\r\nBcc: evil@example.net"}, "must be one line"),
        ({"list_id": "alerts"}, "must be like the name of a domain"),
        ({"list_id": "a.b>\r\nBcc: evil@example.net"}, "must be like the name of a domain"),
        ({"to": [f"a{number}@example.com" for number in range(MAX_RECIPIENTS + 1)]}, "use the address of a list"),
        ({"ca_file": "ca.pem"}, "must be the whole path of a file"),
        ({"ca_file": "/ca.pem", "security": "none"}, "is for a connection that is encrypted"),
        ({"port": 0}, "greater than or equal to 1"),
    ],
)
def test_each_mistake_is_a_sentence(changes: dict[str, Any], says: str) -> None:
    """Nothing that could end a header or a command gets further than the config."""
    assert says in complaint(**changes)


def test_the_rest_follows_from_what_is_given(certificates: Certificates) -> None:
    """The port from the security, the recipients from a list or a text, each once."""
    made = EmailConfig.model_validate(
        config(
            to='"Doe, Jane" <jane@example.com>, ops@EXAMPLE.com', cc=["ops@example.com"], ca_file=str(certificates.ca)
        )
    )
    assert [(one.name, one.address) for one in made.everybody] == [
        ("Doe, Jane", "jane@example.com"),
        ("", "ops@example.com"),
    ]
    assert made.place == "127.0.0.1:587"
    assert made.timeout == TIMEOUT
    ports = [EmailConfig.model_validate(config(security=how)).its_port for how in ("tls", "none")]
    assert ports == [465, 25]


@pytest.mark.parametrize(
    ("written", "header"),
    [
        ("ops@example.com", "ops@example.com"),
        ("Ops <ops@example.com>", "Ops <ops@example.com>"),
        ('"Ops, the (team)" <ops@example.com>', '"Ops, the (team)" <ops@example.com>'),
        ("Ünï <o'ps+x@xn--bcher-kva.example>", "Ünï <o'ps+x@xn--bcher-kva.example>"),
    ],
)
def test_a_mailbox_reads_as_people_write_it(written: str, header: str) -> None:
    """With and without a name."""
    assert Mailbox.parse(written).header == header


def test_the_example_is_a_config_of_it() -> None:
    """What stands in the example as a comment loads as it is, but for a file that is not there."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    start = lines.index("  # mail:")
    section = [line[4:] for line in lines[start : lines.index("", start)]]
    values = yaml.safe_load("\n".join(section))["mail"]
    assert values.pop("ca_file") == "/etc/forwarder/ca.pem"
    assert EmailConfig.model_validate(values).security == "starttls"
    unnamed = {"timeout", "concurrency", "max_rate", "give_up_after", "templates", "sender"}
    assert set(EmailConfig.model_fields) - set(values) - {"ca_file"} == unnamed
