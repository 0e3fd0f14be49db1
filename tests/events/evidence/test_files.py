"""Evidence of events in a file: clips cut from it by copying, and what takes their place where that cannot be done."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from msflow_stream.events.evidence.event_clips import EvidenceSettings
from msflow_stream.events.evidence.event_folder import read_event
from msflow_stream.events.evidence.recorder import EvidenceWriter
from msflow_stream.video.drawing.jpeg import from_jpeg
from msflow_stream.video.drawing.overlay import Overlay
from msflow_stream.video.packets.file_packets import FilePackets
from msflow_stream.video.reading.video_reader import VideoReader
from tests.events.evidence.playing import EVERY, RATE, STYLE, evidence, names, play, said, scored
from tests.support.clips import codes, shown, units
from tests.support.videos import coded_image, read_code, write_video

SETTINGS = EvidenceSettings(pre_roll=2.0, post_roll=1.0)
OPEN, CLOSE, LENGTH = 150, 200, 400  # indices; the event is from 6 to 8 s


def witness(folder: Path, path: Path, settings: EvidenceSettings = SETTINGS, length: float | None = None) -> Path:
    """Plays a file with one event in it; returns the event's folder."""
    packets = FilePackets(path, settings.memory_seconds)
    writer = EvidenceWriter(folder / "events", STYLE, packets=packets, settings=settings)
    play(path, writer, {OPEN: said("one", 6.0, OPEN), CLOSE: said("one", 6.0, 165, 8.0, version=2)})
    writer.close()
    assert writer.losses == {"disk": 0, "slow": 0}
    return folder / "events" / "one"


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("s.mp4", {"b_frames": 2}),
        ("s.ts", {"b_frames": 3}),
        ("s.mkv", {"codec": "libx265", "b_frames": 2}),
        ("s.avi", {"codec": "mpeg4"}),
        ("s.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    ],
)
def test_the_clip_is_the_files_own_packets_from_before_the_event_until_after_it(
    tmp_path: Path, name: str, settings: dict[str, object]
) -> None:
    source = write_video(tmp_path / name, LENGTH, rate=RATE, keyframe_every=10, **settings)  # type: ignore[arg-type]
    folder = witness(tmp_path, source)
    assert names(folder) == {"event.json", "clip.mp4", "overlay.mp4", "snapshot.jpg", "snapshot_overlay.jpg"}
    (part,) = evidence(folder)["clips"]
    seen = codes(folder / "clip.mp4")
    assert part == {
        "file": "clip.mp4",
        "start": pytest.approx(seen[0] / RATE),  # type: ignore[operator]
        "end": pytest.approx(seen[-1] / RATE),  # type: ignore[operator]
        "copied": True,
    }
    assert (6.0 - 2.0) - 0.45 < part["start"] <= 6.0 - 2.0
    assert 8.0 + 1.0 <= part["end"] <= 8.0 + 1.0 + 0.2
    assert seen == list(range(seen[0] or 0, (seen[-1] or 0) + 1))
    theirs = units(source)
    assert all(unit in theirs for unit in units(folder / "clip.mp4"))
    assert evidence(folder)["notes"] == []


def test_the_overlay_shows_the_scored_frames_of_the_same_span(tmp_path: Path) -> None:
    source = write_video(tmp_path / "s.mp4", LENGTH, (320, 240), rate=RATE)
    folder = witness(tmp_path, source)
    wanted = list(range(100, 230, EVERY))
    pictures = shown(folder / "overlay.mp4")
    assert len(pictures) == len(wanted)
    assert [time for time, _ in pictures] == pytest.approx([(index - 100) / RATE for index in wanted])
    drawing = Overlay(STYLE)
    with VideoReader(source, EVERY) as reader, VideoReader(folder / "overlay.mp4") as overlay:
        given = [frame for frame in reader if frame.index in wanted]
        for frame, other in zip(given, overlay, strict=True):
            _, score, row = scored(frame)
            drawn = drawing.draw(frame.image, score, row.smoothed, frame.time, alarm=False).astype(float)
            assert np.abs(drawn - other.image).mean() < 8
            assert np.abs(frame.image.astype(float) - drawn).mean() > 0.5
    assert evidence(folder)["overlays"][0]["start"] == pytest.approx(4.0)


