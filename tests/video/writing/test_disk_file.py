"""Writing to a disk that is full: an error each time, and nothing left open."""

from __future__ import annotations

import contextlib
import errno
import resource
import signal
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from msflow_stream.types import UserError
from msflow_stream.video.writing import video_writer
from msflow_stream.video.writing.disk_file import DiskFile
from msflow_stream.video.writing.video_writer import VideoWriter
from msflow_stream.watch.outputs.recorder import frames_in
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


def test_what_is_half_written_is_an_error_and_taken_back(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        fill(disk, room=40_960)
        with DiskFile(disk / "file") as file:
            assert file.write(b"x" * 10_000) == 10_000
            assert file.write(b"x" * 100_000) == -errno.ENOSPC
            assert (disk / "file").stat().st_size == 10_000
            assert file.seek(0) == 0
            assert file.write(b"y") == -errno.ENOSPC
        assert (disk / "file").read_bytes() == b"x" * 10_000


class Capped(DiskFile):
    """A file that a disk with so much room takes."""

    room = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.room, limit[1]))
        try:
            return super().write(data)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)


@pytest.fixture
def no_signal() -> Iterator[None]:
    """A file that grows too large is an error, and no signal."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.usefixtures("no_signal")
def test_what_could_be_played_before_the_disk_was_full_can_be_played_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_writer, "DiskFile", Capped)
    path = tmp_path / "video.mp4"
    for room in range(5_000, 9_100, 31):  # among the last frames, within the last headers, and in the end
        monkeypatch.setattr(Capped, "room", room)
        writer = VideoWriter(path, 64, 48, Fraction(1, 25), Fraction(25), live=True)
        with contextlib.suppress(UserError):
            write_all(writer)
        before = frames_in(path)
        with contextlib.suppress(UserError):
            writer.close()
        assert frames_in(path) >= before
