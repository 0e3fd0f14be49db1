"""The overlay pushed to a real RTSP server, and faults done to it."""

from __future__ import annotations

import itertools
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from msflow_stream.config.cameras import Backoff
from msflow_stream.types import UserError
from msflow_stream.video.pixels import planar
from msflow_stream.video.reading.colour import FrameConverter
from msflow_stream.watch.outputs.restream import Restream
from msflow_stream.watch.outputs.rtp_encoder import CLOCK, RtpEncoder
from tests.support.rtsp import need_server
from tests.support.rtsp_sink import RtspSink
from tests.watch.outputs.scored import PATIENCE, STYLE, noise, scored

PASSWORD = "hunter2-planted"
QUICK = Backoff(first=0.05, ceiling=0.2, settled=0.5)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RtspSink]:
    need_server()
    with RtspSink(tmp_path) as sink:
        yield sink


@pytest.fixture
def outage(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def restream(url: str, **settings: Any) -> Restream:
    return Restream(url, STYLE, 20.0, random=Random(0), **{"backoff": QUICK, "timeout": 5.0, **settings})


class Pusher:
    """Pushes pictures as a camera would, on and on."""

    def __init__(self, sink: Restream) -> None:
        self.sink = sink
        self.size = (64, 48)
        self._numbers = itertools.count()

    def until(self, true: Callable[[], bool]) -> None:
        """Pushes until something is true."""
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, "it never became true"
            index = next(self._numbers)
            self.sink.write(*scored(index, time=index / 20, image=noise(index % 10, self.size)))
            time.sleep(0.02)


def warnings(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno >= logging.WARNING]


def test_the_server_gets_each_frame_with_its_overlay(server: RtspSink) -> None:
    sink = restream(server.url)
    grey = np.full((96, 160, 3), 90, np.uint8)
    Pusher(sink).until(lambda: server.sessions() == 1)
    sink.close()
    sink = restream(server.url)
    numbers = itertools.count()
    deadline = time.monotonic() + PATIENCE
    while len(shown := server.pictures(server.sessions() - 1)) < 10 or shown[0].shape != (96, 160, 3):
        assert time.monotonic() < deadline
        index = next(numbers)
        sink.write(*scored(0, time=index / 20, image=grey, alarm=1))
        time.sleep(0.02)
    sink.close()
    assert sink.losses == {"away": 0}
    for picture in shown:
        assert picture[40:50, 40:60].mean() == pytest.approx(90, abs=6)
        assert picture[0, :, 0].mean() > 150  # the red border of the alarm
        assert picture[0, :, 1].mean() < 100


def test_pictures_of_another_size_come_in_a_new_session(server: RtspSink) -> None:
    push = Pusher(restream(server.url))
    push.until(lambda: server.received(0) > 3 if server.sessions() else False)
    push.size = (96, 64)
    push.until(lambda: server.sessions() == 2 and server.received(1) > 3)
    push.sink.close()
    assert {picture.shape for picture in server.pictures(0)} == {(48, 64, 3)}
    assert {picture.shape for picture in server.pictures(1)} == {(64, 96, 3)}
    assert push.sink.losses == {"away": 0}


def test_server_killed_and_restarted(server: RtspSink, outage: pytest.LogCaptureFixture) -> None:
    push = Pusher(restream(server.url))
    push.until(lambda: server.sessions() == 1 and server.received(0) > 3)
    server.kill()
    push.until(lambda: push.sink.losses["away"] > 20)
    server.start()
    push.until(lambda: server.sessions() == 2 and server.received(1) > 3)
    push.until(lambda: "works again" in outage.text)
    push.sink.close()
    assert len(set(warnings(outage))) == len(warnings(outage))
    assert any("Connection refused" in text for text in warnings(outage))


def test_server_absent_at_start(tmp_path: Path, outage: pytest.LogCaptureFixture) -> None:
    need_server()
    server = RtspSink(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        server.port = free.getsockname()[1]
    push = Pusher(restream(server.url))
    push.until(lambda: push.sink.losses["away"] > 10)
    with server:
        push.until(lambda: server.sessions() == 1 and server.received(0) > 3)
        push.sink.close()
    assert len(warnings(outage)) == 1


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_a_password_opens_the_server_and_shows_nowhere(
    tmp_path: Path, method: str, outage: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    need_server()
    with RtspSink(tmp_path, (method, "me", PASSWORD)) as server:
        push = Pusher(restream(server.url.replace("//", f"//me:{PASSWORD}@")))
        push.until(lambda: server.sessions() == 1 and server.received(0) > 3)
        server.kill()
        push.until(lambda: push.sink.losses["away"] > 5)
        push.sink.close()
    assert warnings(outage)
    assert PASSWORD not in outage.text + "".join(capfd.readouterr())


def test_credentials_refused(tmp_path: Path, outage: pytest.LogCaptureFixture) -> None:
    need_server()
    with RtspSink(tmp_path, ("digest", "me", "another")) as server:
        sink = restream(
            server.url.replace("//", f"//me:{PASSWORD}@"), backoff=Backoff(first=0.05, ceiling=3600.0, jitter=0.0)
        )
        for index in range(20):
            sink.write(*scored(index))
        sink.close()
        assert server.sessions() == 0
    assert sink.losses == {"away": 20}
    assert len(warnings(outage)) == 1  # one attempt: servers lock out who tries again and again
    assert "refuses the credentials" in outage.text
    assert PASSWORD not in outage.text


def test_a_server_that_freezes_is_given_up_and_does_not_stop_the_program(
    server: RtspSink, outage: pytest.LogCaptureFixture
) -> None:
    push = Pusher(restream(server.url, timeout=0.5))
    push.size = (640, 480)  # noise, which fills what the network holds
    push.until(lambda: server.sessions() == 1 and server.received(0) > 3)
    server.signal(signal.SIGSTOP)
    push.until(lambda: push.sink.losses["away"] > 3)
    server.signal(signal.SIGCONT)
    push.until(lambda: server.sessions() >= 2 and server.received(server.sessions() - 1) > 3)
    push.sink.close()
    assert "no answer within 0.5 s" in outage.text


def test_while_a_server_is_waited_for_other_threads_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, and never says a word
        sink = restream(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/live", timeout=0.3)
        done = threading.Event()
        thread = threading.Thread(target=lambda: (sink.write(*scored(0)), done.set()))
        thread.start()
        turns = 0
        while not done.wait(0.01):
            turns += 1
        thread.join()
        sink.close()
    assert turns > 5  # a lock held by the wait would let it pass in one
    assert sink.losses == {"away": 1}


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\n", b"RTSP/1.0 404 Not Found\r\n\r\n", b"\0" * 100, b""])
def test_a_server_that_answers_nonsense_is_told_as_that(answer: bytes, outage: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def reply() -> None:
            client, _ = odd.accept()
            with client:
                client.recv(65536)
                client.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        sink = restream(f"rtsp://me:{PASSWORD}@127.0.0.1:{odd.getsockname()[1]}/live")
        sink.write(*scored(0))
        sink.close()
        thread.join()
    assert sink.losses == {"away": 1}
    assert len(warnings(outage)) == 1
    assert PASSWORD not in outage.text


def test_an_address_that_is_none_is_told_at_the_start() -> None:
    with pytest.raises(UserError, match="cannot push to") as caught:
        restream(f"http://me:{PASSWORD}@host/live")
    assert PASSWORD not in str(caught.value)


def stamps(packets: list[bytes]) -> set[int]:
    """The timestamps of RTP packets, RTCP left out."""
    return {int.from_bytes(packet[4:8]) for packet in packets if packet[1] & 127 == 96}


def test_a_picture_is_sent_at_once_with_timestamps_that_follow_time_and_never_step_back() -> None:
    converter = FrameConverter()
    encoder = RtpEncoder(planar(noise(0), converter), Fraction(5))
    found = []
    for seconds in (100.0, 100.2, 103.0, 5.0, 5.2):
        (stamp,) = stamps(encoder.encode(planar(noise(0), converter), seconds))
        found.append(stamp)
    encoder.close()
    steps = [(after - before) % 2**32 / CLOCK for before, after in itertools.pairwise(found)]
    assert steps == pytest.approx([0.2, 2.8, 0.2, 0.2])
