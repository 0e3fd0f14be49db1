from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from msflow_stream.types import Frame, UserError
from msflow_stream.video.reading.video_reader import VideoReader
from tests.support.videos import (
    cut_short,
    overwrite_packets,
    rename_codec,
    sine,
    write_video,
)


def read(path: Path, **kwargs: Any) -> list[Frame]:
    with VideoReader(path, **kwargs) as reader:
        return list(reader)


def missing(folder: Path) -> Path:
    return folder / "missing.mp4"


def a_folder(folder: Path) -> Path:
    return folder


def a_text(folder: Path) -> Path:
    (folder / "notes.mp4").write_text("not a video\n" * 50)
    return folder / "notes.mp4"


def plain_text(folder: Path) -> Path:
    (folder / "notes.txt").write_text("not a video\n" * 50)
    return folder / "notes.txt"


def empty(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def without_index(folder: Path) -> Path:
    return cut_short(write_video(folder / "cut.mp4"))


def sound_only(folder: Path) -> Path:
    with av.open(str(folder / "sound.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        for tone in sine(seconds=0.3):
            container.mux(stream.encode(tone))
        container.mux(stream.encode(None))
    return folder / "sound.m4a"


def unknown_codec(folder: Path) -> Path:
    return rename_codec(write_video(folder / "odd.mp4"))


def without_frames(folder: Path) -> Path:
    return write_video(folder / "none.avi", 0, codec="mjpeg", pix_fmt="yuvj420p")


def all_damaged(folder: Path) -> Path:
    path = write_video(folder / "bad.avi", 10, codec="mjpeg", pix_fmt="yuvj420p")
    return overwrite_packets(path, range(10))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (missing, "no such file"),
        (a_folder, "a folder, not a video"),
        (a_text, "not a video"),
        (plain_text, "not a video"),
        (empty, "empty"),
        (without_index, "cut off before its index was written"),
        (sound_only, "contains no video, only audio"),
        (unknown_codec, "no decoder"),
        (without_frames, "no frames"),
        (all_damaged, "all of its packets are damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_explained_in_one_line(
    make: Callable[[Path], Path], says: str, tmp_path: Path
) -> None:
    path = make(tmp_path)
    with pytest.raises(UserError, match=says) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
