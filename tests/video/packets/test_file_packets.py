"""A file's packets have the times of its frames, whatever the container and the order of the pictures."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from msflow_stream.types import UserError
from msflow_stream.video.packets.file_packets import AHEAD, FilePackets
from msflow_stream.video.reading.video_reader import VideoReader
from tests.support.videos import overwrite_packets, with_edit_list, write_video

Make = Callable[[Path], Path]


def joined(folder: Path) -> Path:
    """Two recordings end to end: the timestamps start anew in the middle."""
    parts = [write_video(folder / f"{number}.ts", 50, b_frames=number * 2) for number in range(2)]
    (folder / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    return folder / "joined.ts"


SOURCES: dict[str, Make] = {
    "mp4 with B-frames": lambda folder: write_video(folder / "s.mp4", 100, b_frames=3),
    "mpeg-ts that starts late": lambda folder: write_video(folder / "s.ts", 100, b_frames=2),
    "mkv": lambda folder: write_video(folder / "s.mkv", 100, b_frames=2),
    "mpeg-4 in avi": lambda folder: write_video(folder / "s.avi", 100, codec="mpeg4"),
    "mjpeg in avi": lambda folder: write_video(folder / "s.avi", 60, codec="mjpeg", pix_fmt="yuvj420p"),
    "raw h.264": lambda folder: write_video(folder / "s.h264", 60, format="h264"),
    "variable rate": lambda folder: write_video(
        folder / "s.mp4", 60, pts=[index * index for index in range(60)], time_base=Fraction(1, 1000)
    ),
    "joined": joined,
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_packets_have_the_times_of_the_frames(tmp_path: Path, make: Make) -> None:
    path = make(tmp_path)
    with VideoReader(path) as reader:
        times = [frame.time for frame in reader]
    with FilePackets(path, seconds=1e9) as packets:
        packets.catch_up(1e9)
        assert packets.obstacle is None
        assert sorted(packet.time or 0 for packet in packets.after(0)) == pytest.approx(times)


def test_what_lies_before_an_edit_list_is_kept_as_other_pictures_need_it(tmp_path: Path) -> None:
    path = with_edit_list(write_video(tmp_path / "whole.mp4", 50), tmp_path / "s.mp4", hidden=7)
    with FilePackets(path, seconds=1e9) as packets:
        packets.catch_up(1e9)
        times = [packet.time or 0 for packet in packets.after(0)]
    assert len(times) == 50
    assert times[7] == pytest.approx(0)


def test_only_as_much_is_read_as_is_asked_for(tmp_path: Path) -> None:
    with FilePackets(write_video(tmp_path / "s.mp4", 300), seconds=3.0) as packets:
        for time in (0.0, 2.0, 9.0):
            packets.catch_up(time)
            newest = packets.newest
            assert newest is not None
            assert time + AHEAD <= newest < time + AHEAD + 0.2
        assert (packets.after(0)[0].time or 0) > 9.0 + AHEAD - 3.0 - 1.0


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_reordered_pictures_without_timestamps_cannot_be_copied(tmp_path: Path, codec: str) -> None:
    with FilePackets(write_video(tmp_path / "s.avi", 60, codec=codec, b_frames=2)) as packets:
        packets.catch_up(1.0)
        assert packets.obstacle is not None
        assert "timestamps" in packets.obstacle


def test_damage_is_passed_over(tmp_path: Path) -> None:
    path = overwrite_packets(write_video(tmp_path / "s.mp4", 100), [30, 31])
    with FilePackets(path, seconds=1e9) as packets:
        packets.catch_up(1e9)
        assert len(packets.after(0)) == 100


def test_a_file_that_is_none_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        FilePackets(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(UserError):
        FilePackets(tmp_path / "text.mp4")


def test_where_there_are_no_packets_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("text")
    for path in (tmp_path, tmp_path / "none.mp4", tmp_path / "text.mp4"):
        assert FilePackets.of(path, 15.0) is None
