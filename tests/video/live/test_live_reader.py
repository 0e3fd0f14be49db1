from __future__ import annotations

import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.logs import redact
from msflow_stream.types import UserError
from msflow_stream.video.live.live_reader import LiveReader
from msflow_stream.video.reading.source_info import live_name
from msflow_stream.video.sources import Reader, open_source
from tests.support.videos import read_code, write_video

PASSWORD = "hunter2"
RATE = 25


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


Camera = tuple[str, "subprocess.Popen[bytes]"]


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[Callable[[int], Camera]]:
    """A camera: ffmpeg sends `count` coded frames in real time to whoever connects, with credentials in the URL."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the ffmpeg command to play the camera")
    processes: list[subprocess.Popen[bytes]] = []

    def start(count: int) -> Camera:
        video = write_video(tmp_path / "camera.ts", count, rate=RATE, keyframe_every=5)
        port = free_port()
        command = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-i", str(video), "-c", "copy", "-f", "mpegts"]
        command += ["-flush_packets", "1", "-listen", "1", f"http://127.0.0.1:{port}/live/main"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        processes.append(process)
        return f"http://admin:{PASSWORD}@127.0.0.1:{port}/live/main?token={PASSWORD}", process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def connect(url: str, opener: Callable[..., Reader] = LiveReader, **kwargs: Any) -> Reader:
    """Connects as soon as the camera listens."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return opener(url, **kwargs)
        except UserError as error:
            if "refused" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def everything_said(error: BaseException, caplog: pytest.LogCaptureFixture) -> str:
    """The error's text and that of all errors behind it, and the log."""
    said, seen = caplog.text, error
    while seen is not None:
        said += f"{seen!s} {seen!r} {seen.args} "
        seen = seen.__cause__ or seen.__context__  # type: ignore[assignment]
    return said


def test_frames_of_a_camera_arrive_in_order_with_the_time_of_arrival(
    camera: Callable[[int], Camera], caplog: pytest.LogCaptureFixture
) -> None:
    url, _ = camera(40)
    before = datetime.now(UTC)
    with connect(url) as reader:
        frames = list(reader)
    assert reader.info.live
    assert (reader.info.width, reader.info.height, reader.info.codec) == (64, 48, "h264")
    assert [frame.index for frame in frames] == list(range(len(frames)))
    codes = [read_code(frame.image) for frame in frames]
    assert len(codes) > 30
    assert codes == list(range(40 - len(codes), 40))
    assert [frame.time for frame in frames] == pytest.approx([frame.index / RATE for frame in frames])
    walls = [frame.wall for frame in frames]
    assert all(wall is not None and before <= wall <= datetime.now(UTC) for wall in walls)
    assert reader.frames_read == len(frames)
    assert "the stream ended" in caplog.text
    assert {frame.source for frame in frames} == {reader.info.name}
    assert reader.info.name.endswith("-live-main")
    assert PASSWORD not in caplog.text + repr(reader.info)


def test_every_fifth_frame_of_a_camera_up_to_a_limit(camera: Callable[[int], Camera]) -> None:
    url, _ = camera(60)
    with connect(url, every=5, max_frames=12) as reader:
        frames = list(reader)
    assert [frame.index for frame in frames] == [0, 5, 10]
    codes = [read_code(frame.image) for frame in frames]
    assert codes[0] is not None
    assert codes == [codes[0] + frame.index for frame in frames]
    assert reader.frames_read == 12


