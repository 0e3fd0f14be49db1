"""The scene itself: frames and their ground truth, put together from the place, the traffic and the light."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from msflow_stream.datasets.synthetic.camera import Body, Exposure, SyntheticCamera
from msflow_stream.datasets.synthetic.place import draw_place
from msflow_stream.datasets.synthetic.shapes import Floats, paste, shaded
from msflow_stream.datasets.synthetic.traffic import Traffic, Violation
from msflow_stream.types import UserError

VISIBLE_SHARE = 0.0005  # of the picture's pixels: with fewer of them in sight, a violation is not labelled
MASKED = 0.25  # of a pixel: with a smaller share of it, a violation is not in the mask


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFrame:
    """A frame and its ground truth.

    Attributes:
        index: position in the scene's footage; `time` is index / rate, in seconds.
        image: uint8 H x W x 3, RGB.
        mask: uint8 H x W, 1 where a violation is in sight (not its shadow, not what others hide); all 0 if fewer
            than `VISIBLE_SHARE` of the picture's pixels would be 1.
        label: 1 if the mask has a pixel, else 0.
    """

    index: int
    time: float
    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    label: int


class SyntheticScene:
    """One fixed camera. The same `seed` is the same place, another `traffic_seed` another day: other people and noise.

    Args:
        width, height: of the picture, in pixels.
        rate: frames per second.
        seed: seeds the place: the camera, the ground, what stands around.
        traffic_seed: seeds everything that changes: pedestrians, the weather's light, the camera's noise.

    >>> from msflow_stream.datasets.synthetic import SyntheticScene, default_violations
    >>> scene = SyntheticScene(320, 240, traffic_seed=1)
    >>> clip = scene.render(60.0, default_violations(60.0))
    """

    def __init__(
        self, width: int = 320, height: int = 240, rate: Fraction = Fraction(25), seed: int = 0, traffic_seed: int = 0
    ) -> None:
        if width < 16 or height < 16 or rate <= 0:
            raise UserError(
                f"a scene needs at least 16 x 16 pixels and a positive rate, got {width} x {height}, {rate}"
            )
        self.width, self.height, self.rate = width, height, Fraction(rate)
        self.seed, self.traffic_seed = seed, traffic_seed
        rng = np.random.default_rng((seed, 0))
        self._camera = SyntheticCamera.draw(width, height, rng)
        self._place = draw_place(self._camera, rng)
        self._traffic = Traffic(self._camera, (seed, traffic_seed))
        self._exposure = Exposure(self._camera.vignette, (seed, traffic_seed))

    def render(
        self, duration: float, violations: Sequence[Violation] = (), first_frame: int = 0
    ) -> Iterator[LabelledFrame]:
        """Yields the frames of `duration` seconds from `first_frame` on; violations keep to the scene's own clock."""
        for index in range(first_frame, first_frame + round(duration * self.rate)):
            yield self.frame(index, violations)

    def frame(self, index: int, violations: Sequence[Violation] = ()) -> LabelledFrame:
        """Returns frame `index` alone, the same as the one met on the way by `render`."""
        if index < 0:
            raise UserError(f"frames are counted from 0, got {index}")
        time = float(index / self.rate)
        picture, mask = self._compose(self._traffic.at(time, violations))
        if np.count_nonzero(mask) < VISIBLE_SHARE * mask.size:
            mask[:] = 0
        return LabelledFrame(index, time, self._exposure.expose(picture, index, time), mask, int(mask.any()))

    def light(self, time: float) -> Floats:
        """Returns the light's gain at `time` without flicker, H x W: within 8 % of the lens's vignette."""
        return self._exposure.light(time)

    def _compose(self, bodies: Sequence[Body]) -> tuple[Floats, npt.NDArray[np.uint8]]:
        """Paint ground, shadows, then bodies from far to near; the mask holds what stays in sight of violations."""
        layers, shadows = [], []
        for body in filter(self._camera.may_see, bodies):
            sprite, shadow = self._camera.look_at(body)
            layers.append((self._camera.depth(body.u, body.v), body.violation, sprite))
            shadows.append(shadow)
        layers.append((self._place.post_depth, False, self._place.post))
        picture = shaded(self._place.ground, shadows)
        share = np.zeros((self.height, self.width), np.float32)  # of each pixel, that a violation has
        for _, violation, sprite in sorted(layers, key=lambda layer: -layer[0]):
            paste(picture, share, sprite, violation)
        return picture, (share >= MASKED).astype(np.uint8)
