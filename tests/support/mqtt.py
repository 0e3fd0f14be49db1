"""A real MQTT broker for tests, mosquitto, that can be stopped, killed and restarted, and a subscriber."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

PATIENCE = 30.0  # seconds, on a busy machine
SERVER = "/usr/sbin/mosquitto"
PROGRAMS = (SERVER, "mosquitto_passwd", "openssl")


def need_broker() -> None:
    """Skips the test, or fails it in CI, where there is no mosquitto."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if not missing:
        return
    message = f"no {', '.join(missing)}; apt-get install mosquitto mosquitto-clients openssl"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    kind = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    command = f"openssl req -x509 {kind} -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    where = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *where], check=True, capture_output=True, timeout=60)
    return certificate, key


class Broker:
    """mosquitto at 127.0.0.1:PORT. A context manager. What it retains is lost when it is killed, not when stopped."""

    def __init__(
        self, folder: Path, login: tuple[str, str] | None = None, certificate: tuple[Path, Path] | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        lines = [f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {folder}/"]
        if os.geteuid() == 0:
            lines.append("user root")  # else it becomes a user that cannot read our files
        if login is not None:
            passwords = folder / "passwords"
            command = ["mosquitto_passwd", "-c", "-b", str(passwords), *login]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            lines.append(f"password_file {passwords}")
        lines.append(f"allow_anonymous {'false' if login else 'true'}")
        if certificate is not None:
            lines += [f"certfile {certificate[0]}", f"keyfile {certificate[1]}"]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Returns once it listens."""
        with (self._folder / "log").open("ab") as log:
            command = [SERVER, "-c", str(self._folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
                return
            except OSError:
                assert self._process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(by)
            self._process.wait(PATIENCE)
            self._process = None

    def forget(self) -> None:
        """Removes what a stopped broker kept."""
        (self._folder / "mosquitto.db").unlink(missing_ok=True)

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Subscriber:
    """A client that keeps everything published at a broker, in order, and stays subscribed. A context manager.

    Attributes:
        received: topic, text, and whether the broker had retained it.
    """

    def __init__(self, port: int, login: tuple[str, str] | None = None, ca: Path | None = None) -> None:
        self.received: list[tuple[str, str, bool]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"listener-{id(self)}", clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(0.05, 0.05)
        self._subscribed = False
        self._client.on_subscribe = self._on_subscribe
        if login is not None:
            self._client.username_pw_set(*login)
        if ca is not None:
            self._client.tls_set(str(ca))
        self._port = port

    def texts(self, topic: str) -> list[str]:
        return [text for where, text, _ in list(self.received) if where == topic]

    def last(self, topic: str) -> str | None:
        texts = self.texts(topic)
        return texts[-1] if texts else None

    def settle(self) -> None:
        """Returns when all has been received that the broker knew before."""
        marker = f"marker/{id(self)}/{len(self.received)}"
        self._client.publish(marker, "", qos=1)
        until(lambda: self.texts(marker))

    def _on_message(self, client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        self.received.append((message.topic, message.payload.decode(), message.retain))

    def _on_subscribe(self, *_: object) -> None:
        self._subscribed = True

    def __enter__(self) -> Subscriber:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        until(lambda: self._subscribed)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def until(true: Callable[[], object], patience: float = PATIENCE) -> None:
    """Waits for something to become true."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
