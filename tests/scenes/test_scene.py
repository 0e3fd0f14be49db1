"""Scenes: preparation of pixels, saving, loading, and what is refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from msflow_stream.config.settings import InputSettings
from msflow_stream.model.aggregate import Maps, anomaly_maps
from msflow_stream.model.pyramid import normalisation
from msflow_stream.scenes.folder import list_scenes
from msflow_stream.scenes.motion import DIRECTIONS, SIZES, MotionModel, TaughtMotion
from msflow_stream.scenes.preparation import prepare
from msflow_stream.scenes.scene import Measures, Scene
from msflow_stream.scenes.training import fit_scene
from msflow_stream.types import UserError
from msflow_stream.video.motion import PLACES
from tests.support.footage import frames, small_settings

IMAGENET = InputSettings(size=(32, 40), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@pytest.fixture(scope="module")
def fitted() -> Scene:
    return fit_scene("gate", [frames(20)], small_settings())


def test_preparation_resizes_straight_and_normalises() -> None:
    image = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    x = prepare(image, IMAGENET.model_copy(update={"resize": "lanczos"}))
    resized = np.asarray(Image.fromarray(image).resize((40, 32), Image.Resampling.LANCZOS)) / 255
    expected = (resized - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert np.allclose(x.permute(1, 2, 0), expected, atol=1e-5)


def test_mean_and_deviation_are_those_of_the_backbone_s_training_unless_they_are_given() -> None:
    def found(*overrides: str) -> tuple[object, object]:
        given = Scene.new("gate", small_settings("input.mean=null", "input.std=null", *overrides)).settings.input
        return given.mean, given.std

    half, imagenet = (0.5, 0.5, 0.5), (IMAGENET.mean, IMAGENET.std)
    assert found("model.backbone=tf_efficientnet_lite0") == (half, half)
    assert found("model.backbone=mobilenetv2_100", "input.std=[1, 2, 3]") == (imagenet[0], (1, 2, 3))
    assert normalisation("wide_resnet50_2") == imagenet
    with pytest.raises(UserError, match="no backbone 'resnet19'"):
        found("model.backbone=resnet19")


@pytest.mark.parametrize("resize", ["area", "lanczos", "box", "bilinear"])
def test_a_constant_picture_stays_constant_whatever_the_resizing(resize: str) -> None:
    settings = IMAGENET.model_copy(update={"size": (37, 64), "resize": resize})
    x = prepare(np.full((90, 31, 3), 128, np.uint8), settings)
    assert x.shape == (3, 37, 64)
    assert float(x.std((1, 2)).max()) < 1e-6


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 6), np.uint8),
        np.zeros((4, 6, 4), np.uint8),
        np.zeros((4, 6, 1), np.uint8),
        np.zeros((3, 4, 6), np.uint8),
        np.zeros((0, 6, 3), np.uint8),
        np.zeros((4, 6, 3), np.float32),
        np.zeros((4, 6, 3), np.uint16),
    ],
    ids=lambda image: f"{image.dtype} {image.shape}",
)
def test_what_is_no_picture_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=f"H x W x 3, not {image.dtype} and {image.shape[0]} x {image.shape[1]}"):
        prepare(image, IMAGENET)


def test_a_loaded_scene_gives_the_same_numbers(fitted: Scene, tmp_path: Path) -> None:
    fitted.save(tmp_path / "gate")
    loaded = Scene.load(tmp_path / "gate")
    images = torch.stack([fitted.prepare(frame.image) for frame in frames(3)])
    for found, expected in zip(loaded.measure(images), fitted.measure(images), strict=True):
        assert torch.equal(found, expected)
    assert loaded.settings == fitted.settings
    assert loaded.calibration == fitted.calibration


@pytest.mark.parametrize("lessons", [0, 1])
def test_what_was_taught_of_motion_is_kept(tmp_path: Path, lessons: int) -> None:
    scene = Scene.new("gate", small_settings())
    usual, speeds = (np.full((*PLACES, DIRECTIONS), speed, np.float32) for speed in (0.1, 0.3))
    sizes = np.ones((*PLACES, SIZES), np.bool_)
    sizes[3:, :, 5] = False
    scene.motion = MotionModel(usual, 2.0, TaughtMotion(speeds, sizes) if lessons else None)
    scene.save(tmp_path / "gate")
    found = Scene.load(tmp_path / "gate").motion
    assert found is not None
    assert (found.usual == usual).all()
    assert (found.taught is not None) == bool(lessons)
    if found.taught is not None:
        assert (found.taught.usual == speeds).all()
        assert (found.taught.sizes == sizes).all()


def test_a_scene_needs_its_weights_file_no_more(tmp_path: Path) -> None:
    weights = tmp_path / "test_resnet.pth"
    import timm

    torch.save(timm.create_model("test_resnet").state_dict(), weights)
    scene = fit_scene("gate", [frames(6)], small_settings(f"model.weights={weights}", "fit.passes=1"))
    scene.save(tmp_path / "gate")
    weights.unlink()
    images = torch.stack([scene.prepare(frame.image) for frame in frames(1)])
    assert torch.equal(Scene.load(tmp_path / "gate").measure(images).score, scene.measure(images).score)


def test_a_scene_is_never_overwritten_unasked(fitted: Scene, tmp_path: Path) -> None:
    fitted.save(tmp_path / "gate")
    before = (tmp_path / "gate" / "scene.json").read_bytes()
    with pytest.raises(UserError, match="--overwrite"):
        fitted.save(tmp_path / "gate")
    assert (tmp_path / "gate" / "scene.json").read_bytes() == before
    fitted.save(tmp_path / "gate", overwrite=True)
    assert list_scenes(tmp_path) == ["gate"]


def test_a_failed_save_leaves_nothing(fitted: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitted, "record", {"not": {"json"}})
    with pytest.raises(TypeError):
        fitted.save(tmp_path / "gate")
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_byte_in_the_weights_is_detected(fitted: Scene, tmp_path: Path) -> None:
    fitted.save(tmp_path / "gate")
    file = tmp_path / "gate" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        Scene.load(tmp_path / "gate")


def change(folder: Path, **values: object) -> None:
    path = folder / "scene.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_scene_from_a_newer_program_is_refused(fitted: Scene, tmp_path: Path) -> None:
    fitted.save(tmp_path / "gate")
    change(tmp_path / "gate", format=99)
    with pytest.raises(UserError, match=r"format 99.*update msflow-stream"):
        Scene.load(tmp_path / "gate")


def test_an_unknown_scene_names_those_that_exist(fitted: Scene, tmp_path: Path) -> None:
    fitted.save(tmp_path / "gate")
    with pytest.raises(UserError, match=r"no scene 'gat' in .*\(there: gate\)"):
        Scene.load(tmp_path / "gat")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', '{"format": "x"}'])
def test_a_broken_record_is_one_clear_error(content: str, tmp_path: Path) -> None:
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "scene.json").write_text(content)
    with pytest.raises(UserError, match="fit it again"):
        Scene.load(tmp_path / "gate")


def images(scene: Scene, count: int = 4) -> torch.Tensor:
    return torch.stack([scene.prepare(frame.image) for frame in frames(count)])


def with_dtype(scene: Scene, dtype: str) -> Scene:
    """The same weights, to be stored in another type."""
    return replace(scene, settings=small_settings(f"scene.dtype={dtype}"))


def test_a_scene_in_float16_is_half_as_large_and_scores_nearly_the_same(fitted: Scene, tmp_path: Path) -> None:
    sizes, measures = [], []
    for dtype in ("float32", "float16"):
        with_dtype(fitted, dtype).save(tmp_path / dtype)
        sizes.append((tmp_path / dtype / "model.safetensors").stat().st_size)
        measures.append(Scene.load(tmp_path / dtype).measure(images(fitted)))
    assert sizes[1] / sizes[0] == pytest.approx(0.5, abs=0.05)
    for exact, half in zip(measures[0][:3], measures[1][:3], strict=True):
        assert not torch.equal(half, exact)
        assert torch.allclose(half, exact, rtol=1e-2, atol=0)
    assert len(set(measures[1].surprise.tolist())) > 1


def test_weights_of_float16_are_those_of_the_fit_rounded_and_whole_numbers_are_not(
    fitted: Scene, tmp_path: Path
) -> None:
    with_dtype(fitted, "float16").save(tmp_path / "gate")
    loaded, given = Scene.load(tmp_path / "gate").flow.state_dict(), fitted.flow.state_dict()
    stored = load_file(tmp_path / "gate" / "model.safetensors")
    assert {"fusion_flow.perm0", "fusion_flow.perm1"} <= {n for n, v in given.items() if v.dtype == torch.int64}
    for name, value in given.items():
        assert loaded[name].dtype == value.dtype
        assert stored[f"flow.{name}"].dtype == (torch.float16 if value.is_floating_point() else value.dtype)
        if value.is_floating_point():  # half a unit in the last place
            assert torch.allclose(loaded[name], value, rtol=2**-11, atol=2**-25)
        else:
            assert torch.equal(loaded[name], value)


def test_a_scene_of_float16_loses_nothing_more_when_it_is_saved_again(fitted: Scene, tmp_path: Path) -> None:
    with_dtype(fitted, "float16").save(tmp_path / "first")
    Scene.load(tmp_path / "first").save(tmp_path / "second")
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second"))
    assert first == second


@pytest.mark.parametrize("value", [65536.0, -1e6])
def test_weights_beyond_float16_are_refused_and_nothing_is_left(value: float, tmp_path: Path) -> None:
    scene = Scene.new("gate", small_settings("scene.dtype=float16"))
    with torch.no_grad():
        next(scene.flow.parameters()).view(-1)[0] = value
    with pytest.raises(UserError, match=r"too large for float16: set scene\.dtype=float32"):
        scene.save(tmp_path / "gate")
    assert list(tmp_path.iterdir()) == []
    with_dtype(scene, "float32").save(tmp_path / "gate")
    assert next(Scene.load(tmp_path / "gate").flow.parameters()).view(-1)[0].item() == value


def test_what_is_added_to_a_scene_comes_into_its_folder(fitted: Scene, tmp_path: Path) -> None:
    def add(folder: Path) -> None:
        assert not (tmp_path / "gate").exists()  # not before everything is there
        (folder / "loss.csv").write_text("losses")

    fitted.save(tmp_path / "gate", add=add)
    names = sorted(path.name for path in (tmp_path / "gate").iterdir())
    assert names == ["loss.csv", "model.safetensors", "scene.json"]
    assert (tmp_path / "gate" / "loss.csv").read_text() == "losses"
    assert Scene.load(tmp_path / "gate").name == "gate"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_while_adding_leaves_what_was_there(fitted: Scene, tmp_path: Path, error: type[BaseException]) -> None:
    def add(folder: Path) -> None:
        (folder / "loss.csv").write_text("half")
        raise error

    with pytest.raises(error):
        fitted.save(tmp_path / "gate", add=add)
    assert list(tmp_path.iterdir()) == []

    fitted.save(tmp_path / "gate")
    with pytest.raises(error):
        replace(fitted, name="other").save(tmp_path / "gate", overwrite=True, add=add)
    assert [path.name for path in tmp_path.iterdir()] == ["gate"]
    assert sorted(path.name for path in (tmp_path / "gate").iterdir()) == ["model.safetensors", "scene.json"]
    assert Scene.load(tmp_path / "gate").name == "gate"


def test_scenes_can_share_a_pyramid_and_score_as_with_their_own() -> None:
    first = Scene.new("first", small_settings())
    shared = Scene.new("second", small_settings("fit.seed=1"), first.pyramid)
    alone = Scene.new("second", small_settings("fit.seed=1"))
    assert shared.pyramid is first.pyramid
    assert alone.pyramid is not first.pyramid
    x = images(first)
    for found, expected, other in zip(shared.measure(x), alone.measure(x), first.measure(x), strict=True):
        assert torch.equal(found, expected)
        assert not torch.equal(found, other)


def test_a_folder_that_is_read_only_is_loaded_and_not_touched(fitted: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "gate"
    fitted.save(folder)
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.stat().st_mtime_ns for path in (folder, *folder.iterdir())}
    loaded = Scene.load(folder)
    assert {path: path.stat().st_mtime_ns for path in (folder, *folder.iterdir())} == before  # root could write
    assert torch.equal(loaded.measure(images(fitted)).score, fitted.measure(images(fitted)).score)
    folder.chmod(0o755)


def test_a_scene_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    for umask, file, folder in ((0o022, 0o644, 0o755), (0o077, 0o600, 0o700)):
        before = os.umask(umask)
        try:
            Scene.new("gate", small_settings()).save(tmp_path / f"{umask}")
        finally:
            os.umask(before)
        saved = tmp_path / f"{umask}"
        assert saved.stat().st_mode & 0o777 == folder
        assert {path.stat().st_mode & 0o777 for path in saved.iterdir()} == {file}


SIZE = (6, 8)
SEEDS = st.integers(0, 2**32)
AREAS = st.lists(st.booleans(), min_size=48, max_size=48).filter(any).map(lambda bits: torch.tensor(bits).view(SIZE))


def some_maps(seed: int, count: int = 1) -> Maps:
    rng = torch.Generator().manual_seed(seed)
    return anomaly_maps([torch.randn(count, 4, 6, 8, generator=rng), torch.randn(count, 6, 3, 4, generator=rng)], SIZE)


def same(found: Measures, expected: Measures) -> bool:
    pairs = list(zip(found[:3], expected[:3], strict=True))
    return all(torch.allclose(a, b, rtol=1e-6, atol=1e-7) for a, b in pairs) and torch.equal(found.map, expected.map)


@pytest.fixture(scope="module")
def blank() -> Scene:
    return Scene.new("gate", small_settings("score.top_k=0.1"))


@given(SEEDS, AREAS, st.floats(0.01, 1), st.sampled_from(["add", "mul"]))
@settings(deadline=None)
def test_scores_within_an_area_are_their_formulas_over_its_pixels(
    blank: Scene, seed: int, area: torch.Tensor, top_k: float, aggregation: str
) -> None:
    score = blank.settings.score.model_copy(update={"top_k": top_k, "aggregation": aggregation})
    maps = some_maps(seed)
    found = blank.measure_maps(maps, score, area)
    where = area.numpy()
    q, likelihood = (-one[0].numpy().astype(float)[where] for one in (maps.surprise, maps.add))  # but for a constant
    mul, add = 1 - np.exp(q - q.max()), likelihood.max() - likelihood
    top = max(1, int(top_k * where.sum()))
    assert found.score.item() == pytest.approx(np.sort(mul)[-top:].mean(), rel=1e-5, abs=1e-6)
    assert found.surprise.item() == pytest.approx(np.sort(-q)[-top:].mean(), rel=1e-5)
    assert found.surprise_mean.item() == pytest.approx(-q.mean(), rel=1e-5)
    assert np.allclose(found.map[0].numpy()[where], add if aggregation == "add" else mul, rtol=1e-3, atol=1e-6)
    assert not found.map[0].numpy()[~where].any()
    assert found.map.dtype == torch.float16


@given(SEEDS, st.sampled_from(["add", "mul"]))
@settings(deadline=None)
def test_an_area_of_all_pixels_changes_nothing(blank: Scene, seed: int, aggregation: str) -> None:
    score = blank.settings.score.model_copy(update={"aggregation": aggregation})
    maps = some_maps(seed, count=3)
    assert same(blank.measure_maps(maps, score, torch.ones(SIZE, dtype=torch.bool)), blank.measure_maps(maps, score))


@given(SEEDS, AREAS, st.sampled_from([-1e6, 0.0, 1e6, np.inf, -np.inf, np.nan]), st.sampled_from(["add", "mul"]))
@settings(deadline=None)
def test_what_is_outside_the_area_does_not_matter(
    blank: Scene, seed: int, area: torch.Tensor, value: float, aggregation: str
) -> None:
    score = blank.settings.score.model_copy(update={"aggregation": aggregation})
    maps = some_maps(seed)
    changed = Maps(*(torch.where(area, one, value) for one in maps))
    for found, expected in zip(*(blank.measure_maps(m, score, area) for m in (changed, maps)), strict=True):
        assert torch.equal(found, expected)


@given(SEEDS, st.lists(AREAS, min_size=1, max_size=4))
@settings(deadline=None)
def test_every_image_of_a_batch_has_its_own_area(blank: Scene, seed: int, areas: list[torch.Tensor]) -> None:
    maps = some_maps(seed, len(areas))
    together = blank.measure_maps(maps, area=torch.stack(areas))
    for i, area in enumerate(areas):
        alone = blank.measure_maps(Maps(*(one[i : i + 1] for one in maps)), area=area)
        assert all(torch.equal(found[i : i + 1], expected) for found, expected in zip(together, alone, strict=True))
