"""The surfaces of the place: smooth noise, bricks and slabs, a colour times a tone."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.datasets.synthetic.shapes import Colour, Floats


class Texture:
    """Smooth noise over the plane, from a tile of random numbers that repeats."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._tile = rng.standard_normal((256, 256), dtype=np.float32)

    def smooth(self, x: Floats, y: Floats, cell: float) -> Floats:
        """Noise of unit variance at its knots, `cell` metres apart."""
        knots = np.float32(1 / cell)
        noise = cv2.remap(self._tile, x * knots, y * knots, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return np.asarray(noise, np.float32)

    def rough(self, x: Floats, y: Floats, cell: float, octaves: int) -> Floats:
        """Noise in `octaves` layers, each twice as fine and 0.6 as strong as the one before."""
        layers = [self.smooth(x, y + 3 * k, cell / 2**k) * np.float32(0.6**k) for k in range(octaves)]
        return np.asarray(np.sum(layers, axis=0), np.float32)

    def blocks(self, x: Floats, y: Floats, size: tuple[float, float], joint: float) -> tuple[Floats, Floats]:
        """Running bond: a random tone for each block, and 1 on the joints between them.

        Args:
            size: length and height of a block, metres.
            joint: width of a joint, metres.
        """
        row = np.floor(y / size[1])
        along = x / size[0] + 0.5 * np.mod(row, 2)
        column = np.floor(along)
        edge = np.minimum((along - column) * size[0], (y / size[1] - row) * size[1])
        tone = self._tile[np.mod(row, 256).astype(int), np.mod(column, 256).astype(int)]
        return np.asarray(tone, np.float32), (edge < joint).astype(np.float32)


def tinted(colour: Colour, tone: npt.NDArray[np.floating]) -> Floats:
    """A colour at the brightness `tone` (H x W, 1 for the colour itself), H x W x 3."""
    return np.asarray(colour, np.float32) * tone.astype(np.float32, copy=False)[:, :, None]  # H W 3
