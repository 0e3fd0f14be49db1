"""Scoring as on a GPU, as far as a CPU can tell: recorded functions, one scene and many, little memory."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterator, Sequence
from itertools import cycle

import numpy as np
import pytest
import torch
from torch import Tensor

from msflow_stream.model.tensors import weights_bytes
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.engines.base import Run, Samples
from msflow_stream.scoring.engines.torch_engine import TorchEngine
from msflow_stream.scoring.scorer import Scorer, ScoreRequest, score_batch
from msflow_stream.types import Frame, FrameScore
from tests.support.footage import frames, small_settings
from tests.support.recorder import Recorder, SimulatedGpu

PAPER = "score.kind=paper"


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    first = Scene.new("first", small_settings(PAPER))
    others = (small_settings(PAPER, f"fit.seed={i}") for i in range(1, 4))
    return [first, *(Scene.new(f"{i}", one, first.pyramid) for i, one in enumerate(others, start=1))]


def inference_of(engine: TorchEngine, capacity_bytes: int | None = None) -> EngineInference:
    return EngineInference(lambda _: engine, capacity_bytes=capacity_bytes)


def requests(scenes: Sequence[Scene], count: int, areas: bool = False) -> list[ScoreRequest]:
    area = np.zeros((64, 96), np.bool_)
    area[10:40, 20:70] = True
    given = zip(frames(count), cycle(scenes), strict=False)
    return [
        ScoreRequest(frame, scene, scene.settings.score, area if areas and number % 2 else None)
        for number, (frame, scene) in enumerate(given)
    ]


def same(found: Sequence[FrameScore], expected: Sequence[FrameScore]) -> None:
    for mine, plain in zip(found, expected, strict=True):
        assert (mine.scene, mine.index) == (plain.scene, plain.index)
        assert list(mine.scores) == pytest.approx(list(plain.scores), rel=1e-4, nan_ok=True)
        np.testing.assert_allclose(mine.map.astype(np.float32), plain.map.astype(np.float32), atol=2e-3)


@pytest.mark.parametrize("areas", [False, True], ids=["all pixels", "areas"])
@pytest.mark.parametrize("among", [1, 4], ids=["one scene", "several scenes"])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_scores_are_those_of_the_plain_way(scenes: list[Scene], among: int, count: int, areas: bool) -> None:
    inference = inference_of(SimulatedGpu())
    for _ in range(2):  # recorded, then replayed
        asked = requests(scenes[:among], count, areas)
        same(score_batch(asked, inference), score_batch(asked))


def test_a_batch_of_one_scene_is_one_function(scenes: list[Scene]) -> None:
    recorder = Recorder()
    inference = inference_of(SimulatedGpu(recorder))
    score_batch(requests(scenes[:1], 3), inference)  # makes the functions, for which features are computed once
    before = recorder.replayed
    score_batch(requests(scenes[:1], 4), inference)
    assert recorder.replayed == before + 1
    score_batch(requests(scenes[:2], 4), inference)
    # The features of both and the flow of each; and features and flow once more, to make those of the new scene.
    assert recorder.replayed == before + 1 + 5


def test_weights_are_there_once(scenes: list[Scene]) -> None:
    inference = inference_of(SimulatedGpu())
    for count in (1, 2):
        score_batch(requests(scenes, count, areas=True), inference)
    networks = {id(functions._network) for functions in inference.scenes.all()}
    assert len(networks) == 1
    flows = [functions._flow for functions in inference.scenes.all()]
    assert len({id(flow) for flow in flows}) == 2


class Narrow(SimulatedGpu):
    """Has memory for so many images at a time."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def compile(self, graph: torch.nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        run = super().compile(graph, example, samples)

        def narrow(inputs: Sequence[Tensor]) -> list[Tensor]:
            if len(inputs[0]) > self.room:
                raise torch.OutOfMemoryError("none left")
            return run(inputs)

        return narrow


