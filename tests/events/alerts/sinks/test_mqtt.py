"""Messages to a real MQTT broker that is stopped, killed and restarted; the state it keeps is always right."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from msflow_stream.events.alerts.delivery import DeliveryWorker
from msflow_stream.events.alerts.queue import DeliveryQueue
from msflow_stream.events.alerts.sinks import mqtt as mqtt_sink
from msflow_stream.events.alerts.sinks.base import AlertMessage, Retry, SinkContext
from msflow_stream.events.alerts.sinks.mqtt import Mqtt
from msflow_stream.types import UserError
from tests.events.alerts.messages import QUICK, a_message, known_by, life, settings, without_repeats
from tests.support.data import REPOSITORY
from tests.support.mqtt import Broker, Subscriber, make_certificate, need_broker, until
from tests.support.proxy import Proxy

LOGIN = ("guard", "sesame-word")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is away is tried again at once."""
    monkeypatch.setattr(mqtt_sink, "RECONNECT", (0.02, 0.1))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    need_broker()
    with Broker(tmp_path / "broker") as one:
        yield one


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message waits for a connection a moment only, before it waits for its next turn."""
    monkeypatch.setattr(mqtt_sink, "PATIENCE", 0.1)


def mqtt(port: int, cameras: tuple[str, ...] = ("gate", "yard"), **options: Any) -> Mqtt:
    values = {"host": "127.0.0.1", "prefix": "site", **options}
    return Mqtt(settings(type="mqtt", port=port, **values), SinkContext(cameras))


def events(subscriber: Subscriber, camera: str = "gate") -> list[tuple[str, int]]:
    """Ids and versions of all that was said of a camera's events."""
    return known_by([AlertMessage.read(text) for text in subscriber.texts(f"site/{camera}/event")])


def retained(port: int) -> dict[str, str]:
    """What somebody hears who comes now."""
    with Subscriber(port) as late:
        late.settle()
        return {topic: text for topic, text, old in late.received if old}


def test_the_life_of_an_event(broker: Broker) -> None:
    with Subscriber(broker.port) as subscriber:
        sink = mqtt(broker.port)
        until(lambda: subscriber.last("site/yard/state") == "OFF")
        for message in life():
            sink.write(message)
        sink.close()
        until(lambda: subscriber.last("site/status") == "offline")
    assert events(subscriber) == known_by(life())
    assert subscriber.texts("site/gate/state") == ["OFF", "ON", "ON", "OFF"]
    assert subscriber.texts("site/yard/state") == ["OFF"]
    assert subscriber.texts("site/status") == ["online", "offline"]


def test_the_broker_keeps_the_state_and_what_it_is_about_but_no_event(broker: Broker) -> None:
    sink = mqtt(broker.port)
    sink.write(a_message("open", severity="high"))
    until(lambda: "site/yard/state" in retained(broker.port))
    kept = retained(broker.port)
    assert kept["site/gate/state"] == "ON"
    assert kept["site/yard/state"] == "OFF"
    assert kept["site/status"] == "online"
    attributes = json.loads(kept["site/gate/attributes"])
    assert (attributes["id"], attributes["severity"], attributes["triggers"]) == ("gate-1", "high", ["paper"])
    assert attributes["start_wall"] == "2026-11-23T03:04:05Z"
    assert "site/gate/event" not in kept
    sink.close()
    assert retained(broker.port)["site/status"] == "offline"


def test_a_test_is_published_and_leaves_no_camera_behind(broker: Broker) -> None:
    with Subscriber(broker.port) as subscriber:
        sink = mqtt(broker.port)
        sink.try_out(a_message("close", "test-1", source="test"))
        until(lambda: events(subscriber, "test") == [("test-1", 1)])
        sink.close()
    assert not [topic for topic in retained(broker.port) if "test" in topic]


def test_the_end_of_an_earlier_event_does_not_hide_that_another_one_lasts(broker: Broker) -> None:
    sink = mqtt(broker.port)
    for message in (a_message("open", "e1"), a_message("open", "e2"), a_message("close", "e1", 2)):
        sink.write(message)
    assert retained(broker.port)["site/gate/state"] == "ON"
    sink.write(a_message("close", "e2", 2))
    assert retained(broker.port)["site/gate/state"] == "OFF"
    sink.close()


