"""A fit as it goes on a GPU: no step waits for the device, and what comes out is what comes out of a CPU.

Mostly the CPU computes and the rest is done as on a GPU: the flow is the plain one, features come from a `DeviceCache`,
and the host looks at losses rarely.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from msflow_stream.scenes.checkpoints import CheckpointStore, FileCheckpoints, MemoryCheckpoints
from msflow_stream.scenes.feature_cache import DeviceCache, FeatureCache
from msflow_stream.scenes.features import NormalFeatures, device_extraction, extract
from msflow_stream.scenes.parts import Workers
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.steps import STEPS_UNSEEN
from msflow_stream.scenes.training import FlowFit, autocast_dtype
from msflow_stream.types import UserError
from tests.support.fake_gpu import CUDA, FakeGpu, fake_cuda
from tests.support.footage import frames, small_settings

CPU = torch.device("cpu")
FRAMES, ALL_FIT, NONE_FIT = 12, 2**40, 0  # bytes of the device for the cache


def footage_of(scene: Scene, room: int = ALL_FIT) -> NormalFeatures:
    *_, footage = extract(scene, [frames(FRAMES)], DeviceCache(CPU, FeatureCache(), room), 0.2)
    return footage


def as_on_gpu(scene: Scene, footage: NormalFeatures, checkpoints: CheckpointStore | None = None) -> FlowFit:
    fit = FlowFit(scene, footage, checkpoints, plain=True)
    fit._steps._unseen = STEPS_UNSEEN
    return fit


def new_scene(*overrides: str) -> Scene:
    return Scene.new("gate", small_settings("fit.passes=3", "fit.batch=4", "fit.learning_rate=1e-3", *overrides))


def weights(scene: Scene) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in scene.flow.state_dict().items()}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def fake_footage(scene: Scene, count: int, held_out: int = 0) -> NormalFeatures:
    """Features on a GPU that is not there, to which it moves the scene."""
    shapes = [one.shape[1:] for one in scene.pyramid(torch.zeros(1, 3, *scene.settings.input.size))]
    fake_cuda(scene.flow)
    fake_cuda(scene.pyramid)
    cache = DeviceCache(CUDA, FeatureCache(), ALL_FIT)
    cache.add([torch.empty(count, *shape, device=CUDA) for shape in shapes])
    return NormalFeatures(cache, [("fake", i, 0.0) for i in range(count)], list(range(count - held_out, count)))


class Reads(TorchDispatchMode):
    """Counts how often a value is read from a tensor, for which the host of a GPU waits."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_no_step_reads_a_value_and_the_pass_has_the_same_loss(precision: str) -> None:
    scene, reads, counts = new_scene(f"fit.precision={precision}", "fit.passes=1"), Reads(), list[int]()
    fit = as_on_gpu(scene, footage_of(scene))
    with reads:
        (done,) = fit.run(lambda _: counts.append(reads.count))
    assert counts == [counts[0]] * 3  # what was read before the pass is for the checkpoint

    other = new_scene(f"fit.precision={precision}", "fit.passes=1")
    (expected,) = FlowFit(other, footage_of(other), plain=True).run()
    assert (done.loss, done.held_out_loss) == (expected.loss, expected.held_out_loss)
    assert equal(weights(scene), weights(other))


def test_a_gpu_is_waited_for_at_the_end_of_a_pass_only(monkeypatch: pytest.MonkeyPatch) -> None:
    # The autograd of a GPU that is not there does not run: what it reads is counted above.
    monkeypatch.setattr(torch.autograd, "grad", lambda loss, leaves: tuple(torch.empty_like(one) for one in leaves))
    scene, steps, waits = new_scene("fit.precision=float32", "fit.passes=1"), 2, list[list[str]]()
    with FakeGpu() as gpu:
        footage = fake_footage(scene, 4 * steps + 1, held_out=1)
        (done,) = FlowFit(scene, footage).run(lambda _: waits.append(list(gpu.synchronisations)))
    assert waits == [[]] * steps
    assert set(gpu.synchronisations) == {"aten._local_scalar_dense.default"}
    assert len(gpu.synchronisations) == 3 * steps + 1  # loss, norm and scale, of one copy; held-out loss
    assert (gpu.uploads, gpu.downloads) == ([], [])
    assert done.held_out_loss is not None


