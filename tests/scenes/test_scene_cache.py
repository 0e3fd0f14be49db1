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
    """A scene on the disk, as far as the cache can tell: its flow is as initialised."""
    Scene.new(name, small_settings(*overrides)).save(folder / name, overwrite=True)


def surprise(scene: Scene) -> list[float]:
    images = torch.stack([scene.prepare(frame.image) for frame in frames(2)])
    return [float(value) for value in scene.measure(images).surprise]


def size(module: torch.nn.Module) -> int:
    return sum(v.numel() * v.element_size() for v in module.state_dict().values())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes with the same features, `day` and `night`."""
    folder = tmp_path_factory.mktemp("scenes")
    fit(folder, "day", "fit.seed=1")
    fit(folder, "night", "fit.seed=2")
    return folder


@pytest.fixture
def cache(saved: Path, tmp_path: Path) -> SceneCache:
    """A cache of `day` and `night`, in a folder of its own."""
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    return SceneCache(tmp_path, "cpu")


def test_a_scene_is_loaded_once_and_is_as_if_it_were_alone(cache: SceneCache) -> None:
    scene = cache.get("day")
    assert cache.get("day") is scene
    cache.get("night")
    assert surprise(scene) == surprise(Scene.load(cache.folder / "day"))
    assert surprise(cache.get("night")) == surprise(Scene.load(cache.folder / "night"))
    assert surprise(scene) != surprise(cache.get("night"))


def test_a_scene_goes_by_the_name_of_its_folder_which_may_be_a_copy(cache: SceneCache) -> None:
    shutil.copytree(cache.folder / "day", cache.folder / "dusk")
    assert cache.get("dusk").name == "dusk"
    assert surprise(cache.get("dusk")) == surprise(cache.get("day"))


def test_thirteen_scenes_hold_one_backbone(tmp_path: Path) -> None:
    names = [f"scene{number}" for number in range(13)]
    pyramid = Scene.new("first", small_settings()).pyramid
    for seed, name in enumerate(names):
        Scene.new(name, small_settings(f"fit.seed={seed}"), pyramid).save(tmp_path / name)
    cache = SceneCache(tmp_path, "cpu")
    scenes = [cache.get(name) for name in names]
    assert len({id(scene.pyramid) for scene in scenes}) == 1
    assert len({id(scene.flow) for scene in scenes}) == 13
    assert cache.nbytes == size(scenes[0].pyramid) + sum(size(scene.flow) for scene in scenes)


@pytest.mark.parametrize("change", ["input.size=[32,64]", "model.blocks=[2,1]", "score.top_k=0.1", "model.clamp=1.5"])
def test_what_is_not_of_the_features_is_no_reason_for_another_backbone(cache: SceneCache, change: str) -> None:
    fit(cache.folder, "other", change)
    assert cache.get("other").pyramid is cache.get("day").pyramid


@pytest.mark.parametrize(
    "change",
    [
        "model.backbone=test_byobnet",
        "model.weights_seed=1",
        "model.stages=[2,3]",
        "model.padding=zeros",
        "model.pool=max",
        "model.pool_kernel=5",
        "scene.dtype=float16",
    ],
)
def test_other_features_have_their_own_backbone(cache: SceneCache, change: str) -> None:
    fit(cache.folder, "other", change)
    assert cache.get("other").pyramid is not cache.get("day").pyramid
    assert surprise(cache.get("other")) == surprise(Scene.load(cache.folder / "other"))


def test_one_changed_weight_makes_another_backbone(cache: SceneCache) -> None:
    scene = Scene.new("other", small_settings())
    with torch.no_grad():
        list(scene.pyramid.parameters())[-1].view(-1)[-1] += 1e-6
    scene.save(cache.folder / "other")
    assert cache.get("other").pyramid is not cache.get("day").pyramid


def test_where_the_weights_came_from_does_not_matter(cache: SceneCache, tmp_path: Path) -> None:
    import timm

    file = tmp_path / "test_resnet.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    fit(cache.folder, "from_a_file", f"model.weights={file}")
    scene = Scene.load(cache.folder / "from_a_file")
    Scene.new("again", small_settings(), scene.pyramid).save(cache.folder / "again")
    assert cache.get("again").pyramid is cache.get("from_a_file").pyramid
    assert cache.get("again").pyramid is not cache.get("day").pyramid


def test_scenes_that_no_camera_uses_leave_the_memory_and_the_backbone_with_the_last(cache: SceneCache) -> None:
    flow, pyramid = weakref.ref(cache.get("day").flow), weakref.ref(cache.get("night").pyramid)
    night = cache.get("night")
    cache.keep(["night", "never loaded"])
    gc.collect()
    assert flow() is None
    assert cache.get("night") is night
    assert cache.nbytes == size(night.pyramid) + size(night.flow)
    del night
    cache.forget("night")
    cache.forget("night")
    gc.collect()
    assert pyramid() is None
    assert cache.nbytes == 0
    assert cache.get("night").name == "night"


def test_a_scene_that_is_still_in_use_is_shared_with_those_loaded_later(cache: SceneCache) -> None:
    in_use = cache.get("day")
    cache.keep([])
    assert cache.get("night").pyramid is in_use.pyramid


def test_only_what_was_fitted_again_is_loaded_anew(cache: SceneCache) -> None:
    day, night = cache.get("day"), cache.get("night")
    assert cache.reload(["day", "night"]) == []
    before = surprise(day)
    fit(cache.folder, "day", "fit.seed=3")
    assert cache.get("day") is day  # until it is asked for
    assert cache.reload(["day", "night"]) == ["day"]
    assert cache.get("night") is night
    assert cache.get("day") is not day
    assert cache.get("day").pyramid is night.pyramid
    assert surprise(cache.get("day")) == surprise(Scene.load(cache.folder / "day")) != before
    assert surprise(day) == before  # who scores with it at this moment
    assert cache.reload(["day", "night"]) == []


def test_a_new_calibration_is_a_reason_to_load_anew(cache: SceneCache) -> None:
    cache.get("day")
    record = cache.folder / "day" / "scene.json"
    thresholds = {"paper": 0.5, "surprise": 3.0, "surprise_mean": 1.0}
    calibration = {"frames": 9, "quantiles": {}, "thresholds": thresholds, "map_range": [0.0, 1.0]}
    record.write_text(json.dumps(json.loads(record.read_text()) | {"calibration": calibration}))
    assert cache.reload(["day"]) == ["day"]
    found = cache.get("day").calibration
    assert found is not None
    assert found.thresholds == thresholds


def test_reload_loads_what_a_new_camera_needs(cache: SceneCache) -> None:
    assert cache.reload(["day", "day"]) == ["day"]
    assert cache.nbytes == size(cache.get("day").pyramid) + size(cache.get("day").flow)


def test_a_scene_that_cannot_be_loaded_leaves_all_as_they_were(cache: SceneCache) -> None:
    held = {name: cache.get(name) for name in ("day", "night")}
    fit(cache.folder, "day", "fit.seed=3")
    fit(cache.folder, "night", "fit.seed=4")
    weights = cache.folder / "night" / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: value * 2 for name, value in tensors.items()}, weights)
    with pytest.raises(UserError, match=r"night.*is damaged"):
        cache.reload(["day", "night"])
    assert {name: cache.get(name) for name in held} == held
    with pytest.raises(UserError, match="no scene 'dusk'"):
        cache.reload(["day", "dusk"])
    assert cache.get("day") is held["day"]
    fit(cache.folder, "night", "fit.seed=4")
    assert cache.reload(["day", "night"]) == ["day", "night"]


def test_a_scene_whose_folder_is_gone_stays_in_use(cache: SceneCache) -> None:
    day = cache.get("day")
    (cache.folder / "day" / "scene.json").unlink()
    with pytest.raises(UserError, match=r"no scene 'day' in .*\(there: night\)"):
        cache.reload(["day"])
    assert cache.get("day") is day


def test_a_scene_fitted_again_while_it_is_loaded_is_not_missed(
    cache: SceneCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Scene.load

    def load_and_be_late(folder: Path) -> Scene:
        scene = load(folder)
        monkeypatch.undo()
        fit(folder.parent, folder.name, "fit.seed=5")
        return scene

    monkeypatch.setattr(Scene, "load", load_and_be_late)
    cache.get("day")
    assert cache.reload(["day"]) == ["day"]
    assert surprise(cache.get("day")) == surprise(Scene.load(cache.folder / "day"))


@pytest.mark.parametrize("name", ["dusk", "../day", "", "."])
def test_a_scene_that_is_not_there_is_one_clear_error(cache: SceneCache, name: str) -> None:
    with pytest.raises(UserError):
        cache.get(name)
    with pytest.raises(UserError):
        cache.reload([name])


def test_threads_that_ask_at_once_get_the_same(cache: SceneCache) -> None:
    start = Barrier(8)

    def ask(number: int) -> Scene:
        start.wait(60)
        return cache.get(("day", "night")[number % 2])

    with ThreadPoolExecutor(8) as pool:
        scenes = list(pool.map(ask, range(8)))
    assert {id(scene) for scene in scenes} == {id(cache.get("day")), id(cache.get("night"))}
    assert len({id(scene.pyramid) for scene in scenes}) == 1


def test_who_asks_for_a_scene_that_is_held_does_not_wait_for_another(
    cache: SceneCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, load, loading, go_on = cache.get("day"), Scene.load, Event(), Event()

    def slow(folder: Path) -> Scene:
        loading.set()
        assert go_on.wait(60)
        return load(folder)

    monkeypatch.setattr(Scene, "load", slow)
    other = Thread(target=cache.get, args=("night",))
    other.start()
    try:
        assert loading.wait(60)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(cache.get, "day").result(30) is day
    finally:
        go_on.set()
        other.join()
    assert cache.get("night").name == "night"


def test_a_scene_that_was_only_calibrated_again_keeps_its_networks(cache: SceneCache) -> None:
    before = cache.get("day")
    path = cache.folder / "day" / "scene.json"
    content = json.loads(path.read_text())
    calibration = {"frames": 5, "quantiles": {"paper": {"0.5": 0.1}}, "thresholds": {"paper": 0.7}, "map_range": [0, 1]}
    path.write_text(json.dumps({**content, "calibration": calibration}))
    assert cache.reload(["day", "night"]) == ["day", "night"]  # the second was not held
    after = cache.get("day")
    assert before.calibration is None
    assert after.calibration is not None
    assert after.calibration.thresholds == {"paper": 0.7}
    assert (after.flow, after.pyramid) == (before.flow, before.pyramid)
    path.write_text(json.dumps({**content, "calibration": {**calibration, "frames": "many"}}))
    with pytest.raises(UserError, match="is not a complete scene"):
        cache.reload(["day"])
    assert cache.get("day") is after
    path.write_text(json.dumps({**content, "weights_sha256": 64 * "0", "calibration": calibration}))
    with pytest.raises(UserError, match="is damaged"):
        cache.reload(["day"])
