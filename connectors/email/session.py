"""The wire: a conversation with a server of mail, one mail after the other, each within one deadline.

How far it came decides what a lost answer means: until the mail's own text is on its way the server cannot have taken
it; from then on, until its reply, nobody knows.
"""

from __future__ import annotations

import base64
import re
import smtplib
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from connectors.email.config import EmailConfig
from connectors.email.replies import Reply, Step, outcome
from forwarder.connector import Broken, Failed, Rejected, Retry, Uncertain
from forwarder.wire import certificates
from forwarder.wire.deadline import connect, encrypted
from forwarder.wire.unreachable import why_unreachable

MAX_LINE: Final = 4096
MAX_LINES: Final = 100
"""Bytes of a reply's line, of which RFC 5321 allows 512, and lines of one reply. Both are our own, and generous.
https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.5"""

_LINE: Final = re.compile(rb"(\d{3})(?:([ -])(.*))?\r?\n?", re.DOTALL)
_DOTS: Final = re.compile(rb"^\.", re.MULTILINE)


class NoReply(smtplib.SMTPException):
    """What came is no reply of SMTP."""


class Conversation(smtplib.SMTP):
    """smtplib's, whose waits end by the thread's deadline, and whose replies have an end."""

    def __init__(self, config: EmailConfig) -> None:
        self._tls = _context(config)
        self._at_once = config.security == "tls"
        super().__init__(local_hostname="localhost", timeout=config.timeout.total_seconds())
        # What smtplib checks a certificate against.
        self._host = config.host

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        made = connect(host, port, timeout)
        self.local_hostname = _own_name(made)
        if not self._at_once or self._tls is None:
            return made
        return self._tls.wrap_socket(made, server_hostname=host)

    def encrypt(self) -> tuple[int, bytes]:
        """STARTTLS, with what the config trusts."""
        try:
            return self.starttls(context=self._tls)
        except smtplib.SMTPResponseException as error:
            return error.smtp_code, _bytes(error.smtp_error)

    def getreply(self) -> tuple[int, bytes]:
        """The next reply; raises OSError, and NoReply where it is none or has no end."""
        if self.file is None:
            self.file = self.sock.makefile("rb")  # type: ignore[union-attr]
        said: list[bytes] = []
        while len(said) < MAX_LINES:
            line = self.file.readline(MAX_LINE)
            if not line:
                raise smtplib.SMTPServerDisconnected("the server closed the connection")
            found = _LINE.fullmatch(line)
            if not found or len(line) == MAX_LINE:
                raise NoReply("that is no line of a reply")
            said.append((found[3] or b"").strip())
            if found[2] != b"-":
                return int(found[1]), b"\n".join(said)
        raise NoReply("the reply has no end")


