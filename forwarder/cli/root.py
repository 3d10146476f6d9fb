"""The command group, and what every command shares: the config, the database, and errors as one clear sentence."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

import click

from forwarder import __version__
from forwarder.alert import Severity
from forwarder.common.databases import Database, parse_database

if TYPE_CHECKING:
    from forwarder.config import Config

Command = TypeVar("Command", bound=Callable[..., Any])

EX_CONFIG: Final = 78
"""Exit status of a config that cannot be used (sysexits.h)."""
EX_IOERR: Final = 74
"""Exit status of a database that cannot be used, or not any more: a newer version has changed it."""
EX_TEMPFAIL: Final = 75
"""Exit status where another forwarder already runs on the database."""
EX_UNAVAILABLE: Final = 69
"""Exit status of an address that cannot be listened on."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What the system says of a file, here of one that the output was sent to, that takes no more."""

SEVERITIES: Final = click.Choice([severity.value for severity in Severity])
"""What an option ``--severity`` takes."""

COMMANDS: Final = {
    "run": "run:run",
    "once": "run:once",
    "reload": "reload:reload",
    "demo": "demo:demo",
    "init": "init:init",
    "check": "check:check",
    "schema": "check:schema",
    "test": "send_test:test",
    "preview": "explain:preview",
    "explain": "explain:explain",
    "status": "status:status",
    "alerts": "status:alerts",
    "deliveries": "status:deliveries",
    "mute": "mute:mute",
    "unmute": "mute:unmute",
    "mutes": "mute:mutes",
    "report": "report:report",
    "ack": "respond:ack",
    "resolve": "respond:resolve",
    "reopen": "respond:reopen",
    "retry": "queue:retry",
    "discard": "queue:discard",
    "rename": "queue:rename",
    "rename-account": "accounts:rename_account",
    "replay": "replay:replay",
    "backup": "ops:backup",
    "migrate": "migrate:migrate",
    "health": "ops:health",
    "completion": "completion:completion",
}
"""Every command, with the module and function that hold it: only the one that is called is imported."""


class Stop(click.ClickException):
    """A sentence for the user, and the exit status that goes with it."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 - click's signature
        click.echo(self.message, err=True)


class Commands(click.Group):
    """Finds commands by name without importing the others: a daemon starts faster, and takes less memory."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        where = COMMANDS.get(cmd_name)
        if where is None:
            return None
        from importlib import import_module

        module, _, name = where.partition(":")
        command: click.Command = getattr(import_module(f"forwarder.cli.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from forwarder.config.problems import did_you_mean

            raise click.UsageError(f"{error.message.rstrip('.')}{did_you_mean(args[0], COMMANDS)}.", ctx) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="sentrytex-forwarder")
def group() -> None:
    """Forwards Sentrytex security alerts to chats, pagers, trackers and mailboxes: each one, once.

    New here? `forwarder demo` shows it at work without any account; `forwarder check` shows what is wrong with a
    config; `forwarder run` is the daemon.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """The command with these arguments, or those of the command line: no traceback ever reaches a user."""
    from forwarder.store import AlreadyRunning, StoreError
    from forwarder.web.server import WebError

    try:
        group.main(arguments, prog_name="forwarder", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.status if isinstance(error, Stop) else error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except AlreadyRunning as error:
        click.echo(str(error), err=True)
        sys.exit(EX_TEMPFAIL)
    except StoreError as error:
        click.echo(str(error), err=True)
        sys.exit(EX_IOERR)
    except WebError as error:
        click.echo(str(error), err=True)
        sys.exit(EX_UNAVAILABLE)
    except Exception as error:
        if os.environ.get("FORWARDER_DEBUG"):
            raise
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            click.echo(f"What this prints cannot be written: {os.strerror(error.errno)}.", err=True)
            # The interpreter writes what is left once more as it ends, and would end with a status of its own.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(1)
        click.echo(
            f"Something unexpected went wrong ({type(error).__name__}): run it with FORWARDER_DEBUG=1 and report it.",
            err=True,
        )
        sys.exit(70)


class _DatabaseType(click.ParamType[Database]):
    """The path of a file, or the address of a PostgreSQL database."""

    name = "database"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Database:
        try:
            return parse_database(value)
        except ValueError as error:
            self.fail(f"It {error}.", param, ctx)


DATABASE: Final = _DatabaseType()


def config_option(command: Command) -> Command:
    """The option ``-c/--config`` that every command takes."""
    return click.option(
        "-c",
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        envvar="FORWARDER_CONFIG",
        default=Path("config.yaml"),
        show_default="$FORWARDER_CONFIG, else config.yaml",
        help="The config file.",
    )(command)


def json_option(command: Command) -> Command:
    """The option ``--json`` of commands that list."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def quiet_logs() -> None:
    """Keeps what is logged on the way, but for warnings, from a person who reads what a command says."""
    from forwarder.logs import configure

    configure("warning", "auto")


def command_name() -> str:
    """What a person types to run this program once more: where it is not on the PATH, its place."""
    called = Path(sys.argv[0])
    if called.name != "forwarder":
        return "forwarder"
    found = shutil.which("forwarder")
    if found is not None and Path(found).samefile(called):
        return "forwarder"
    place, here = called.absolute(), Path.cwd()
    return str(place.relative_to(here)) if place.is_relative_to(here) else str(place)


def require(config_path: Path) -> None:
    """Stops the command where there is no config at all."""
    if not config_path.exists():
        ways = f"`{command_name()} init` writes a first config, `-c` names one that is elsewhere."
        raise Stop(f"{config_path}: no such file. {ways}", EX_CONFIG)


def load_config(path: Path) -> Config:
    """The config; stops the command with all its mistakes and exit status 78 where it has any."""
    from forwarder.config import ConfigError, load

    require(path)
    try:
        return load(path)
    except ConfigError as error:
        raise Stop("\n".join(str(problem) for problem in error.problems), EX_CONFIG) from None
