"""One answer from appearance and motion: how improbable both are together in a normal frame of the scene."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from msflow_stream.types import Why

Floats = npt.NDArray[np.float32]

LEAST = 1e-6  # of the median: a spread is no less
HALF_EXCESS = 2 * math.log(2)  # mean excess of a logistic variable over its median, given that it is above, by its scale
VIEW_PRIOR = math.log(100)  # a change of the whole view is rarer than one in it, and has to show more


class Logistic(BaseModel):
    """A logistic distribution with the median of normal scores, and their mean excess over it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    median: float
    scale: float

    @classmethod
    def of(cls, scores: Sequence[float]) -> Logistic | None:
        """Returns that of the finite scores; None without any."""
        values = np.array([score for score in scores if math.isfinite(score)])
        if not len(values):
            return None
        median = float(np.median(values))
        above = values[values > median]
        excess = float(above.mean()) - median if len(above) else 0.0
        return cls(median=median, scale=max(excess / HALF_EXCESS, LEAST * max(1.0, abs(median))))

    def surprisal(self, score: float) -> float:
        """Returns -ln of the probability of so high a score."""
        z = (score - self.median) / self.scale
        return math.inf if z == math.inf else float(np.logaddexp(0.0, z))

    def surprisals(self, scores: npt.NDArray[np.floating]) -> Floats:
        """Returns the same of an array, in its shape."""
        return np.asarray(np.logaddexp(np.float32(0), (scores.astype(np.float32) - self.median) / self.scale), np.float32)


class Joint(BaseModel):
    """The parts of a scene's answer: what each is in normal footage.

    Fisher's method joins appearance and motion as if they were independent: the probability that the product of two
    probabilities is as small as that, `q (1 - ln q)` for their product q; with one of them alone it is that one. So a
    frame without motion has a number that means the same.

    Attributes:
        appearance: the surprise.
        motion: None for a scene without motion.
        view: the mean surprise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    appearance: Logistic
    motion: Logistic | None
    view: Logistic

    def why(self, surprise: float, surprise_mean: float, motion: float) -> Why:
        """Returns the parts for the scores of a frame; `motion` is not a number where there is none."""
        moved = None
        if self.motion is not None and not math.isnan(motion):
            moved = self.motion.surprisal(motion) / math.log(10)
        appearance, view = self.appearance.surprisal(surprise), self.view.surprisal(surprise_mean)
        return Why(appearance / math.log(10), moved, max(0.0, view - VIEW_PRIOR) / math.log(10))

    def combined(self, why: Why) -> float:
        """Returns -log10 of the probability of a normal frame that is so unusual in appearance and motion, or in view."""
        total = why.appearance * math.log(10)
        if why.motion is not None:
            total += why.motion * math.log(10)
            total -= math.log1p(total) if math.isfinite(total) else 0.0
        return max(total / math.log(10), why.view)

    def map(self, surprise: npt.NDArray[np.floating], motion: Floats | None) -> Floats:
        """Returns the map (H W) of a frame: the surprisals of both parts at every pixel, in powers of ten, added up.

        Args:
            surprise: H W.
            motion: PLACES, as measured by `MotionModel`; None where there is none.
        """
        heat = self.appearance.surprisals(surprise)
        if motion is not None and self.motion is not None:
            height, width = surprise.shape
            moved = self.motion.surprisals(motion)
            heat = heat + cv2.resize(moved, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(heat / np.float32(math.log(10)), np.float32)
