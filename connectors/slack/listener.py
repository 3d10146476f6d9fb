"""What people do with the messages' buttons, brought to the forwarder's desk: each click once.

An envelope is acknowledged when the desk has kept what it says, and not before: a commit takes milliseconds, and Slack
waits for three seconds. So no click is lost. A process that dies before that, or a desk that cannot write, leaves the
envelope unacknowledged: Slack shows the person that it did not get through, and may send it again, to whichever
connection is there by then. A desk that is slow is waited for. By its key (``Click.key``) the desk knows what it has
kept already; that is acknowledged and does nothing more.

Only a receipt makes a message ours: what the desk does not know of is answered, and does nothing. Of a message that was
sent just now the receipt may not be kept yet: it is asked for again for a moment, and then left unacknowledged.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from connectors.slack import modal
from connectors.slack.account import Account
from connectors.slack.buttons import MEANINGS, MUTE
from connectors.slack.clicks import Click, Submission, read
from connectors.slack.client import Api, Refused
from connectors.slack.markup import escape
from connectors.slack.people import People
from connectors.slack.socket_mode import PING_EVERY, SocketMode, address_for
from forwarder.connector import NOT_KEPT, NOT_KNOWN, Desk, Failed, Finding, MuteRequest, Reaction, Retry

if TYPE_CHECKING:
    from slack_sdk.socket_mode.request import SocketModeRequest

log = logging.getLogger(__name__)

_PATIENCE: Final = 2.0  # seconds, for the first connection and for what ends
_NAME_WITHIN: Final = 1.0  # seconds of the three in which Slack wants to hear
_SAID_ALREADY: Final = 100
_LOOKS, _LOOK_AGAIN = 8, 0.2  # how often, and after how many seconds each, a message that is new is looked for
_NO_FORM: Final = "Nothing was muted, for this form cannot be read: press Mute below the message once more."
_NO_REASON: Final = "Say why: it stands beside every alert that is kept from going out."


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Where a listener listens and how it answers: addresses and tokens, and seconds for one request."""

    app_token: str
    token: str
    base_url: str
    seconds: float


