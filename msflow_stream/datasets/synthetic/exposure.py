"""From the scene to the picture a camera delivers: the light of the hour, the lens, the noise of the sensor."""

from __future__ import annotations

from math import pi, sin
from statistics import NormalDist

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.datasets.synthetic.shapes import Floats


class Exposure:
    """One day's light, and the noise of each frame.

    Args:
        vignette: H x W, the share of the light that the lens lets through.
        seeds: of the place and of the day.
    """

    def __init__(self, vignette: Floats, seeds: tuple[int, int]) -> None:
        self._vignette = vignette
        self._seeds = seeds
        self._height, self._width = vignette.shape
        rng = np.random.default_rng((*seeds, 1))
        self._phases = rng.uniform(0, 2 * pi, 2)
        self._clouds = rng.standard_normal((8, 64), dtype=np.float32)
        self._quantiles = np.array([NormalDist().inv_cdf((k + 0.5) / 256) for k in range(256)], np.float32)

    def expose(self, picture: Floats, index: int, time: float) -> npt.NDArray[np.uint8]:
        """Frame `index`, uint8 H x W x 3, of what the camera looks at then."""
        rng = np.random.default_rng((*self._seeds, 3, index))
        exposed = np.asarray(cv2.GaussianBlur(picture, (3, 3), 0.45), np.float32)
        exposed *= cv2.cvtColor(self.light(time, flicker=float(rng.normal(0, 0.002))), cv2.COLOR_GRAY2RGB)
        exposed += self._noise(rng) * np.sqrt(1.0 + exposed * np.float32(0.0135))  # shot noise grows with the light
        return np.asarray(np.clip(exposed + 0.5, 0, 255), np.uint8)

    def light(self, time: float, flicker: float = 0.0) -> Floats:
        """The light's gain at `time`, H x W: the hour and the clouds keep it within 8 % of the lens's vignette."""
        a, b = self._phases
        overall = 1 + 0.025 * sin(2 * pi * time / 97 + a) + 0.012 * sin(2 * pi * time / 31 + b) + flicker
        xs = (time * 0.12 + np.arange(9, dtype=np.float32) * 0.6)[None, :] % 63
        ys = np.linspace(0.5, 5.5, 7, dtype=np.float32)[:, None]
        at_x, at_y = (np.ascontiguousarray(g, np.float32) for g in np.broadcast_arrays(xs, ys))  # 7 9
        cloud = np.float32(0.035) * np.tanh(cv2.remap(self._clouds, at_x, at_y, cv2.INTER_LINEAR))
        drift = cv2.resize(cloud, (self._width, self._height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(self._vignette * (np.float32(overall) + drift), np.float32)

    def _noise(self, rng: np.random.Generator) -> Floats:
        """H x W x 3: each pixel's own grain, and the coarser grain of colour, which a sensor interpolates."""
        grain = self._normal(rng, (self._height, self._width, 1))
        coarse = self._normal(rng, ((self._height + 1) // 2, (self._width + 1) // 2, 3))
        colour = cv2.resize(coarse, (self._width, self._height))
        return np.asarray(0.8 * colour + cv2.cvtColor(grain, cv2.COLOR_GRAY2RGB), np.float32)

    def _normal(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
        """Normal noise of unit variance, by random bytes and the 256 quantiles of their rank: ten times as fast."""
        return cv2.LUT(rng.integers(0, 256, shape, np.uint8), self._quantiles).astype(np.float32, copy=False)
