"""NVDEC: the same frames as the CPU decodes, at what memory, and beside PyTorch."""

from __future__ import annotations

import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

import av
import numpy as np
import torch

from msflow_stream.scenes.card_frames import card_of
from msflow_stream.video.reading.video_reader import VideoReader
from tests.gpu.report import At
from tests.gpu.subjects import frames

CODECS = {"h264": "libx264", "hevc": "libx265"}
QUIET = {"libx265": {"x265-params": "log-level=none"}}
COUNT, SIZE, SMALL_SIZE = 24, (640, 480), (256, 256)
LEVELS = 2  # of grey: shrinking on the card rounds its own way
CONNECTIONS = 4


def check(at: At) -> None:
    """Checks both codecs."""
    with tempfile.TemporaryDirectory() as folder:
        for codec, encoder in CODECS.items():
            path = Path(folder) / f"{codec}.mp4"
            with at.case(f"{codec} on the CPU") as case:
                _write(path, encoder)
                with VideoReader(path) as reader:
                    count = sum(1 for _ in reader)
                case.holds(count == COUNT and reader.info.codec == codec, f"{count} frames of {reader.info.codec}")
            if at.needs_cuda(f"{codec} by NVDEC"):
                _check_card(at, path, codec)


def _write(path: Path, encoder: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=25, options={"preset": "ultrafast", **QUIET.get(encoder, {})})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        shown = frames(COUNT // 2)
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(shown[number // 2].image, format="rgb24").reformat(*SIZE)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _reader(at: At, path: Path) -> VideoReader:
    return VideoReader(path, decode="cuda", card=card_of(at.device))


def _check_card(at: At, path: Path, codec: str) -> None:
    with at.case(f"{codec} decoder") as case, _reader(at, path) as reader:
        case.holds(reader.decoder == "cuda", f"{reader.decoder} decodes")
    with at.case(f"{codec} RGB") as case:
        with VideoReader(path) as expected, _reader(at, path) as found:
            pairs = [(a.image, b.image) for a, b in zip(found, expected, strict=True)]
        difference = max(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in pairs)
        case.below(difference, 0, f"largest difference of {len(pairs)} frames to the CPU's, in levels:")
    with at.case(f"{codec} small") as case:
        with VideoReader(path) as expected, _reader(at, path) as found:
            small = [
                [one.pixels.planes(SMALL_SIZE).values.astype(int) for one in reader] for reader in (found, expected)
            ]
        difference = max(int(np.abs(a - b).max()) for a, b in zip(*small, strict=True))
        case.below(difference, LEVELS, "largest difference of the planes that the card makes small, in levels:")
    with at.case(f"{codec} memory") as case, ExitStack() as stack:
        stack.enter_context(_reader(at, path))  # what the first one brings along is the card's
        before = torch.cuda.mem_get_info(at.device)[0]
        for _ in range(CONNECTIONS):
            stack.enter_context(_reader(at, path))
        each = (before - torch.cuda.mem_get_info(at.device)[0]) / CONNECTIONS / 2**20
        case.below(each, 300, f"a connection of {SIZE[0]}x{SIZE[1]} takes", " MiB")
    with at.case(f"{codec} beside PyTorch") as case:
        case.below(_beside_torch(at, path), 0, "frames that differ, or products that do:")


def _beside_torch(at: At, path: Path) -> int:
    """Decodes in a thread while products are computed; returns how many of either went wrong."""
    with VideoReader(path) as reader:
        expected = [frame.image for frame in reader]
    wrong: list[int] = []

    def decode() -> None:
        for _ in range(3):
            with _reader(at, path) as reader:
                wrong.extend(n for n, frame in enumerate(reader) if not np.array_equal(frame.image, expected[n]))

    thread = threading.Thread(target=decode)
    a = torch.randn(2048, 2048, device=at.device)
    right = a @ a
    thread.start()
    products = 0
    while thread.is_alive() and at.left > 0:
        products += int(not torch.equal(a @ a, right))
    thread.join(timeout=10)
    return len(wrong) + products
