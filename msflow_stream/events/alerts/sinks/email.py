"""Messages as mails, with a picture."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from msflow_stream.config.alerts import EmailSettings
from msflow_stream.events.alerts.sinks.base import AlertSink, GiveUp, Retry, tls_context
from msflow_stream.logs import Redactor
from msflow_stream.types import Event, EventMessage

logger = logging.getLogger(__name__)

PORTS = {"starttls": 587, "tls": 465, "none": 25}
MOST_BYTES = 10 * 2**20  # of a picture; many servers take no larger mails

Snapshot = Callable[[Event], Path | None]  # where an event's picture is, or will be


class Mail(AlertSink):
    """Sends a mail per message, over a connection of its own."""

    def __init__(self, settings: EmailSettings, hide: Redactor, snapshot: Snapshot | None = None) -> None:
        """Raises:
        UserError: the certificates cannot be read.
        """
        self._settings, self._hide, self._snapshot = settings, hide, snapshot
        self._context = None if settings.security == "none" else tls_context(settings.ca)

    def deliver(self, message: EventMessage) -> None:
        try:
            self._send(self._written(message))
        except smtplib.SMTPAuthenticationError as error:
            raise Retry(f"the mail server refuses the login ({error.smtp_code})", patient=True) from None
        except smtplib.SMTPRecipientsRefused as error:
            _judge(max(code for code, _ in error.recipients.values()), "refuses every recipient")
        except smtplib.SMTPResponseException as error:
            _judge(error.smtp_code, _text(error.smtp_error))
        except smtplib.SMTPNotSupportedError as error:
            raise Retry(f"the mail server cannot do what is asked: {error}", patient=True) from None
        except (smtplib.SMTPException, OSError) as error:
            raise Retry(f"{type(error).__name__}: {error}") from None

    def _send(self, mail: EmailMessage) -> None:
        wanted = self._settings
        where = wanted.host, wanted.port or PORTS[wanted.security]
        server: smtplib.SMTP
        if wanted.security == "tls":
            server = smtplib.SMTP_SSL(*where, timeout=wanted.timeout, context=self._context)
        else:
            server = smtplib.SMTP(*where, timeout=wanted.timeout)
        with server:
            if wanted.security == "starttls":
                server.starttls(context=self._context)
            if wanted.username is not None and wanted.password is not None:
                server.login(wanted.username, wanted.password.get_secret_value())
            refused = server.send_message(mail)
        for address, (code, text) in refused.items():
            logger.warning("mail server refuses %s: %d %s", address, code, self._hide(_text(text)))

    def _written(self, message: EventMessage) -> EmailMessage:
        event = message.event
        mail = EmailMessage()
        mail["Subject"] = f"[{event.severity}] {event.source}: {_headline(message)}"
        mail["From"], mail["To"] = self._settings.sender, ", ".join(self._settings.to)
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain=self._settings.sender.rpartition("@")[2])
        mail["X-Event"] = f"{event.id} {event.version}"
        mail.set_content("\n".join(_facts(event)) + "\n")
        if (picture := self._picture(event)) is not None:
            mail.add_attachment(picture, maintype="image", subtype="jpeg", filename=f"{event.id}.jpg")
        return mail

    def _picture(self, event: Event) -> bytes | None:
        path = self._snapshot(event) if self._snapshot is not None else None
        try:
            return path.read_bytes() if path is not None and path.stat().st_size <= MOST_BYTES else None
        except OSError:  # there is none yet
            return None


def _judge(code: int, text: str) -> None:
    reason = f"the mail server answers {code}: {text}"
    raise GiveUp(reason) if code >= 500 else Retry(reason)


def _text(answer: bytes | str) -> str:
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    return " ".join(text.split())


def _headline(message: EventMessage) -> str:
    event = message.event
    when = f"{event.start_wall:%Y-%m-%d %H:%M:%S %Z}" if event.start_wall else f"{event.start:.1f} s"
    if message.kind == "close" and event.end is not None:
        return f"event from {when} is over after {event.end - event.start:.1f} s"
    return f"event since {when}"


def _facts(event: Event) -> list[str]:
    sure = "" if event.probability is None else f", in a normal frame of probability {event.probability:.2g}"
    return [
        f"Camera: {event.source}",
        f"Event: {event.id}",
        f"Severity: {event.severity}",
        f"Raised by: {', '.join(event.triggers)}",
        f"Peak: score {event.peak_score:.4g} at {event.peak_time:.1f} s (frame {event.peak_index}){sure}",
        *(f"Region: {width} x {height} at {x}, {y}" for x, y, width, height in event.regions),
    ]
