"""Preparation of frames for the backbone, the same for a fit, for scoring and for an evaluation.

With `area`, what was decoded becomes small in one step, and goes to the device as it is: luma and chroma, a quarter of
the bytes of what the backbone takes. The other ways are Pillow's, for stills. `prepare` does all of it on the CPU, one
image at a time; `DevicePreparation` does what it can on a device, for a batch.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from msflow_stream.config.settings import InputSettings, Settings
from msflow_stream.model.fused.resize import Preparation
from msflow_stream.model.pyramid import normalisation
from msflow_stream.scenes.card_frames import CardFrames
from msflow_stream.types import Pixels
from msflow_stream.video.pixels import OF_RGB, DecodedPixels, shrink

KEPT = 64  # sizes of frames and settings that were used last

RESAMPLING = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
}


@dataclass(frozen=True, slots=True, eq=False)
class Small:
    """A frame as it goes to a device.

    Attributes:
        values: uint8: planes of the input's size, 3 x H x W; or, without a matrix, an image still to be resized,
            h x w x 3, RGB. On the CPU, or on the device already.
        matrix: float32 3 x 4, which makes RGB of planes (see `video.pixels.Planes`).
        made: the moment at which the values are on the device; None where they are ready.
    """

    values: npt.NDArray[np.uint8] | Tensor
    matrix: npt.NDArray[np.float32] | None = None
    made: torch.cuda.Event | None = None

    def await_values(self) -> None:
        """Has the current stream of the device wait for the values; the host does not."""
        if self.made is not None and isinstance(self.values, Tensor):
            stream = torch.cuda.current_stream(self.values.device)
            stream.wait_event(self.made)
            self.values.record_stream(stream)


class DevicePreparation:
    """Preparation of frames on a device, in two steps: each frame by itself on the CPU, then a batch on the device.

    A frame becomes what `prepare` makes of it: with `area` up to rounding, else within a grey level. May be used from
    several threads; none waits for the device, but with the first image of a size that is to be resized there.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._card = CardFrames(self.device)
        self._made: dict[Hashable, Preparation] = {}
        self._lock = Lock()

    def small(self, pixels: npt.NDArray[np.uint8] | Pixels, settings: InputSettings) -> Small:
        """Returns a frame as `batch` takes it: the part that is done on the CPU.

        With `area`, a frame that was decoded into the device's memory stays there.

        Raises:
            ValueError: an image of another shape or type, or without pixels.
        """
        check_pixels(pixels)
        if settings.resize == "area":
            there = self._card.small(pixels, settings.size) if isinstance(pixels, DecodedPixels) else None
            if there is not None:
                return Small(there.values, there.matrix, there.made)
            planes = shrink(pixels, settings.size)
            return Small(_owned(planes.values), planes.matrix)
        image = pixels if isinstance(pixels, np.ndarray) else pixels.image()
        if image.shape[:2] == settings.size:
            return Small(_owned(image.transpose(2, 0, 1)), OF_RGB)
        return Small(_owned(image))

    def batch(self, smalls: Sequence[Small], settings: InputSettings) -> Tensor:
        """Returns the backbone's input (float32 B 3 H W) on the device, for frames of any sizes."""
        alike: dict[Hashable, list[int]] = {}
        for number, one in enumerate(smalls):
            one.await_values()
            key = one.matrix is None, isinstance(one.values, Tensor), tuple(one.values.shape)
            alike.setdefault(key, []).append(number)
        found: dict[int, Tensor] = {}
        with torch.inference_mode():
            for numbers in alike.values():
                prepared = self._prepared([smalls[number] for number in numbers], settings)
                if len(alike) == 1:
                    return prepared
                found |= dict(zip(numbers, prepared, strict=True))
            return torch.stack([found[number] for number in range(len(smalls))])

    def _prepared(self, smalls: Sequence[Small], settings: InputSettings) -> Tensor:
        """B 3 H W of frames that are alike: all with a matrix or none, of one shape, and in one place."""
        values = self._moved([one.values for one in smalls])
        matrices = [one.matrix for one in smalls if one.matrix is not None]
        if matrices:
            return coloured(values, self._moved([_normalising(matrix, settings) for matrix in matrices]))
        prepared: Tensor = self._preparation((values.shape[1], values.shape[2]), settings)(values)
        return prepared

    def _moved(self, values: Sequence[npt.NDArray[np.generic] | Tensor]) -> Tensor:
        """Equal arrays as one tensor on the device, by one copy that nothing waits for."""
        if isinstance(values[0], Tensor):
            return torch.stack([one for one in values if isinstance(one, Tensor)])
        first = torch.from_numpy(values[0])
        # Pinned memory of PyTorch's own, which knows until when a copy needs it.
        made = torch.empty((len(values), *first.shape), dtype=first.dtype, pin_memory=self.device.type == "cuda")
        torch.stack([torch.from_numpy(one) for one in values], out=made)
        return made.to(self.device, non_blocking=True)

    def _preparation(self, size: tuple[int, int], settings: InputSettings) -> Preparation:
        key = (size, settings)
        with self._lock:
            made = self._made.pop(key, None)
            if made is None:
                made = Preparation(size, settings.size, settings.resize, *settings.normalisation).to(self.device)
            self._made[key] = made  # the last used is the last in order
            while len(self._made) > KEPT:
                del self._made[next(iter(self._made))]
        return made