class Session:
    """A connection that is encrypted and logged in as the config says; making one raises Failed."""

    def __init__(self, config: EmailConfig) -> None:
        self._config = config
        self._secrets = _secrets(config)
        self._smtp = self._opened()
        self.is_over = False

    def send(self, mail: bytes, sender: str, recipients: Sequence[str]) -> dict[str, Reply]:
        """Hands in ``mail`` for those recipients who are accepted, and returns the others; nothing where none is.

        Raises Failed where nobody got it, or where nobody knows.
        """
        with self._ending(Retry):
            refused = self.offer(sender, recipients, len(mail))
            if len(refused) == len(recipients):
                return refused
            self._expect(Step.DATA, self._said(self._smtp.docmd("DATA")), 354)
        # The text has dots doubled at the beginning of its lines, and ends with a line of one dot.
        text = _DOTS.sub(b"..", mail)
        with self._ending(Uncertain):
            self._smtp.send(text + (b"" if text.endswith(b"\r\n") else b"\r\n") + b".\r\n")
            self._expect(Step.MESSAGE, self._said(self._smtp.getreply()))
        return refused

    def offer(self, sender: str, recipients: Sequence[str], size: int = 0) -> dict[str, Reply]:
        """Says whom a mail is from and for, and returns who of these is refused; raises Failed.

        Where all are, it is taken back.
        """
        with self._ending(Retry):
            options = []
            if size and self._smtp.has_extn("size"):
                most = self._smtp.esmtp_features["size"]
                if most.isascii() and most.isdigit() and 0 < int(most) < size:
                    raise Failed(Rejected(f"{self._config.host} takes {most} bytes a mail, and this one has {size}"))
                options = [f"SIZE={size}"]
            self._expect(Step.SENDER, self._said(self._smtp.mail(sender, options)))
            refused: dict[str, Reply] = {}
            for one in recipients:
                reply = self._said(self._smtp.rcpt(one))
                if reply.code == 421:
                    raise Failed(self._outcome(Step.DATA, reply))
                if not reply.accepts:
                    refused[one] = reply
            if len(refused) == len(recipients):
                self.forget()
            return refused

    def forget(self) -> bool:
        """Takes back what was offered, and says whether the server still listens."""
        try:
            return self._said(self._smtp.docmd("RSET")).accepts
        except (smtplib.SMTPException, OSError):
            self.close()
            return False

    def close(self) -> None:
        """Says goodbye, without waiting for an answer."""
        self.is_over = True
        with suppress(smtplib.SMTPException, OSError):
            self._smtp.putcmd("QUIT")
        self._smtp.close()

    def _opened(self) -> Conversation:
        config = self._config
        smtp: Conversation | None = None
        try:
            with self._failing(Retry):
                smtp = Conversation(config)
                self._greet(smtp)
                if config.username is not None and config.password is not None:
                    self._login(smtp, config.username, config.password.get_secret_value())
        except BaseException:
            if smtp is not None:
                smtp.close()
            raise
        return smtp

    def _greet(self, smtp: Conversation) -> None:
        config = self._config
        self._expect(Step.GREETING, self._said(smtp.connect(config.host, config.its_port)))
        self._expect(Step.GREETING, self._hello(smtp))
        if config.security == "starttls":
            if not smtp.has_extn("starttls"):
                raise Failed(
                    Broken(f"{config.place} offers no STARTTLS, so nothing is sent: correct security, or switch it on")
                )
            self._expect(Step.ENCRYPTION, self._said(smtp.encrypt()), 220)
            self._expect(Step.GREETING, self._hello(smtp))

    def _hello(self, smtp: Conversation) -> Reply:
        reply = self._said(smtp.ehlo())
        # What knows no EHLO is too old to encrypt and to log in, but a relay may be.
        return reply if reply.accepts or reply.is_for_now else self._said(smtp.helo())

    def _login(self, smtp: Conversation, user: str, password: str) -> None:
        try:
            smtp.login(user, password)
        except smtplib.SMTPAuthenticationError as error:
            self._expect(Step.LOGIN, self._said((error.smtp_code, _bytes(error.smtp_error))))
        except smtplib.SMTPNotSupportedError:
            raise Failed(Broken(f"{self._config.place} offers no login: leave out username and password")) from None
        except smtplib.SMTPHeloError as error:
            self._expect(Step.GREETING, self._said((error.smtp_code, _bytes(error.smtp_error))))
        except smtplib.SMTPException as error:
            if type(error) is not smtplib.SMTPException:
                raise
            raise Failed(
                Broken(f"{self._config.place} offers no login with a password: have it allowed there for this user")
            ) from None

    def _said(self, told: tuple[int, bytes]) -> Reply:
        return Reply.of(*told, self._secrets)

    def _outcome(self, step: Step, reply: Reply) -> Any:
        return outcome(step, reply, self._config.host, self._config.sender)

    def _expect(self, step: Step, reply: Reply, code: int | None = None) -> None:
        if reply.code != code if code else not reply.accepts:
            raise Failed(self._outcome(step, reply))

    @contextmanager
    def _ending(self, lost: type[Retry | Uncertain]) -> Iterator[None]:
        """The same as ``_failing``, after which there is nothing left to say."""
        try:
            with self._failing(lost):
                yield
        except BaseException:
            if not self.is_over:
                self.close()
            raise

    @contextmanager
    def _failing(self, lost: type[Retry | Uncertain]) -> Iterator[None]:
        """Says in an outcome what kept a step from an answer: ``lost`` where a connection stood."""
        try:
            yield
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise Failed(self._lost(error, lost)) from None

    def _lost(self, error: BaseException, lost: type[Retry | Uncertain]) -> Retry | Uncertain | Broken:
        host = self._config.host
        # Once the text is on its way, the connection stood, whatever the error is called.
        if lost is Retry and (why := self._why_unreachable(error)):
            return Retry(f"{host} cannot be reached: {why}")
        if isinstance(error, NoReply):
            return lost(f"{host} answers with what is no SMTP: check host and port")
        if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
            return lost(f"{host} did not answer in time")
        return lost(f"the connection to {host} was cut ({type(error).__name__})")

    def _why_unreachable(self, error: BaseException) -> str:
        host, port = self._config.host, self._config.its_port
        if _speaks_no_tls(error):
            if self._config.security == "starttls":
                return f"port {port} does not go on with TLS after STARTTLS: check what stands before {host}"
            return f"port {port} does not begin with TLS: set security to starttls, or correct port"
        address = f"smtp://{f'[{host}]' if ':' in host else host}:{port}"
        return why_unreachable(error, address, "host", bundle="ca_file")


def _context(config: EmailConfig) -> ssl.SSLContext | None:
    if config.security == "none":
        return None
    try:
        return encrypted(certificates.context(config.ca_file, None, None))
    except OSError as error:
        why = "it is damaged" if isinstance(error, ssl.SSLError) else (error.strerror or "no reason").lower()
        raise Failed(Broken(f"The file of ca_file cannot be used: {why}")) from None


def _own_name(made: socket.socket) -> str:
    """How this machine names itself: by its address where its name is no full one, and without asking the DNS."""
    name = socket.gethostname()
    if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", name):
        return name
    address = str(made.getsockname()[0])
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _speaks_no_tls(error: BaseException) -> bool:
    wrong = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}
    return isinstance(error, ssl.SSLError) and error.reason in wrong


def _secrets(config: EmailConfig) -> tuple[str, ...]:
    """The password in each form in which it is sent, the longest first."""
    if config.password is None or config.username is None:
        return ()
    password = config.password.get_secret_value()
    forms = {password, _coded(password), _coded(f"\0{config.username}\0{password}")}
    return tuple(sorted(forms, key=len, reverse=True))


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _bytes(said: bytes | str) -> bytes:
    return said if isinstance(said, bytes) else said.encode()
