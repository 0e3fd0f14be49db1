"""What is not decoded is not missed: with and without skipping, the same frames come out, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from shutil import copy
from typing import Any

import av
import numpy as np
import pytest

from msflow_stream.types import Frame
from msflow_stream.video.reading.packet_skipping import PacketSkipper
from msflow_stream.video.reading.video_reader import VideoReader
from tests.support.earlier import assert_same_earlier, is_same_earlier
from tests.support.fields import write_fields
from tests.support.videos import Image, overwrite_packets, with_edit_list, write_video

COUNT = 60
X264, X265 = "x264-params", "x265-params"
QUIET = "log-level=none"


def moving(count: int, seed: int = 0) -> Iterator[Image]:
    """Pictures in which everything moves: what is predicted from a wrong picture comes out wrong."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 256, (24, 200, 3), np.uint8).repeat(4, 0).repeat(4, 1)  # 96 800 3
    for index in range(count):
        yield np.ascontiguousarray(np.roll(ground, (index, 3 * index), (0, 1))[:64, :96])


def h264(params: str = "", **settings: Any) -> dict[str, Any]:
    # The default preset: with references, weights and partitions of all kinds.
    return {"options": {"preset": "medium", X264: params} if params else {"preset": "medium"}, **settings}


def h265(params: str) -> dict[str, Any]:
    return {"codec": "libx265", "options": {X265: f"{QUIET}:{params}"}}


