"""The contract of a connector, held against every connector that is registered.

The table in ``tests.kit.contract`` says for each what a trouble must come to; what is asserted is the same for all.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from forwarder.sandbox import Sandbox
from forwarder.testing import Contract, registered
from tests.kit.contract import BY_TEXT, OPTIONAL, TARGETS


class TestContract(Contract):
    """Each connector that talks to a service, against its stand-in in the sandbox."""

    targets = TARGETS

    @classmethod
    def open(cls) -> Sandbox:
        return Sandbox(limits=False)


@pytest.mark.thorough  # tests/connectors/jira/test_by_text.py has what is different
class TestContractByText(TestContract):
    """Jira's connector where tickets are found by a line of their description."""

    targets = BY_TEXT


for one in (
    Contract.test_a_lost_answer_ends_in_one_alert,
    Contract.test_a_lost_answer_to_a_follow_up_is_no_exception,
    Contract.test_a_lost_answer_to_a_response_is_no_exception,
    Contract.test_what_was_not_seen_is_not_not_there,
    Contract.test_what_people_write_arrives,
    Contract.test_a_rate_limit_is_waited_out,
    Contract.test_a_look_or_a_check_that_fails_says_so,
):
    pytest.mark.each_once(one)


def test_every_registered_connector_is_held_to_the_contract() -> None:
    """A connector that is registered has its row in the table."""
    assert registered() == {target.kind for target in TARGETS} | {"console", *OPTIONAL}


@pytest.mark.parametrize(("kind", "package"), OPTIONAL.items())
def test_one_that_needs_a_package_is_held_to_the_contract_where_it_is(kind: str, package: str) -> None:
    """Without the package its cases are left out, and this says so."""
    pytest.importorskip(package, reason=f"{package} is not installed, so {kind} is not held to the contract here")
    assert kind in {target.kind for target in TARGETS}


def test_reading_schemas_loads_no_sdk() -> None:
    """A config's schema is read without any destination's SDK."""
    code = (
        "import sys\nfrom importlib.metadata import entry_points\n"
        "for point in entry_points(group='forwarder.connectors'): point.load().Config.model_json_schema()\n"
        "print(sorted({'slack_sdk', 'pagerduty', 'jira', 'requests', 'httpx2', 'apprise'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
