"""Parts of batches: beside one another they give what they give one after another, and what the plain way gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from msflow_stream.scenes.feature_cache import FeatureCache
from msflow_stream.scenes.features import NormalFeatures, extract
from msflow_stream.scenes.parts import Workers
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.training import FlowFit
from tests.support.footage import frames, small_settings

CPU = torch.device("cpu")


def fitted(threads: int, plain: bool = False, *overrides: str) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses and weights after three passes over 30 frames, the last batch of which is smaller."""
    scene = Scene.new("gate", small_settings("fit.passes=3", "fit.learning_rate=1e-3", *overrides))
    *_, footage = extract(scene, [frames(30)], FeatureCache(), 0.1)
    fit = FlowFit(scene, footage, plain=plain)
    fit._workers.threads = threads
    losses = [value for done in fit.run() for value in (done.loss, done.held_out_loss or 0.0)]
    return losses, scene.flow.state_dict()


def test_a_fit_does_not_depend_on_the_number_of_threads() -> None:
    losses, weights = fitted(1)
    for threads in (2, 3, 3):
        others, same = fitted(threads)
        assert others == losses
        assert all(torch.equal(same[name], value) for name, value in weights.items())


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_a_fit_in_parts_learns_what_the_plain_flow_learns(norm: str) -> None:
    found, expected = fitted(2, False, f"model.norm={norm}"), fitted(1, True, f"model.norm={norm}")
    assert found[0] == pytest.approx(expected[0], rel=1e-4)
    assert all(torch.allclose(found[1][name], value, atol=1e-4) for name, value in expected[1].items())


def test_features_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, caches = Scene.new("gate", small_settings()), []
    for threads in (1, 3):
        monkeypatch.setattr("msflow_stream.scenes.parts.usable_cores", lambda threads=threads: threads)
        *_, footage = extract(scene, [frames(20), frames(9, source="second")], FeatureCache(), 0.1)
        assert [seen[:2] for seen in footage.frames[-2:]] == [("second", 35), ("second", 40)]
        assert footage.held_out == [18, 19]
        caches.append(footage.cache)
    pairs = zip(caches[0].batch(range(29)), caches[1].batch(range(29)), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_features_are_those_of_the_scene_s_own_modules() -> None:
    scene, cache = Scene.new("gate", small_settings()), FeatureCache()
    *_, footage = extract(scene, [frames(5)], cache, 0.0)
    assert isinstance(footage, NormalFeatures)
    with torch.inference_mode():
        expected = scene.pyramid(torch.stack([scene.prepare(frame.pixels) for frame in frames(5)]))
    for one, other in zip(cache.batch(range(5)), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_few_more_than_the_threads_are_taken_ahead() -> None:
    taken = []

    def given() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    workers = Workers(CPU, 2)
    with workers.running():
        results = workers.each(lambda number: number * number, given())
        assert next(results) == 0
        assert len(taken) <= 4
        assert list(results) == [number**2 for number in range(1, 20)]


def test_an_error_reaches_who_asked_for_the_result() -> None:
    def fail(number: int) -> int:
        raise ValueError(f"number {number}")

    workers = Workers(CPU, 2)
    with pytest.raises(ValueError, match="number 1"), workers.running():
        workers.map(fail, [1])


def test_torch_shares_no_operation_while_threads_work_and_does_so_again_afterwards() -> None:
    before, workers = torch.get_num_threads(), Workers(CPU, 2)
    torch.set_num_threads(2)
    try:
        with workers.running():
            here = threading.get_ident()
            found = workers.map(lambda _: (torch.get_num_threads(), threading.get_ident() != here), [1, 2])
            assert found == [(1, True), (1, True)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
