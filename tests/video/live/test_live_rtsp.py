"""A live camera by the real thing: an RTSP server, and faults done to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from msflow_stream.config.cameras import Backoff, CameraSettings
from msflow_stream.video.live.camera_reader import CameraReader
from msflow_stream.video.live.faults import Fault
from msflow_stream.video.live.live_reader import LiveReader
from msflow_stream.video.live.states import State
from msflow_stream.video.reading.video_reader import VideoReader
from tests.support.babbler import Babbler
from tests.support.earlier import assert_same_earlier, earlier_codes
from tests.support.proxy import Proxy
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.videos import read_code, write_video
from tests.support.watcher import PATIENCE, Watcher

PASSWORD = "hunter2-planted"
LENGTH, RATE = 500, 25


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes access units for the server: coded pictures by default; two kinds of still picture; damage."""
    need_server()
    folder = tmp_path_factory.mktemp("clips")

    def make(name: str, size: tuple[int, int] = (64, 48), damaged: Collection[int] = (), **settings: Any) -> Path:
        path = folder / f"{name}.units"
        if not path.exists():
            form = "hevc" if settings.get("codec") == "libx265" else "h264"
            video = write_video(folder / name, size=size, rate=RATE, keyframe_every=5, format=form, **settings)
            write_units(video, path, damaged)
        return path

    return make


@pytest.fixture(scope="module")
def lasting_server(clips: Callable[..., Path]) -> Iterator[RtspCamera]:
    with RtspCamera(clips("coded", count=LENGTH)) as camera:
        yield camera


@pytest.fixture
def server(lasting_server: RtspCamera, clips: Callable[..., Path]) -> RtspCamera:
    """A server that other tests have used, for those that do not kill it; it may be in the middle of its clip."""
    lasting_server.play(clips("coded", count=LENGTH))
    return lasting_server


@pytest.fixture
def new_server(clips: Callable[..., Path]) -> Iterator[RtspCamera]:
    with RtspCamera(clips("coded", count=LENGTH)) as camera:
        yield camera


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_every_fifth_frame_arrives_with_its_index_in_the_source(new_server: RtspCamera, transport: str) -> None:
    with Watcher(new_server.url, every=5, transport=transport) as seen:
        seen.until_frames(8)
    assert [frame.index for frame in seen.frames] == list(range(0, 5 * len(seen.frames), 5))
    assert seen.codes == [frame.index for frame in seen.frames]
    assert [frame.time for frame in seen.frames] == pytest.approx([frame.index / RATE for frame in seen.frames])
    assert [new for new, _, _ in seen.news] == [State.RUNNING, State.STOPPED]
    status = seen.camera.status()
    assert (status.frames_sampled, status.decode_errors, status.segment) == (len(seen.frames), 0, 0)
    assert status.frames_read > seen.frames[-1].index
    assert status.last_wall is not None
    assert status.info is not None
    assert (status.info.codec, status.info.width, status.info.height, status.info.rate) == (
        "h264",
        64,
        48,
        Fraction(RATE),
    )


def test_a_camera_shows_the_same_moment_before_a_frame_as_its_recording(
    new_server: RtspCamera, clips: Callable[..., Path]
) -> None:
    with VideoReader(clips("coded", count=LENGTH).with_suffix(""), every=5) as reader:
        recorded = {read_code(frame.image): frame for frame in reader}
    with Watcher(new_server.url, every=5) as seen:
        seen.until_frames(8)
    with LiveReader(new_server.url, max_frames=12) as live:
        frames = [frame for frame in live if read_code(frame.image) in recorded]
    assert len(frames) >= 2
    for frame in (*seen.frames[1:], *frames[1:]):
        assert frame.earlier is not None
        assert_same_earlier(frame, recorded[read_code(frame.image)])
    assert seen.frames[0].earlier is None


def test_a_client_that_comes_later_sees_the_camera_as_it_is_now(server: RtspCamera) -> None:
    with Watcher(server.url) as first:
        first.until_frames(10)
        with Watcher(server.url) as second:
            second.until_frames(10)
    code = second.codes[0]
    assert code > 5
    assert second.codes == [code - second.frames[0].index + frame.index for frame in second.frames]
    assert second.camera.status().decode_errors == 0


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_server_killed_and_restarted(new_server: RtspCamera, transport: str) -> None:
    with Watcher(new_server.url, every=5, transport=transport, read_timeout=2.0) as seen:
        seen.until_frames(3)
        new_server.kill()
        seen.until(lambda: any(fault is Fault.REFUSED for _, fault, _ in seen.news))
        new_server.start()
        seen.until(lambda: seen.segments[-1] == 1)
        seen.until_frames(3)
    earlier = zip(seen.codes, earlier_codes(seen.frames), strict=True)
    assert all(before in (None, code - 2) for code, before in earlier), "nothing is seen against another connection"
    indices, times = [frame.index for frame in seen.frames], [frame.time for frame in seen.frames]
    assert all(index % 5 == 0 for index in indices)
    assert indices == sorted(set(indices))
    assert times == sorted(set(times))
    assert sorted(set(seen.segments)) == [0, 1]
    # The new server begins anew, but the index goes on: within the segment both count alike.
    again = [
        (frame.index, code)
        for frame, code, segment in zip(seen.frames, seen.codes, seen.segments, strict=True)
        if segment
    ]
    assert all(index - again[0][0] == code - again[0][1] for index, code in again)
    assert seen.camera.status().reconnects >= 1


