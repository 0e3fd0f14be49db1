"""Iterated function systems: a few random affine maps whose attractor is drawn by many points that jump at once."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

POINTS, JUMPS, SETTLING = 1500, 30, 8


def fractal(kind: np.random.Generator, rng: np.random.Generator, size: int) -> npt.NDArray[np.float32]:
    """The attractor of the maps that `kind` draws, shaken by `rng`, as the logarithm of how often a pixel is met."""
    count = int(kind.integers(2, 7))
    maps = contractions(kind, count)  # K 2 2
    shifts = kind.uniform(-1, 1, (count, 2))
    maps = maps * rng.uniform(0.92, 1.08, maps.shape)
    weights = np.abs(np.linalg.det(maps)) + 0.02
    position = rng.uniform(-1, 1, (POINTS, 2))
    met = []
    for jump in range(JUMPS):
        chosen = rng.choice(count, POINTS, p=weights / weights.sum())
        position = np.einsum("nij,nj->ni", maps[chosen], position) + shifts[chosen]
        if jump >= SETTLING:
            met.append(position)
    points = np.concatenate(met)
    low, high = np.quantile(points, 0.005, axis=0), np.quantile(points, 0.995, axis=0)
    scaled = (points - low) / np.maximum(high - low, 1e-6) * (size - 1)
    counts, _, _ = np.histogram2d(scaled[:, 1], scaled[:, 0], size, ((0, size), (0, size)))
    drawn = cv2.GaussianBlur(np.log1p(counts).astype(np.float32), (0, 0), 0.8)
    return np.asarray(drawn, np.float32)


def contractions(kind: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """`count` matrices that bring points nearer: turned, stretched by less than one, and turned again."""
    first, second = kind.uniform(0, 2 * np.pi, (2, count))
    stretch = kind.uniform(0.3, 0.85, (count, 2)) * kind.choice((-1, 1), (count, 2))
    return np.asarray(np.einsum("nij,nj,njk->nik", _turns(first), stretch, _turns(second)), np.float64)


def _turns(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack((np.stack((cos, -sin), -1), np.stack((sin, cos), -1)), -2)
