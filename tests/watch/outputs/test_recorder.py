"""What the recorder leaves on the disk, asked of the files, with the decoder."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from msflow_stream.files import Retention
from msflow_stream.types import Frame, UserError
from msflow_stream.video.drawing.overlay import Overlay
from msflow_stream.video.reading.video_reader import VideoReader
from msflow_stream.watch.outputs.recorder import Recorder, Recording, frames_in
from msflow_stream.watch.outputs.segments import segments
from tests.support.data import REPOSITORY
from tests.support.small_disk import fill, small_disk
from tests.watch.outputs.scored import RATE, START, STYLE, Hands, many, noise, scored


def decoded(path: Path) -> list[Frame]:
    """All that a player shows of a file."""
    with VideoReader(path) as reader:
        return list(reader)


def times(path: Path) -> list[float]:
    return [frame.time for frame in decoded(path)]


def recorded(folder: Path) -> list[Path]:
    return [segment.path for segment in segments(folder)]


def steps(count: int) -> list[float]:
    return [index / RATE for index in range(count)]


def test_each_frame_is_recorded_with_its_own_overlay_at_its_own_time(tmp_path: Path) -> None:
    smooth = np.repeat(np.linspace(20, 120, 160, dtype=np.uint8)[None, :, None], 96, 0).repeat(3, 2)
    items = [scored(index, image=smooth, alarm=index % 2) for index in range(8)]
    recorder, overlay = Recorder(tmp_path, STYLE), Overlay(STYLE)
    for item in items:
        recorder.write(*item)
    recorder.close()
    (path,) = recorded(tmp_path)
    assert path.name == "2026-11-23T232138Z.mp4"
    shown = decoded(path)
    assert [frame.time for frame in shown] == pytest.approx(steps(8))
    drawn = [overlay.draw(f.image, s, row.smoothed, f.time, bool(row.alarm)) for f, s, row in items]
    for frame, picture in zip(shown, drawn, strict=True):
        errors = [np.abs(frame.image.astype(float) - other).mean() for other in drawn]
        assert np.abs(frame.image.astype(float) - picture).mean() == min(errors)
    assert recorder.losses == {"disk": 0}


def test_close_twice_is_fine_and_ends_it(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, STYLE)
    recorder.write(*scored(0))
    recorder.close()
    recorder.close()
    assert len(decoded(recorded(tmp_path)[0])) == 1
    with pytest.raises(ValueError, match="closed"):
        recorder.write(*scored(1))


def test_after_some_minutes_a_new_segment_starts(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, STYLE, minutes=0.1)
    for item in many(70):
        recorder.write(*item)
    recorder.close()
    assert [path.name[11:17] for path in recorded(tmp_path)] == ["232138", "232144", "232150"]
    assert [len(times(path)) for path in recorded(tmp_path)] == [30, 30, 10]


def test_pictures_of_another_size_start_a_new_segment(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, STYLE)
    for index in range(12):
        recorder.write(*scored(index, image=noise(index, (64, 48) if index < 6 else (96, 64))))
    recorder.close()
    shapes = [[frame.image.shape for frame in decoded(path)] for path in recorded(tmp_path)]
    assert shapes == [[(48, 64, 3)] * 6, [(64, 96, 3)] * 6]
    assert [path.name for path in recorded(tmp_path)] == ["2026-11-23T232138Z.mp4", "2026-11-23T232139Z.mp4"]


@pytest.mark.parametrize("later", [60.0, -3600.0])
def test_a_gap_or_a_step_back_in_time_starts_a_new_segment(tmp_path: Path, later: float) -> None:
    recorder = Recorder(tmp_path, STYLE, gap=5.0)
    for index in range(10):
        time = 5000 + index / RATE + (later if index >= 5 else 0)
        recorder.write(*scored(index, time=time, wall=START))
    recorder.close()
    assert [path.name for path in recorded(tmp_path)] == ["2026-11-23T232138Z.mp4", "2026-11-23T232138Z.1.mp4"]
    for path in recorded(tmp_path):
        assert times(path) == pytest.approx(steps(5))


def test_sigkill_while_recording(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom itertools import count\n"
        "from msflow_stream.watch.outputs.recorder import Recorder\n"
        "from tests.watch.outputs.scored import STYLE, scored\n"
        "recorder = Recorder(pathlib.Path(sys.argv[1]), STYLE)\n"
        "for index in count():\n    recorder.write(*scored(index))\n    print(index, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 60:
            process.send_signal(signal.SIGKILL)
            break
    process.stdout.close()
    process.wait()
    (path,) = recorded(tmp_path)
    shown = times(path)
    # All but the last fragment (a second), half a second in the encoder, and two frames.
    assert len(shown) >= 61 - 1.5 * RATE - 2
    assert shown == pytest.approx(steps(len(shown)))
    recorder = Recorder(tmp_path, STYLE)  # the next run does not touch it
    for item in many(5):
        recorder.write(*item)
    recorder.close()
    assert times(path) == shown
    assert recorded(tmp_path)[1].name == "2026-11-23T232138Z.1.mp4"


def test_disk_full_while_recording(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Hands()
    with small_disk(tmp_path / "disk", 4_000_000) as disk:
        recorder = Recorder(disk / "gate", STYLE, clock=clock)
        taken = 0

        def record(count: int) -> None:
            nonlocal taken
            for item in many(count, taken):
                recorder.write(*item)
                clock.now += 1 / RATE
            taken += count

        def kept() -> int:
            return sum(len(decoded(path)) for path in recorded(disk / "gate"))

        record(30)
        filler = fill(disk, room=60_000)
        record(200)
        lost = recorder.lost
        assert 0 < lost < taken
        assert kept() == taken - lost  # what was written can be played, and all else was counted
        filler.unlink()
        record(150)
        recorder.close()
        assert recorder.lost - lost <= 10 * RATE + 20  # a pause, at most, and what an attempt in vain had taken
        assert kept() == taken - recorder.lost
    said = [record for record in caplog.records if record.name.startswith("msflow_stream.watch.outputs")]
    assert [record.levelname for record in said] == ["WARNING", "INFO"]
    assert "No space left on device" in caplog.text


def test_a_full_disk_leaves_no_heap_of_empty_files(tmp_path: Path) -> None:
    clock = Hands()
    with small_disk(tmp_path / "disk", 4_000_000) as disk:
        fill(disk)
        recorder = Recorder(disk / "gate", STYLE, clock=clock)
        for item in many(300):
            recorder.write(*item)
            clock.now += 1 / RATE
        recorder.close()
        assert recorder.lost == 300
        assert recorded(disk / "gate") == []


def test_a_full_disk_is_made_room_on_by_the_retention(tmp_path: Path) -> None:
    clock = Hands()
    with small_disk(tmp_path / "disk", 4_000_000) as disk:
        old = disk / "gate" / "2026-11-20T000000Z.mp4"
        old.parent.mkdir()
        old.write_bytes(b"x" * 2_000_000)
        recorder = Recorder(disk / "gate", STYLE, retention=Retention(min_free_bytes=1_500_000), clock=clock)
        recorder.write(*scored(0))
        assert old.exists()
        fill(disk)
        for item in many(150, 1):
            recorder.write(*item)
            clock.now += 1 / RATE
        recorder.close()
        assert not old.exists()
        assert len(decoded(recorded(disk / "gate")[-1])) > 50


@pytest.mark.parametrize(("frames", "room"), [*((frames, 0) for frames in range(250, 350, 20)), (250, 4096)])
def test_a_disk_that_gets_full_while_a_segment_is_finished_spoils_nothing(
    tmp_path: Path, frames: int, room: int
) -> None:
    with small_disk(tmp_path / "disk", 4_000_000) as disk:
        path = disk / "segment.mp4"
        frame, _, _ = scored(0)
        recording = Recording(path, frame, rate=Fraction(5), seconds=1000.0, gap=10.0)
        dark = np.zeros_like(frame.image)
        for index in range(frames):  # small ones, so that the table of all frames is what finds no room
            recording.write(frame.image if index > frames - 10 else dark, index / RATE)
        fill(disk, room)
        try:
            recording.close()
            missing = 0
        except UserError:
            missing = recording.abandon()
        assert len(decoded(path)) == frames_in(path) == frames - missing
        assert missing < 20


def test_retention_runs_as_it_records_and_spares_what_is_being_written(tmp_path: Path) -> None:
    clock = Hands()
    earlier = tmp_path / "2026-11-23T230000Z.mp4"
    foreign = tmp_path / "keep me.mp4"
    for path in (earlier, foreign):
        path.write_bytes(b"x" * 1_000_000)
    recorder = Recorder(tmp_path, STYLE, retention=Retention(keep_bytes=500_000), minutes=60, clock=clock)
    recorder.write(*scored(0))
    assert not earlier.exists(), "a segment of an earlier run counts, when a new one starts"
    earlier.write_bytes(b"x" * 1_000_000)
    clock.now = 59.0
    recorder.write(*scored(1))
    assert earlier.exists()
    clock.now = 61.0
    recorder.write(*scored(2))
    assert not earlier.exists(), "a minute later it is looked again"
    recorder.close()
    assert [path.name for path in recorded(tmp_path)] == ["2026-11-23T232138Z.mp4"]
    assert foreign.exists()


def test_old_segments_go_by_the_time_of_the_frames(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, STYLE, retention=Retention(keep_days=2))
    for day in range(5):
        for index in range(3):
            wall = START + timedelta(days=day, seconds=index)
            recorder.write(*scored(index, time=day * 86400 + index / RATE, wall=wall))
    recorder.close()
    assert [path.name[:10] for path in recorded(tmp_path)] == ["2026-11-25", "2026-11-26", "2026-11-27"]


def test_a_folder_that_vanishes_is_made_again(tmp_path: Path) -> None:
    clock = Hands()
    folder = tmp_path / "gate"
    recorder = Recorder(folder, STYLE, minutes=0.05, clock=clock)
    recorder.write(*scored(0))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    for item in many(60, 1):
        recorder.write(*item)
        clock.now += 1 / RATE
    recorder.close()
    assert sum(len(times(path)) for path in recorded(folder)) >= 30


def test_a_folder_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "gate").write_text("a file")
    with pytest.raises(UserError, match="cannot create the folder"):
        Recorder(tmp_path / "gate", STYLE)