def test_server_absent_at_start(clips: Callable[..., Path]) -> None:
    server = RtspCamera(clips("coded", count=LENGTH))
    server.start()
    server.kill()
    with Watcher(server.url) as seen:
        seen.until_fault(State.RECONNECTING, Fault.REFUSED)
        assert seen.frames == []
        server.start()
        seen.until_frames(3)
    server.kill()
    assert [frame.index for frame in seen.frames[:3]] == [0, 1, 2]
    assert seen.camera.status().segment == 0


def test_tcp_stalled(server: RtspCamera) -> None:
    with Proxy(server.port) as network:
        url = server.url.replace(str(server.port), str(network.port))
        with Watcher(url, open_timeout=1.5, read_timeout=1.5, stalled_after=0.4) as seen:
            seen.until_frames(5)
            network.stall()
            seen.until_fault(State.STALLED, Fault.SILENT)
            seen.until_fault(State.RECONNECTING, Fault.TIMEOUT)
            network.resume()
            seen.until(lambda: seen.segments[-1] == 1)
    indices = [frame.index for frame in seen.frames]
    assert indices == sorted(set(indices))
    reasons = [reason for state, fault, reason in seen.news if (state, fault) == (State.RECONNECTING, Fault.TIMEOUT)]
    assert all("no answer within 1.5 s" in reason for reason in reasons)


def test_stop_while_tcp_is_stalled_ends_the_threads(server: RtspCamera) -> None:
    with Proxy(server.port) as network:
        with Watcher(server.url.replace(str(server.port), str(network.port)), read_timeout=1.0) as seen:
            seen.until_frames(1)
            network.stall()
        assert seen.camera.join(0)
    assert seen.camera.status().state is State.STOPPED