def test_a_lost_connection_ends_the_frames_with_a_warning(
    camera: Callable[[int], Camera], caplog: pytest.LogCaptureFixture
) -> None:
    url, process = camera(100)
    seen = 0
    with connect(url, read_timeout=5) as reader:
        for _ in reader:
            seen += 1
            if seen == 5:
                process.kill()
    assert 5 <= seen < 100
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert reader.info.name in warnings[0]
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize("scheme", ["http", "rtsp", "rtmp", "tcp"])
def test_a_camera_that_is_not_there_is_an_error_without_credentials(
    scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with caplog.at_level(logging.DEBUG), pytest.raises(UserError, match="cannot connect") as caught:
        LiveReader(f"{scheme}://admin:{PASSWORD}@127.0.0.1:{port}/a?password={PASSWORD}", open_timeout=5)
    assert "127.0.0.1" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert PASSWORD not in everything_said(caught.value, caplog)


def test_a_camera_that_does_not_answer_is_given_up_in_time(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"rtsp://admin:{PASSWORD}@127.0.0.1:{mute.getsockname()[1]}/stream1"
        begin = time.monotonic()
        with caplog.at_level(logging.DEBUG), pytest.raises(UserError, match=r"no answer within 0\.5 s") as caught:
            LiveReader(url, open_timeout=0.5)
        assert time.monotonic() - begin < 4
    assert PASSWORD not in everything_said(caught.value, caplog)


def test_a_webcam_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UserError, match="webcam 97"):
        LiveReader("97")


def test_a_live_source_opens_behind_the_same_interface(camera: Callable[[int], Camera]) -> None:
    url, _ = camera(40)
    reader = connect(url, open_source, every=5, max_frames=6)
    with reader:
        assert [frame.index for frame in reader] == [0, 5]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://camera.example/stream1", "rtsp://camera.example/stream1"),
        ("rtsp://camera.example:8554/@home", "rtsp://***@home"),  # rather too much than a password with a / in it
        (f"rtsp://admin:{PASSWORD}@camera.example/stream1", "rtsp://***@camera.example/stream1"),
        (f"rtsp://admin:a@{PASSWORD}@camera.example/s", "rtsp://***@camera.example/s"),
        (f"rtsp://admin:a/{PASSWORD}@camera.example/s", "rtsp://***@camera.example/s"),
        (f"rtsp://admin:12/{PASSWORD}@camera.example/s", "rtsp://***@camera.example/s"),
        (f"rtsp://admin:a b{PASSWORD}?#@camera.example/s", "rtsp://***@camera.example/s"),
        (f"rtsp://admin:{PASSWORD}/s", "rtsp://admin:***/s"),
        (f"http://[::1]:80/v?password={PASSWORD}&ch=1", "http://[::1]:80/v?password=***&ch=1"),
        (f"http://h/v?ch=1&ApiToken={PASSWORD}#x", "http://h/v?ch=1&ApiToken=***"),
        (f"http://h/v?user=me&pwd=a&{PASSWORD}&ch=1", "http://h/v?user=***&pwd=***&ch=1"),
        (f"srt://h:9000?passphrase={PASSWORD}&mode=caller", "srt://h:9000?passphrase=***&mode=caller"),
        (f"cannot open 'RTSP://admin:{PASSWORD}@h/s'", "cannot open 'RTSP://***@h/s'"),
        ("videos/a.mp4", "videos/a.mp4"),
        ("0", "0"),
    ],
)
def test_credentials_are_masked_and_the_rest_is_shown(url: str, shown: str) -> None:
    assert redact(url) == shown


@given(
    user=st.text(min_size=1),
    before=st.text(),
    after=st.text(),
    scheme=st.sampled_from(["rtsp", "http", "RTMP"]),
)
def test_no_password_whatever_its_characters_is_shown_or_part_of_a_name(
    user: str, before: str, after: str, scheme: str
) -> None:
    url = f"{scheme}://{user}:{before}{PASSWORD}{after}@camera.example/stream1"
    assert PASSWORD not in redact(url)
    assert PASSWORD not in live_name(url)


@given(url=st.text())
def test_a_name_is_always_safe_as_a_folder(url: str) -> None:
    name = live_name(f"rtsp://{url}")
    assert name not in ("", ".", "..")
    assert not set(name) & set('/\\:*?"<>|\n\0')
