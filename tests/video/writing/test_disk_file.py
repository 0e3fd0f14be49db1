"""Writing to a disk that is full: an error each time, and nothing left open."""

from __future__ import annotations

import contextlib
import errno
from fractions import Fraction
from pathlib import Path

import pytest

from msflow_stream.types import UserError
from msflow_stream.video.writing.disk_file import DiskFile
from msflow_stream.video.writing.video_writer import VideoWriter
from tests.support.small_disk import fill, small_disk
from tests.support.videos import coded_image


def open_files() -> set[str]:
    """What this process has open on the small disk."""
    found = (path.resolve() for path in Path("/proc/self/fd").iterdir())
    return {str(path) for path in found if "/disk/" in str(path)}


def write_all(writer: VideoWriter) -> None:
    for index in range(100):
        writer.write(coded_image(index), index)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc to look into")
def test_a_header_that_finds_no_room_leaves_no_file_open(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        fill(disk)
        for number in range(3):
            writer = VideoWriter(disk / f"{number}.mp4", 64, 48, Fraction(1, 25), Fraction(25))
            with pytest.raises(UserError, match="No space left"):
                write_all(writer)
            with contextlib.suppress(UserError):
                writer.close()
            assert open_files() == set()
        (disk / "filler").unlink()


def test_what_is_half_written_is_an_error_and_not_a_short_success(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        fill(disk, room=40_960)
        with DiskFile(disk / "file") as file:
            assert file.write(b"x" * 10_000) == 10_000
            assert file.write(b"x" * 100_000) == -errno.ENOSPC
            assert (disk / "file").stat().st_size > 10_000  # the first part was taken
