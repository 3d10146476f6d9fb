"""Whatever goes wrong on the way comes to the right outcome, and in the end the alert stands once."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from forwarder.connector import Broken, Connector, Delivered, Failed, RateLimited, Retry
from forwarder.sandbox import Fault, FaultKind
from forwarder.testing.samples import follow_ups, new_delivery
from forwarder.testing.suite import Advance, Suite
from forwarder.testing.target import (
    HASTY,
    LOST,
    OUTCOMES,
    Target,
    connector_class,
    everything_told,
    look,
    patience,
    send,
    send_struck,
    settle,
    striking,
)


def _kind(fault: Fault) -> str:
    return fault.kind.value


def _date_in_100_seconds() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)


class Troubles(Suite):
    """Answers that are lost, late, wrong or no."""

    def test_each_status_has_its_outcome(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any], status: int
    ) -> None:
        """An answer of that status, in words that are not the service's own, comes to what the table says."""
        target.service(stand_in).inject(
            Fault(kind=FaultKind.STATUS, status=status, body="no word of this service", path=target.send, times=None)
        )
        outcome = send(connector, new_delivery())
        assert isinstance(outcome, target.statuses[status])
        assert outcome.reason.strip()  # type: ignore[union-attr]

    def test_no_status_is_an_exception(self, target: Target[Any], stand_in: Any, connector: Connector[Any]) -> None:
        """Whatever the status, and whatever was asked, there is an outcome, and for a new alert it is no success."""
        first, service = new_delivery(), target.service(stand_in)
        delivered = send(connector, first)
        assert isinstance(delivered, Delivered)
        later = follow_ups(first, delivered.receipt)
        for status in (*range(300, 309), *range(400, 432), 444, 451, 499, *range(500, 512), *range(520, 528), 599):
            service.inject(Fault(kind=FaultKind.STATUS, status=status, body="<html>no</html>", times=None))
            outcome = send(connector, new_delivery())
            assert isinstance(outcome, OUTCOMES), status
            assert not isinstance(outcome, Delivered), status
            assert isinstance(send(connector, later[status % len(later)]), OUTCOMES), status
            service.clear_faults()

    @pytest.mark.parametrize("fault", LOST, ids=_kind)
    def test_a_lost_answer_ends_in_one_alert(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any], advance: Advance, fault: Fault
    ) -> None:
        """A lost answer comes to what the table says, and the way back leaves exactly one alert at the destination."""
        first = new_delivery()
        target.delay(stand_in, 5)
        assert isinstance(send_struck(target, stand_in, first, fault), target.lost)
        if not look(connector, first, advance=advance):
            settle(connector, first, advance=advance)
        stands = target.count(stand_in, first.alert)
        assert stands == 1 if target.once or not fault.kind.has_effect else stands == 2

    def test_what_was_not_seen_is_not_not_there(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any], unseen: Fault
    ) -> None:
        """No answer to a look but a whole one says that nothing is there."""
        first = new_delivery()
        assert isinstance(send_struck(target, stand_in, first, Fault(kind=FaultKind.RESET_AFTER)), target.lost)
        service = target.service(stand_in)
        service.inject(replace(unseen, path=target.find_path, times=None))
        with pytest.raises(Failed) as failed:
            connector.find(first)
        assert failed.value.outcome.reason.strip()
        service.clear_faults()
        assert connector.find(first) is not None

    def test_answers_lost_again_and_again_end_in_one_alert(
        self, target: Target[Any], stand_in: Any, advance: Advance
    ) -> None:
        """Losses in a row, of sends and of looks, do not add up."""
        first = new_delivery()
        target.service(stand_in).inject(
            *(striking(target, fault) for fault in LOST if fault.kind.has_effect),
            *(striking(target, fault, target.find_path) for fault in LOST if target.find_path),
        )
        with closing(target.connect(stand_in, timeout=HASTY)) as connector:
            settle(connector, first, advance=advance, attempts=2 * len(LOST))
        stands = target.count(stand_in, first.alert)
        assert stands == 1 if target.once else stands >= 1

    @pytest.mark.parametrize("fault", [fault for fault in LOST if "before" not in fault.kind], ids=_kind)
    def test_a_lost_answer_to_a_follow_up_is_no_exception(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any], advance: Advance, fault: Fault
    ) -> None:
        """A change or a withdrawal whose answer is lost can be sent again, and adds no second alert."""
        first = new_delivery()
        delivered = send(connector, first)
        assert isinstance(delivered, Delivered)
        for one in follow_ups(first, delivered.receipt):
            assert isinstance(send_struck(target, stand_in, one, fault, path=target.tell), OUTCOMES)
            settle(connector, one, advance=advance)
        if target.once:
            assert target.count(stand_in, first.alert) == 1

    def test_an_answer_in_drips_is_an_answer(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any], advance: Advance
    ) -> None:
        """A slow answer ends in one alert, whether it was waited for or not."""
        first = new_delivery()
        target.service(stand_in).inject(Fault(kind=FaultKind.DRIP, seconds=0.1, path=target.send))
        settle(connector, first, advance=advance)
        assert target.count(stand_in, first.alert) == 1

    @pytest.mark.usefixtures("over_http")
    def test_an_error_after_the_effect_ends_in_one_alert(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any], advance: Advance
    ) -> None:
        """A 500 says nothing about what was done before it."""
        first = new_delivery()
        target.service(stand_in).inject(Fault(kind=FaultKind.STATUS_AFTER, status=500, path=target.send))
        assert isinstance(send(connector, first), target.lost)
        if not look(connector, first, advance=advance):
            settle(connector, first, advance=advance)
        assert target.count(stand_in, first.alert) == (1 if target.once else 2)

    def test_a_service_that_is_down_is_tried_again(self, target: Target[Any]) -> None:
        """A refused connection sent nothing: it is a Retry, a failed look and a failed check, each with a reason."""
        with self.open() as gone:
            connector = target.connect(gone)
        with closing(connector):
            outcome = send(connector, new_delivery())
            assert isinstance(outcome, Retry)
            assert outcome.reason.strip()
            if connector.reconcile_after:
                with pytest.raises(Failed) as caught:
                    connector.find(new_delivery())
                assert isinstance(caught.value.outcome, Retry)
            findings = connector.check()
            assert any(not finding.ok for finding in findings) or not target.checks

    def test_revoked_credentials_break_the_destination_until_restored(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any]
    ) -> None:
        """Revoked credentials are Broken with words for people, and once restored the same delivery goes through."""
        first = new_delivery()
        target.service(stand_in).revoke()
        outcome = send(connector, first)
        assert isinstance(outcome, Broken)
        assert len(outcome.reason.split()) > 3
        target.service(stand_in).restore()
        assert isinstance(send(connector, first), Delivered)
        assert target.count(stand_in, first.alert) == 1

    @pytest.mark.usefixtures("over_http")
    @pytest.mark.parametrize(
        ("header", "bounds"),
        [
            (lambda: "7", (7, 7)),
            (lambda: "1.5", (1.5, 1.5)),
            (_date_in_100_seconds, (40, 100)),
            (lambda: "soon", (0.1, 60)),
            (lambda: None, (0.1, 60)),
            (lambda: "-5", (0, 60)),
            (lambda: "99999999", (60, 3600)),
        ],
        ids=["seconds", "fraction", "date", "garbage", "none", "negative", "far"],
    )
    def test_a_rate_limit_is_waited_out(
        self,
        target: Target[Any],
        stand_in: Any,
        connector: Connector[Any],
        header: Callable[[], str | None],
        bounds: tuple[float, float],
    ) -> None:
        """Every form of Retry-After is read, and one that says nothing usable gives a wait of the connector's own."""
        value = header()
        headers = {} if value is None else {"Retry-After": value}
        target.service(stand_in).inject(
            Fault(kind=FaultKind.STATUS, status=429, headers=headers, body="slow down", path=target.send)
        )
        first = new_delivery()
        outcome = send(connector, first)
        assert isinstance(outcome, RateLimited)
        assert bounds[0] <= outcome.after <= bounds[1]
        assert isinstance(send(connector, first), Delivered)
        assert target.count(stand_in, first.alert) == 1

    def test_find_tells_what_is_there(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any], advance: Advance
    ) -> None:
        """What was delivered is found under its receipt, what was not is not; without looks nothing is ever found."""
        first = new_delivery()
        outcome = send(connector, first)
        assert isinstance(outcome, Delivered)
        found = look(connector, first, advance=advance)
        assert (
            found is None if not connector.reconcile_after else found and found.remote_id == outcome.receipt.remote_id
        )
        assert connector.find(new_delivery()) is None

    @pytest.mark.parametrize(
        "fault",
        [
            *(fault for fault in LOST if not fault.kind.has_effect),
            *(Fault(kind=FaultKind.STATUS, status=status) for status in (400, 401, 403, 404, 429, 500, 503)),
        ],
        ids=lambda fault: f"{fault.kind.value}-{fault.status}",
    )
    def test_a_look_or_a_check_that_fails_says_so(self, target: Target[Any], stand_in: Any, fault: Fault) -> None:
        """``find`` raises nothing but Failed, and ``check`` raises nothing and speaks in sentences."""
        target.service(stand_in).inject(Fault(kind=fault.kind, status=fault.status, seconds=30, path="/", times=None))
        with closing(target.connect(stand_in, **patience(fault))) as connector:
            with suppress(Failed):
                assert connector.find(new_delivery()) is None
            findings = connector.check()
        assert findings
        assert all(len(finding.text.split()) > 2 for finding in findings)

    def test_a_check_leaves_no_trace(self, target: Target[Any], stand_in: Any, connector: Connector[Any]) -> None:
        """A check against a healthy service finds nothing amiss and changes nothing there."""
        service = target.service(stand_in)
        before = service.snapshot()
        findings = connector.check()
        assert [finding.text for finding in findings if not finding.ok] == []
        assert service.snapshot() == before

    def test_no_secret_is_told(
        self,
        target: Target[Any],
        stand_in: Any,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """No reason, finding, repr, dump, log record or exception shows a secret, even if the remote repeats it."""
        for name in ("", *logging.root.manager.loggerDict):
            caplog.set_level(logging.DEBUG, logger=name)
        secrets, service = target.secrets(stand_in), target.service(stand_in)
        parrot = f"you sent {' and '.join(secrets)}"
        listed = json.dumps({"error": parrot, "errors": [parrot], "errorMessages": [parrot]})
        said: list[str] = []
        with closing(target.connect(stand_in, timeout=HASTY)) as connector:
            said += [repr(connector), repr(vars(connector)), repr(connector.config), connector.config.model_dump_json()]
            for fault in (
                None,
                *(striking(target, fault) for fault in LOST),
                *(
                    Fault(kind=FaultKind.STATUS, status=status, body=body, path=target.send, times=2)
                    for statuses, body in (((200, 400, 401, 500), listed), ((302, 400, 413, 429), parrot))
                    for status in statuses
                ),
            ):
                service.clear_faults()
                if fault:
                    service.inject(fault)
                said += everything_told(connector)
            service.clear_faults()
            service.revoke()
            said += everything_told(connector)
        said += [record.getMessage() + str(record.exc_info or "") + str(vars(record)) for record in caplog.records]
        said += capfd.readouterr()
        assert [text for text in said if any(secret in text for secret in secrets)] == []

    def test_a_config_that_is_refused_shows_no_value(self, target: Target[Any]) -> None:
        """A validation error names keys, not what stands there: it may be a secret in the wrong place."""
        secret = "not-a-real-secret"
        model = connector_class(target.kind).Config
        values: dict[str, Any] = dict.fromkeys(model.model_fields, secret)
        with pytest.raises(ValueError, match="type") as caught:
            model.model_validate({**values, "wrong_key": secret})
        assert secret not in str(caught.value)