def test_the_end_of_an_event_that_an_earlier_run_said_turns_it_off(broker: Broker) -> None:
    first = mqtt(broker.port, ())
    first.write(a_message("open"))
    first.close()
    second = mqtt(broker.port, ())
    second.write(a_message("close", version=2))
    assert retained(broker.port)["site/gate/state"] == "OFF"
    second.close()


def configs(port: int) -> dict[str, Any]:
    """What Home Assistant would find now."""
    return {topic: json.loads(text) for topic, text in retained(port).items() if topic.endswith("/config")}


def test_home_assistant_finds_every_camera(broker: Broker) -> None:
    sink = mqtt(broker.port, ("gate", "a.b", "a_b"))
    sink.announce(["gate", "late"])
    sink.write(a_message("open", "x", source="unheard-of"))
    until(lambda: len(configs(broker.port)) >= 5)  # what is announced is not waited for
    found = configs(broker.port)
    sink.close()
    assert all(topic.startswith("homeassistant/binary_sensor/site/") for topic in found)
    assert len({config["unique_id"] for config in found.values()}) == len(found) == 5
    config = found["homeassistant/binary_sensor/site/gate/config"]
    assert config["device_class"] == "problem"
    assert config["state_topic"] == "site/gate/state"
    assert config["json_attributes_topic"] == "site/gate/attributes"
    assert config["availability_topic"] == "site/status"
    assert {config["device"]["name"] for config in found.values()} == {"gate", "a.b", "a_b", "late", "unheard-of"}


def test_without_discovery_nothing_is_announced(broker: Broker) -> None:
    sink = mqtt(broker.port, discovery=None)
    sink.write(a_message("open"))
    assert not any("config" in topic for topic in retained(broker.port))
    sink.close()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("forgetful", [False, True])
def test_a_broker_stopped_in_mid_event_and_restarted_gets_everything_in_order(
    tmp_path: Path, broker: Broker, forgetful: bool
) -> None:
    sink = mqtt(broker.port, timeout=2.0)
    worker = DeliveryWorker(
        DeliveryQueue(tmp_path, "mqtt"), sink.write, random=Random(0), close=sink.close, backoff=QUICK
    )
    messages = [message for number in range(3) for message in life(f"e{number}", updates=4)]
    with Subscriber(broker.port) as subscriber:
        for message in messages[:3]:
            worker.add(message)
        until(lambda: len(without_repeats(events(subscriber))) == 3)
        broker.stop(signal.SIGKILL if forgetful else signal.SIGTERM)
        if forgetful:
            broker.forget()
        for message in messages[3:-1]:
            worker.add(message)
        until(lambda: worker.report().retried >= 2)
        assert worker.report().waiting == len(messages) - 4
        broker.start()
        until(lambda: worker.report().waiting == 0)
        assert retained(broker.port)["site/gate/state"] == "ON"
        assert retained(broker.port)["site/yard/state"] == "OFF"  # said anew to a broker that has forgotten it
        worker.add(messages[-1])
        until(lambda: worker.report().waiting == 0)
        heard = [(f"e{number}", version) for number in range(3) for version in range(1, 7)]
        if not forgetful:  # for else the broker has forgotten the subscriber too
            until(lambda: without_repeats(events(subscriber)) == heard)
    kept = retained(broker.port)
    worker.close()
    assert kept["site/gate/state"] == "OFF"
    assert kept["site/status"] == "online"
    assert worker.report().delivered == len(messages)
    assert worker.report().given_up == 0


def test_it_is_online_again_after_a_restart_of_the_broker_without_any_event(broker: Broker) -> None:
    sink = mqtt(broker.port)
    with Subscriber(broker.port) as subscriber:
        until(lambda: subscriber.last("site/gate/state") == "OFF")
    broker.stop(signal.SIGKILL)
    broker.forget()
    broker.start()
    with Subscriber(broker.port) as subscriber:
        until(lambda: subscriber.last("site/status") == "online" and subscriber.last("site/gate/state") == "OFF")
    sink.close()


