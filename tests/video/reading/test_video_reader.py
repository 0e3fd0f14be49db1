"""The pictures say their own index, so each claim is checked against what is in the frame."""

from __future__ import annotations

import gc
import os
import weakref
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from msflow_stream.types import Frame, UserError
from msflow_stream.video.reading.video_reader import VideoReader, count_frames
from tests.support import data
from tests.support.videos import (
    overwrite_packets,
    read_code,
    write_video,
)

COUNT = 30
QUIET = {"x265-params": "log-level=none"}
AV1 = {"preset": "12", "crf": "20", "svtav1-params": "lp=1"}
FORMATS: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "b_frames.mp4": {"b_frames": 3},
    "intra.mp4": {"keyframe_every": 1},
    "ten_bit.mp4": {"pix_fmt": "yuv420p10le"},
    "grey.mp4": {"pix_fmt": "gray"},
    "yuv422.mp4": {"pix_fmt": "yuv422p"},
    "odd.mp4": {"size": (63, 47), "pix_fmt": "yuv444p"},
    "odd.mkv": {"size": (63, 47), "codec": "ffv1"},
    "full_range.mp4": {"pix_fmt": "yuvj420p"},
    "with_sound.mp4": {"audio": True},
    "fragmented.mp4": {"b_frames": 2, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "hevc.mp4": {"codec": "libx265", "options": QUIET},
    "hevc_ten_bit.mp4": {"codec": "libx265", "options": QUIET, "pix_fmt": "yuv420p10le"},
    "av1.mp4": {"codec": "libsvtav1", "size": (64, 64), "options": AV1},
    "av1.mkv": {"codec": "libsvtav1", "size": (64, 64), "options": AV1},
    "av1_ten_bit.mp4": {"codec": "libsvtav1", "size": (64, 64), "options": AV1, "pix_fmt": "yuv420p10le"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "hidden_frames.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "b:v": "300k"}},
    "b_frames.ts": {"b_frames": 2},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "b_frames.avi": {"b_frames": 2},  # its timestamps, guessed by FFmpeg, are wrong
    "raw.h264": {},
    "raw_b_frames.h264": {"b_frames": 2},
    "raw.hevc": {"codec": "libx265", "options": QUIET},
    "ntsc.mp4": {"rate": Fraction(30000, 1001)},
}


def read(path: Path, **kwargs: Any) -> list[Frame]:
    with VideoReader(path, **kwargs) as reader:
        return list(reader)


@pytest.mark.parametrize("name", FORMATS)
def test_every_frame_has_the_index_its_content_says(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, COUNT, **FORMATS[name])
    with VideoReader(path) as reader:
        frames = list(reader)
    assert [read_code(frame.image) for frame in frames] == list(range(COUNT))
    assert [frame.index for frame in frames] == list(range(COUNT))
    rate = FORMATS[name].get("rate", 25)
    # Matroska and WebM round timestamps to milliseconds.
    np.testing.assert_allclose([frame.time for frame in frames], [float(i / rate) for i in range(COUNT)], atol=6e-4)
    assert (reader.damaged, reader.frames_read) == (0, COUNT)
    assert reader.info.frames in (None, COUNT)
    assert count_frames(path) == COUNT
    width, height = FORMATS[name].get("size", (64, 48))
    assert (reader.info.width, reader.info.height) == (width, height)
    for frame in frames:
        assert frame.image.shape == (height, width, 3)
        assert frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous
        assert frame.source == path.stem
        assert frame.wall is None


@pytest.mark.parametrize("name", FORMATS)
def test_every_fifth_frame_is_counted_in_the_source(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, COUNT, **FORMATS[name])
    frames = read(path, every=5)
    assert [frame.index for frame in frames] == [0, 5, 10, 15, 20, 25]
    assert [read_code(frame.image) for frame in frames] == [0, 5, 10, 15, 20, 25]


def test_the_mp4_index_gives_the_frame_count_without_reading(tmp_path: Path) -> None:
    with VideoReader(write_video(tmp_path / "a.mp4", COUNT, audio=True)) as reader:
        info = reader.info
    assert (info.frames, info.rate, info.codec, info.has_audio, info.live) == (COUNT, Fraction(25), "h264", True, False)
    assert info.duration == pytest.approx(COUNT / 25, abs=0.1)


def test_variable_frame_rate_keeps_the_written_times(tmp_path: Path) -> None:
    pts = [0, 40, 100, 110, 300, 1000]
    path = write_video(tmp_path / "vfr.mp4", len(pts), pts=pts, time_base=Fraction(1, 1000))
    assert [frame.time for frame in read(path)] == pytest.approx([tick / 1000 for tick in pts])


def test_time_starts_at_zero_where_pts_do_not(tmp_path: Path) -> None:
    path = write_video(tmp_path / "late.ts", COUNT, b_frames=2)
    with VideoReader(path) as reader:
        info, frames = reader.info, list(reader)
    assert info.start_pts > 0
    assert frames[0].pts == info.start_pts
    for frame in frames:
        assert frame.pts is not None
        assert frame.time == pytest.approx(float((frame.pts - info.start_pts) * info.time_base))


def test_a_raw_stream_has_no_pts_but_times_by_its_rate(tmp_path: Path) -> None:
    frames = read(write_video(tmp_path / "raw.h264", COUNT, b_frames=2))
    assert {frame.pts for frame in frames} == {None}
    assert frames[10].time == pytest.approx(10 / 25)


@pytest.mark.parametrize(
    ("limits", "indices"),
    [
        ({"max_frames": 12}, [0, 5, 10]),
        ({"max_frames": 10}, [0, 5]),
        ({"duration": 0.4}, [0, 5]),
        ({"duration": 0.41}, [0, 5, 10]),
        ({"max_frames": 0}, []),
        ({}, [0, 5, 10, 15, 20, 25]),
    ],
)
def test_limits_count_source_frames_and_seconds(limits: dict[str, Any], indices: list[int], tmp_path: Path) -> None:
    with VideoReader(write_video(tmp_path / "a.mp4", COUNT), every=5, **limits) as reader:
        assert [frame.index for frame in reader] == indices
    if "max_frames" in limits:
        assert reader.frames_read == limits["max_frames"]


def open_files() -> set[str]:
    return {os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}  # noqa: PTH115


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc to list open files in")
def test_the_file_is_closed_when_reading_ends_stops_or_fails(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", COUNT)
    list(VideoReader(path))
    assert str(path) not in open_files()
    reader = VideoReader(path)
    assert str(path) in open_files()
    for _ in reader:
        break
    assert str(path) not in open_files()
    with VideoReader(path):
        pass
    assert str(path) not in open_files()
    bad = overwrite_packets(write_video(tmp_path / "bad.avi", 5, codec="mjpeg", pix_fmt="yuvj420p"), range(5))
    with pytest.raises(UserError):
        VideoReader(bad)
    gc.collect()
    assert str(bad) not in open_files()


def test_an_abandoned_reader_is_freed_at_once(tmp_path: Path) -> None:
    gc.disable()
    try:
        reader = VideoReader(write_video(tmp_path / "a.mp4", COUNT))
        next(iter(reader))
        gone = weakref.ref(reader._decoder)
        del reader
        assert gone() is None
    finally:
        gc.enable()


def test_a_reader_is_read_once(tmp_path: Path) -> None:
    with VideoReader(write_video(tmp_path / "a.mp4", 5)) as reader:
        list(reader)
        with pytest.raises(RuntimeError, match="read once"):
            iter(reader)


def test_every_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="every"):
        VideoReader(write_video(tmp_path / "a.mp4", 5), every=0)


def test_real_clips_have_as_many_frames_as_their_labels() -> None:
    campus = data.test_data() / "campus"
    for clip in sorted((campus / "clips").glob("*.mp4"))[:2]:
        labels = np.load(campus / "testing" / "test_frame_mask" / f"{clip.stem}.npy")
        with VideoReader(clip, every=5) as reader:
            frames = list(reader)
        assert count_frames(clip) == reader.info.frames == reader.frames_read == len(labels)
        # Against another reader: OpenCV's own decoding of the same file.
        capture = cv2.VideoCapture(str(clip))
        by_opencv = [capture.read()[1][:, :, ::-1] for _ in range(len(labels))]
        capture.release()
        for frame in frames:
            assert np.abs(frame.image.astype(int) - by_opencv[frame.index]).mean() < 3
