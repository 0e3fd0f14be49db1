"""A real SMTP server for tests: it may want TLS and a login, refuses whom it is told to, and keeps its mails."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from tests.support.mqtt import free_port


class Mailbox:
    """A mail server at 127.0.0.1:PORT. A context manager.

    Attributes:
        mails: what it has taken.
        refusals: what it answers to addresses, such as "550 nobody here"; may change.
        down: what it answers to any mail while this is not None.
    """

    def __init__(
        self, login: tuple[str, str] | None = None, certificate: tuple[Path, Path] | None = None, tls: bool = False
    ) -> None:
        """With a certificate it wants STARTTLS, or speaks TLS from the start if `tls`."""
        self.mails: list[EmailMessage] = []
        self.refusals: dict[str, str] = {}
        self.down: str | None = None
        self.attempts = 0
        context = None
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*certificate)
        options: Mapping[str, Any] = {
            "authenticator": _authenticator(login),
            "auth_required": login is not None,
            "auth_require_tls": certificate is not None and not tls,
            "tls_context": None if tls else context,
            "require_starttls": certificate is not None and not tls,
        }
        self.port = free_port()
        self._controller = Controller(
            self, hostname="127.0.0.1", port=self.port, ssl_context=context if tls else None, **options
        )

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        self.attempts += 1
        if self.down is not None:
            return self.down
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def __enter__(self) -> Mailbox:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()


def _authenticator(login: tuple[str, str] | None) -> Any:
    def check(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        wanted = None if login is None else LoginPassword(login[0].encode(), login[1].encode())
        return AuthResult(success=data == wanted, handled=False)

    return check
