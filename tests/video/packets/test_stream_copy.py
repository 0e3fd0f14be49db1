"""Files of copied packets: the source's own coded pictures, that play from the first one on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from msflow_stream.video.packets.file_packets import FilePackets
from msflow_stream.video.packets.packet_ring import CodedPacket, PacketRing
from msflow_stream.video.packets.stream_copy import CopyError, DecodingOrder, PacketCopy
from tests.support.clips import codes, duration, shown, units
from tests.support.small_disk import fill, small_disk
from tests.support.videos import write_video
from tests.video.live.pouring import pour

COUNT, RATE = 120, 25


def packets_of(path: Path, begin: float) -> list[CodedPacket]:
    with FilePackets(path, seconds=1e9) as packets:
        packets.catch_up(1e9)
        start = packets.start(begin)
        assert start is not None
        return packets.after(start)


def write_all(copy: PacketCopy, packets: list[CodedPacket]) -> None:
    for packet in packets:
        copy.write(packet)


def copied(folder: Path, packets: list[CodedPacket]) -> PacketCopy:
    copy = PacketCopy(folder, "clip", packets)
    try:
        write_all(copy, packets)
    except OSError:
        with contextlib.suppress(OSError):
            copy.close()
        raise
    copy.close()
    copy.close()
    return copy


@pytest.mark.parametrize(
    ("name", "settings", "suffix"),
    [
        ("s.mp4", {"b_frames": 3}, ".mp4"),
        ("s.mkv", {"b_frames": 2}, ".mp4"),
        ("s.ts", {"b_frames": 2}, ".mp4"),
        ("s.ts", {"b_frames": 3, "options": {"b_strategy": "1", "x264-params": "b-pyramid=strict"}}, ".mp4"),
        ("s.mp4", {"codec": "libx265", "b_frames": 2}, ".mp4"),
        ("s.ts", {"codec": "libx265", "b_frames": 4}, ".mp4"),
        ("s.avi", {"codec": "mpeg4"}, ".mp4"),
        ("s.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, ".mp4"),
        ("s.mpg", {"codec": "mpeg2video", "b_frames": 2}, ".mp4"),
        ("s.mkv", {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}}, ".mkv"),
        ("s.webm", {"codec": "libvpx-vp9"}, ".mp4"),
    ],
)
def test_a_copy_holds_the_sources_own_pictures_and_plays_from_the_first(
    tmp_path: Path, name: str, settings: dict[str, object], suffix: str
) -> None:
    source = write_video(tmp_path / name, COUNT, rate=RATE, **settings)  # type: ignore[arg-type]
    packets = packets_of(source, 2.0)
    copy = copied(tmp_path, packets)
    assert copy.path.suffix == suffix
    assert copy.start <= 2.0
    first = round(copy.start * RATE)
    pictures = shown(copy.path)
    assert [code for _, code in pictures] == list(range(first, COUNT))
    assert pictures[0][0] == pytest.approx(0.0 if suffix == ".mp4" else pictures[0][0])
    assert [time - pictures[0][0] for time, _ in pictures] == pytest.approx(
        [index / RATE for index in range(COUNT - first)], abs=0.0011
    )
    assert float(duration(copy.path)) == pytest.approx((COUNT - first) / RATE, abs=0.05)
    ours, theirs = units(copy.path), units(source)
    assert ours == [theirs[packet.number] for packet in packets if (packet.time or 0) >= copy.start]


def test_pictures_before_the_first_key_frame_are_left_out_where_they_need_others(tmp_path: Path) -> None:
    source = write_video(
        tmp_path / "s.mp4", COUNT, rate=RATE, b_frames=2, options={"x264-params": "open-gop=1:bframes=2"}
    )
    packets = packets_of(source, 2.0)
    assert min(packet.time or 0 for packet in packets) < (packets[0].time or 0), "no open group of pictures to test"
    copy = copied(tmp_path, packets)
    assert codes(copy.path) == list(range(round(copy.start * RATE), COUNT))


@pytest.fixture(scope="module", params=[0, 3], ids=["", "b_frames"])
def sixty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[CodedPacket]:
    source = write_video(tmp_path_factory.mktemp("sixty") / "s.mp4", 60, rate=RATE, b_frames=request.param)
    return packets_of(source, 0.0)


@pytest.mark.parametrize("count", range(40, 53))
def test_a_copy_shows_all_its_pictures_wherever_it_ends(sixty: list[CodedPacket], count: int, tmp_path: Path) -> None:
    packets = sixty[:count]
    copy = copied(tmp_path, packets)
    assert codes(copy.path) == sorted(round((packet.time or 0) * RATE) for packet in packets)


def test_a_camera_whose_pictures_change_their_size_makes_files_with_the_right_size(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{width}.ts", 30, (width, 48)) for width in (64, 96)]
    (tmp_path / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    ring = PacketRing(100)
    pour(ring, tmp_path / "joined.ts")
    after = copied(tmp_path, ring.after(30))
    assert codes(after.path) == list(range(30))


def test_what_no_file_takes_is_said(tmp_path: Path) -> None:
    packets = packets_of(write_video(tmp_path / "s.wmv", 30, codec="wmv2"), 0.0)
    with pytest.raises(CopyError, match="wmv2 cannot be copied"):
        PacketCopy(tmp_path, "clip", packets)
    assert [path.name for path in tmp_path.iterdir()] == ["s.wmv"]


def test_raw_pictures_are_not_kept_at_all(tmp_path: Path) -> None:
    ring = PacketRing(100)
    pour(ring, write_video(tmp_path / "s.nut", 10, codec="rawvideo"))
    assert ring.after(0) == []
    assert ring.obstacle == "its pictures come without coding"


def test_what_was_written_before_a_kill_plays(tmp_path: Path) -> None:
    packets = packets_of(write_video(tmp_path / "s.mp4", 125, rate=RATE, b_frames=2), 0.0)
    copy = PacketCopy(tmp_path, "clip", packets)
    for packet in packets:
        copy.write(packet)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(copy.path.read_bytes())  # as it is now, not finished
    copy.close()
    seen = codes(cut)
    assert len(seen) >= 125 - 2 * RATE
    assert seen[:-2] == list(range(len(seen) - 2))  # of the last ones, some may wait for others


@pytest.mark.parametrize("make", [lambda n: n, lambda n: n // 2 * 2 + (1 - n % 2)])
def test_decoding_times_grow_and_are_not_after_the_times_shown(make: Callable[[int], int]) -> None:
    order = DecodingOrder(depth=2, step=10)
    shown_at = [make(number) * 10 for number in range(50)]
    decoded_at = [order(ticks) for ticks in shown_at]
    assert decoded_at == sorted(set(decoded_at))
    assert all(one <= other for one, other in zip(decoded_at, shown_at, strict=True))
    assert decoded_at[2:] == sorted(shown_at)[:-2]


@pytest.mark.parametrize("room", [0, 4096, 40_960, 200_000])
def test_on_a_full_disk_the_copy_ends_readable_or_is_not_there(tmp_path: Path, room: int) -> None:
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (96, 128, 3), dtype=np.uint8) for _ in range(COUNT)]
    packets = packets_of(write_video(tmp_path / "s.mp4", images=images), 0.0)
    assert sum(len(packet.data) for packet in packets) > 400_000
    with small_disk(tmp_path / "disk", 2_000_000) as disk:
        fill(disk, room)
        with pytest.raises(OSError, match="No space left"):
            copied(disk, packets)
        left = disk / "clip.mp4"
        assert left.exists() == (room > 4096)
        if left.exists():
            assert 0 < len(shown(left, cut_off=True)) < COUNT
