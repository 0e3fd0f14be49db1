"""Footage is a camera's own packets in segments that play, whatever happens while it is recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from msflow_stream.types import Frame, UserError
from msflow_stream.video.live.faults import Fault
from msflow_stream.video.packets.footage import Footage, began, dated
from msflow_stream.video.packets.footage_recorder import FootageRecorder
from msflow_stream.video.reading.video_reader import VideoReader
from tests.support.clips import codes
from tests.support.videos import write_video
from tests.support.watching import until
from tests.video.live.pouring import pour

RATE = 25


def segments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".mp4", ".mkv"))


def test_the_packets_of_a_connection_are_a_segment_that_plays(tmp_path: Path) -> None:
    video = write_video(tmp_path / "s.mp4", 100, rate=RATE, b_frames=2)
    folder = tmp_path / "footage"
    with FootageRecorder(folder, name="gate", wall=lambda: 1_800_000_000.0) as recorder:
        pour(recorder, video)
    (segment,) = segments(folder)
    assert codes(segment) == list(range(100))
    assert recorder.seconds == pytest.approx(99 / RATE, abs=0.01)
    said = json.loads((folder / "footage.json").read_text())
    assert said["name"] == "gate"
    assert [one["file"] for one in said["segments"]] == [segment.name]
    assert said["segments"][0]["start"].startswith("2027-01-15T07:59:5")
    assert said["gaps"] == []
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_segment_begins_with_the_first_key_frame_after_its_length(tmp_path: Path) -> None:
    video = write_video(tmp_path / "s.mp4", 100, rate=RATE, keyframe_every=12)
    with FootageRecorder(tmp_path / "footage", name="gate", minutes=1 / 60) as recorder:
        pour(recorder, video)
    lengths = [len(codes(path)) for path in segments(tmp_path / "footage")]
    assert lengths == [36, 36, 28]
    assert recorder.footage().gaps == []


def test_a_folder_is_gone_on_with(tmp_path: Path) -> None:
    video, folder = write_video(tmp_path / "s.mp4", 50, rate=RATE), tmp_path / "footage"
    for hour in range(3):
        now = 1_800_000_000.0 + 3600 * hour
        with FootageRecorder(folder, name="gate", wall=lambda now=now: now) as recorder:  # type: ignore[misc]
            before = recorder.seconds
            pour(recorder, video)
        assert recorder.seconds == pytest.approx(before + 49 / RATE, abs=0.01)
    gaps = recorder.footage().gaps
    assert [gap.cause for gap in gaps] == ["stopped", "stopped"]
    assert [round(gap.seconds) for gap in gaps] == [3598, 3598]


def test_what_a_killed_recording_left_is_counted(tmp_path: Path) -> None:
    video, folder = write_video(tmp_path / "s.mp4", 100, rate=RATE), tmp_path / "footage"
    with FootageRecorder(folder, name="gate") as recorder:
        pour(recorder, video)
    (segment,) = segments(folder)
    whole = segment.read_bytes()
    segment.write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "2027-01-15T080000.000Z.mp4").write_bytes(b"")  # begun, and nothing in it yet
    (folder / "footage.json").unlink()
    found = Footage.found(folder, "gate")
    assert [one.file for one in found.segments] in ([segment.name], [])  # a plain MP4 that is cut off does not play
    assert len(segments(folder)) == len(found.segments)


def test_two_recordings_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with FootageRecorder(tmp_path, name="gate"), pytest.raises(UserError, match="another recording writes to"):
        FootageRecorder(tmp_path, name="gate")
    FootageRecorder(tmp_path, name="gate").close()


def test_nothing_is_kept_while_frames_are_black_and_the_gap_says_why(tmp_path: Path) -> None:
    video, folder = write_video(tmp_path / "s.mp4", 50, rate=RATE), tmp_path / "footage"
    now = [1_800_000_000.0]
    with FootageRecorder(folder, name="gate", wall=lambda: now[0]) as recorder:
        pour(recorder, video)
        until(lambda: recorder.seconds > 1.9, "nothing is written")
        recorder.note(Fault.BLACK)
        pour(recorder, video, start=2)
        pour(recorder, video, start=4)
        until(lambda: recorder.skipped_until > 5.9, "the recorder sleeps")
        now[0] += 60
        recorder.note(None)
        pour(recorder, video, start=66)
    assert [codes(path) for path in segments(folder)] == [list(range(50)), list(range(50))]
    assert recorder.seconds == pytest.approx(2 * 49 / RATE, abs=0.01)
    (gap,) = recorder.footage().gaps
    assert gap.cause == "black"
    assert gap.seconds > 50
    assert recorder.footage().faults.keys() == {"black"}


def test_black_frames_are_left_out_from_the_first_one_on(tmp_path: Path) -> None:
    video, folder = write_video(tmp_path / "s.mp4", 50, rate=RATE, keyframe_every=10), tmp_path / "footage"
    with FootageRecorder(folder, name="gate", wall=lambda: 1_800_000_000.0) as recorder:
        for index, (time, level) in enumerate([(0.8, 0), (0.9, 90), (1.2, 0), (1.3, 0)]):
            image = np.full((48, 64, 3), level, np.uint8)
            image[:24] //= 2
            if index == 2:
                pour(recorder, video)
            recorder.add(Frame("gate", index, None, time, None, image))
        until(lambda: recorder.skipped_until > 1.9, "the recorder sleeps")
        recorder.add(Frame("gate", 5, None, 1.9, None, np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)))
        pour(recorder, video, start=2)
    assert [codes(path) for path in segments(folder)] == [list(range(30)), list(range(50))]
    assert recorder.coverage.seconds == 0  # a single frame stands for no time


def test_what_cannot_be_copied_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    video = write_video(tmp_path / "s.avi", 5, codec="rawvideo", pix_fmt="yuv420p")
    with FootageRecorder(tmp_path / "footage", name="gate") as recorder:
        assert recorder.obstacle is None
        pour(recorder, video)
        assert recorder.obstacle == "its pictures come without coding"
    assert segments(tmp_path / "footage") == []
    assert recorder.seconds == 0


def test_every_connection_begins_a_segment(tmp_path: Path) -> None:
    video, folder = write_video(tmp_path / "s.mp4", 25, rate=RATE), tmp_path / "footage"
    with FootageRecorder(folder, name="gate", wall=lambda: 1_800_000_000.0) as recorder:
        pour(recorder, video)
        pour(recorder, video, start=3)
    assert [len(codes(path)) for path in segments(folder)] == [25, 25]
    assert recorder.footage().gaps == []  # a second or two is none


def test_footage_knows_when_its_frames_came(tmp_path: Path) -> None:
    video, folder = write_video(tmp_path / "s.mp4", 50, rate=RATE), tmp_path / "footage"
    with FootageRecorder(folder, name="gate", wall=lambda: 1_800_000_000.0) as recorder:
        pour(recorder, video)
    (segment,) = segments(folder)
    start = began(segment)
    assert start == recorder.footage().segments[0].start.replace(microsecond=start.microsecond if start else 0)
    with VideoReader(segment) as reader:
        walls = [frame.wall for frame in dated(reader, start) if frame.wall is not None]
    assert [round((wall - walls[0]).total_seconds() * RATE) for wall in walls] == list(range(50))
    assert began(video) is None
