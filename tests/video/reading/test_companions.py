"""What a frame is seen against: the newest frame that is about a tenth of a second older, whatever the source."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame
from PIL import Image

from msflow_stream.types import Frame
from msflow_stream.video.motion import grey
from msflow_stream.video.reading.companions import CompanionFinder, CompanionRule
from msflow_stream.video.reading.image_folder import ImageFolderReader
from msflow_stream.video.reading.video_reader import VideoReader
from tests.support.earlier import earlier_codes
from tests.support.videos import coded_image, overwrite_packets, write_video

# Frames per second, and how many frames before each its companion is: 0.075 s at least, 0.25 s at most.
RATES = {
    Fraction(3): None,
    Fraction(4): 1,
    Fraction(5): 1,
    Fraction(10): 1,
    Fraction(25, 2): 1,
    Fraction(15): 2,
    Fraction(24): 2,
    Fraction(25): 2,
    Fraction(30000, 1001): 3,
    Fraction(30): 3,
    Fraction(50): 4,
    Fraction(60): 5,
    Fraction(120): 9,
}
MS, RTP = Fraction(1, 1000), Fraction(1, 90_000)


def read(path: Path, **kwargs: Any) -> list[Frame]:
    with VideoReader(path, **kwargs) as reader:
        return list(reader)


def write_images(folder: Path, images: list[np.ndarray]) -> Path:  # type: ignore[type-arg]
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


def decoded(size: tuple[int, int] = (16, 16)) -> VideoFrame:
    return VideoFrame(*size, "yuv420p")


@pytest.mark.parametrize("tick", [None, MS, RTP], ids=["exact", "milliseconds", "RTP with jitter"])
@pytest.mark.parametrize("rate", RATES)
def test_the_choice_is_the_same_for_exact_and_for_rounded_times(rate: Fraction, tick: Fraction | None) -> None:
    unit, random = tick or 1 / rate, Random(0)
    jitter = (0, 0) if tick is None else (-1, 1) if tick == RTP else (0, 0)
    times = [round(index / rate / unit) + random.randint(*jitter) for index in range(200)]
    rule, steps = CompanionRule(unit), RATES[rate]
    for index in range(20, 200):
        found = rule.find(times[:index], times[index])
        assert found == (None if steps is None else index - steps)


@pytest.mark.parametrize("rate", RATES)
def test_no_more_frames_are_held_than_may_become_companions(rate: Fraction) -> None:
    finder = CompanionFinder(1 / rate)
    for index in range(100):
        finder.add(index, decoded())
        assert len(finder._frames) <= (RATES[rate] or 1) + 1


def test_an_order_that_times_do_not_keep_begins_anew() -> None:
    finder = CompanionFinder(Fraction(1, 10))
    assert [finder.add(time, decoded()) is not None for time in (0, 1, 2, 1, 2, 2, 3)] == [
        *(False, True, True),
        *(False, True),
        *(False, True),
    ]
    assert finder.add(None, decoded()) is None
    assert finder.add(4, decoded()) is None


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_frame_comes_with_the_grey_image_of_its_companion(rate: Fraction, name: str, tmp_path: Path) -> None:
    path, steps = write_video(tmp_path / name, 31, rate=rate, b_frames=2), RATES[rate]
    shown = {frame.index: grey(frame.pixels) for frame in read(path, motion_every=None)}
    frames = read(path, every=5)
    for frame in frames:
        if steps is None or frame.index < steps:
            assert frame.earlier is None
            continue
        assert frame.earlier is not None
        np.testing.assert_array_equal(frame.earlier.image, shown[frame.index - steps])
        assert frame.earlier.seconds == pytest.approx(steps / float(rate), abs=0.0011)


@pytest.mark.parametrize("every", [1, 5])
def test_only_frames_that_are_asked_for_have_one(every: int, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 22)
    folder = write_images(tmp_path / "a", [frame.image for frame in read(path)])
    for frames in (read(path, every=every, motion_every=10), list(ImageFolderReader(folder, every, motion_every=10))):
        assert {frame.index for frame in frames if frame.earlier} == {10, 20}
    for frames in (
        read(path, every=every, motion_every=None),
        list(ImageFolderReader(folder, every, motion_every=None)),
    ):
        assert not any(frame.earlier for frame in frames)


@pytest.mark.parametrize("rate", [Fraction(10), Fraction(25), Fraction(30)])
@pytest.mark.parametrize("limits", [{}, {"max_frames": 22}, {"duration": 0.61}])
def test_a_video_and_the_folder_of_its_images_show_the_same(
    rate: Fraction, limits: dict[str, Any], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 256, (12, 16, 9, 3), np.uint8).repeat(32, 1).repeat(80, 2)) * 2  # 512 720
    video = write_video(tmp_path / "a.mp4", images=images, rate=rate, b_frames=2)
    folder = write_images(tmp_path / "a", [frame.image for frame in read(video, motion_every=None)])
    with ImageFolderReader(folder, 5, rate, **limits) as reader:
        stills = list(reader)
    frames = read(video, every=5, **limits)
    assert [frame.index for frame in frames] == [frame.index for frame in stills]
    assert sum(frame.earlier is not None for frame in frames) == len(frames) - 1
    for frame, still in zip(frames, stills, strict=True):
        assert (frame.earlier is None) == (still.earlier is None)
        if frame.earlier is not None and still.earlier is not None:
            assert frame.earlier.seconds == still.earlier.seconds
            differs = np.abs(frame.earlier.image.astype(int) - still.earlier.image)
            assert differs.mean() < 1.5  # luma, and what was made of colours in full, at whole levels
            assert np.percentile(differs, 99) <= 6  # where those end at black or white


def test_after_a_gap_there_is_none_until_the_source_has_gone_on_for_long_enough(tmp_path: Path) -> None:
    pts = [40 * index + (1000 if index >= 10 else 0) for index in range(20)]
    path = write_video(tmp_path / "a.mp4", 20, pts=pts, time_base=MS)
    assert earlier_codes(read(path)) == [None, None, *range(8), None, None, *range(10, 18)]
    assert earlier_codes(read(path, every=5)) == [None, 3, None, 13]


def test_recordings_that_are_joined_are_not_seen_against_each_other(tmp_path: Path) -> None:
    part = write_video(tmp_path / "part.ts", 21, b_frames=2).read_bytes()
    (tmp_path / "joined.ts").write_bytes(part * 3)
    assert earlier_codes(read(tmp_path / "joined.ts")) == [None, None, *range(19)] * 3
    assert earlier_codes(read(tmp_path / "joined.ts", every=7)) == [None, 5, 12] * 3


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize(
    ("name", "settings"),
    [("intra.mp4", {"keyframe_every": 1}), ("mjpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"})],
)
def test_a_companion_that_is_damaged_is_none(name: str, settings: dict[str, Any], every: int, tmp_path: Path) -> None:
    path = overwrite_packets(write_video(tmp_path / name, 30, **settings), [13, 17])
    frames = {frame.index: frame for frame in read(path, every=every)}
    assert frames[15].earlier is None
    wanted = {index for index in range(2, 30, every) if index not in (13, 15, 17, 19)} & frames.keys()
    assert earlier_codes(frames[index] for index in sorted(wanted)) == [index - 2 for index in sorted(wanted)]


def test_after_a_change_of_size_there_is_none_at_first(tmp_path: Path) -> None:
    small = write_video(tmp_path / "small.h264", 10)
    large = write_video(tmp_path / "large.h264", images=[coded_image(i, (96, 64)) for i in range(10, 20)])
    (tmp_path / "both.h264").write_bytes(small.read_bytes() + large.read_bytes())
    expected = [None, None, *range(8), None, None, *range(10, 18)]
    assert earlier_codes(read(tmp_path / "both.h264")) == expected
    images = [coded_image(i) for i in range(10)] + [coded_image(i, (96, 64)) for i in range(10, 20)]
    assert earlier_codes(ImageFolderReader(write_images(tmp_path / "both", images))) == expected


def test_an_image_that_cannot_be_read_is_no_companion_and_nothing_else_is_opened(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "a", [coded_image(index) for index in range(16)])
    for index in (3, 6, 7, 9, 11, 12, 14):
        (folder / f"{index}.png").write_bytes(b"no image")
    assert earlier_codes(ImageFolderReader(folder, every=5)) == [None, None, 8, 13]


def test_stills_of_another_rate_show_their_own(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "a", [coded_image(index) for index in range(11)])
    assert earlier_codes(ImageFolderReader(folder, 5, Fraction(10))) == [None, 4, 9]
    assert earlier_codes(ImageFolderReader(folder, 5, Fraction(2))) == [None, None, None]
