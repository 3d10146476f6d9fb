"""What `forwarder init` asks about e-mail."""

from __future__ import annotations

from typing import Final

from forwarder.connector import Question, Setup

SETUP: Final = Setup(
    name="mail",
    offer="Send alerts by e-mail?",
    questions=(
        Question(key="host", prompt="Mail server, such as smtp.example.com"),
        Question(key="port", prompt="Port (leave it empty for the usual one)", default=""),
        Question(key="security", prompt="Encryption", default="starttls", choices=("starttls", "tls", "none")),
        Question(key="username", prompt="User (leave it empty where nobody logs in)", default=""),
        Question(
            key="password",
            prompt="Password, or a key in place of it; empty for none",
            variable="SMTP_PASSWORD",
            default="",
        ),
        Question(key="from", prompt="Sender, such as alerts@example.com"),
        Question(key="to", prompt="Recipients, with commas between them"),
    ),
    usual=False,
)