class Listener:
    """Hears one app's people for one connector. ``now`` is the time, ``ping_every`` are seconds."""

    def __init__(
        self, name: str, access: Access, account: Account, now: Callable[[], datetime], ping_every: float = PING_EVERY
    ) -> None:
        self._name, self._account, self._now = name, account, now
        self._api = Api(access.token, access.base_url, min(access.seconds, _PATIENCE), now)
        self._people = People(Api(access.token, access.base_url, min(access.seconds, _NAME_WITHIN), now), now)
        self._app_api = Api(access.app_token, access.base_url, access.seconds, now)
        self._mode = SocketMode(
            self._app_api,
            access.base_url,
            self._hear,
            name=name,
            seconds=access.seconds,
            ping_every=ping_every,
        )
        self._app = (access.app_token, access.base_url)
        self._desk: Desk | None = None
        self._keeping, self._answering = Worker(f"{name}-clicks"), Worker(f"{name}-answers")
        self._answered: deque[str] = deque(maxlen=_SAID_ALREADY)
        self._closed = threading.Event()

    def listen(self, desk: Desk) -> None:
        """Begins to listen, and goes on; raises Failed where nothing is heard right now."""
        self._desk = desk
        if self._closed.is_set():
            return
        _join(self._app, self)
        self._mode.start(_PATIENCE)
        self._account.at_a_glance()  # so that nobody who clicks has to wait for it
        if trouble := self._mode.trouble():
            raise Failed(Retry(f"Slack's buttons are not heard: {trouble}."))

    def findings(self) -> list[Finding]:
        """Whether the app token opens a connection, in a sentence. None is opened."""
        try:
            address_for(self._app_api)
        except Refused as refused:
            return [Finding(False, f"Nobody's buttons would be heard: {refused.reason}.")]
        return [Finding(True, "Slack accepts the app token: what people do with the buttons is heard.")]

    def close(self) -> None:
        """Ends it all. What was not kept is not acknowledged, and comes again to whoever listens next."""
        self._closed.set()
        _leave(self._app, self)
        self._mode.close(_PATIENCE)
        for worker in (self._keeping, self._answering):
            worker.close(_PATIENCE)

    # In the thread that nothing else may hold up

    def _hear(self, _mode: SocketMode, request: SocketModeRequest) -> None:
        team = str(self._account.known().get("team_id") or "")
        what = read(request.payload, team, self._mode.app_id) if request.type == "interactive" else None
        envelope = request.envelope_id
        if isinstance(what, Click) and what.action_id == MUTE:
            self._mode.acknowledge(envelope)
            self._open_form(what)
        elif isinstance(what, Click):
            self._keeping.do(lambda: self._keep(envelope, what))
        elif isinstance(what, Submission):
            self._keeping.do(lambda: self._mute(envelope, what))
        else:
            self._mode.acknowledge(envelope)

    def _open_form(self, click: Click) -> None:
        """The trigger of a click is good for three seconds, so nothing comes before it."""
        try:
            self._api.write("views.open", {"trigger_id": click.trigger_id, "view": modal.form(click.remote_id)})
        except Refused as refused:
            sentence = f"The form could not be opened: {refused.reason}. Try again."
            self._answering.do(lambda: self._whisper(click, sentence))

    # In the thread in which what was done is kept, in order

    def _keep(self, envelope: str, click: Click) -> None:
        if self._closed.is_set():
            return
        meaning = MEANINGS[click.action_id]
        reaction = Reaction(
            remote_id=click.remote_id,
            action=meaning.action,
            resolution=meaning.resolution,
            key=click.key,
            at=click.at,
            person=self._people.name(click.person),
        )
        answer = self._reacted(click, reaction)
        if answer is None:
            return
        if answer != NOT_KEPT:
            self._mode.acknowledge(envelope)
        elif click.key in self._answered:
            return
        if answer:
            self._answered.append(click.key)
            self._answering.do(lambda: self._whisper(click, answer))

    def _reacted(self, click: Click, reaction: Reaction) -> str | None:
        """The desk's answer; None where the message is so new that its receipt may not be kept yet."""
        for _ in range(_LOOKS):
            answer = self._asked(lambda desk: desk.react(reaction))
            if answer != NOT_KNOWN or not click.is_early:
                return answer
            if self._closed.wait(_LOOK_AGAIN):
                break
        return None

    def _mute(self, envelope: str, submission: Submission) -> None:
        if self._closed.is_set():
            return
        form = submission.form
        if form is None:
            self._mode.acknowledge(envelope, modal.told(_NO_FORM))
            return
        if not form.reason:
            self._mode.acknowledge(envelope, modal.refused(_NO_REASON))
            return
        request = MuteRequest(
            remote_id=form.remote_id,
            scope=form.scope,
            lasts=form.lasts,
            reason=form.reason,
            key=submission.key,
            at=self._now(),
            person=self._people.name(submission.person),
        )
        answer = self._asked(lambda desk: desk.mute(request))
        if answer == NOT_KEPT:
            self._mode.acknowledge(envelope, modal.refused(answer))
        else:
            self._mode.acknowledge(envelope, modal.told(answer) if answer else None)

    def _asked(self, ask: Callable[[Desk], str]) -> str:
        """The answer of the first desk that knows the message.

        Slack tells each click to any one connection of the app, and other connectors may use the same app.
        """
        answer = NOT_KNOWN
        for listener in (self, *_others(self._app, self)):
            if listener._desk and (answer := ask(listener._desk)) != NOT_KNOWN:
                return answer
        return answer

    # In the thread in which people are answered

    def _whisper(self, click: Click, sentence: str) -> None:
        thread = {"thread_ts": click.thread} if click.thread else {}
        said = {"channel": click.channel, "user": click.person.id, "text": escape(sentence), **thread}
        try:
            self._api.write("chat.postEphemeral", {**said, "parse": "none", "link_names": False})
        except Refused as refused:
            log.warning("%s: a person who clicked could not be answered: %s", self._name, refused.reason)


class Worker:
    """A thread that does one thing after the other. It is there only once there is something to do."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def do(self, work: Callable[[], None]) -> None:
        """Puts ``work`` at the end of what is to be done."""
        self._queue.put(work)
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def close(self, patience: float) -> None:
        """Ends after what is under way, and all that waits; the thread is left alone after ``patience`` seconds."""
        self._queue.put(None)
        if self._thread:
            self._thread.join(patience)

    def _run(self) -> None:
        while work := self._queue.get():
            try:
                work()
            except Exception:
                log.exception("%s: something failed that should not", self._name)


_LISTENING: dict[tuple[str, str], list[Listener]] = {}
_JOINING: Final = threading.Lock()
"""Those of this process that listen, by their app."""


def _join(app: tuple[str, str], listener: Listener) -> None:
    with _JOINING:
        known = _LISTENING.setdefault(app, [])
        if listener not in known:
            known.append(listener)


def _leave(app: tuple[str, str], listener: Listener) -> None:
    with _JOINING:
        known = [one for one in _LISTENING.pop(app, []) if one is not listener]
        if known:
            _LISTENING[app] = known


def _others(app: tuple[str, str], listener: Listener) -> list[Listener]:
    with _JOINING:
        return [one for one in _LISTENING.get(app, []) if one is not listener]
