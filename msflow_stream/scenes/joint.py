"""One answer from appearance and motion: how improbable both are together in a normal frame of the scene."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict

from msflow_stream.types import Scores, Why

Floats = npt.NDArray[np.float32]

LN10 = math.log(10)
LEAST = 1e-3  # of the median: a spread is no less, or frames that are all alike would make any other one a wonder
HOTTEST = 1e4  # a map holds no more: its float16 ends at 65,504
HALF_EXCESS = 2 * math.log(
    2
)  # mean excess of a logistic variable over its median, given that it is above, by its scale
DRIFT = 3.0  # scales of appearance, of a score and in a map, by which it spreads in other clips
TOP_RESERVE, MEAN_RESERVE = 3.0, 1.0  # of such scales: that far a surprise, and a mean surprise, may drift


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

    def wider(self, times: float) -> Logistic:
        """Returns the distribution with so many times its scale."""
        return Logistic(median=self.median, scale=times * self.scale)

    def surprisal(self, score: float, reserve: float = 0.0) -> float:
        """Returns -ln of the probability of so high a score, with the median so many scales higher."""
        z = (score - self.median) / self.scale - reserve
        return math.inf if z == math.inf else float(np.logaddexp(0.0, z))

    def surprisals(self, scores: npt.NDArray[np.floating]) -> Floats:
        """Returns the same of an array, in its shape."""
        z = _float32(scores)
        z -= np.float32(self.median)
        z *= np.float32(1 / self.scale)
        above = np.maximum(z, 0)
        np.abs(z, out=z)
        np.negative(z, out=z)
        # ln(1 + e^z), with OpenCV's functions: ten times as fast as NumPy's; in place, twice that.
        cv2.exp(z, z)
        z += 1
        cv2.log(z, z)
        z += above
        return z


class Joint(BaseModel):
    """The parts of a scene's answer: what each is in normal footage.

    Fisher's method joins appearance and motion as if they were independent: the probability that the product of two
    probabilities is as small as that, `q (1 - ln q)` for their product q; with one of them alone it is that one. So a
    frame without motion has a number that means the same.

    Other clips of the same camera look less normal than those next to the fitted ones: on three cameras their surprise
    lay up to 15 scales above the median, their mean surprise up to 8, and their motion no farther than in the fit. So
    appearance is spread by DRIFT and counts from its RESERVE on, the mean sooner than the top.

    Attributes:
        top: the surprise, of the largest values of an image.
        mean: the mean surprise.
        motion: None for a scene without motion.
        heat: the largest values of the map of a single image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    top: Logistic
    mean: Logistic
    motion: Logistic | None
    heat: Logistic

    @classmethod
    def of(cls, scores: Sequence[Scores], heat: Sequence[float]) -> Joint | None:
        """Returns what scores and largest map values of normal frames say; None where none is finite."""
        motion = Logistic.of([one.motion for one in scores])
        top, mean = Logistic.of([one.surprise for one in scores]), Logistic.of([one.surprise_mean for one in scores])
        warmth = Logistic.of(heat)
        if top is None or mean is None or warmth is None:
            return None
        return cls(top=top, mean=mean, motion=motion, heat=warmth)

    def why(self, scores: Scores) -> Why:
        """Returns the parts for the scores of a frame, whose motion is not a number where there is none."""
        moved = None
        if self.motion is not None and not math.isnan(scores.motion):
            moved = self.motion.surprisal(scores.motion) / LN10
        appearance = max(
            self.top.wider(DRIFT).surprisal(scores.surprise, TOP_RESERVE),
            self.mean.wider(DRIFT).surprisal(scores.surprise_mean, MEAN_RESERVE),
        )
        return Why(appearance / LN10, moved, self._share(scores))

    def _share(self, scores: Scores) -> float:
        """The share of the view that looks unusual: what is local raises the mean by so much less than the top."""
        top, mean = scores.surprise - self.top.median, scores.surprise_mean - self.mean.median
        return min(1.0, max(0.0, mean / top)) if top > 0 and math.isfinite(top) else 0.0

    def combined(self, why: Why) -> float:
        """Returns -log10 of the probability of a normal frame that is as unusual in its parts."""
        total = why.appearance * LN10
        if why.motion is not None:
            total += why.motion * LN10
            total -= math.log1p(total) if math.isfinite(total) else 0.0
        return total / LN10

    def map(self, heat: npt.NDArray[np.floating], motion: Floats | None) -> Floats:
        """Returns the map (H W) of a frame: the surprisals of both parts at every pixel, in powers of ten, added up.

        Args:
            heat: the map of its image, H W.
            motion: PLACES, as measured by `MotionModel`; None where there is none.
        """
        total = self.heat.wider(DRIFT).surprisals(heat)
        if motion is not None and self.motion is not None:
            height, width = heat.shape
            total += cv2.resize(self.motion.surprisals(motion), (width, height), interpolation=cv2.INTER_LINEAR)
        total /= np.float32(LN10)
        return np.minimum(total, np.float32(HOTTEST), out=total)


def _float32(values: npt.NDArray[np.floating]) -> Floats:
    """A copy. PyTorch converts float16 in a tenth of NumPy's time."""
    if values.dtype == np.float16 and values.flags.writeable:
        return np.asarray(torch.from_numpy(values).float().numpy())
    return values.astype(np.float32)
