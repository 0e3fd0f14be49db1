"""All alerts together: who gets what, that nobody waits for anybody, and that no secret shows anywhere."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from msflow_stream.events.alerts import AlertDispatcher, AlertMessage
from msflow_stream.events.alerts.sinks import mqtt as mqtt_sink
from msflow_stream.types import UserError
from tests.events.alerts.messages import QUICK, a_message, dead, known_by, life, settings, without_repeats
from tests.support.data import REPOSITORY
from tests.support.mqtt import free_port, until
from tests.support.webhook import WebReceiver


def lines(path: Path) -> list[AlertMessage]:
    return [AlertMessage.read(line) for line in path.read_text().splitlines()] if path.exists() else []


def dispatcher(
    folder: Path, alerts: dict[str, Any], routes: dict[str, list[str]] | None = None, **options: Any
) -> AlertDispatcher:
    made = {name: settings(**values) for name, values in alerts.items()}
    everything = {camera: list(alerts) for camera in ("gate", "yard")}
    return AlertDispatcher(
        made, folder / "alerts", Random(0), routes=routes or everything, **{"backoff": QUICK, **options}
    )


def files(folder: Path, *names: str) -> dict[str, Any]:
    return {name: {"type": "jsonl", "file": folder / f"{name}.jsonl"} for name in names}


def test_each_camera_has_its_alerts_and_each_alert_its_filters(tmp_path: Path) -> None:
    alerts = files(tmp_path, "all", "severe", "yard")
    alerts["severe"]["severity"] = "high"
    one = dispatcher(tmp_path, alerts, {"gate": ["all", "severe"], "yard": ["all", "yard"]})
    said = [(message, "gate") for message in life("g1")] + [
        (message, "gate") for message in life("g2", severity="high")
    ]
    said += [(message, "yard") for message in life("y1", source="yard")]
    for message, camera in said:
        one.publish(message, camera)
    one.publish(a_message("open", "x1", source="another"), "another")
    one.close(60)
    assert lines(tmp_path / "all.jsonl") == [message for message, _ in said]
    assert lines(tmp_path / "severe.jsonl") == life("g2", severity="high")
    assert lines(tmp_path / "yard.jsonl") == life("y1", source="yard")
    assert {name: report.delivered for name, report in one.report().items()} == {"all": 9, "severe": 3, "yard": 3}


def test_the_store_takes_everything_of_every_camera(tmp_path: Path) -> None:
    saved: list[AlertMessage] = []
    one = dispatcher(tmp_path, files(tmp_path, "none"), {"gate": []}, always={"store": saved.append})
    for message in life():
        one.publish(message, "gate")
    one.publish(a_message("open", "x1", source="another"), "another")
    one.close(60)
    assert saved == [*life(), a_message("open", "x1", source="another")]
    assert set(one.report()) == {"store", "none"}


def test_who_was_told_of_a_beginning_is_told_of_the_end_by_the_next_run_and_by_other_routes(tmp_path: Path) -> None:
    one = dispatcher(tmp_path, files(tmp_path, "guard"))
    one.publish(a_message("open", "e1"), "gate")
    one.publish(a_message("open", "e2"), "gate")
    one.reroute({"gate": []})
    one.publish(a_message("close", "e1", 2), "gate")
    one.publish(a_message("open", "e3"), "gate")
    one.close(60)
    another = dispatcher(tmp_path, files(tmp_path, "guard"), {"yard": ["guard"]})
    another.publish(a_message("close", "e2", 2), "gate")
    another.publish(a_message("close", "e3", 2), "gate")
    another.close(60)
    assert known_by(lines(tmp_path / "guard.jsonl")) == [("e1", 1), ("e2", 1), ("e1", 2), ("e2", 2)]


def test_a_hanging_receiver_holds_up_neither_the_cameras_nor_the_others(tmp_path: Path, receiver: WebReceiver) -> None:
    receiver.answer = "hang"
    hook = {"type": "webhook", "url": receiver.url(), "timeout": 600.0}
    one = dispatcher(tmp_path, {"hook": hook, **files(tmp_path, "file")})
    messages = [message for number in range(20) for message in life(f"e{number}")]
    one.publish(messages[0], "gate")
    until(lambda: receiver.requests)
    for message in messages[1:]:  # all of them return while the first hangs
        one.publish(message, "gate")
    until(lambda: len(lines(tmp_path / "file.jsonl")) == 60)
    assert one.report()["hook"].waiting == 60
    one.close(0.1)
    receiver.answer = 200
    another = dispatcher(tmp_path, {"hook": {**hook, "timeout": 10.0}})
    until(lambda: another.report()["hook"].waiting == 0)
    another.close()
    assert receiver.accepted == known_by(messages)


def test_sigkill_with_messages_that_wait(tmp_path: Path, receiver: WebReceiver) -> None:
    receiver.answer = 503
    code = (
        "import sys, pathlib\nfrom tests.events.alerts.messages import life\n"
        "from tests.events.alerts.test_dispatcher import dispatcher\n"
        "one = dispatcher(pathlib.Path(sys.argv[1]), {'hook': {'type': 'webhook', 'url': sys.argv[2]}})\n"
        "for number in range(20):\n    for message in life(f'e{number}'): one.publish(message, 'gate')\n"
        "print('published', flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), receiver.url()]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "published\n"
        receiver.answer = 200
        until(lambda: len(receiver.accepted) >= 3)
        process.send_signal(signal.SIGKILL)
    one = dispatcher(tmp_path, {"hook": {"type": "webhook", "url": receiver.url()}})
    until(lambda: one.report()["hook"].waiting == 0)
    one.close()
    messages = [message for number in range(20) for message in life(f"e{number}")]
    assert without_repeats(receiver.accepted) == known_by(messages)
    assert len(receiver.accepted) <= len(messages) + 1  # only the one that was being delivered is said twice


def test_what_is_given_up_is_counted_and_kept(tmp_path: Path, receiver: WebReceiver) -> None:
    receiver.answer = 410
    one = dispatcher(tmp_path, {"hook": {"type": "webhook", "url": receiver.url()}})
    for message in life():
        one.publish(message, "gate")
    until(lambda: one.report()["hook"].given_up == 3)
    one.close()
    reasons = [("the server answers 410", *known) for known in known_by(life())]
    assert dead(tmp_path / "alerts" / "hook.dead.jsonl") == reasons
    assert one.report()["hook"].last_error == "the server answers 410"


def test_an_alert_that_is_not_there_is_a_mistake_that_names_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="camera gate: there is no alert 'gaurd': did you mean 'guard'"):
        dispatcher(tmp_path, files(tmp_path, "guard", "other"), {"gate": ["gaurd"]})
    with pytest.raises(UserError, match="there are none"):
        dispatcher(tmp_path, {}, {"gate": ["guard"]})
    with pytest.raises(UserError, match="store: this name is taken"):
        dispatcher(tmp_path, files(tmp_path, "store"), always={"store": print})
    hook = {"type": "webhook", "url": "https://127.0.0.1", "ca": tmp_path / "none.pem"}
    with pytest.raises(UserError, match="alert hook: cannot read certificates"):
        dispatcher(tmp_path, {**files(tmp_path, "first"), "hook": hook})


def test_a_library_that_is_not_installed_is_said_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    monkeypatch.delitem(sys.modules, mqtt_sink.__name__)
    with pytest.raises(UserError, match=r"^alert broker: .* pip install 'msflow-stream\[mqtt\]'$"):
        dispatcher(tmp_path, {"broker": {"type": "mqtt", "host": "127.0.0.1"}})


def test_no_secret_shows_in_logs_dead_letters_queues_or_reports(
    tmp_path: Path, receiver: WebReceiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(mqtt_sink, "PATIENCE", 0.1)
    receiver.answer = 404
    words = {name: f"planted-{name}" for name in ("user", "login", "path", "query", "key", "mqtt", "mail")}
    address = receiver.url(f"/{words['path']}?token={words['query']}", f"{words['user']}:{words['login']}")
    away = {"host": "127.0.0.1", "port": free_port(), "username": "guard", "timeout": 0.2}
    alerts: dict[str, dict[str, Any]] = {
        "hook": {"type": "webhook", "url": address, "secret": words["key"]},
        "lost": {"type": "webhook", "url": address.replace("127.0.0.1", "nowhere.invalid"), "secret": words["key"]},
        "broker": {"type": "mqtt", "password": words["mqtt"], **away},
        "mail": {"type": "email", "password": words["mail"], **away, "sender": "a@b.example", "to": ["c@d.example"]},
        "run": {"type": "command", "command": ["false"]},
    }
    one = dispatcher(tmp_path, alerts)
    for message in life():
        one.publish(message, "gate")
    until(lambda: one.report()["hook"].given_up == 3)
    until(lambda: all(report.last_error for report in one.report().values()))
    one.close(30)
    written = [path.read_bytes() for path in (tmp_path / "alerts").rglob("*") if path.is_file()]
    shown = "\n".join([caplog.text, repr(one.report()), repr([settings(**values) for values in alerts.values()])])
    assert len(written) >= 6
    assert "404" in shown
    for word in words.values():
        assert word not in shown
        assert not any(word.encode() in content for content in written)
