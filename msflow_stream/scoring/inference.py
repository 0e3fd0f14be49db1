"""The inference: prepared images to scores, by contract; and the plain way, which all others are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, groupby
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from msflow_stream.config.settings import ScoreSettings
from msflow_stream.model.aggregate import Maps
from msflow_stream.scenes.preparation import Small
from msflow_stream.scenes.scene import Measures, Scene
from msflow_stream.types import Pixels

Prepared = Tensor | Small  # the backbone's input (3 H W), or what a GPU makes it of


class SceneBatch(NamedTuple):
    """Frames of one scene in a batch: their features (B C_l H_l W_l), and `areas` as in `Scene.measure_maps`."""

    scene: Scene
    features: list[Tensor]
    score: ScoreSettings
    areas: Tensor | None = None


class ImageBatch(NamedTuple):
    """Frames of one scene in a batch before their features: prepared images, the rest as of `SceneBatch`."""

    scene: Scene
    images: Sequence[Prepared]
    score: ScoreSettings
    areas: Tensor | None = None


class Inference(Protocol):
    """The way from images to scores. Features are shared by scenes that share a pyramid, the rest is a scene's own."""

    def prepare(self, scene: Scene) -> None:
        """Prepares for a scene: what takes long happens here, not with its first frame."""

    def prefetch(self, scenes: Sequence[Scene]) -> None:
        """Starts to prepare for scenes that will be scored with next, in the background; returns at once."""

    def image(self, scene: Scene, pixels: npt.NDArray[np.uint8] | Pixels) -> Prepared:
        """Returns pixels of any size prepared, as far as the CPU does it; may be called from several threads.

        Raises:
            ValueError: as `msflow_stream.scenes.preparation.prepare`.
        """

    def batch(self, scene: Scene, images: Sequence[Prepared]) -> Tensor:
        """Returns the backbone's input (B 3 H W) for prepared images."""

    def features(self, scene: Scene, images: Tensor) -> list[Tensor]:
        """Returns the features (B C_l H_l W_l) of the backbone's input (B 3 H W)."""

    def measures(self, parts: Sequence[SceneBatch]) -> list[Measures]:
        """Returns the scores of each part, on the CPU."""

    def measure_images(self, parts: Sequence[ImageBatch]) -> list[Measures]:
        """Returns the scores of each part, on the CPU; their scenes share a pyramid, and the size of its input."""

    def maps(self, scene: Scene, features: list[Tensor], score: ScoreSettings) -> Maps:
        """Returns all three maps (B H W each) of features."""


def measure_by_features(inference: Inference, parts: Sequence[ImageBatch]) -> list[Measures]:
    """Returns the scores of each part: all images through the pyramid together, then each scene's flow."""
    scenes, counts = [part.scene for part in parts], [len(part.images) for part in parts]
    inference.prefetch(scenes[:2])
    inputs = []
    for _, alike in groupby(parts, lambda part: part.scene.settings.input):
        together = list(alike)
        inputs.append(inference.batch(together[0].scene, list(chain.from_iterable(part.images for part in together))))
    features = inference.features(scenes[0], inputs[0] if len(inputs) == 1 else torch.cat(inputs))
    split = zip(*(torch.split(scale, counts) for scale in features), strict=True)
    return inference.measures(
        [SceneBatch(part.scene, list(own), part.score, part.areas) for part, own in zip(parts, split, strict=True)]
    )


class PlainInference:
    """The reference that all others are compared with: the scene's own modules in float32."""

    def prepare(self, scene: Scene) -> None:
        """Does nothing: nothing takes long."""

    def prefetch(self, scenes: Sequence[Scene]) -> None:
        """Does nothing: nothing is missing."""

    def image(self, scene: Scene, pixels: npt.NDArray[np.uint8] | Pixels) -> Tensor:
        """Returns the backbone's input, prepared on the CPU."""
        return scene.prepare(pixels)

    def batch(self, scene: Scene, images: Sequence[Prepared]) -> Tensor:
        """Returns the backbone's input (B 3 H W)."""
        return stacked(images)

    def features(self, scene: Scene, images: Tensor) -> list[Tensor]:
        """Returns the features (B C_l H_l W_l)."""
        with torch.inference_mode():
            features: list[Tensor] = scene.pyramid(images.to(scene.device))
        return features

    def measures(self, parts: Sequence[SceneBatch]) -> list[Measures]:
        """Returns the scores of each part, one after the other."""
        with torch.inference_mode():
            return [
                part.scene.measure_maps(part.scene.maps(part.features, part.score), part.score, part.areas)
                for part in parts
            ]

    def measure_images(self, parts: Sequence[ImageBatch]) -> list[Measures]:
        """Returns the scores of each part."""
        return measure_by_features(self, parts)

    def maps(self, scene: Scene, features: list[Tensor], score: ScoreSettings) -> Maps:
        """Returns all three maps (B H W each)."""
        return scene.maps(features, score)


def stacked(images: Sequence[Prepared]) -> Tensor:
    """Returns images that are the backbone's input already (3 H W each) as a batch (B 3 H W)."""
    return torch.stack([one for one in images if isinstance(one, Tensor)])
