"""The motion gate on pictures of the synthetic place: what is still is scored once, what is new at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat

import numpy as np
import numpy.typing as npt
import pytest

from msflow_stream.datasets.synthetic import SyntheticScene
from msflow_stream.scoring.static_gate import (
    CEILING,
    ENOUGH,
    MOST_REUSED,
    GateState,
    ReusingScorer,
    StaticGate,
    block_means,
)
from msflow_stream.types import Earlier, Frame, FrameScore, Scores
from msflow_stream.video.motion import grey

Image = npt.NDArray[np.uint8]
SIZE = (320, 240)
SETTLED = ENOUGH + 2  # frames after which the noise is known


def place() -> npt.NDArray[np.float64]:
    """The place as it is, without noise, H x W x 3."""
    scene = SyntheticScene(*SIZE, traffic_seed=3)
    return np.asarray(np.mean([scene.frame(index).image for index in range(0, 40, 5)], axis=0))


PLACE = place()
DAY, NIGHT = 1.0, 0.12


def shots(
    count: int, light: float | Callable[[int], float] = DAY, sigma: float = 3.0, seed: int = 0, first: int = 0
) -> list[Image]:
    """What a camera with this noise sees of the still place."""
    rng = np.random.default_rng(seed)
    gain = light if callable(light) else (lambda _: light)
    exposed = (PLACE * gain(index) + rng.normal(0, sigma, PLACE.shape) for index in range(first, first + count))
    return [np.clip(one + 0.5, 0, 255).astype(np.uint8) for one in exposed]


def opened(
    images: Iterable[Image], state: GateState | None = None, before: Iterable[Image | None] | None = None
) -> list[bool]:
    """Which of the images are scored; `before` are those of the moment before each, None for none at all."""
    state, result = state or GateState(), []
    for image, companion in zip(images, repeat(None) if before is None else before, strict=before is not None):
        earlier = None if companion is None else Earlier(grey(companion), 0.08)
        state, new = state.update(image, "gate", earlier)
        result.append(new)
    return result


@pytest.mark.parametrize("light", [DAY, NIGHT])
@pytest.mark.parametrize("sigma", [0.0, 1.0, 5.0])
def test_a_still_place_is_scored_until_its_noise_is_known_and_then_no_more(light: float, sigma: float) -> None:
    scored = opened(shots(120, light, sigma))
    assert all(scored[:ENOUGH])
    assert sum(scored[SETTLED:]) <= 3  # of 110


@pytest.mark.parametrize("light", [DAY, NIGHT])
@pytest.mark.parametrize("corner", [(30, 40), (150, 200), (200, 300)])
def test_a_small_walker_opens_the_gate_at_the_first_frame(light: float, corner: tuple[int, int]) -> None:
    images = shots(60, light)
    row, column = corner
    for step, image in enumerate(images[40:50]):
        part = image[row : row + 14, column - step : column - step + 6].astype(int)
        part += 25 if part.mean() < 128 else -25  # 0.1 % of the picture, hardly to be seen
        image[row : row + 14, column - step : column - step + 6] = np.clip(part, 0, 255)
    scored = opened(images)
    assert not any(scored[SETTLED:40])
    assert scored[40]
    assert scored[50], "what has gone is news too"
    assert sum(scored[51:]) == 0


def test_a_slow_change_adds_up_until_it_is_seen() -> None:
    images = shots(300, lambda index: 1 - 0.0005 * index)  # far below the noise from frame to frame
    reference, worst = block_means(images[0]), 0.0
    scored = opened(images)
    for image, new in zip(images, scored, strict=True):
        blocks = block_means(image)
        reference = blocks if new else reference
        worst = max(worst, float(np.abs(blocks - reference).max()))
    assert 2 <= sum(scored[SETTLED:]) < 100
    assert worst <= CEILING


def test_a_camera_that_shakes_is_scored_as_if_there_were_no_gate() -> None:
    rng = np.random.default_rng(0)
    shaken = [np.roll(image, tuple(rng.integers(-4, 5, 2)), (0, 1)) for image in shots(60)]
    moved = [index for index in range(1, 60) if not np.array_equal(block_means(shaken[index]), shaken[index - 1])]
    scored = opened(shaken)
    assert sum(scored[index] for index in moved) >= 0.9 * len(moved)


def test_people_who_walk_are_not_taken_for_noise() -> None:
    scene = SyntheticScene(*SIZE, traffic_seed=1)
    frames = [scene.frame(index) for index in range(0, 500, 5)]
    reference = block_means(frames[0].image)
    for frame, new in zip(frames, opened(frame.image for frame in frames), strict=True):
        blocks = block_means(frame.image)
        reference = blocks if new else reference
        assert np.abs(blocks - reference).max() <= CEILING


def test_another_scene_or_size_is_scored() -> None:
    state, images = GateState(), shots(30)
    for image in images[:-2]:
        state, _ = state.update(image, "day")
    assert not state.update(images[-2], "day")[1]
    assert state.update(images[-2], "night")[1]
    after, new = state.update(images[-1][:120], "day")
    assert new
    assert after.update(images[-2][:120], "day")[1], "the noise of pictures of that size is not known"


def test_now_and_then_a_frame_is_scored_whatever_it_shows() -> None:
    still = shots(1, sigma=0.0)[0]
    scored = opened([still] * (2 * MOST_REUSED + 50))
    assert sum(scored[SETTLED:]) == 2


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (48, 64), (241, 333), (1080, 1920)])
def test_blocks_of_any_picture_are_means_of_it(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), (10, 20, 30), np.uint8)
    blocks = block_means(image)
    assert max(blocks.shape[:2]) <= 64
    np.testing.assert_allclose(blocks.reshape(-1, 3), np.tile([10, 20, 30], (blocks[..., 0].size, 1)))


def with_box(image: Image, column: int) -> Image:
    """A small dark box stands in the image, its left side at this column."""
    result = image.copy()
    result[120:140, column : column + 10] = 20
    return result


@pytest.mark.parametrize("light", [DAY, NIGHT])
@pytest.mark.parametrize("sigma", [0.0, 1.0, 5.0])
def test_where_nothing_moves_companions_change_nothing(light: float, sigma: float) -> None:
    scored = opened(shots(120, light, sigma), before=shots(120, light, sigma, seed=1))
    assert all(scored[:ENOUGH])
    assert sum(scored[SETTLED:]) <= 4  # of 110


def test_what_shows_in_the_companion_alone_opens_the_gate() -> None:
    images, before = shots(60), [*shots(60, seed=1)]
    before[40] = with_box(before[40], 100)
    scored = opened(images, before=before)
    assert not any(scored[SETTLED:40])
    assert scored[40]
    assert scored[41], "the score of a frame in which something moved is none of one in which all stand still"
    assert not any(scored[42:])


def test_what_came_and_stands_still_is_scored_once_moving_and_once_still() -> None:
    images, before = shots(60), [*shots(60, seed=1)]
    for index in range(40, 60):
        images[index] = with_box(images[index], 100)
        before[index] = with_box(before[index], 60 if index == 40 else 100)
    scored = opened(images, before=before)
    assert scored[40]
    assert scored[41]
    assert not any(scored[42:])


def test_scores_with_and_without_motion_are_not_taken_for_each_other() -> None:
    images, before = shots(60), [*shots(60, seed=1)]
    scored = opened(images, before=[None if index in (30, 40, 41) else one for index, one in enumerate(before)])
    assert [index for index in range(SETTLED, 60) if scored[index]] == [30, 31, 40, 42]


class Counting:
    """Scores frames by their brightness, and remembers which it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.fails = False

    def __call__(self, frames: Sequence[Frame]) -> list[FrameScore]:
        if self.fails:
            raise RuntimeError("no")
        self.asked += [(frame.source, frame.index) for frame in frames]
        return [self.plain(frame) for frame in frames]

    @staticmethod
    def plain(frame: Frame) -> FrameScore:
        value = float(frame.image.mean())
        return FrameScore(
            frame.source,
            "s",
            frame.index,
            frame.time,
            frame.wall,
            Scores(value, value, value),
            np.zeros((2, 2), np.float16),
        )


