"""Whether a daemon runs on a database, as a command beside it can tell."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from forwarder.common.clock import iso
from forwarder.common.text import ago
from forwarder.common.units import format_duration
from forwarder.replicas.roles import in_words, told
from forwarder.store import Store, pulse
from forwarder.store.daemon import DaemonState
from forwarder.store.membership import Muster, Verdict
from forwarder.store.presence import Presence


@dataclass(frozen=True, kw_only=True, slots=True)
class Life:
    """What is known of the process that owns a database. ``seen_at`` is its last sign of life, None without any."""

    runs: bool
    once: bool
    """Whether a `forwarder once` owns it instead, which answers no signals and ends by itself."""
    seen_at: float | None
    state: DaemonState
    refusal: pulse.Refusal | None = None
    """That the database takes no writes, as the daemon says that runs."""
    muster: Muster | None = None
    """The replicas and their roles; None on a file."""

    @property
    def owned(self) -> bool:
        """Whether anything delivers."""
        return self.runs or self.once

    @property
    def stalled(self) -> bool:
        """Whether it runs and has shown no life for long."""
        return self.runs and self.seen_at is not None and time.time() - self.seen_at > pulse.STILL


def look(store: Store) -> Life:
    """What can be told of the daemon on ``store``."""
    presence, state = store.engine.presence, store.daemon.state()
    if (muster := presence.muster()) is not None:
        runs = any(not replica.once for replica in muster.replicas)
        once = bool(muster.replicas) and not runs
        return Life(runs=runs, once=once, seen_at=_last_seen(presence, state, runs=runs), state=state, muster=muster)
    owned = presence.owned()
    # Who owns it and has not said that it is the daemon is none, or one that begins only now.
    runs = owned and state.pid is not None and presence.pid() == state.pid
    return Life(
        runs=runs,
        once=owned and not runs,
        seen_at=_last_seen(presence, state),
        state=state,
        refusal=presence.noted() if runs else None,
    )


def _last_seen(presence: Presence, state: DaemonState, *, runs: bool = False) -> float | None:
    if runs:
        return presence.last()
    # A later `forwarder once` leaves its own time on the lock file, and a copy of the database has no such file.
    return state.ended_at or (None if state.pid is None else presence.last())


def sentences(life: Life, now: float) -> list[str]:
    """Whether it runs, since when, and with which config, for people."""
    state, said = life.state, []
    if life.runs and (life.muster is not None or state.started_at is not None):
        if life.muster is not None:
            said += _of_replicas(life.muster)
        elif state.started_at is not None:
            said.append(f"The daemon runs: process {state.pid}, since {iso(int(state.started_at))}.")
        if life.stalled and life.seen_at is not None:
            still = format_duration(round(now - life.seen_at))
            said.append(f"IT STANDS STILL: it has shown no sign of life for {still}. Its log says why; restart it.")
    elif life.once:
        said.append("No daemon runs: `forwarder once` is at work, or a daemon is just starting.")
    elif state.ended_at is not None:
        said.append(
            f"NO DAEMON RUNS since {iso(int(state.ended_at))} ({ago(now - state.ended_at)}), when it was stopped."
        )
    elif life.seen_at is not None:
        said.append(
            f"NO DAEMON RUNS: the last sign of life was at {iso(int(life.seen_at))} ({ago(now - life.seen_at)}), "
            "and it did not stop in order. `forwarder run` starts it."
        )
    elif state.started_at is not None:
        began = iso(int(state.started_at))
        said.append(f"NO DAEMON RUNS here: the last one began at {began}. `forwarder run` starts it.")
    else:
        said.append("NO DAEMON RUNS, and none has run here. `forwarder run` starts it.")
    if life.refusal is not None:
        said.append(
            f"THE DATABASE REFUSES WRITES since {iso(int(life.refusal.since))}, so new alerts are neither read nor"
            f" sent: {life.refusal.reason}"
        )
    return said + _of_reload(life)


def _of_replicas(muster: Muster) -> list[str]:
    many = len(muster.replicas) > 1
    said = [f"{len(muster.replicas)} replicas run:"] if many else []
    for replica in muster.replicas:
        held = told({lease.role: lease.since for lease in muster.roles_of(replica)})
        roles = ", ".join(role if since is None else f"{role} (since {iso(int(since))})" for role, since in held)
        began = f"{replica.name}, since {iso(int(replica.since))}"
        said.append(f"  {began}: {roles or 'no role'}" if many else f"The daemon runs: {began}.")
        if replica.silence is not None and replica.silence > pulse.STILL and many:
            still = format_duration(round(replica.silence))
            said.append(f"  IT STANDS STILL: it has shown no sign of life for {still}. Its log says why; restart it.")
    if unheld := muster.unheld():
        said.append(f"NOBODY HAS: {', '.join(in_words(unheld))}. Where that lasts, the logs of the replicas say why.")
    return said


def _of_reload(life: Life) -> list[str]:
    state = life.state
    reload = state.reload
    if reload is None or reload.verdict is Verdict.TAKEN_OVER:
        return []
    problems = "; ".join(reload.problems)
    since = "" if state.config_since is None else f" from {iso(int(state.config_since))}"
    ends = {
        Verdict.REFUSED: "a restart would fail",
        Verdict.NEEDS_RESTART: "a restart brings the new one in",
        Verdict.FAILED: "a restart may fail",
    }[reload.verdict]
    runs = f"the daemon runs with the one{since}" if life.runs else f"the daemon ran with the one{since}"
    return [f"THE CONFIG ON DISK WAS REFUSED at {iso(int(reload.at))}: {problems}", f"  {runs}; {ends}."]


def life_json(life: Life) -> dict[str, Any]:
    """The same for programs."""
    state = life.state
    return _replicas_json(life.muster) | {
        "running": life.runs,
        "stalled": life.stalled,
        "pid": state.pid if life.runs else None,
        "since": _iso(state.started_at) if life.runs else None,
        "last_sign_of_life": _iso(life.seen_at),
        "writes_refused": None
        if life.refusal is None
        else {"since": iso(life.refusal.since), "reason": life.refusal.reason},
        "config_since": _iso(state.config_since),
        "reload": None
        if state.reload is None
        else {
            "verdict": state.reload.verdict.value,
            "at": iso(state.reload.at),
            "problems": list(state.reload.problems),
        },
    }


def _replicas_json(muster: Muster | None) -> dict[str, Any]:
    """The replicas; nothing on a file, which has none."""
    if muster is None:
        return {}
    return {
        "replicas": [
            {
                "pid": replica.pid,
                "host": replica.host,
                "version": replica.version,
                "since": iso(replica.since),
                "roles": {lease.role: iso(lease.since) for lease in muster.roles_of(replica)},
            }
            for replica in muster.replicas
        ],
        "unheld": sorted(muster.unheld()),
    }


def _iso(at: float | None) -> str | None:
    return None if at is None else iso(at)
