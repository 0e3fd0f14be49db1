"""Preparation of frames for the backbone: on the CPU by `prepare`, on a device by `DevicePreparation`.

Frames go to a GPU as they are, in an eighth of the bytes of what the backbone takes.
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

KEPT = 64  # sizes of frames and settings that were used last

RESAMPLING = {
    "lanczos": Image.Resampling.LANCZOS,
    "area": Image.Resampling.BOX,
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


def prepare(image: npt.NDArray[np.uint8], settings: InputSettings) -> Tensor:
    """Returns the backbone's input (3 x height x width, resized straight, normalised) for uint8 H x W x 3 RGB.

    Raises:
        ValueError: an image of another shape or type, or without pixels.
    """
    check_image(image)
    height, width = settings.size
    resized = Image.fromarray(image).resize((width, height), RESAMPLING[settings.resize])
    x = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float().div(255)  # 3 H W
    mean, std = (torch.tensor(values)[:, None, None] for values in settings.normalisation)
    return (x - mean) / std


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


def check_image(image: npt.NDArray[np.uint8]) -> None:
    """Refuses what is no image.

    Raises:
        ValueError: an image of another shape or type, or without pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        shape = " x ".join(map(str, image.shape))
        raise ValueError(f"an image is uint8 and H x W x 3, not {image.dtype} and {shape}")