def as_frames(images: Sequence[Image], source: str = "a") -> list[Frame]:
    return [Frame(source, 5 * k, 5 * k, k / 5, None, image) for k, image in enumerate(images)]


def gated(score: Counting, gates: dict[str, StaticGate]) -> ReusingScorer[Frame]:
    return ReusingScorer(score, lambda frame: frame, lambda frame: gates.get(frame.source), lambda _: "scene")


def changing() -> list[Image]:
    """Still, then something comes in the middle of a batch, stays, and goes."""
    images = shots(40)
    for image in images[21:29]:
        image[100:140, 100:130] = 250
    return images


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 40])
def test_what_is_scored_and_told_does_not_depend_on_the_batches(size: int) -> None:
    frames, score, gate = as_frames(changing()), Counting(), StaticGate()
    made, told = gated(score, {"a": gate}), list[FrameScore]()
    for start in range(0, len(frames), size):
        told += made(frames[start : start + size])
    last = None
    assert [(one.index, one.time) for one in told] == [(frame.index, frame.time) for frame in frames]
    for one, frame, new in zip(told, frames, opened(changing()), strict=True):
        last = Counting.plain(frame) if new else last
        assert last is not None
        assert (one.score, one.reused) == (last.score, not new)
    assert score.asked == [("a", one.index) for one in told if not one.reused]
    assert gate.reused == sum(one.reused for one in told) > 20
    assert {21 * 5, 29 * 5} <= {index for _, index in score.asked}


def test_sources_in_one_batch_have_gates_of_their_own_or_none() -> None:
    still, moving, free = as_frames(shots(30), "a"), as_frames(changing()[:30], "b"), as_frames(shots(30), "c")
    score, gates = Counting(), {"a": StaticGate(), "b": StaticGate()}
    made = gated(score, gates)
    for batch in zip(still, moving, free, strict=True):
        told = made(batch)
        assert [one.source for one in told] == ["a", "b", "c"]
    assert sum(source == "c" for source, _ in score.asked) == 30
    assert gates["a"].reused > gates["b"].reused > 0


def test_a_batch_that_could_not_be_scored_has_not_been_seen() -> None:
    frames, score, gate = as_frames(changing()), Counting(), StaticGate()
    made = gated(score, {"a": gate})
    made(frames[:21])
    before = gate.reused
    score.fails = True
    with pytest.raises(RuntimeError):
        made(frames[20:30])
    assert gate.reused == before
    score.fails = False
    told = made(frames[21:30])
    assert not told[0].reused
    assert told[1].reused