MJPEG = {"codec": "mjpeg", "pix_fmt": "yuvj420p"}
# How to write a file, and whether anything can be skipped in it.
KINDS: dict[str, tuple[dict[str, Any], bool]] = {
    "b_frames.mp4": (h264(b_frames=3), True),
    "b_frames.mkv": (h264(b_frames=3), True),
    "b_frames.ts": (h264(b_frames=3), True),
    "pyramid.mp4": (h264("b-pyramid=normal:b-adapt=0:ref=4", b_frames=7, keyframe_every=60), True),
    "strict_pyramid.mp4": (h264("b-pyramid=strict:b-adapt=0", b_frames=5), True),
    "open_gop.mp4": (h264("open-gop=1:b-adapt=0", b_frames=3), True),
    "open_gop.ts": (h264("open-gop=1:b-adapt=0", b_frames=3), True),
    "slices.mp4": (h264("slices=4", b_frames=3), True),
    "intra_refresh.mp4": (h264("intra-refresh=1", b_frames=2), True),
    "ten_bit.mp4": (h264(b_frames=3, pix_fmt="yuv420p10le"), True),
    "fragmented.mp4": (h264(b_frames=2, container_options={"movflags": "frag_keyframe+empty_moov"}), True),
    "variable.mp4": (
        h264(b_frames=3, pts=[k * 40 + (k * k * 7) % 31 for k in range(COUNT)], time_base=Fraction(1, 1000)),
        True,
    ),
    "fast.mp4": (h264(b_frames=3, rate=60), True),
    "slow.mp4": (h264(b_frames=3, rate=10), True),
    "irregular.mp4": (
        h264(
            b_frames=3,
            pts=np.random.default_rng(0).integers(5, 120, COUNT).cumsum().tolist(),
            time_base=Fraction(1, 1000),
        ),
        True,
    ),
    "all_reference.mp4": (h264(b_frames=0), False),
    "interlaced.mp4": (h264("interlaced=1", b_frames=3), False),
    "interlaced.ts": (h264("interlaced=1", b_frames=3), False),
    "untimed.avi": (h264(b_frames=2), False),
    "raw.h264": (h264(b_frames=2), False),
    "hevc.mp4": (h265("bframes=4:b-adapt=0"), True),
    "hevc.ts": (h265("bframes=3"), True),
    "hevc_open_gop.mp4": (h265("open-gop=1:bframes=4:keyint=10"), True),
    "hevc_pyramid.mkv": (h265("b-pyramid=1:bframes=8:b-adapt=0:ref=4"), True),
    "hevc_layers.mp4": (h265("temporal-layers=3:bframes=4:b-adapt=0"), True),
    "mjpeg.avi": (MJPEG, True),
    "mjpeg.mov": (MJPEG, True),
    "mjpeg.mkv": ({**MJPEG, "options": {"huffman": "default"}}, True),
    "mpeg4.mp4": ({"codec": "mpeg4", "b_frames": 2}, False),
    "vp9.webm": ({"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}, False),
}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes one of the KINDS, once; who changes it makes a copy."""
    folder = tmp_path_factory.mktemp("kinds")

    @cache
    def written(name: str) -> Path:
        return write_video(folder / name, images=moving(COUNT), **KINDS[name][0])

    return written


Make = Callable[[str], Path]


def read(path: Path, **kwargs: Any) -> tuple[list[Frame], VideoReader]:
    with VideoReader(path, **kwargs) as reader:
        return list(reader), reader


def assert_same(some: list[Frame], every_one: list[Frame], every: int) -> None:
    wanted = [frame for frame in every_one if frame.index % every == 0]
    assert [(one.index, one.pts, one.time) for one in some] == [(one.index, one.pts, one.time) for one in wanted]
    for one, other in zip(some, wanted, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        assert_same_earlier(one, other)


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_sampled_frames_are_those_of_a_full_decode(name: str, threads: bool, make: Make) -> None:
    path = make(name)
    whole, reference = read(path, threads=threads)
    assert len(whole) == COUNT
    for every in (5,) if threads else (2, 5, 7, 100):
        some, reader = read(path, threads=threads, every=every)
        assert_same(some, whole, every)
        assert (reader.damaged, reader.frames_read, reader.info) == (0, COUNT, reference.info)
        if KINDS[name][1] and not threads and every != 2:  # of two frames, one may be the companion of another
            assert reader.skipped > 0
        if not KINDS[name][1]:
            assert reader.skipped == 0
    assert reference.skipped == 0


@pytest.mark.parametrize("name", [name for name, (_, skips) in KINDS.items() if skips])
def test_companions_are_all_that_is_decoded_beside_the_sampled_frames(name: str, make: Make) -> None:
    (frames, with_motion), (_, without) = (
        read(make(name), every=10, threads=False, motion_every=every) for every in (1, None)
    )
    companions = sum(frame.earlier is not None for frame in frames)
    # At the file's end everything is decoded from the first frame on of which it is not known whether it is one.
    assert without.skipped - companions - 8 <= with_motion.skipped <= without.skipped
    assert companions >= 3


@pytest.mark.parametrize("threads", [False, True])
def test_of_fields_that_come_by_themselves_both_are_decoded(threads: bool, tmp_path: Path) -> None:
    """Left out by itself, a field takes half a frame along; and each field counts as a frame."""
    path = write_fields(tmp_path / "fields.ts", 31)
    whole, _ = read(path, threads=threads)
    some, reader = read(path, every=5, threads=threads)
    assert_same(some, whole, 5)
    assert (len(whole), reader.skipped) == (31, 0)


def test_frames_from_which_higher_layers_are_made_are_decoded(make: Make, tmp_path: Path) -> None:
    path = Path(copy(make("hevc_layers.mp4"), tmp_path))
    whole, _ = read(path)
    assert _without_references_in_middle_layers(path) > 0
    for every in (2, 5, 7):
        some, reader = read(path, every=every)
        assert_same(some, whole, every)
        assert reader.skipped > 0


@pytest.mark.parametrize("hidden", [1, 5, 7])
def test_an_edit_list_does_not_shift_what_is_skipped(hidden: int, make: Make, tmp_path: Path) -> None:
    path = with_edit_list(make("b_frames.mp4"), tmp_path / "edited.mp4", hidden)
    whole, _ = read(path)
    some, reader = read(path, every=5)
    assert_same(some, whole, 5)
    assert reader.frames_read == len(whole) == COUNT - hidden


@pytest.mark.parametrize("limits", [{"max_frames": 33}, {"max_frames": 30}, {"duration": 1.3}, {"duration": 1.33}])
@pytest.mark.parametrize("name", ["pyramid.mp4", "mjpeg.avi"])
def test_limits_count_frames_that_are_skipped(name: str, limits: dict[str, Any], make: Make) -> None:
    path = make(name)
    whole, reference = read(path, **limits)
    some, reader = read(path, every=5, **limits)
    assert_same(some, whole, 5)
    assert reader.frames_read == reference.frames_read


def test_recordings_joined_end_to_end_are_skipped_through(make: Make, tmp_path: Path) -> None:
    part = make("b_frames.ts").read_bytes()
    (tmp_path / "joined.ts").write_bytes(part * 3)
    whole, _ = read(tmp_path / "joined.ts")
    some, reader = read(tmp_path / "joined.ts", every=5)
    assert_same(some, whole, 5)
    assert reader.frames_read == 3 * COUNT
    assert reader.skipped > 3 * COUNT // 5


@pytest.mark.parametrize("name", ["b_frames.mp4", "pyramid.mp4", "hevc.mp4", "mjpeg.avi", "open_gop.ts"])
def test_damage_spoils_no_more_pictures_with_skipping_than_without(
    name: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How a decoder patches up a spoilt picture depends on what it has decoded before; whole ones stay whole."""
    path = make(name)
    good, whole = path.read_bytes(), {frame.index: frame for frame in read(path)[0]}
    rng = np.random.default_rng(0)
    for attempt in range(12):
        content = bytearray(good)
        for place in rng.integers(len(good) // 8, len(good) * 7 // 8, size=3):
            content[place : place + 8] = rng.bytes(8)
        bad = tmp_path / f"bad{attempt}.{name.rpartition('.')[2]}"
        bad.write_bytes(content)
        some, reader = read(bad, every=5, threads=False)
        with monkeypatch.context() as patch:
            patch.setattr(PacketSkipper, "of", lambda *_: None)
            plain, reference = read(bad, every=5, threads=False)
        assert [(one.index, one.pts, one.time) for one in some] == [(one.index, one.pts, one.time) for one in plain]
        for one, other in zip(some, plain, strict=True):
            reference_frame = whole[one.index]
            if np.array_equal(other.image, reference_frame.image):
                np.testing.assert_array_equal(one.image, other.image)
            if is_same_earlier(other, reference_frame):
                assert_same_earlier(one, other)
        assert reader.frames_read == reference.frames_read
        assert reader.damaged <= reference.damaged


def test_packets_that_are_overwritten_are_counted_though_nobody_wants_their_frames(make: Make, tmp_path: Path) -> None:
    path = overwrite_packets(Path(copy(make("mjpeg.avi"), tmp_path)), [11, 12, 33])
    some, reader = read(path, every=5)
    assert [frame.index for frame in some] == list(range(0, COUNT, 5))
    assert reader.damaged == 3


@pytest.mark.parametrize("lacking", [{20}, {20, 21, 34, 40}])
def test_frames_that_lack_the_tables_of_a_skipped_one_get_them(lacking: set[int], make: Make, tmp_path: Path) -> None:
    fine, coarse = (
        make("mjpeg.avi"),
        write_video(
            tmp_path / "coarse.avi", images=moving(COUNT), **{**MJPEG, "options": {"qmin": "20", "qmax": "20"}}
        ),
    )
    path = tmp_path / "mixed.avi"
    with av.open(str(fine)) as first, av.open(str(coarse)) as second, av.open(str(path), "w") as mixed:
        stream = mixed.add_stream_from_template(first.streams.video[0])
        pairs = zip(first.demux(video=0), second.demux(video=0), strict=True)
        for number, (before, after) in enumerate(pairs):
            packet = before if number < 17 else after
            if packet.size:
                packet.stream = stream
                mixed.mux(packet)
    _without_tables(path, lacking)
    whole, _ = read(path)
    some, reader = read(path, every=5)
    assert_same(some, whole, 5)
    assert reader.skipped > COUNT // 2


def _without_tables(path: Path, packets: set[int]) -> None:
    """Turns the quantisation tables of these frames into comments, so that they use the last ones."""
    with av.open(str(path)) as container:
        places = [(one.pos, bytes(one)) for one in container.demux(video=0) if one.size]
    content = bytearray(path.read_bytes())
    for number in packets:
        position, packet = places[number]
        assert position is not None
        start = content.index(packet, position)
        table = packet.index(b"\xff\xdb")
        content[start + table + 1] = 0xFE
    path.write_bytes(content)


def _without_references_in_middle_layers(path: Path) -> int:
    """Says of every H.265 frame of a middle layer that none of its own layer is made from it; returns how many."""
    with av.open(str(path)) as container:
        head = container.streams.video[0].codec_context.extradata or b""
        packets = [(one.pos or 0, bytes(one)) for one in container.demux(video=0) if one.size]
    content, found = bytearray(path.read_bytes()), 0
    for position, packet in packets:
        place = 0
        while place < len(packet):
            begin = place + 4
            kind, layer = packet[begin] >> 1 & 63, (packet[begin + 1] & 7) - 1
            if kind < 16 and kind % 2 and 0 < layer < (head[21] >> 3 & 7) - 1:
                content[position + begin] -= 2  # the type before: TSA_R becomes TSA_N
                found += 1
            place = begin + int.from_bytes(packet[place:begin], "big")
    path.write_bytes(content)
    return found
