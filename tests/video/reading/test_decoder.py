"""The pictures say their own index, so each claim is checked against what is in the frame."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from msflow_stream.types import Frame
from msflow_stream.video.reading.decoder import Decoder
from msflow_stream.video.reading.video_reader import VideoReader, count_frames
from tests.support.videos import (
    coded_image,
    cut_short,
    overwrite_packets,
    read_code,
    with_edit_list,
    write_video,
)

COUNT = 30
QUIET = {"x265-params": "log-level=none"}


def read(path: Path, **kwargs: Any) -> list[Frame]:
    with VideoReader(path, **kwargs) as reader:
        return list(reader)


def test_one_thread_reads_the_same_as_many(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", COUNT, b_frames=2)
    for one, many in zip(read(path, threads=False), read(path), strict=True):
        assert (one.index, one.pts, one.time) == (many.index, many.pts, many.time)
        np.testing.assert_array_equal(one.image, many.image)


@pytest.mark.parametrize(("cores", "threads", "expected"), [(1, True, 1), (3, True, 4), (64, True, 16), (64, False, 1)])
def test_a_file_is_decoded_by_as_many_threads_as_there_are_cores_to_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, threads: bool, expected: int
) -> None:
    monkeypatch.setattr("msflow_stream.video.reading.decoder.usable_cores", lambda: cores)
    with av.open(str(write_video(tmp_path / "a.mp4", 3))) as container:
        stream = container.streams.video[0]
        assert len(list(Decoder(container, stream, "a", threads))) == 3
        assert stream.codec_context.thread_count == expected


@pytest.mark.parametrize("b_frames", [0, 2])
def test_frames_hidden_by_an_edit_list_are_neither_shown_nor_counted(b_frames: int, tmp_path: Path) -> None:
    source = write_video(tmp_path / "whole.mp4", COUNT, b_frames=b_frames)
    path = with_edit_list(source, tmp_path / "edited.mp4", hidden=7)
    with VideoReader(path) as reader:
        frames = list(reader)
    assert [read_code(frame.image) for frame in frames] == list(range(7, COUNT))
    assert [frame.index for frame in frames] == list(range(COUNT - 7))
    assert frames[0].time == 0
    assert reader.info.frames == count_frames(path) == COUNT - 7
    assert reader.damaged == 0


def test_a_change_of_size_in_mid_file_yields_the_frames_as_they_are(tmp_path: Path) -> None:
    small = write_video(tmp_path / "small.h264", 10)
    large = write_video(tmp_path / "large.h264", images=[coded_image(i, (96, 64)) for i in range(10, 20)])
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    frames = read(both)
    assert [read_code(frame.image) for frame in frames] == list(range(20))
    assert [frame.image.shape[:2] for frame in frames] == [(48, 64)] * 10 + [(64, 96)] * 10


def test_recordings_joined_end_to_end_go_on_in_index_and_time(tmp_path: Path) -> None:
    part = write_video(tmp_path / "part.ts", COUNT, b_frames=2).read_bytes()
    (tmp_path / "joined.ts").write_bytes(part * 3)
    frames = read(tmp_path / "joined.ts")
    assert [read_code(frame.image) for frame in frames] == list(range(COUNT)) * 3
    assert [frame.index for frame in frames] == list(range(3 * COUNT))
    assert [frame.time for frame in frames] == pytest.approx([index / 25 for index in range(3 * COUNT)])


DAMAGE: dict[str, tuple[dict[str, Any], list[int], set[int]]] = {
    # how to encode, which packets to overwrite, and which frames these may spoil
    "intra.mp4": ({"keyframe_every": 1}, [11, 12, 25], {11, 12, 25}),
    "mjpeg.avi": ({"codec": "mjpeg", "pix_fmt": "yuvj420p"}, [11, 12, 25], {11, 12, 25}),
    "raw.hevc": (
        {"codec": "libx265", "keyframe_every": 6, "options": {"x265-params": "log-level=none:bframes=0"}},
        [13, 14, 27],
        {*range(13, 18), *range(27, 30)},
    ),
    "groups.mp4": ({"keyframe_every": 6}, [14, 27], {*range(14, 18), *range(27, 30)}),
    "b_frames.mp4": ({"keyframe_every": 6, "b_frames": 2}, [14, 15], set(range(10, 22))),
    "hevc.mp4": ({"codec": "libx265", "keyframe_every": 6, "options": QUIET}, [14], set(range(12, 20))),
    "first.mp4": ({"keyframe_every": 6}, [0], set(range(6))),
}


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("name", DAMAGE)
def test_behind_a_damaged_part_indices_and_times_are_still_exact(
    name: str, every: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings, packets, spoilt = DAMAGE[name]
    # In a raw stream, only the start of each packet tells where the last one ended.
    keep = 8 if name.startswith("raw") else 0
    path = overwrite_packets(write_video(tmp_path / name, 60, **settings), packets, keep)
    with VideoReader(path, every=every) as reader:
        frames = list(reader)
    codes = {frame.index: read_code(frame.image) for frame in frames}
    whole = [index for index in range(0, 60, every) if index not in spoilt]
    assert {index: codes.get(index) for index in whole} == {index: index for index in whole}
    assert [frame.time for frame in frames] == pytest.approx([frame.index / 25 for frame in frames])
    assert reader.damaged >= len(packets)
    assert reader.frames_read == 60
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert path.stem in warnings[0].getMessage()


def test_indices_rise_and_match_the_times_whatever_bytes_are_damaged(tmp_path: Path) -> None:
    good = write_video(tmp_path / "good.mp4", 60, keyframe_every=6, b_frames=2).read_bytes()
    rng = np.random.default_rng(0)
    for attempt in range(10):
        content = bytearray(good)
        for place in rng.integers(100, len(good) * 2 // 3, size=6):
            content[place : place + 16] = rng.bytes(16)
        path = tmp_path / f"bad{attempt}.mp4"
        path.write_bytes(content)
        frames = read(path)
        indices = [frame.index for frame in frames]
        assert indices == sorted(set(indices))
        assert indices[-1] < 60
        assert [frame.time for frame in frames] == pytest.approx([index / 25 for index in indices])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {"container_options": {"movflags": "faststart"}}),
        ("a.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
        ("a.mkv", {"b_frames": 2}),
        ("a.ts", {"b_frames": 2}),
    ],
)
def test_a_file_cut_off_behind_its_index_is_read_as_far_as_it_goes(
    name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    path = cut_short(write_video(tmp_path / name, 60, **settings))
    with VideoReader(path) as reader:
        frames = list(reader)
    assert 10 < len(frames) < 60
    # The very last one may be half a picture.
    assert [read_code(frame.image) for frame in frames[:-1]] == [frame.index for frame in frames[:-1]]
    assert reader.info.frames is None
