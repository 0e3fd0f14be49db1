"""Makers of small test videos whose every frame says, in its own pixels, which frame it is."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

Image = npt.NDArray[np.uint8]

# A frame is a grid of 5 x 4 bright or dark squares: ten bits of the index, and below them the same bits inverted, so
# that a damaged or blended picture reads as None and not as a wrong number.
COLUMNS, BITS = 5, 10
DARK, BRIGHT = 40, 215


def coded_image(index: int, size: tuple[int, int] = (64, 48)) -> Image:
    """Returns the picture, uint8 height x width x 3, that says `index` (0 to 1023); size is (width, height)."""
    bits = [(index >> bit) & 1 for bit in range(BITS)]
    cells = np.array(bits + [1 - bit for bit in bits]).reshape(-1, COLUMNS)
    width, height = size
    rows = np.arange(height) * cells.shape[0] // height
    columns = np.arange(width) * COLUMNS // width
    grey = np.where(cells[rows][:, columns], BRIGHT, DARK).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def read_code(image: Image) -> int | None:
    """Returns the index that the picture says, or None where it cannot be read with certainty."""
    height, width = image.shape[:2]
    grey = image.astype(np.float64).mean(axis=2)
    rows = 2 * BITS // COLUMNS
    cells = []
    for row in range(rows):
        for column in range(COLUMNS):
            y, x = int((row + 0.5) * height / rows), int((column + 0.5) * width / COLUMNS)
            cells.append(grey[y - 2 : y + 3, x - 2 : x + 3].mean() > (DARK + BRIGHT) / 2)
    bits, inverted = cells[:BITS], cells[BITS:]
    if any(bit == other for bit, other in zip(bits, inverted, strict=True)):
        return None
    return sum(1 << place for place, bit in enumerate(bits) if bit)


def write_video(
    path: Path,
    count: int = 20,
    size: tuple[int, int] = (64, 48),
    *,
    images: Iterable[Image] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int | Fraction = 25,
    b_frames: int = 0,
    keyframe_every: int = 12,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    matrix: Sequence[int] | None = None,
    audio: bool = False,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    format: str | None = None,
    colorspace: int | None = None,
    color_range: int | None = None,
    tagged: bool = True,
) -> Path:
    """Writes `count` coded frames (or the given RGB images) to `path`; the suffix, or `format`, picks the container.

    `pts` are in `time_base`, and make a variable frame rate; `matrix` is a display matrix of nine integers;
    `colorspace` (1: BT.709, 5: BT.601) is written into the file only if `tagged`. A test whose encoder this FFmpeg does
    not have is skipped.
    """
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    pictures = list(images) if images is not None else [coded_image(index, size) for index in range(count)]
    settings = {"bf": str(b_frames), "g": str(keyframe_every), **(options or {})}
    if codec == "libx264":
        # Without scene cuts, the encoder puts key frames exactly where the test wants them.
        settings = {"sc_threshold": "0", "preset": "ultrafast", "b_strategy": "0", "crf": "12", **settings}
    with av.open(str(path), "w", format=format, container_options=dict(container_options or {})) as container:
        stream = container.add_stream(codec, rate=rate, options=settings)
        assert isinstance(stream, VideoStream)
        if pictures:
            stream.height, stream.width = pictures[0].shape[:2]
        else:
            stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        if time_base is not None:
            stream.codec_context.time_base = time_base
        if colorspace is not None and tagged:
            stream.codec_context.colorspace = colorspace
        if color_range is not None:
            stream.codec_context.color_range = color_range
        if matrix is not None:
            stream.set_display_matrix(matrix)
        sound = container.add_stream("aac", rate=16000) if audio else None
        if not pictures:
            container.start_encoding()
            return path
        for index, picture in enumerate(pictures):
            frame = VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format=pix_fmt, dst_colorspace=colorspace, dst_color_range=color_range
            )
            if not tagged:
                frame.colorspace = 2  # AVCOL_SPC_UNSPECIFIED
            frame.pts = pts[index] if pts is not None else index
            frame.time_base = time_base or 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if isinstance(sound, AudioStream):
            for tone in sine(seconds=len(pictures) / float(rate)):
                container.mux(sound.encode(tone))
            container.mux(sound.encode(None))
    return path


def sine(seconds: float, rate: int = 16000) -> Iterable[AudioFrame]:
    for start in range(0, int(seconds * rate), 1024):
        wave = np.sin(np.arange(start, start + 1024) * (2 * np.pi * 440 / rate)).astype(np.float32)
        frame = AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield frame


def with_edit_list(source: Path, path: Path, hidden: int, step: int = 1, rate: int = 25) -> Path:
    """Copies an MP4 so that its first `hidden` frames are before the edit list's start: decoded, but not shown."""
    with av.open(str(source)) as given, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as copy:
        stream = copy.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size == 0 or packet.pts is None or packet.dts is None or packet.time_base is None:
                continue
            shift = int(Fraction(hidden * step, rate) / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
            copy.mux(packet)
    return path


def packet_places(path: Path) -> list[tuple[int, int]]:
    """Returns (byte position, size) of every video packet, in file order."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        return [(packet.pos, packet.size) for packet in packets if packet.pos is not None]


def overwrite_packets(path: Path, packets: Iterable[int], keep: int = 0) -> Path:
    """Overwrites these packets (numbers in file order), but for the first and the last `keep` bytes of each."""
    places = packet_places(path)
    content = bytearray(path.read_bytes())
    for number in packets:
        position, size = places[number]
        content[position + keep : position + size - keep] = b"\xa5" * (size - 2 * keep)
    path.write_bytes(content)
    return path


def cut_short(path: Path, share: float = 0.6) -> Path:
    """Keeps only the first part of the file, as after a power cut while recording."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def rename_codec(path: Path, old: bytes = b"avc1", new: bytes = b"zzz9") -> Path:
    """Renames the codec in an MP4's sample description to one that nobody decodes."""
    content = path.read_bytes()
    place = content.index(old, content.index(b"stsd"))
    path.write_bytes(content[:place] + struct.pack("4s", new) + content[place + 4 :])
    return path