def test_the_snapshots_are_of_the_peak_and_follow_it(tmp_path: Path) -> None:
    source = write_video(tmp_path / "s.mp4", LENGTH, (320, 240), rate=RATE)
    writer = EvidenceWriter(tmp_path / "events", STYLE, settings=SETTINGS)
    folder = tmp_path / "events" / "one"
    play(source, writer, {OPEN: said("one", 6.0, 140)}, most=OPEN + 1)
    assert read_code(from_jpeg((folder / "snapshot.jpg").read_bytes())) == 140
    writer.event(said("one", 6.0, 150, version=2))
    assert read_code(from_jpeg((folder / "snapshot.jpg").read_bytes())) == 150
    plain = from_jpeg((folder / "snapshot.jpg").read_bytes()).astype(float)
    drawn = from_jpeg((folder / "snapshot_overlay.jpg").read_bytes()).astype(float)
    assert np.abs(plain - coded_image(150, (320, 240))).mean() < 8
    assert np.abs(plain - drawn).mean() > 0.5
    writer.close()


def test_a_peak_that_is_said_before_its_frame_comes_gets_its_snapshot_then(tmp_path: Path) -> None:
    source = write_video(tmp_path / "s.mp4", LENGTH, rate=RATE)
    writer = EvidenceWriter(tmp_path / "events", STYLE, settings=SETTINGS)
    play(source, writer, {OPEN: said("one", 6.0, OPEN + EVERY)}, most=OPEN + EVERY + 1)
    assert read_code(from_jpeg((tmp_path / "events/one/snapshot.jpg").read_bytes())) == OPEN + EVERY
    writer.close()


def test_event_json_is_the_newest_message_and_older_ones_change_nothing(tmp_path: Path) -> None:
    source = write_video(tmp_path / "s.mp4", LENGTH, rate=RATE)
    writer = EvidenceWriter(tmp_path / "events", STYLE, settings=SETTINGS)
    closing = said("one", 6.0, 165, 8.0, version=7)
    messages = {
        OPEN: said("one", 6.0, OPEN),
        160: said("one", 6.0, 160, version=3),
        180: closing,
        185: said("one", 6.0, 150),
    }
    play(source, writer, messages)
    writer.event(said("one", 6.0, 160, version=3))
    writer.close()
    found = read_event(tmp_path / "events" / "one")
    assert found is not None
    assert found[0] == closing
    assert found[1]["clips"][0]["end"] == pytest.approx(9.0)


def test_an_event_that_lasts_too_long_has_a_clip_that_says_so(tmp_path: Path) -> None:
    source = write_video(tmp_path / "s.mp4", LENGTH, rate=RATE, keyframe_every=10)
    folder = witness(tmp_path, source, EvidenceSettings(pre_roll=2.0, post_roll=1.0, max_seconds=3.0))
    (clip,), (overlay,) = evidence(folder)["clips"], evidence(folder)["overlays"]
    assert 3.0 <= clip["end"] - clip["start"] <= 3.1
    assert 2.8 <= overlay["end"] - overlay["start"] <= 3.0
    assert sorted(evidence(folder)["notes"]) == [
        "the clip ends after 3 s, before the event does",
        "the overlay ends after 3 s, before the event does",
    ]
    found = read_event(folder)
    assert found is not None
    assert found[0].event.end == 8.0


@pytest.mark.parametrize(("start", "first"), [(0.2, 0), (1.0, 0)])
def test_an_event_at_the_very_start_and_one_at_the_very_end_have_what_there_is(
    tmp_path: Path, start: float, first: int
) -> None:
    source = write_video(tmp_path / "s.mp4", 100, rate=RATE)
    packets = FilePackets(source, SETTINGS.memory_seconds)
    writer = EvidenceWriter(tmp_path / "events", STYLE, packets=packets, settings=SETTINGS)
    play(source, writer, {30: said("one", start, 30), 95: said("one", start, 30, 3.8, version=2)})
    writer.close()
    assert codes(tmp_path / "events/one/clip.mp4") == list(range(first, 100))


