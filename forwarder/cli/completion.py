"""The command that teaches a shell to complete `forwarder`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from forwarder.cli.root import group


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script by which SHELL completes commands, options and connectors.

    \b
    bash: forwarder completion bash > ~/.local/share/bash-completion/completions/forwarder
    zsh:  forwarder completion zsh > a file that ~/.zshrc sources after compinit
    fish: forwarder completion fish > ~/.config/fish/completions/forwarder.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the three shells"  # noqa: S101
    click.echo(kind(group, {}, "forwarder", "_FORWARDER_COMPLETE").source())
