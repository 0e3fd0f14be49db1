"""Scenes that are ready to score, in turns where there is no room for all of them."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from msflow_stream.model.tensors import weights_bytes
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scoring.compiled_scenes import CompiledScenes
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.engines.base import Engine, Run
from msflow_stream.scoring.engines.openvino_engine import OpenVinoEngine
from msflow_stream.scoring.engines.torch_engine import TorchEngine
from msflow_stream.scoring.scorer import ScoreRequest, score_batch
from msflow_stream.types import UserError
from tests.support.footage import frames, small_settings


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    first = Scene.new("first", small_settings("score.kind=paper"))
    others = (small_settings("score.kind=paper", f"fit.seed={i}") for i in range(1, 5))
    return [first, *(Scene.new(f"{i}", one, first.pyramid) for i, one in enumerate(others, start=1))]


class Maker:
    """Makes functions that say whose they are, and remembers for whom."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def __call__(self, scene: Scene) -> Run:
        self.meanwhile()
        self.made.append(scene.name)
        return lambda _, name=scene.name: [torch.tensor(int(name) if name != "first" else 0)]  # type: ignore[misc]


def room_for(scenes: list[Scene], count: int) -> int:
    return count * weights_bytes(scenes[0].flow)


def test_without_a_limit_each_is_made_once(scenes: list[Scene]) -> None:
    maker = Maker()
    ready = CompiledScenes(maker)
    for scene in scenes * 2:
        ready.get(scene)
    assert maker.made == [scene.name for scene in scenes]
    assert len(ready) == 5


def test_the_one_used_longest_ago_makes_room(scenes: list[Scene]) -> None:
    maker = Maker()
    ready = CompiledScenes(maker, room_for(scenes, 3))
    for number in (0, 1, 2, 0, 3, 0, 2, 1):
        assert int(ready.get(scenes[number])([])[0]) == number
        assert len(ready) <= 3
    assert maker.made == ["first", "1", "2", "3", "1"]
    assert ready.made == 5


def test_what_comes_next_is_made_meanwhile_and_what_scores_stays(scenes: list[Scene]) -> None:
    maker, begun, go_on = Maker(), threading.Event(), threading.Event()
    ready = CompiledScenes(maker, 1)  # room for none: the one that scores and the next are held all the same
    ready.get(scenes[0])

    def wait() -> None:
        begun.set()
        assert go_on.wait(10)

    maker.meanwhile = wait
    ready.prefetch(scenes[:2])
    assert begun.wait(10)
    ready.get(scenes[0])  # does not wait
    assert maker.made == ["first"]
    go_on.set()
    ready.get(scenes[1])
    ready.get(scenes[0])
    assert maker.made == ["first", "1"]


def test_what_cannot_be_made_ahead_is_said_to_who_needs_it(scenes: list[Scene]) -> None:
    tried = threading.Event()

    def fail(scene: Scene) -> Run:
        tried.set()
        raise UserError("no such engine")

    ready = CompiledScenes(fail, 1)
    ready.prefetch(scenes[:1])
    assert tried.wait(10)
    with pytest.raises(UserError, match="no such engine"):
        ready.get(scenes[0])


def test_it_keeps_no_scene_alive() -> None:
    ready, scene = CompiledScenes(Maker()), Scene.new("1", small_settings())
    ready.get(scene)
    assert len(ready) == 1
    del scene
    gc.collect()
    assert len(ready) == 0


@pytest.mark.parametrize(("make", "count", "among"), [(TorchEngine, 1, 5), (TorchEngine, 3, 5), (OpenVinoEngine, 2, 3)])
def test_scores_are_the_same_with_little_room(
    scenes: list[Scene], make: Callable[[], Engine], count: int, among: int
) -> None:
    pytest.importorskip("openvino")
    chosen = [scenes[i % among] for i in range(2 * among)]
    asked = [ScoreRequest(frame, one, one.settings.score) for frame, one in zip(frames(10), chosen, strict=False)]
    engine, room = make(), room_for(scenes, count)
    wide, narrow = (EngineInference(lambda _: engine, capacity_bytes=capacity) for capacity in (None, room))
    expected = [(one.score, one.surprise) for one in score_batch(asked, wide)]
    for _ in range(2):
        assert [(one.score, one.surprise) for one in score_batch(asked, narrow)] == expected
        assert len(narrow.scenes) <= max(2, count)
    assert wide.scenes.made == among
    assert narrow.scenes.made > among


def test_flows_of_a_bank_wait_on_the_cpu(tmp_path: Path) -> None:
    Scene.new("gate", small_settings()).save(tmp_path / "gate")
    bank = SceneCache(tmp_path, "cpu")
    bank.device = torch.device("meta")  # in the place of a GPU
    scene = bank.get("gate")
    assert scene.device.type == "meta"
    assert next(scene.flow.parameters()).device.type == "cpu"
