"""Parts of a video: their frames are those of the whole, to the last bit."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msflow_stream.types import Frame
from msflow_stream.video.reading.source_info import ReadLimits
from msflow_stream.video.reading.video_parts import PartError, Start, VideoIndex, VideoPart
from msflow_stream.video.reading.video_reader import VideoReader
from tests.support.videos import with_edit_list, write_video

EVERY = 5
UNEVEN = [0, 3, 4, 9, 10, 11, 20, 21, 29, 30]  # of ten frames, in 1/100 s


def frames_of(path: Path, part: VideoPart | None = None, every: int = EVERY) -> list[Frame]:
    with VideoReader(path, every, part=part) as reader:
        return list(reader)


def assert_same(some: list[Frame], others: list[Frame]) -> None:
    assert [(one.index, one.pts, one.time) for one in some] == [(one.index, one.pts, one.time) for one in others]
    for one, other in zip(some, others, strict=True):
        assert np.array_equal(one.image, other.image)
        assert (one.earlier is None) == (other.earlier is None)
        if one.earlier is not None and other.earlier is not None:
            assert one.earlier.seconds == other.earlier.seconds
            assert np.array_equal(one.earlier.image, other.earlier.image)


VIDEOS: dict[str, dict[str, Any]] = {
    "odd_groups.mp4": {"keyframe_every": 7},
    "b_frames.mp4": {"b_frames": 3, "keyframe_every": 13},
    "open_groups.mp4": {"b_frames": 3, "keyframe_every": 16, "options": {"x264-params": "open-gop=1"}},
    "refreshed.mp4": {"keyframe_every": 20, "options": {"x264-params": "intra-refresh=1"}},
    "stream.ts": {"b_frames": 2},
    "variable.mp4": {
        "pts": [100 * (i // 10) // 2 + UNEVEN[i % 10] for i in range(160)],
        "time_base": Fraction(1, 100),
        "b_frames": 2,
    },
    "late.mkv": {"pts": [3000 + 40 * i for i in range(160)], "time_base": Fraction(1, 1000), "b_frames": 2},
    "stills.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "nine.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "hevc.mp4": {
        "codec": "libx265",
        "b_frames": 3,
        "options": {"x265-params": "log-level=none", "preset": "ultrafast"},
    },
}


@pytest.mark.parametrize("name", VIDEOS)
def test_parts_together_are_the_whole(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, 160, **VIDEOS[name])
    index, whole = VideoIndex.of(path), frames_of(path)
    assert index is not None
    assert len(index.pts) == 160
    begun = []
    for first in range(0, 160, 40):
        part = index.part(first, first + 40)
        begun.append(part.starts[-1].index if part.starts else 0)
        assert_same(frames_of(path, part), [frame for frame in whole if first <= frame.index < first + 40])
    assert begun[3] > 0, "the last part is decoded from a place near it"


def test_a_file_whose_start_is_cut_off_by_an_edit_list_has_parts_too(tmp_path: Path) -> None:
    path = with_edit_list(write_video(tmp_path / "whole.mp4", 120, b_frames=2), tmp_path / "edited.mp4", 17)
    index, whole = VideoIndex.of(path), frames_of(path)
    assert index is not None
    assert_same(frames_of(path, index.part(60, 100)), [frame for frame in whole if 60 <= frame.index < 100])


def test_limits_are_those_of_the_reader(tmp_path: Path) -> None:
    path = write_video(tmp_path / "variable.mp4", 160, **VIDEOS["variable.mp4"])
    index = VideoIndex.of(path)
    assert index is not None
    for limits in (ReadLimits(), ReadLimits(33), ReadLimits(None, 1.23), ReadLimits(40, 0.5), ReadLimits(900, 900.0)):
        with VideoReader(path, max_frames=limits.max_frames, duration=limits.duration) as reader:
            assert index.frames(limits) == len(list(reader))


def test_what_packets_do_not_tell_is_not_guessed(tmp_path: Path) -> None:
    assert VideoIndex.of(write_video(tmp_path / "untimed.avi", 30, b_frames=2)) is None
    twice = tmp_path / "twice.ts"
    twice.write_bytes(write_video(tmp_path / "once.ts", 60).read_bytes() * 2)
    assert VideoIndex.of(twice) is None


def test_a_key_frame_that_is_not_found_is_an_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "plain.mp4", 60)
    with pytest.raises(PartError, match="plain: none of the key frames"):
        frames_of(path, VideoPart(40, 60, (Start(20_000, 19_999, 39),), 0))