@pytest.mark.parametrize("among", [1, 3], ids=["one scene", "several scenes"])
def test_where_memory_is_too_small_batches_become_smaller_and_scoring_goes_on(
    scenes: list[Scene], among: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    inference = inference_of(Narrow(2))
    asked = requests(scenes[:among], 9, areas=True)
    expected = score_batch(asked)
    same(score_batch(asked, inference), expected)
    said = [record.getMessage() for record in caplog.records if "too small" in record.getMessage()]
    assert said == [
        "the GPU's memory is too small for 9 frames at a time: 4 from now on",
        "the GPU's memory is too small for 4 frames at a time: 2 from now on",
    ]
    same(score_batch(asked, inference), expected)
    assert inference.most == 2
    assert len(said) == 2


def test_where_there_is_no_memory_for_a_single_frame_that_is_the_error(scenes: list[Scene]) -> None:
    engine = Narrow(2)
    inference = inference_of(engine)
    score_batch(requests(scenes[:1], 1), inference)
    engine.room = 0
    with pytest.raises(torch.OutOfMemoryError):
        score_batch(requests(scenes[:1], 3), inference)


def test_what_was_recorded_makes_room_for_a_single_frame(scenes: list[Scene]) -> None:
    engine = Narrow(2)
    inference = inference_of(engine)
    asked = requests(scenes[:1], 1)
    expected = score_batch(asked, inference)
    release = inference._let_go_of_recordings

    def make_room() -> None:
        release()
        engine.room = 2

    inference._let_go_of_recordings = make_room  # type: ignore[method-assign]
    engine.room = 0
    same(score_batch(asked, inference), expected)


def test_recordings_count_as_memory_of_scenes(scenes: list[Scene]) -> None:
    weights = weights_bytes(scenes[0].flow)
    inference = inference_of(SimulatedGpu(Recorder(nbytes=weights)), capacity_bytes=8 * weights)
    for scene in scenes:
        inference.prepare(scene)
    assert len(inference.scenes) == 4  # weights, and the flow for one image, which is as large here
    for scene in scenes:  # and now a function of all that it takes
        score_batch(requests([scene], 1), inference)
    inference.prepare(scenes[-1])
    assert len(inference.scenes) == 2
    for count in (2, 4):
        for scene in scenes:
            score_batch(requests([scene], count), inference)
            inference.prepare(scene)  # memory is looked at whenever a scene is asked for
            held = inference.scenes.all()
            assert len(held) <= 2 or sum(functions.nbytes for functions in held) <= 8 * weights


def test_threads_score_as_one_does_while_scenes_come_and_go(scenes: list[Scene]) -> None:
    inference = inference_of(SimulatedGpu(), capacity_bytes=1)
    asked = [requests(scenes[start:] + scenes[:start], 5, areas=bool(start % 2)) for start in range(4)]
    expected = [score_batch(one) for one in asked]
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(3):
                same(score_batch(asked[number], inference), expected[number])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_functions_go_with_their_scene() -> None:
    inference, scene = inference_of(SimulatedGpu()), Scene.new("gate", small_settings(PAPER))
    score_batch(requests([scene], 2), inference)
    assert len(inference.scenes) == len(inference._features) == len(inference._networks) == 1
    del scene
    gc.collect()
    assert len(inference.scenes) == len(inference._features) == len(inference._networks) == 0


def test_a_fit_can_measure_features_that_it_kept(scenes: list[Scene]) -> None:
    scene = scenes[0]
    kept = [one.float().contiguous() for one in Scorer(scene, "cpu").features(list(frames(3)))]
    found = Scorer(scene, "cpu", inference=inference_of(SimulatedGpu())).measure(kept)
    expected = Scorer(scene, "cpu").measure(kept)
    for mine, plain in zip(found[:-1], expected[:-1], strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-5)


class TwoAtATime(Scorer):
    """Scores as on a GPU: the next batch is begun before the last is done."""

    def score(self, batch: Sequence[Frame]) -> list[FrameScore]:
        self.threads = getattr(self, "threads", set()) | {threading.current_thread().name}
        return super().score(batch)


def test_batches_that_overlap_keep_their_order(scenes: list[Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = scenes[0].settings.score.model_copy(update={"batch": 3})
    scorer = TwoAtATime(scenes[0], "cpu", settings, inference_of(SimulatedGpu()))
    expected = list(scorer(frames(10)))
    monkeypatch.setattr(Scorer, "overlaps", True)
    found = list(scorer(frames(10)))
    same(found, expected)
    assert len(scorer.threads) >= 2


def test_a_source_that_fails_costs_no_score_of_what_came_before(
    scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scorer, "overlaps", True)
    settings = scenes[0].settings.score.model_copy(update={"batch": 2})

    def failing() -> Iterator[Frame]:
        yield from frames(4)
        raise ZeroDivisionError

    found: list[FrameScore] = []
    with pytest.raises(ZeroDivisionError):
        found.extend(Scorer(scenes[0], "cpu", settings, inference_of(SimulatedGpu()))(failing()))
    assert [score.index for score in found] == [0, 5, 10, 15]
