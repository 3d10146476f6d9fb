"""Several accounts in a config: what is taken, and what is refused with its line and without any key."""

from __future__ import annotations

import pytest

from forwarder.config import ConfigError, dump, secrets_of
from tests.config.conftest import Load, Problems

REST = "connectors:\n  post: {type: pigeon, ring: not-a-real-ring}\nroutes:\n"
TWO = "sentrytex:\n  accounts:\n    acme: {api_key: vk_acme-secret}\n    beta: {api_key: vk_beta-secret}\n" + REST


def test_each_account_has_its_key(loaded: Load) -> None:
    """By name; a single key is the one account that has none."""
    config = loaded(TWO + "  - {account: acme, to: post}\n")
    assert config.sentrytex.keys == {"acme": "vk_acme-secret", "beta": "vk_beta-secret"}
    assert config.sentrytex.key_at("beta") == "sentrytex.accounts.beta.api_key"
    assert config.routes[0].account == ("acme",)
    alone = loaded(f"sentrytex: {{api_key: vk_alone-secret}}\n{REST}  - to: post\n")
    assert (alone.sentrytex.keys, alone.sentrytex.key_at("default")) == (
        {"default": "vk_alone-secret"},
        "sentrytex.api_key",
    )


def test_no_key_of_any_account_is_shown(loaded: Load) -> None:
    """Each is known as a secret, and the config that is shown has none."""
    config = loaded(TWO + "  - to: post\n")
    assert {"vk_acme-secret", "vk_beta-secret"} <= set(secrets_of(config))
    assert "-secret" not in str(dump(config)) + repr(config)
    assert "acme" in str(dump(config))


def test_a_key_in_place_of_an_account_s_name_is_not_shown(loaded: Load) -> None:
    """Neither one of the environment nor one that stands in the file."""
    with pytest.raises(ConfigError) as caught:
        loaded(TWO + "  - {account: ['${KEY}', vk_acme-secret], to: post}\n", {"KEY": "vk_other-secret"})
    assert str(caught.value).count("no account has this name") == 2
    assert "-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (
            TWO.replace("sentrytex:\n", "sentrytex:\n  api_key: vk_other-secret\n") + "  - to: post\n",
            3,
            "sentrytex.accounts: stands beside api_key: leave that out, and name its account here",
        ),
        (f"sentrytex:\n  poll_every: 1m\n{REST}  - to: post\n", 1, "sentrytex.api_key: is missing"),
        (f"sentrytex:\n  accounts: {{}}\n{REST}  - to: post\n", 1, "sentrytex.api_key: is missing"),
        (
            TWO.replace("vk_beta-secret", "vk_acme-secret") + "  - to: post\n",
            4,
            "sentrytex.accounts.beta.api_key: is the key of acme, too: a key has one account, and one limit",
        ),
        (
            TWO.replace("beta:", "be ta:") + "  - to: post\n",
            4,
            "sentrytex.accounts.be ta: an account's name has 1 to 64 letters, digits, - and _",
        ),
        (
            TWO.replace("beta:", "Default:") + "  - to: post\n",
            4,
            "sentrytex.accounts.Default: no account can be called default: that is the one of a config with a single"
            " api_key",
        ),
        (
            TWO.replace("beta:", "Acme:") + "  - to: post\n",
            4,
            "sentrytex.accounts.Acme: differs from acme in capital letters alone, and routes would mean both",
        ),
        (
            TWO + "  - {account: [acme, betta], to: post}\n",
            8,
            "routes[0].account[1]: no account is named 'betta' (did you mean beta?)",
        ),
        (
            f"sentrytex: {{api_key: vk_alone-secret}}\n{REST}  - {{account: acme, to: post}}\n",
            5,
            "routes[0].account: the config names no accounts (sentrytex.accounts)",
        ),
        (
            TWO + "  - to: post\nmutes:\n  - {account: gamma, until: 2999-01-01, reason: none}\n",
            10,
            "mutes[0].account: no account is named 'gamma'",
        ),
        (
            TWO.replace("{api_key: vk_beta-secret}", "{}") + "  - to: post\n",
            4,
            "sentrytex.accounts.beta.api_key: is missing",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_line(problems: Problems, text: str, line: int, said: str) -> None:
    """And no other, and no key in it."""
    (problem,) = problems(text)
    assert problem == f"config.yaml:{line}: {said}"