def test_credentials_refused_are_said_and_never_shown(
    clips: Callable[..., Path], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with RtspCamera(clips("coded", count=LENGTH), login=("admin", "right")) as server:
        wrong = server.url.replace("://", f"://admin:{PASSWORD}@")
        with Watcher(wrong, backoff=Backoff(first=0.05, ceiling=0.1)) as seen:
            seen.until(lambda: sum(fault is Fault.CREDENTIALS for _, fault, _ in seen.news) >= 3)
        errors: list[BaseException | None] = []
        failing = CameraReader(
            wrong, seen.frames.append, random=Random(0), ended=errors.append, settings=CameraSettings(attempts=1)
        )
        with failing:
            assert failing.join(PATIENCE)
        with Watcher(server.url.replace("://", "://admin:right@")) as let_in:
            let_in.until_frames(2)
    assert seen.frames == []
    status = failing.status()
    assert (status.state, status.fault) == (State.FAILED, Fault.CREDENTIALS)
    assert "check user and password" in status.reason
    (error,) = errors
    assert error is not None
    said = [caplog.text, repr(seen.news), repr(seen.camera.status()), repr(status), f"{error!r} {error.args}"]
    said += [f"{error.__cause__!r} {error.__context__!r}", *(thread.name for thread in threading.enumerate())]
    said += [*capfd.readouterr()]  # FFmpeg's own log would be there
    assert "***@127.0.0.1" in caplog.text
    assert not [text for text in said if PASSWORD in text]


def test_a_wrong_path_is_said(server: RtspCamera) -> None:
    with Watcher(server.url + "/elsewhere") as seen:
        seen.until_fault(State.RECONNECTING, Fault.NOT_FOUND)


def test_tls_to_a_camera_without_it_is_said(server: RtspCamera) -> None:
    with Watcher(server.url.replace("rtsp:", "rtsps:")) as seen:
        seen.until_fault(State.RECONNECTING, Fault.TLS)


def test_frozen_picture(server: RtspCamera, clips: Callable[..., Path]) -> None:
    with Watcher(server.url, frozen_after=0.6) as seen:
        seen.until_frames(10)
        server.play(clips("frozen", count=1))  # the same key frame over and over
        seen.until_fault(State.STALLED, Fault.FROZEN)
        seen.until_frames(2)
        server.play(clips("coded", count=LENGTH))
        seen.until(lambda: seen.news[-1][0] is State.RUNNING)
    assert "frozen" in next(reason for _, fault, reason in seen.news if fault is Fault.FROZEN)
    assert [frame.index for frame in seen.frames] == list(range(len(seen.frames)))


def test_black_picture(server: RtspCamera, clips: Callable[..., Path]) -> None:
    with Watcher(server.url, black_after=0.6, frozen_after=0.3) as seen:
        seen.until_frames(10)
        server.play(clips("black", images=[np.zeros((48, 64, 3), np.uint8)]))
        seen.until_fault(State.STALLED, Fault.BLACK)
        server.play(clips("coded", count=LENGTH))
        seen.until(lambda: seen.news[-1][0] is State.RUNNING)


def test_stream_switched_to_another_resolution(server: RtspCamera, clips: Callable[..., Path]) -> None:
    with Watcher(server.url) as seen:
        seen.until_frames(10)
        server.play(clips("larger", size=(96, 64), count=LENGTH))
        seen.until(lambda: seen.frames[-1].image.shape == (64, 96, 3))
        seen.until_frames(5)
        info = seen.camera.status().info
    assert info is not None
    assert (info.width, info.height) == (96, 64)
    assert [frame.index for frame in seen.frames] == list(range(len(seen.frames)))
    assert set(seen.segments) == {0}
    larger = [code for code, frame in zip(seen.codes, seen.frames, strict=True) if frame.image.shape == (64, 96, 3)]
    assert larger == list(range(larger[0], larger[0] + len(larger)))


def test_stream_switched_to_another_frame_rate(server: RtspCamera, clips: Callable[..., Path]) -> None:
    with Watcher(server.url) as seen:
        seen.until_frames(10)
        server.play(clips("coded", count=LENGTH), rate=10)
        seen.until_frames(16)
    assert [frame.index for frame in seen.frames] == list(range(len(seen.frames)))
    assert set(seen.segments) == {0}
    steps = [after.time - before.time for before, after in pairwise(seen.frames)]
    assert steps[:9] == pytest.approx([1 / RATE] * 9, abs=0.002)
    assert steps[-9:] == pytest.approx([1 / 10] * 9, abs=0.002)
    assert seen.camera.status().decode_errors == 0


def test_camera_switched_to_another_codec(new_server: RtspCamera, clips: Callable[..., Path]) -> None:
    with Watcher(new_server.url) as seen:
        seen.until_frames(5)
        quiet = {"x265-params": "log-level=none:bframes=0:keyint=5"}
        new_server.restart("H265", clips("hevc", count=50, codec="libx265", options=quiet))
        seen.until(lambda: seen.segments[-1] == 1)
        seen.until_frames(5)
        info = seen.camera.status().info
    assert info is not None
    assert info.codec == "hevc"
    assert [frame.index for frame in seen.frames] == sorted({frame.index for frame in seen.frames})


def test_damaged_packets_are_skipped_and_counted(clips: Callable[..., Path]) -> None:
    units = clips("damaged", count=LENGTH, damaged=range(7, LENGTH, 5))  # key frames are at 0, 5, ...
    with RtspCamera(units, rate=4 * RATE) as server, Watcher(server.url) as seen:
        seen.until(lambda: seen.camera.status().decode_errors >= 3)
        seen.until_frames(10)
    assert set(seen.segments) == {0}
    # What is shown for a damaged frame is an older one, so only a code's first showing counts.
    shown: dict[int, int] = {}
    for code, frame in zip(seen.codes, seen.frames, strict=True):
        if code >= 0:
            shown.setdefault(code, frame.index)
    whole = {code for code in shown if code < 7 or code % 5 < 2}
    assert len(whole) > 9
    assert {code: shown[code] for code in whole} == {code: code for code in whole}


def test_packets_lost_over_udp(clips: Callable[..., Path]) -> None:
    units = clips("coded", count=LENGTH)
    with RtspCamera(units, loss=0.05, rate=4 * RATE) as server, Watcher(server.url, transport="udp") as seen:
        seen.until(lambda: seen.camera.status().decode_errors >= 2)
        seen.until_frames(10)
    assert set(seen.segments) == {0}
    for values in ([frame.index for frame in seen.frames], [frame.time for frame in seen.frames]):
        assert values == sorted(set(values))


@pytest.mark.parametrize("scheme", ["tcp", "rtsp"])
def test_garbage_bytes(scheme: str) -> None:
    with Babbler() as babbler, Watcher(f"{scheme}://127.0.0.1:{babbler.port}/live") as seen:
        seen.until(lambda: len(seen.news) >= 2)
    assert {fault for state, fault, _ in seen.news if state is State.RECONNECTING} == {Fault.GARBLED}
    assert seen.frames == []


def test_without_a_server_ci_fails_and_others_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install"):
        need_server("/no/python3")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="apt-get install"):
        need_server("/no/python3")
