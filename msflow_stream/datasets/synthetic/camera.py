"""The camera over the walkway: from bodies on the ground to what is seen of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import cos, pi, sin
from statistics import NormalDist

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.datasets.synthetic.shapes import Floats, Shadow, Shape, Sprite, cast_shadow, paint

PATH = 2.5  # half the walkway's width, in metres
MARGIN = 3.4  # metres outside the picture where figures come and go, so that not even a shadow does so in sight


@dataclass(frozen=True, slots=True)
class Body:
    """A figure on the ground: `heading` is +1 or -1 along u, `footprint` half its length and half its width."""

    u: float
    v: float
    heading: int
    footprint: tuple[float, float]
    draw: Callable[[Floats], list[Shape]]
    violation: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticCamera:
    """A pinhole camera with upright verticals, `rise` metres over the ground; pixels unless said otherwise.

    A point X right, Z ahead and h up is at (centre + focal X / Z, horizon + focal (rise - h) / Z).
    """

    width: int
    height: int
    focal: float
    horizon: float
    rise: float
    yaw: float
    distance: float  # to the middle of the walkway, metres
    sun: tuple[float, float]  # the shadow of an upright metre: metres right, metres ahead
    vignette: Floats  # H W, the share of the light that the lens lets through
    first_u: float = 0.0  # along the walkway, figures come and go here
    last_u: float = 0.0  # and here

    @classmethod
    def draw(cls, width: int, height: int, rng: np.random.Generator) -> SyntheticCamera:
        """Returns a random camera over a walkway that crosses the image and goes away to the left or to the right."""
        focal = max(1.1 * height, 0.6 * width)
        horizon, rise = -0.05 * height, float(rng.uniform(5.2, 5.8))
        yaw = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.32, 0.46))
        distance = focal * rise / (0.64 * height - horizon)
        sun = (float(rng.choice([-1.0, 1.0]) * rng.uniform(0.45, 0.7)), -float(rng.uniform(0.25, 0.45)))
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        camera = cls(width, height, focal, horizon, rise, yaw, distance, sun, 1 - 0.09 * (x * x + y * y) / 2)
        ends = [camera.u_at(side, v) for side in (-0.5, 0.5) for v in (-PATH, PATH)]
        return replace(camera, first_u=min(ends) - MARGIN, last_u=max(ends) + MARGIN)

    @property
    def length(self) -> float:
        """The distance from where a figure comes to where it leaves, metres."""
        return self.last_u - self.first_u

    def u_at(self, share: float, v: float) -> float:
        """Returns where the line at v is seen `share` of the image's width to the right of its middle."""
        slope = share * self.width / self.focal  # X / Z
        z = (v + self.distance * cos(self.yaw)) / (cos(self.yaw) - slope * sin(self.yaw))
        return cos(self.yaw) * slope * z + sin(self.yaw) * (z - self.distance)

    def right(self, u: float, v: float) -> float:
        """Returns X of a ground point, metres."""
        return u * cos(self.yaw) - v * sin(self.yaw)

    def depth(self, u: float, v: float) -> float:
        """Returns Z of a ground point, metres."""
        return self.distance + u * sin(self.yaw) + v * cos(self.yaw)

    def may_see(self, body: Body) -> bool:
        """Returns true if any of the body or its shadow can be in the image."""
        x, z = self.right(body.u, body.v), max(self.depth(body.u, body.v), 1.0)
        return abs(x) < self.width / 2 / self.focal * z + body.footprint[0] + 2.1

    def look_at(self, body: Body) -> tuple[Sprite, Shadow]:
        """Returns the body and its soft shadow, painted where they are seen."""
        x, z = self.right(body.u, body.v), max(self.depth(body.u, body.v), 1.0)
        scale = self.focal / z
        foot = (self.width / 2 + scale * x, self.horizon + scale * self.rise)
        tilt = (self.rise - 0.8) / z  # how far down a metre towards the camera comes, at half a person's height

        def seen(right: float, ahead: float) -> tuple[float, float]:  # a step on the ground, metres of the picture
            return right - x / z * ahead, -tilt * ahead

        forward = (body.heading * cos(self.yaw), body.heading * sin(self.yaw))
        left = (-forward[1], forward[0])
        axes = np.array([seen(*forward), seen(*left), (0, -1)], np.float32).T  # 2 3
        sprite = paint(body.draw(axes), foot, scale)
        return sprite, cast_shadow(sprite, foot, scale, seen(*self.sun), axes[:, :2] * body.footprint)


class Exposure:
    """One day's light, and the noise of each frame.

    Args:
        vignette: H x W, the share of the light that the lens lets through.
        seeds: those of the place and of the day.
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
        """Returns frame `index`, uint8 H x W x 3, as the camera takes it."""
        rng = np.random.default_rng((*self._seeds, 3, index))
        exposed = np.asarray(cv2.GaussianBlur(picture, (3, 3), 0.45), np.float32)
        exposed *= cv2.cvtColor(self.light(time, flicker=float(rng.normal(0, 0.002))), cv2.COLOR_GRAY2RGB)
        exposed += self._noise(rng) * np.sqrt(1.0 + exposed * np.float32(0.0135))  # shot noise grows with the light
        return np.asarray(np.clip(exposed + 0.5, 0, 255), np.uint8)

    def light(self, time: float, flicker: float = 0.0) -> Floats:
        """Returns the light's gain at `time`, H x W: hour and clouds keep it within 8 % of the lens's vignette."""
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
