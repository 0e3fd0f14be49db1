"""Messages as mails, to a real server: encrypted, with a login, with a snapshot, and refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from msflow_stream.events.alerts.sinks.base import GiveUp, Retry, SinkContext
from msflow_stream.events.alerts.sinks.email import Mail
from msflow_stream.logs import Redactor
from msflow_stream.types import Event
from tests.events.alerts.messages import a_message, settings
from tests.support.events import REASON
from tests.support.mqtt import free_port, make_certificate, need_broker
from tests.support.smtp import Mailbox

LOGIN = ("guard", "sesame-word")


def mail(port: int, snapshot: Callable[[Event], Path | None] | None = None, **options: Any) -> Mail:
    values = {"security": "none", "sender": "cam@example.org", "to": ["a@example.org", "b@example.org"], **options}
    context = SinkContext(redactor=Redactor([LOGIN[1]], any_url=True), snapshot=snapshot)
    return Mail(settings(type="email", host="127.0.0.1", port=port, **values), context)


def test_a_mail_says_what_where_and_when() -> None:
    with Mailbox() as box:
        mail(box.port).write(a_message("open", severity="high"))
        mail(box.port).write(a_message("close", severity="high"))
    opened, closed = box.mails
    assert opened["Subject"] == "[high] gate: event since 2026-11-23 03:04:05 UTC"
    assert closed["Subject"] == "[high] gate: event from 2026-11-23 03:04:05 UTC is over after 4.0 s"
    assert opened["From"] == "cam@example.org"
    assert opened["To"] == "a@example.org, b@example.org"
    assert opened["X-Event"] == "gate-1 1"
    text = opened.get_content()
    assert "Camera: gate" in text
    assert "Region: 30 x 40 at 10, 20" in text


def test_a_mail_says_why_in_a_sentence_where_that_is_known() -> None:
    with Mailbox() as box:
        mail(box.port).write(a_message("open", triggers=("motion",), why=REASON))
        mail(box.port).write(a_message("close"))
    known, unknown = (one.get_content().splitlines() for one in box.mails)
    assert {"Raised by: motion", f"Why: {REASON.text}"} <= set(known)
    assert not any(line.startswith("Why") for line in unknown)


def test_the_snapshot_is_attached_if_there_is_one(tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot.jpg"
    with Mailbox() as box:
        mail(box.port, lambda event: snapshot).write(a_message("open"))
        snapshot.write_bytes(b"\xff\xd8 an image")
        mail(box.port, lambda event: snapshot).write(a_message("open"))
    bare, full = box.mails
    assert list(bare.iter_attachments()) == []
    (attached,) = full.iter_attachments()
    assert attached.get_content_type() == "image/jpeg"
    assert attached.get_content() == b"\xff\xd8 an image"
    assert attached.get_filename() == "gate-1.jpg"


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # which it speaks from the start
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_encrypted_and_with_a_login(tmp_path: Path, security: str) -> None:
    need_broker()  # for openssl
    certificate = make_certificate(tmp_path)
    options: dict[str, Any] = {"security": security, "username": LOGIN[0], "ca": certificate[0]}
    with Mailbox(LOGIN, certificate, tls=security == "tls") as box:
        mail(box.port, password=LOGIN[1], **options).write(a_message("open"))
        with pytest.raises(Retry, match="refuses the login") as refused:
            mail(box.port, password="wrong-word", **options).write(a_message("open"))
        with pytest.raises(Retry, match="CERTIFICATE_VERIFY_FAILED"):
            mail(box.port, password=LOGIN[1], **{**options, "ca": None}).write(a_message("open"))
    assert refused.value.slow
    assert len(box.mails) == 1


def test_a_server_that_cannot_encrypt_gets_no_password() -> None:
    with Mailbox() as box, pytest.raises(Retry, match="STARTTLS"):
        mail(box.port, security="starttls", username=LOGIN[0], password=LOGIN[1]).write(a_message("open"))
    assert box.mails == []


def test_a_bad_recipient_is_for_ever_and_a_busy_one_is_not() -> None:
    with Mailbox() as box:
        box.refusals = {"a@example.org": "550 nobody here", "b@example.org": "550 nobody here"}
        with pytest.raises(GiveUp, match="550"):
            mail(box.port).write(a_message("open"))
        box.refusals = {"a@example.org": "450 come again", "b@example.org": "450 come again"}
        with pytest.raises(Retry, match="450"):
            mail(box.port).write(a_message("open"))


def test_one_bad_recipient_does_not_cost_the_others_their_mail(caplog: pytest.LogCaptureFixture) -> None:
    with Mailbox() as box:
        box.refusals = {"a@example.org": "550 nobody here"}
        mail(box.port).write(a_message("open"))
    assert len(box.mails) == 1
    assert "refuses a@example.org: 550 nobody here" in caplog.text


def test_a_server_that_is_away_or_full_is_tried_again() -> None:
    with pytest.raises(Retry, match="refused"):
        mail(free_port()).write(a_message("open"))
    with Mailbox() as box:
        box.down = "452 no room"
        with pytest.raises(Retry, match="452: no room"):
            mail(box.port).write(a_message("open"))
        box.down = "554 spam"
        with pytest.raises(GiveUp, match="554: spam"):
            mail(box.port).write(a_message("open"))
