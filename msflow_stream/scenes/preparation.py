"""Preparation of frames for the backbone: one function, of a fit, of scoring and of an evaluation.

With `area`, what was decoded becomes small in one step, and goes to the device as it is: luma and chroma, a quarter of
the bytes of what the backbone takes. The other ways are Pillow's, for stills; on a GPU, `DevicePreparation` does as
they do.
"""

from __future__ import annotations

from threading import Lock

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from msflow_stream.config.settings import InputSettings, Settings
from msflow_stream.model.fused.resize import Preparation
from msflow_stream.model.pyramid import normalisation
from msflow_stream.types import Pixels
from msflow_stream.video.pixels import shrink

KEPT = 64  # sizes of frames and settings that were used last

RESAMPLING = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
}


class DevicePreparation:
    """Preparation of images on a device, each within a grey level of what `prepare` makes of it."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], Preparation] = {}
        self._lock = Lock()

    def __call__(self, image: npt.NDArray[np.uint8], settings: InputSettings, device: torch.device) -> Tensor:
        """Returns 3 x height x width on the device for uint8 H x W x 3."""
        frame = torch.from_numpy(np.ascontiguousarray(image))[None]
        if device.type == "cuda":
            frame = frame.pin_memory()  # so that Python need not wait for the copy
        module = self._preparation((image.shape[0], image.shape[1]), settings, device)
        with torch.inference_mode():
            prepared: Tensor = module(frame.to(device, non_blocking=True))[0]
        return prepared

    def _preparation(self, size: tuple[int, int], settings: InputSettings, device: torch.device) -> Preparation:
        key = (size, settings, device)
        with self._lock:
            made = self._made.pop(key, None)
            if made is None:
                made = Preparation(size, settings.size, settings.resize, *settings.normalisation).to(device)
            self._made[key] = made  # the last used is the last in order
            while len(self._made) > KEPT:
                del self._made[next(iter(self._made))]
        return made


def prepare(
    pixels: npt.NDArray[np.uint8] | Pixels, settings: InputSettings, device: torch.device | str = "cpu"
) -> Tensor:
    """Returns the backbone's input (3 x height x width, resized straight, normalised) on a device.

    Args:
        pixels: an image, uint8 H x W x 3 RGB, or what a decoder made.
        settings: the scene's own.
        device: where what follows the resizing is done.

    Raises:
        ValueError: an image of another shape or type, or without pixels.
    """
    check_pixels(pixels)
    mean, std = (torch.tensor(values, device=device)[:, None] for values in settings.normalisation)  # 3 1
    if settings.resize == "area":
        planes = shrink(pixels, settings.size)
        matrix = torch.from_numpy(planes.matrix / 255).to(device)  # 3 4
        values = torch.from_numpy(planes.values).to(device).view(3, -1).float()
        rgb = torch.addmm(matrix[:, 3:], matrix[:, :3], values).clamp_(0, 1)  # 3 N
    else:
        image = pixels if isinstance(pixels, np.ndarray) else pixels.image()
        resized = Image.fromarray(image).resize(settings.size[::-1], RESAMPLING[settings.resize])
        rgb = torch.from_numpy(np.array(resized)).to(device).permute(2, 0, 1).reshape(3, -1).float().div_(255)
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
