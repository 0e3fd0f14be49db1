"""The footage of a candidate: the normal frames that the scene learnt from, and the frames that people labelled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msflow_stream.scenes.features import NormalFeatures, extract
from msflow_stream.scenes.scene import Scene
from msflow_stream.types import Frame

MOST_TIMES = 20  # in one pass, that a frame which was taught comes by
SHARES = (0.1, 0.35)  # of the frames of a pass, that are taught ones: of a single event, and at most
PER_EVENT = 0.025  # more for every further event


@dataclass(slots=True)
class TaughtFootage(NormalFeatures):
    """Normal footage that begins with frames that were taught, which come by more often than the others.

    Attributes:
        taught: so many, at the beginning.
        share: of the frames of a pass, that are taught ones.
    """

    taught: int = 0
    share: float = 0.2

    @property
    def fitted(self) -> list[int]:
        """Positions that a pass takes, those of taught frames several times."""
        return self.before + list(range(self.taught)) * self.times

    @property
    def before(self) -> list[int]:
        """Positions of the normal frames that the scene was fitted on."""
        held_out = set(self.held_out)
        return [position for position in range(self.taught, len(self.frames)) if position not in held_out]

    @property
    def times(self) -> int:
        """How often a taught frame comes by in a pass."""
        if not self.taught:
            return 0
        wanted = self.share / (1 - self.share) * len(self.before) / self.taught
        return min(MOST_TIMES, max(1, round(wanted)))


def share_of_pass(events: int) -> float:
    """Returns which share of the frames of a pass so many taught events make: more events have more to teach."""
    return min(SHARES[1], SHARES[0] + PER_EVENT * (events - 1))


def extract_into(footage: NormalFeatures, scene: Scene, frames: Iterable[Frame]) -> None:
    """Adds the features and the motion of frames to footage, behind what it has."""
    first = len(footage.frames)
    for found in extract(scene, [frames], footage.cache, 0.0):
        footage.frames[first:] = found.frames
        footage.motion |= {first + at: field for at, field in found.motion.items()}
