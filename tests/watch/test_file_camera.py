"""A file in a camera's place: everything of it arrives, and its states are a camera's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from msflow_stream.config.cameras import CameraSettings
from msflow_stream.types import UserError
from msflow_stream.video.live.faults import Fault
from msflow_stream.video.live.states import State
from msflow_stream.watch.file_camera import FileCamera, is_file
from tests.support.earlier import earlier_codes
from tests.support.videos import coded_image, overwrite_packets, read_code, write_video

COUNT = 23


def watched(path: Path, every: int = 1) -> tuple[FileCamera, list[tuple[State, State, str]]]:
    camera = FileCamera(str(path), name="gate", settings=CameraSettings(every=every))
    changes: list[tuple[State, State, str]] = []
    camera.observe(lambda *change: changes.append(change))
    return camera, changes


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "walk.mp4", COUNT)


@pytest.mark.parametrize("every", [1, 5])
def test_every_nth_frame_arrives_under_the_cameras_name(video: Path, every: int) -> None:
    camera, changes = watched(video, every)
    frames = list(camera)
    wanted = list(range(0, COUNT, every))
    assert [frame.index for frame in frames] == [read_code(frame.image) for frame in frames] == wanted
    assert [frame.time for frame in frames] == pytest.approx([index / 25 for index in wanted])
    assert {frame.source for frame in frames} == {"gate"}
    assert earlier_codes(frames) == [index - 2 if index >= 2 else None for index in wanted]
    assert changes == [
        (State.CONNECTING, State.RUNNING, "pictures come"),
        (State.RUNNING, State.STOPPED, "the file has ended"),
    ]
    status = camera.status()
    assert (status.frames_read, status.frames_sampled, status.decode_errors) == (COUNT, len(wanted), 0)
    assert (status.state, status.fault, status.lag, status.segment) == (State.STOPPED, None, None, 0)
    assert status.decoder == "cpu"
    assert status.info is not None
    assert (status.info.name, status.info.width, status.info.height, status.info.codec) == ("gate", 64, 48, "h264")


def test_frames_come_without_the_moment_before_where_motion_does_not_count(video: Path) -> None:
    assert earlier_codes(FileCamera(str(video), motion=False)) == [None] * 5  # of 23 frames, every fifth


def test_the_file_is_not_opened_before_its_frames_are_asked_for(tmp_path: Path) -> None:
    camera, _ = watched(tmp_path / "later.mp4")
    assert camera.status().state is State.CONNECTING
    write_video(tmp_path / "later.mp4", 3)
    assert len(list(camera)) == 3


def test_nothing_is_lost_however_slowly_it_is_taken(video: Path) -> None:
    camera, _ = watched(video)
    seen = []
    for frame in camera:
        seen.append(frame.index)
        assert camera.status().frames_read == frame.index + 1  # the file waits
    assert seen == list(range(COUNT))


def test_a_folder_of_images_is_watched_too(tmp_path: Path) -> None:
    for number in range(6):
        Image.fromarray(coded_image(number)).save(tmp_path / f"{number}.png")
    camera, changes = watched(tmp_path, every=5)
    assert [read_code(frame.image) for frame in camera] == [0, 5]
    assert changes[-1][1] is State.STOPPED


def test_asked_to_stop_it_ends_before_the_next_frame(video: Path) -> None:
    camera, changes = watched(video)
    seen = []
    for frame in camera:
        seen.append(frame.index)
        if frame.index == 2:
            camera.ask_to_stop()
            camera.ask_to_stop()
    assert seen == [0, 1, 2]
    assert changes[-1] == (State.RUNNING, State.STOPPED, "stopped")


def test_asked_to_stop_before_it_began_it_does_not_begin(tmp_path: Path) -> None:
    camera, changes = watched(tmp_path / "nowhere.mp4")
    camera.ask_to_stop()
    assert list(camera) == []
    assert changes == [(State.CONNECTING, State.STOPPED, "stopped")]


def test_a_reader_that_goes_away_closes_the_file(video: Path) -> None:
    camera, changes = watched(video)
    frames = iter(camera)
    next(frames)
    assert isinstance(frames, Iterator)
    frames.close()  # type: ignore[attr-defined]
    assert changes[-1] == (State.RUNNING, State.STOPPED, "stopped")


@pytest.mark.parametrize(("there", "fault"), [(False, Fault.NOT_FOUND), (True, Fault.GARBLED)])
def test_a_file_that_cannot_be_read_fails_with_its_own_error(
    there: bool, fault: Fault, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "walk.mp4"
    if there:
        path.write_bytes(b"\xa5" * 5000)
    camera, changes = watched(path)
    with pytest.raises(UserError) as caught:
        list(camera)
    status = camera.status()
    assert (status.state, status.fault, status.reason) == (State.FAILED, fault, str(caught.value))
    assert [new for _, new, _ in changes] == [State.FAILED]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(path) in caplog.text


def test_damage_is_counted_and_survived(tmp_path: Path) -> None:
    path = overwrite_packets(write_video(tmp_path / "walk.mp4", 40, keyframe_every=5), [12, 27])
    camera, changes = watched(path)
    assert list(camera)[-1].index == 39
    assert camera.status().decode_errors >= 2
    assert camera.status().frames_read == 40
    assert changes[-1][2] == "the file has ended"


def test_a_file_is_read_once(video: Path) -> None:
    camera, _ = watched(video)
    list(camera)
    with pytest.raises(RuntimeError, match="read once"):
        iter(camera)


def test_unnamed_it_is_named_after_the_file(video: Path) -> None:
    assert FileCamera(str(video)).name == "walk"


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("walk.mp4", True),
        ("/a/b.mp4", True),
        ("a b/ä", True),
        ("0", False),
        ("rtsp://h/s", False),
        ("http://h/a.mp4", False),
    ],
)
def test_addresses_and_webcams_are_no_files(url: str, file: bool) -> None:
    assert is_file(url) is file