def test_two_events_whose_clips_overlap_each_have_a_whole_one(tmp_path: Path) -> None:
    source = write_video(tmp_path / "s.mp4", LENGTH, rate=RATE, keyframe_every=10, b_frames=2)
    packets = FilePackets(source, SETTINGS.memory_seconds)
    writer = EvidenceWriter(tmp_path / "events", STYLE, packets=packets, settings=SETTINGS)
    messages = {
        100: said("one", 4.0, 100),
        150: said("one", 4.0, 100, 6.0, version=2),
        160: said("two", 6.4, 160),
        200: said("two", 6.4, 160, 8.0, version=2),
    }
    play(source, writer, messages)
    writer.close()
    one, two = codes(tmp_path / "events/one/clip.mp4"), codes(tmp_path / "events/two/clip.mp4")
    # A picture or two more than asked for, where those that are asked for need them.
    assert one in (list(range(50, end)) for end in (176, 177, 178))
    assert two in (list(range(110, end)) for end in (226, 227, 228))


def test_an_event_that_is_said_when_it_is_over_has_its_clip_too(tmp_path: Path) -> None:
    source = write_video(tmp_path / "s.mp4", LENGTH, rate=RATE, keyframe_every=10)
    packets = FilePackets(source, SETTINGS.memory_seconds)
    writer = EvidenceWriter(tmp_path / "events", STYLE, packets=packets, settings=SETTINGS)
    play(source, writer, {CLOSE: said("one", 6.0, 165, 7.0, version=2)})
    writer.close()
    assert codes(tmp_path / "events/one/clip.mp4") == list(range(100, 201))


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [
        ("s.avi", {"b_frames": 2}, "it has no timestamps"),
        ("s.wmv", {"codec": "wmv2"}, "wmv2 cannot be copied"),
        ("s.nut", {"codec": "rawvideo"}, "its pictures come without coding"),
    ],
)
def test_where_packets_cannot_be_copied_scored_frames_take_their_place(
    tmp_path: Path, name: str, settings: dict[str, object], why: str
) -> None:
    source = write_video(tmp_path / name, LENGTH, rate=RATE, **settings)  # type: ignore[arg-type]
    folder = witness(tmp_path, source)
    assert codes(folder / "clip.mp4") == list(range(100, 230, EVERY))
    assert evidence(folder)["notes"] == [f"the clip is made of scored frames: {why}"]
    assert not evidence(folder)["clips"][0]["copied"]


def test_a_source_without_packets_has_clips_of_scored_frames(tmp_path: Path) -> None:
    source = write_video(tmp_path / "s.mp4", LENGTH, rate=RATE)
    writer = EvidenceWriter(tmp_path / "events", STYLE, settings=SETTINGS)
    play(source, writer, {OPEN: said("one", 6.0, OPEN), CLOSE: said("one", 6.0, 165, 8.0, version=2)})
    writer.close()
    assert codes(tmp_path / "events/one/clip.mp4") == list(range(100, 230, EVERY))


def test_a_clip_of_a_file_with_a_varying_rate_keeps_its_times(tmp_path: Path) -> None:
    pts = np.cumsum(np.random.default_rng(0).integers(20, 90, LENGTH)).tolist()
    source = write_video(tmp_path / "s.mp4", LENGTH, pts=pts, time_base=Fraction(1, 1000), keyframe_every=10)
    folder = witness(tmp_path, source)
    first = codes(folder / "clip.mp4")[0]
    assert first is not None
    for time, code in shown(folder / "clip.mp4"):
        assert code is not None
        assert time == pytest.approx((pts[code] - pts[first]) / 1000, abs=1e-4)


def test_memory_for_recent_frames_is_bounded_but_the_event_still_has_its_pictures(tmp_path: Path) -> None:
    source = write_video(tmp_path / "s.mp4", LENGTH, rate=RATE)
    folder = witness(tmp_path, source, EvidenceSettings(pre_roll=2.0, post_roll=1.0, recent_bytes=1))
    assert [round(time * RATE) for time, _ in shown(folder / "overlay.mp4")] == list(range(0, 230 - OPEN, EVERY))
    assert read_code(from_jpeg((folder / "snapshot.jpg").read_bytes())) == OPEN
    assert codes(folder / "clip.mp4")[0] == 96