def test_divergence_is_found_where_it_began_though_the_pass_went_on() -> None:
    scene = new_scene()
    footage = footage_of(scene)
    fit = as_on_gpu(scene, footage)
    passes, batches = fit.run(lambda _: batches.append(1)), list[int]()
    next(passes)
    after_one = weights(scene)
    batches.clear()
    assert isinstance(footage.cache, DeviceCache)
    footage.cache._frames[0][footage.fitted[0]].fill_(math.nan)
    with pytest.raises(UserError, match=r"loss is not finite in pass 2, batch \d; the last good checkpoint is pass 1"):
        next(passes)
    assert len(batches) == 3
    assert equal(weights(scene), after_one)


@pytest.mark.parametrize("room", [ALL_FIT, NONE_FIT], ids=["on the device", "in the machine's memory"])
def test_a_resumed_fit_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path, room: int) -> None:
    scene, stopped, resumed = new_scene(), new_scene(), new_scene()
    whole = as_on_gpu(scene, footage_of(scene, room))
    list(whole.run())
    next(as_on_gpu(stopped, footage_of(stopped, room), FileCheckpoints(tmp_path)).run())
    fit = as_on_gpu(resumed, footage_of(resumed, room), FileCheckpoints(tmp_path))
    fit.resume()
    assert [done.number for done in fit.run()] == [2, 3]
    assert equal(weights(scene), weights(resumed))
    assert [done.loss for done in fit.passes] == [done.loss for done in whole.passes]


def test_a_fit_goes_on_with_its_state_on_the_gpu(tmp_path: Path) -> None:
    stopped, scene = (new_scene("fit.precision=float32") for _ in range(2))
    next(FlowFit(stopped, footage_of(stopped), FileCheckpoints(tmp_path)).run())
    read = FileCheckpoints(tmp_path).newest()
    assert read is not None
    with FakeGpu():
        fit = FlowFit(scene, fake_footage(scene, FRAMES), MemoryCheckpoints())
        fit._restore(read)
        tensors, _ = fit._steps.state()
        assert len(tensors) == 3 * len(fit._steps.parameters)
        assert {one.device for one in (*tensors.values(), *scene.flow.state_dict().values())} == {CUDA}
        for name, value in tensors.items():  # fused Adam takes them one beside another as they lie
            weight = fit._steps.parameters[int(name.split(".")[0])]
            assert value.stride() == weight.stride() or name.endswith("step")


def test_a_batch_comes_up_beside_the_steps_before_it() -> None:
    scene, announced = new_scene("fit.passes=1"), list[tuple[int, ...]]()
    footage = footage_of(scene, NONE_FIT)
    fit, cache, batch = as_on_gpu(scene, footage), footage.cache, footage.cache.batch
    assert isinstance(cache, DeviceCache)

    def asked(positions: Sequence[int]) -> list[Tensor]:
        announced.append(tuple(cache._uploads))
        assert tuple(positions) in cache._uploads
        return batch(positions)

    cache.batch = asked  # type: ignore[method-assign]
    list(fit.run())
    assert [len(one) for one in announced] == [2, 2, 1, 1]  # three batches of a pass, one that was held out
    assert not cache._uploads


def test_features_are_those_of_the_scene_s_own_modules_whatever_the_threads() -> None:
    scene, found = Scene.new("gate", small_settings()), list[list[Tensor]]()
    for threads in (1, 3):
        workers = Workers(CPU, threads)
        with workers.running():
            (batch,) = device_extraction(scene)(workers, frames(FRAMES))
        assert [index for _, index, _ in batch.frames] == [5 * number for number in range(FRAMES)]
        assert len(batch.motion) == FRAMES
        assert not torch.is_inference_mode_enabled()
        found.append(batch.features)
    with torch.inference_mode():
        expected = scene.pyramid(torch.stack([scene.prepare(frame.pixels) for frame in frames(FRAMES)]))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    for one, other in zip(found[0], expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_frames_go_up_and_through_the_backbone_without_waiting() -> None:
    scene, workers = Scene.new("gate", small_settings()), Workers(None)
    with FakeGpu() as gpu:
        fake_cuda(scene.pyramid)
        (batch,) = device_extraction(scene)(workers, frames(3))
        with DeviceCache(CUDA, FeatureCache(), ALL_FIT) as cache:
            cache.add(batch.features)
    assert (gpu.synchronisations, gpu.downloads) == ([], [])
    assert all(one.device == CUDA for one in batch.features)


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 0), torch.float16), ((7, 5), torch.float16), ((8, 0), torch.bfloat16)]
)
def test_auto_is_the_precision_that_a_gpu_computes_in(
    capability: tuple[int, int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert autocast_dtype("auto", torch.device("cuda:1")) == dtype
    assert autocast_dtype("float32", torch.device("cuda:1")) == torch.float32
    assert autocast_dtype("auto", CPU) == torch.float32
