"""The motion gate: a frame that shows nothing new, but for the camera's noise, takes the score of the one before."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, Self, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.types import Earlier, Frame, FrameScore, Image, Pixels
from msflow_stream.video.motion import MOTION_SIZE, grey
from msflow_stream.video.pixels import shrink

T = TypeVar("T")
Floats = npt.NDArray[np.float32]

BLOCKS, SMALLEST = 64, 8  # blocks across the image at most, and pixels across a block at least
PARTS = 4  # of a block, across
LEARNT = 15  # differences of frames in a row from which the noise is learnt
ANEW = 5  # frames after which it is learnt anew
ENOUGH = 8  # of them, before which every frame is scored
CLEAR = 6.0  # standard deviations that are no noise: of 7000 block means, one in 70 000 frames has so much
SPREAD = 3.0  # a block may be noisier than the image's median by that much
FLOOR, CEILING = 0.6, 4.0  # grey levels that are noise at least, and at most: what shakes more is not noise
MOST_REUSED = 300  # frames in a row, after which one is scored whatever it shows
SIGMA = 0.6745  # the median of a normal variable's magnitude, in standard deviations


class StaticGate:
    """Tells which frames of one source show something new. Used by one thread, but for `reused`.

    A frame is compared with the last one that was scored, so that a slow change adds up until it is seen, by the mean
    colours of small blocks, the one that differs most deciding, so that something small is seen. How much a block
    differs by noise alone is learnt from frames in a row. Where motion counts, the frame's companion must not differ
    from that last one either, nor that one's own: what stands still takes no score of what moved, nor the reverse.

    Attributes:
        reused: frames so far that took the score of another one.
    """

    def __init__(self) -> None:
        self.reused = 0
        self.state = GateState()

    def commit(self, state: GateState) -> None:
        """Takes over the state that the frames of a batch have led to."""
        self.state = state


class Shown(NamedTuple):
    """The means of blocks of a frame: its colours and, where it has a companion, both of them in grey."""

    colours: Floats
    grey: Floats | None
    companion: Floats | None

    @classmethod
    def of(cls, pixels: Image | Pixels, earlier: Earlier | None) -> Self:
        """Returns what pixels show, and the moment before them."""
        colours = block_means(_small(pixels))
        if earlier is None:
            return cls(colours, None, None)
        return cls(colours, block_means(grey(pixels)), block_means(earlier.image))


@dataclass(frozen=True, slots=True)
class BlockNoise:
    """The noise of blocks, as it is learnt from frames in a row.

    Attributes:
        before: block means of the last frame.
        differences: between frames in a row, the newest last.
        limit: the difference that each block has by noise alone at most, as it was learnt last.
        seen: differences so far.
    """

    before: Floats | None = None
    differences: tuple[Floats, ...] = ()
    limit: Floats | None = None
    seen: int = 0

    def learnt(self, blocks: Floats | None) -> BlockNoise:
        """Returns it with what another frame says of the noise; None says nothing."""
        if blocks is None or self.before is None:
            return replace(self, before=self.before if blocks is None else blocks)
        differences = (*self.differences[1 - LEARNT :], np.abs(blocks - self.before))
        limit, seen = self.limit, self.seen + 1
        if len(differences) >= ENOUGH and (limit is None or seen % ANEW == 0):
            limit = noise(differences)
        return BlockNoise(blocks, differences, limit, seen)

    def is_exceeded(self, one: Floats, other: Floats) -> bool:
        """Returns whether two frames differ by more than noise in any block; true while nothing is known of it."""
        return self.limit is None or bool((np.abs(one - other) > self.limit).any())


@dataclass(frozen=True, slots=True)
class GateState:
    """The state of a gate: everything that it has learnt of its source.

    Attributes:
        key: stands for scene and settings of the last frame; with another one, everything is new.
        scored: what the last frame that was scored showed.
        score: that of the last frame that was scored; None before it is known.
        run: frames since.
        colours, greys: the noise in colours, and in the small grey images.
    """

    key: Hashable = None
    scored: Shown | None = None
    score: FrameScore | None = None
    run: int = 0
    colours: BlockNoise = BlockNoise()
    greys: BlockNoise = BlockNoise()

    def update(self, pixels: Image | Pixels, key: Hashable, earlier: Earlier | None = None) -> tuple[GateState, bool]:
        """Returns the state after another frame, and true if that frame is to be scored."""
        if len(pixels.shape) != 3 or 0 in pixels.shape:  # no image: that is for the scorer to say
            return GateState(), True
        shown, before = Shown.of(pixels, earlier), self.colours.before
        state = self if before is None or before.shape == shown.colours.shape else GateState()
        colours, greys = state.colours.learnt(shown.colours), state.greys.learnt(shown.grey)
        now = replace(state, key=key, colours=colours, greys=greys)
        if key != self.key or self.run >= MOST_REUSED or now._differs(shown):
            return replace(now, scored=shown, score=None, run=0), True
        return replace(now, run=self.run + 1), False

    def _differs(self, shown: Shown) -> bool:
        """Whether anything is new, or moves or moved: then a score says nothing of this frame."""
        scored = self.scored
        if scored is None or self.colours.is_exceeded(shown.colours, scored.colours):
            return True
        if shown.companion is None or scored.companion is None or scored.grey is None:
            return shown.companion is not scored.companion  # one was scored with motion, the other has none
        still = scored.grey
        return self.greys.is_exceeded(shown.companion, still) or self.greys.is_exceeded(scored.companion, still)


class ReusingScorer(Generic[T]):
    """Scores of a batch, for which only what shows something new is scored.

    Args:
        score: scores of some things, in their order.
        frame_of: the frame of a thing.
        gate_of: its source's gate, always the same; None where every frame is scored.
        key_of: against what it is scored; a score counts for no other key.
    """

    def __init__(
        self,
        score: Callable[[Sequence[T]], Sequence[FrameScore]],
        frame_of: Callable[[T], Frame],
        gate_of: Callable[[T], StaticGate | None],
        key_of: Callable[[T], Hashable],
    ) -> None:
        self._score, self._frame_of, self._gate_of, self._key_of = score, frame_of, gate_of, key_of

    def __call__(self, batch: Sequence[T]) -> list[FrameScore]:
        """Scores in the order of the batch. When `score` raises, it is as if the batch had not been seen."""
        states: dict[StaticGate, GateState] = {}
        newest: dict[StaticGate, int] = {}  # place in `wanted` of the last frame that showed something new
        wanted: list[T] = []
        sources: list[int | FrameScore | None] = []  # place in `wanted`, or a score of an earlier batch
        reused: list[bool] = []
        for one in batch:
            gate, new = self._gate_of(one), True
            if gate is not None:
                frame, state = self._frame_of(one), states.get(gate, gate.state)
                states[gate], new = state.update(frame.pixels, self._key_of(one), frame.earlier)
            if new:
                wanted.append(one)
            if new and gate is not None:
                newest[gate] = len(wanted) - 1
            sources.append(len(wanted) - 1 if new or gate is None else newest.get(gate, gate.state.score))
            reused.append(not new)
        scores = self._score(wanted) if wanted else ()
        for gate, state in states.items():
            gate.commit(replace(state, score=scores[newest[gate]]) if gate in newest else state)
        return [self._told(*one, scores) for one in zip(batch, sources, reused, strict=True)]

    def _told(self, one: T, source: int | FrameScore | None, reused: bool, scores: Sequence[FrameScore]) -> FrameScore:
        score = scores[source] if isinstance(source, int) else source
        assert score is not None  # the first frame of a source is always scored
        if not reused:
            return score
        gate, frame = self._gate_of(one), self._frame_of(one)
        if gate is not None:
            gate.reused += 1
        return replace(score, index=frame.index, time=frame.time, wall=frame.wall, reused=True)


def _small(pixels: Image | Pixels) -> Image:
    """The image, but no larger than motion is seen at."""
    height, width = pixels.shape[:2]
    if height * width > MOTION_SIZE[0] * MOTION_SIZE[1]:
        return shrink(pixels, MOTION_SIZE).rgb()
    return pixels if isinstance(pixels, np.ndarray) else pixels.image()


def block_means(image: npt.NDArray[np.uint8]) -> Floats:
    """Returns the mean colours of an image's blocks, h x w x 3, in grey levels; of a grey image, h x w."""
    height, width = image.shape[:2]
    cell = max(SMALLEST // PARTS, -(-max(height, width) // (BLOCKS * PARTS)))
    # Whole numbers of pixels, as that is several times faster; parts of blocks first, as each mean is rounded.
    rows, columns = max(PARTS, height // cell // PARTS * PARTS), max(PARTS, width // cell // PARTS * PARTS)
    parts = cv2.resize(image[: rows * cell, : columns * cell], (columns, rows), interpolation=cv2.INTER_AREA)
    size = (columns // PARTS, rows // PARTS)
    return np.asarray(cv2.resize(parts.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def noise(differences: Sequence[Floats]) -> Floats:
    """Returns the most by which each block differs between frames by noise alone, in grey levels.

    By medians, so that what moves in less than half of the image, or of the time, does not count. In coded video most
    blocks stay as they are while some jump: there, the largest difference that is usual says more than any deviation.
    """
    stack = np.stack(differences)  # N h w 3, or N h w
    flat = stack.reshape(len(stack), -1)
    whole, usual_peak = float(np.median(np.median(flat, axis=1))), float(np.median(flat.max(axis=1)))
    each = np.clip(np.median(stack, axis=0), whole, SPREAD * whole) * (CLEAR / SIGMA)
    return np.asarray(np.clip(np.maximum(each, usual_peak), FLOOR, CEILING), np.float32)
