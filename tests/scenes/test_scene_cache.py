"""Many scenes in memory: one backbone for those it is the same for, loaded once, and anew when fitted again."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest
import torch
from safetensors.torch import load_file, save_file

from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.types import UserError
from tests.support.footage import frames, small_settings


def fit(folder: Path, name: str, *overrides: str) -> None:
    """A scene on the disk, as far as the bank can tell: its flow is as initialised."""
    Scene.new(name, small_settings(*overrides)).save(folder / name, overwrite=True)


def surprise(scene: Scene) -> list[float]:
    images = torch.stack([scene.prepare(frame.image) for frame in frames(2)])
    return [float(value) for value in scene.measure(images).surprise]


def size(module: torch.nn.Module) -> int:
    return sum(v.numel() * v.element_size() for v in module.state_dict().values())


@pytest.fixture
def bank(tmp_path: Path) -> SceneCache:
    """Of two scenes with the same features, `day` and `night`."""
    fit(tmp_path, "day", "fit.seed=1")
    fit(tmp_path, "night", "fit.seed=2")
    return SceneCache(tmp_path, "cpu")


def test_a_scene_is_loaded_once_and_is_as_if_it_were_alone(bank: SceneCache) -> None:
    scene = bank.get("day")
    assert bank.get("day") is scene
    bank.get("night")
    assert surprise(scene) == surprise(Scene.load(bank.folder / "day"))
    assert surprise(bank.get("night")) == surprise(Scene.load(bank.folder / "night"))
    assert surprise(scene) != surprise(bank.get("night"))


def test_a_scene_goes_by_the_name_of_its_folder_which_may_be_a_copy(bank: SceneCache) -> None:
    shutil.copytree(bank.folder / "day", bank.folder / "dusk")
    assert bank.get("dusk").name == "dusk"
    assert surprise(bank.get("dusk")) == surprise(bank.get("day"))


def test_thirteen_scenes_hold_one_backbone(tmp_path: Path) -> None:
    names = [f"scene{number}" for number in range(13)]
    for seed, name in enumerate(names):
        fit(tmp_path, name, f"fit.seed={seed}")
    bank = SceneCache(tmp_path, "cpu")
    scenes = [bank.get(name) for name in names]
    assert len({id(scene.pyramid) for scene in scenes}) == 1
    assert len({id(scene.flow) for scene in scenes}) == 13
    assert bank.nbytes == size(scenes[0].pyramid) + sum(size(scene.flow) for scene in scenes)


@pytest.mark.parametrize("change", ["input.size=[32,64]", "model.blocks=[2,1]", "score.top_k=0.1", "model.clamp=1.5"])
def test_what_is_not_of_the_features_is_no_reason_for_another_backbone(bank: SceneCache, change: str) -> None:
    fit(bank.folder, "other", change)
    assert bank.get("other").pyramid is bank.get("day").pyramid


@pytest.mark.parametrize(
    "change",
    [
        "model.backbone=resnet34",
        "model.weights_seed=1",
        "model.stages=[2,3]",
        "model.padding=zeros",
        "model.pool=max",
        "model.pool_kernel=5",
        "scene.dtype=float16",
    ],
)
def test_other_features_have_their_own_backbone(bank: SceneCache, change: str) -> None:
    fit(bank.folder, "other", change)
    assert bank.get("other").pyramid is not bank.get("day").pyramid
    assert surprise(bank.get("other")) == surprise(Scene.load(bank.folder / "other"))


def test_one_changed_weight_makes_another_backbone(bank: SceneCache) -> None:
    scene = Scene.new("other", small_settings())
    with torch.no_grad():
        list(scene.pyramid.parameters())[-1].view(-1)[-1] += 1e-6
    scene.save(bank.folder / "other")
    assert bank.get("other").pyramid is not bank.get("day").pyramid


def test_where_the_weights_came_from_does_not_matter(bank: SceneCache, tmp_path: Path) -> None:
    import timm

    file = tmp_path / "resnet18.pth"
    torch.save(timm.create_model("resnet18").state_dict(), file)
    fit(bank.folder, "from_a_file", f"model.weights={file}")
    scene = Scene.load(bank.folder / "from_a_file")
    Scene.new("again", small_settings(), scene.pyramid).save(bank.folder / "again")
    assert bank.get("again").pyramid is bank.get("from_a_file").pyramid
    assert bank.get("again").pyramid is not bank.get("day").pyramid


def test_scenes_that_no_camera_uses_leave_the_memory_and_the_backbone_with_the_last(bank: SceneCache) -> None:
    flow, pyramid = weakref.ref(bank.get("day").flow), weakref.ref(bank.get("night").pyramid)
    night = bank.get("night")
    bank.keep(["night", "never loaded"])
    gc.collect()
    assert flow() is None
    assert bank.get("night") is night
    assert bank.nbytes == size(night.pyramid) + size(night.flow)
    del night
    bank.forget("night")
    bank.forget("night")
    gc.collect()
    assert pyramid() is None
    assert bank.nbytes == 0
    assert bank.get("night").name == "night"


def test_a_scene_that_is_still_in_use_is_shared_with_those_loaded_later(bank: SceneCache) -> None:
    in_use = bank.get("day")
    bank.keep([])
    assert bank.get("night").pyramid is in_use.pyramid


def test_only_what_was_fitted_again_is_loaded_anew(bank: SceneCache) -> None:
    day, night = bank.get("day"), bank.get("night")
    assert bank.reload(["day", "night"]) == []
    before = surprise(day)
    fit(bank.folder, "day", "fit.seed=3")
    assert bank.get("day") is day  # until it is asked for
    assert bank.reload(["day", "night"]) == ["day"]
    assert bank.get("night") is night
    assert bank.get("day") is not day
    assert bank.get("day").pyramid is night.pyramid
    assert surprise(bank.get("day")) == surprise(Scene.load(bank.folder / "day")) != before
    assert surprise(day) == before  # who scores with it at this moment
    assert bank.reload(["day", "night"]) == []


def test_a_new_calibration_is_a_reason_to_load_anew(bank: SceneCache) -> None:
    bank.get("day")
    record = bank.folder / "day" / "scene.json"
    thresholds = {"paper": 0.5, "surprise": 3.0, "surprise_mean": 1.0}
    calibration = {"frames": 9, "quantiles": {}, "thresholds": thresholds, "map_range": [0.0, 1.0]}
    record.write_text(json.dumps(json.loads(record.read_text()) | {"calibration": calibration}))
    assert bank.reload(["day"]) == ["day"]
    found = bank.get("day").calibration
    assert found is not None
    assert found.thresholds == thresholds


def test_reload_loads_what_a_new_camera_needs(bank: SceneCache) -> None:
    assert bank.reload(["day", "day"]) == ["day"]
    assert bank.nbytes == size(bank.get("day").pyramid) + size(bank.get("day").flow)


def test_a_scene_that_cannot_be_loaded_leaves_all_as_they_were(bank: SceneCache) -> None:
    held = {name: bank.get(name) for name in ("day", "night")}
    fit(bank.folder, "day", "fit.seed=3")
    fit(bank.folder, "night", "fit.seed=4")
    weights = bank.folder / "night" / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: value * 2 for name, value in tensors.items()}, weights)
    with pytest.raises(UserError, match=r"night.*is damaged"):
        bank.reload(["day", "night"])
    assert {name: bank.get(name) for name in held} == held
    with pytest.raises(UserError, match="no scene 'dusk'"):
        bank.reload(["day", "dusk"])
    assert bank.get("day") is held["day"]
    fit(bank.folder, "night", "fit.seed=4")
    assert bank.reload(["day", "night"]) == ["day", "night"]


def test_a_scene_whose_folder_is_gone_stays_in_use(bank: SceneCache) -> None:
    day = bank.get("day")
    (bank.folder / "day" / "scene.json").unlink()
    with pytest.raises(UserError, match=r"no scene 'day' in .*\(there: night\)"):
        bank.reload(["day"])
    assert bank.get("day") is day


def test_a_scene_fitted_again_while_it_is_loaded_is_not_missed(
    bank: SceneCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Scene.load

    def load_and_be_late(folder: Path) -> Scene:
        scene = load(folder)
        monkeypatch.undo()
        fit(folder.parent, folder.name, "fit.seed=5")
        return scene

    monkeypatch.setattr(Scene, "load", load_and_be_late)
    bank.get("day")
    assert bank.reload(["day"]) == ["day"]
    assert surprise(bank.get("day")) == surprise(Scene.load(bank.folder / "day"))


@pytest.mark.parametrize("name", ["dusk", "../day", "", "."])
def test_a_scene_that_is_not_there_is_one_clear_error(bank: SceneCache, name: str) -> None:
    with pytest.raises(UserError):
        bank.get(name)
    with pytest.raises(UserError):
        bank.reload([name])


def test_threads_that_ask_at_once_get_the_same(bank: SceneCache) -> None:
    start = Barrier(8)

    def ask(number: int) -> Scene:
        start.wait(60)
        return bank.get(("day", "night")[number % 2])

    with ThreadPoolExecutor(8) as pool:
        scenes = list(pool.map(ask, range(8)))
    assert {id(scene) for scene in scenes} == {id(bank.get("day")), id(bank.get("night"))}
    assert len({id(scene.pyramid) for scene in scenes}) == 1


def test_who_asks_for_a_scene_that_is_held_does_not_wait_for_another(
    bank: SceneCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, load, loading, go_on = bank.get("day"), Scene.load, Event(), Event()

    def slow(folder: Path) -> Scene:
        loading.set()
        assert go_on.wait(60)
        return load(folder)

    monkeypatch.setattr(Scene, "load", slow)
    other = Thread(target=bank.get, args=("night",))
    other.start()
    try:
        assert loading.wait(60)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(bank.get, "day").result(30) is day
    finally:
        go_on.set()
        other.join()
    assert bank.get("night").name == "night"