def coloured(planes: Tensor, matrices: Tensor) -> Tensor:
    """Returns normalised RGB (float32 B 3 H W) of planes (uint8 B 3 H W), each by its matrix.

    Args:
        planes: of one size.
        matrices: B 3 6: by the planes, what is added, and the bounds of the result.
    """
    product, added, least, most = torch.split(matrices, [3, 1, 1, 1], dim=2)
    rgb = torch.baddbmm(added, product, planes.flatten(2).float())
    return rgb.clamp_(least, most).view(planes.shape)


def _normalising(matrix: npt.NDArray[np.float32], settings: InputSettings) -> npt.NDArray[np.float32]:
    """What makes normalised RGB of planes, 3 x 6: the matrix and the bounds of RGB with the normalisation in them."""
    mean, std = (np.array(values)[:, None] for values in settings.normalisation)  # 3 1
    unit = np.column_stack([matrix / 255.0, np.zeros(3), np.ones(3)])  # to RGB from 0 to 1
    unit[:, 3:] -= mean
    return np.asarray(unit / std, np.float32)


def _owned(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Values as a tensor can have them: copied where they are not in order, or may not be written."""
    return np.require(values, requirements=["C", "W"])


def prepare(pixels: npt.NDArray[np.uint8] | Pixels, settings: InputSettings) -> Tensor:
    """Returns the backbone's input (3 x height x width, resized straight, normalised), on the CPU.

    Args:
        pixels: an image, uint8 H x W x 3 RGB, or what a decoder made.
        settings: the scene's own.

    Raises:
        ValueError: an image of another shape or type, or without pixels.
    """
    check_pixels(pixels)
    mean, std = (torch.tensor(values)[:, None] for values in settings.normalisation)  # 3 1
    if settings.resize == "area":
        planes = shrink(pixels, settings.size)
        matrix = torch.from_numpy(planes.matrix / 255)  # 3 4
        values = torch.from_numpy(planes.values).view(3, -1).float()
        rgb = torch.addmm(matrix[:, 3:], matrix[:, :3], values).clamp_(0, 1)  # 3 N
    else:
        image = pixels if isinstance(pixels, np.ndarray) else pixels.image()
        resized = Image.fromarray(image).resize(settings.size[::-1], RESAMPLING[settings.resize])
        rgb = torch.from_numpy(np.array(resized)).permute(2, 0, 1).reshape(3, -1).float().div_(255)
    return rgb.sub_(mean).div_(std).view(3, *settings.size)


def with_normalisation(settings: Settings) -> Settings:
    """Returns the settings with the mean and deviation that the backbone was trained with, where none are given.

    Raises:
        UserError: an unknown backbone.
    """
    if settings.input.mean is not None and settings.input.std is not None:
        return settings
    mean, std = normalisation(settings.model.backbone)
    found = {"mean": settings.input.mean or mean, "std": settings.input.std or std}
    return settings.model_copy(update={"input": settings.input.model_copy(update=found)})


def check_pixels(pixels: npt.NDArray[np.uint8] | Pixels) -> None:
    """Refuses what is no image.

    Raises:
        ValueError: an image of another shape or type, or without pixels.
    """
    kind = pixels.dtype if isinstance(pixels, np.ndarray) else np.dtype(np.uint8)
    if kind != np.uint8 or len(pixels.shape) != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        shape = " x ".join(map(str, pixels.shape))
        raise ValueError(f"an image is uint8 and H x W x 3, not {kind} and {shape}")