def test_a_killed_program_is_offline_by_its_last_will_and_online_when_it_is_back(broker: Broker) -> None:
    code = (
        "import sys\nfrom tests.events.alerts.messages import a_message\n"
        "from tests.events.alerts.sinks.test_mqtt import mqtt\n"
        "sink = mqtt(int(sys.argv[1]))\nsink.write(a_message('open'))\nprint('said', flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(broker.port)]
    with Subscriber(broker.port) as subscriber:
        with subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "said\n"
            until(lambda: subscriber.last("site/status") == "online")
            process.kill()
        until(lambda: subscriber.last("site/status") == "offline")
        sink = mqtt(broker.port)
        until(lambda: subscriber.last("site/status") == "online")
        sink.close()


def test_a_network_that_passes_nothing_on_is_noticed_and_the_message_said_again(broker: Broker) -> None:
    with Proxy(broker.port) as network, Subscriber(broker.port) as subscriber:
        sink = mqtt(network.port, timeout=0.3)
        sink.write(a_message("open"))
        network.stall()
        with pytest.raises(Retry, match="did not confirm"):
            sink.write(a_message("update", version=2))
        network.resume()
        until(lambda: _works(sink, a_message("update", version=2)))
        sink.write(a_message("close", version=3))
        until(lambda: events(subscriber)[-1:] == [("gate-1", 3)])
        assert without_repeats(events(subscriber)) == known_by(life())
        sink.close()


@pytest.mark.usefixtures("hasty")
def test_a_state_that_was_left_unconfirmed_does_not_hide_a_newer_one(broker: Broker) -> None:
    with Proxy(broker.port) as network:
        sink = mqtt(network.port, timeout=0.2)
        sink.write(a_message("open", "e1"))
        for number in range(1, 3):
            network.stall()
            for message in (a_message("close", f"e{number}", 2), a_message("open", f"e{number + 1}")):
                assert not _works(sink, message)
            network.resume()
            until(lambda: _works(sink, a_message("open", f"e{number + 1}")))  # noqa: B023 (called at once)
            assert retained(broker.port)["site/gate/state"] == "ON"
        sink.close()


@pytest.mark.usefixtures("hasty")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl")  # paho leaves failed handshakes to the collector
def test_encrypted_and_with_a_login(tmp_path: Path) -> None:
    need_broker()
    certificate = make_certificate(tmp_path)
    options: dict[str, Any] = {"tls": True, "ca": certificate[0], "username": LOGIN[0], "timeout": 5.0}
    with Broker(tmp_path / "broker", LOGIN, certificate) as broker:
        with Subscriber(broker.port, LOGIN, certificate[0]) as subscriber:
            sink = mqtt(broker.port, password=LOGIN[1], **options)
            until(lambda: _works(sink, a_message("open")))
            until(lambda: without_repeats(events(subscriber)) == [("gate-1", 1)])
            sink.close()
        stranger = mqtt(broker.port, password="wrong-word", **options)
        until(lambda: "Not authorized" in str(_trouble(stranger)))
        assert _trouble(stranger).slow
        stranger.close()
        trusting = mqtt(broker.port, password=LOGIN[1], **{**options, "ca": None})
        until(lambda: "CERTIFICATE_VERIFY_FAILED" in str(_trouble(trusting)))
        trusting.close()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("paho")])
    gc.collect()


@pytest.mark.usefixtures("hasty")
def test_a_broker_that_is_not_there_is_tried_until_it_comes(tmp_path: Path) -> None:
    need_broker()
    broker = Broker(tmp_path / "broker")
    sink = mqtt(broker.port, timeout=0.5)
    until(lambda: "refused" in str(_trouble(sink)))
    assert not _trouble(sink).slow
    with broker:
        until(lambda: _works(sink, a_message("open")))
        sink.close()


def test_certificates_that_are_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read certificates"):
        mqtt(1, tls=True, ca=tmp_path / "none.pem")


def _works(sink: Mqtt, message: Any) -> bool:
    try:
        sink.write(message)
    except Retry:
        return False
    return True


def _trouble(sink: Mqtt) -> Retry:
    """Why a message cannot be delivered."""
    with pytest.raises(Retry) as caught:
        sink.write(a_message("open"))
    return caught.value
