"""Messages as mails, with a snapshot of the event."""

from __future__ import annotations

import logging
import smtplib
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from msflow_stream.config.alerts import EmailSettings
from msflow_stream.events.alerts.sinks.base import AlertMessage, AlertSink, GiveUp, Retry, SinkContext, tls_context
from msflow_stream.types import Event

logger = logging.getLogger(__name__)

PORTS = {"starttls": 587, "tls": 465, "none": 25}
MAX_SNAPSHOT_BYTES = 10 * 2**20  # many servers take no larger mails


class Mail(AlertSink):
    """A mail server that gets a mail per message, each over a connection of its own."""

    _settings: EmailSettings

    def __init__(self, settings: EmailSettings, context: SinkContext) -> None:
        """Opens no connection yet.

        Raises:
            UserError: the certificates cannot be read.
        """
        super().__init__(settings, context)
        self._tls = None if settings.security == "none" else tls_context(settings.ca)

    def write(self, message: AlertMessage) -> None:
        """Sends the message's mail."""
        try:
            self._send(self._mail(message))
        except smtplib.SMTPAuthenticationError as error:
            raise Retry(f"the mail server refuses the login ({error.smtp_code})", slow=True) from None
        except smtplib.SMTPRecipientsRefused as error:
            _judge(max(code for code, _ in error.recipients.values()), "refuses every recipient")
        except smtplib.SMTPResponseException as error:
            _judge(error.smtp_code, _text(error.smtp_error))
        except smtplib.SMTPNotSupportedError as error:
            raise Retry(f"the mail server cannot do what is asked: {error}", slow=True) from None
        except (smtplib.SMTPException, OSError) as error:
            raise Retry(f"{type(error).__name__}: {error}") from None

    def _send(self, mail: EmailMessage) -> None:
        settings = self._settings
        address = settings.host, settings.port or PORTS[settings.security]
        server: smtplib.SMTP
        if settings.security == "tls":
            server = smtplib.SMTP_SSL(*address, timeout=settings.timeout, context=self._tls)
        else:
            server = smtplib.SMTP(*address, timeout=settings.timeout)
        with server:
            if settings.security == "starttls":
                server.starttls(context=self._tls)
            if settings.username is not None and settings.password is not None:
                server.login(settings.username, settings.password.get_secret_value())
            refused = server.send_message(mail)
        for recipient, (code, text) in refused.items():
            logger.warning("mail server refuses %s: %d %s", recipient, code, self._context.redactor(_text(text)))

    def _mail(self, message: AlertMessage) -> EmailMessage:
        event = message.event
        mail = EmailMessage()
        mail["Subject"] = f"[{event.severity}] {event.source}: {_headline(message)}"
        mail["From"], mail["To"] = self._settings.sender, ", ".join(self._settings.to)
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain=self._settings.sender.rpartition("@")[2])
        mail["X-Event"] = f"{event.id} {event.version}"
        mail.set_content("\n".join(_facts(event)) + "\n")
        if (snapshot := self._snapshot(event)) is not None:
            mail.add_attachment(snapshot, maintype="image", subtype="jpeg", filename=f"{event.id}.jpg")
        return mail

    def _snapshot(self, event: Event) -> bytes | None:
        path = self._context.snapshot(event) if self._context.snapshot is not None else None
        try:
            return path.read_bytes() if path is not None and path.stat().st_size <= MAX_SNAPSHOT_BYTES else None
        except OSError:  # there is none yet
            return None


def _judge(code: int, text: str) -> None:
    reason = f"the mail server answers {code}: {text}"
    raise GiveUp(reason) if code >= 500 else Retry(reason)


def _text(answer: bytes | str) -> str:
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    return " ".join(text.split())


def _headline(message: AlertMessage) -> str:
    event = message.event
    when = f"{event.start_wall:%Y-%m-%d %H:%M:%S %Z}" if event.start_wall else f"{event.start:.1f} s"
    if message.kind == "close" and event.end is not None:
        return f"event from {when} is over after {event.end - event.start:.1f} s"
    return f"event since {when}"


def _facts(event: Event) -> list[str]:
    probability = "" if event.probability is None else f", in a normal frame of probability {event.probability:.2g}"
    return [
        f"Camera: {event.source}",
        f"Event: {event.id}",
        f"Severity: {event.severity}",
        f"Raised by: {', '.join(event.triggers)}",
        *([] if event.why is None else [f"Why: {event.why.text}"]),
        f"Peak: score {event.peak_score:.4g} at {event.peak_time:.1f} s (frame {event.peak_index}){probability}",
        *(f"Region: {width} x {height} at {x}, {y}" for x, y, width, height in event.regions),
    ]
