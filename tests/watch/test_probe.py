"""One look through a camera: what it shows, or what is wrong with it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from msflow_stream.config.cameras import CameraSettings
from msflow_stream.types import UserError
from msflow_stream.video.live.faults import CameraError, Fault
from msflow_stream.watch.probe import probe
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.videos import coded_image, write_video

PASSWORD = "hunter2-planted"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtspCamera]:
    """Lets in admin with the password "right"."""
    need_server()
    folder = tmp_path_factory.mktemp("clips")
    units = write_units(write_video(folder / "a.h264", 100, keyframe_every=5), folder / "a.units")
    with RtspCamera(units, login=("admin", "right")) as camera:
        yield camera


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_shows_its_facts(server: RtspCamera, transport: str) -> None:
    settings = CameraSettings(transport=transport, decode="cpu")  # type: ignore[arg-type]
    found = probe(server.url.replace("://", "://admin:right@"), "gate", settings)
    assert (found.name, found.width, found.height, found.codec) == ("gate", 64, 48, "h264")
    assert (found.rate, found.decoder) == (Fraction(25), "cpu")
    assert found.seconds > 0


def test_a_camera_that_refuses_says_so_without_the_password(
    server: RtspCamera, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CameraError, match="check user and password") as caught:
        probe(server.url.replace("://", f"://admin:{PASSWORD}@"), "gate")
    assert caught.value.fault is Fault.CREDENTIALS
    assert PASSWORD not in f"{caught.value!r} {caught.value.__context__!r} {caplog.text} {capfd.readouterr()}"


def test_a_camera_that_is_not_there_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(CameraError, match="check the port") as caught:
        probe(f"rtsp://127.0.0.1:{port}/live", "gate")
    assert caught.value.fault is Fault.REFUSED


def test_a_file_shows_its_facts(tmp_path: Path) -> None:
    found = probe(str(write_video(tmp_path / "walk.mp4", 5, size=(96, 64), rate=10)), "walk")
    assert (found.name, found.width, found.height, found.codec, found.rate) == ("walk", 96, 64, "h264", 10)
    assert found.decoder == "cpu"


def test_a_folder_of_images_shows_its_facts(tmp_path: Path) -> None:
    Image.fromarray(coded_image(0)).save(tmp_path / "0.png")
    assert (probe(str(tmp_path), "walk").width, probe(str(tmp_path), "walk").height) == (64, 48)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        probe(str(tmp_path / "nowhere.mp4"), "walk")


def test_a_webcam_that_is_not_there_is_said() -> None:
    with pytest.raises(UserError, match="webcam 97"):
        probe("97", "desk")
