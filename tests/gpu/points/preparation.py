"""Frames that are prepared on the device: those that Pillow and libswscale make on the CPU, and the same scores."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from threading import Barrier

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from msflow_stream.config.settings import InputSettings
from msflow_stream.scenes.preparation import DevicePreparation, prepare
from msflow_stream.scoring.inference import PlainInference
from msflow_stream.types import Pixels
from msflow_stream.video.reading.video_reader import VideoReader
from msflow_stream.video.writing.video_writer import VideoWriter
from tests.gpu.report import At
from tests.gpu.subjects import SMALL, fitted, frames, measures_by, spread_errors, worst

SIZES = ((240, 320), (270, 480), (600, 333))  # of frames
LEVEL = 1.01 / 255  # of grey
THREADS, ROUNDS = 16, 12
Source = npt.NDArray[np.uint8] | Pixels


def check(at: At) -> None:
    """Checks the preparation."""
    own = fitted(at, SMALL)
    settings = own.settings.input
    preparation = DevicePreparation(at.device)
    images = [np.asarray(cv2.resize(frames(1)[0].image, size[::-1])) for size in SIZES]
    for resize in ("area", "lanczos", "box", "bilinear"):
        with at.case(f"images by {resize}") as case:
            chosen = settings.model_copy(update={"resize": resize})
            bound = 1e-3 if resize == "area" else LEVEL
            case.below(_difference(preparation, images, chosen), bound, "largest difference to Pillow's (white is 1)")
    with tempfile.TemporaryDirectory() as folder:
        decoded = _decoded(Path(folder) / "clip.mp4")
    with at.case("decoded frames") as case:
        case.below(_difference(preparation, decoded, settings), 1e-3, "largest difference to libswscale's (white is 1)")
    with at.case("scores") as case:
        sources = [frame.pixels for frame in frames(12)]
        expected = torch.stack([prepare(one, settings) for one in sources]).to(at.device)
        found = preparation.batch([preparation.small(one, settings) for one in sources], settings)
        plain = PlainInference()
        errors = spread_errors(measures_by(plain, own, found), measures_by(plain, own, expected))
        case.below(max(errors.values()), 0.01, f"shift over the spread of the scores ({worst(errors)})")
    with at.case(f"{THREADS} threads that reuse their buffers") as case:
        wrong = sum(_reusing_threads(at, preparation, settings.model_copy(update={"resize": "lanczos"})))
        case.below(wrong, 0, f"of {THREADS * ROUNDS} batches, those with another frame's pixels:")


def _difference(preparation: DevicePreparation, sources: Sequence[Source], settings: InputSettings) -> float:
    """The largest difference of a value, where white is 1."""
    found = preparation.batch([preparation.small(one, settings) for one in sources], settings).cpu()
    expected = torch.stack([prepare(one, settings) for one in sources])
    std = torch.tensor(settings.normalisation[1])[:, None, None]
    return float(((found - expected) * std).abs().max())


def _decoded(path: Path) -> list[Pixels]:
    shown = frames(4)
    with VideoWriter(path, 320, 240, Fraction(1, 25), Fraction(25)) as writer:
        for number, frame in enumerate(shown):
            writer.write(frame.image, number)
    with VideoReader(path) as reader:
        return [frame.pixels for frame in reader if not isinstance(frame.pixels, np.ndarray)]


def _reusing_threads(at: At, preparation: DevicePreparation, settings: InputSettings) -> list[int]:
    """Wrong batches of each thread: it overwrites its one buffer as soon as `small` and `batch` are back."""
    images = [frame.image for frame in frames(6)]
    expected = [prepare(image, settings) for image in images]
    barrier = Barrier(THREADS)

    def work(thread: int) -> int:
        buffer, found = np.empty_like(images[0]), list[tuple[int, Tensor]]()
        barrier.wait()
        for number in range(ROUNDS):
            chosen = (thread + number) % len(images)
            buffer[:] = images[chosen]
            found.append((chosen, preparation.batch([preparation.small(buffer, settings)], settings)))
            buffer[:] = 255 * (number % 2)
        at.synchronise()
        std = torch.tensor(settings.normalisation[1])[:, None, None]
        differences = [float(((one[0].cpu() - expected[chosen]) * std).abs().max()) for chosen, one in found]
        return sum(value > LEVEL for value in differences)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, range(THREADS)))
