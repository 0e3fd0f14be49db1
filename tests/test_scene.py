"""Scenes: preparation of pixels, saving, loading, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from msflow_stream.config import InputSettings
from msflow_stream.scene import Scene, list_scenes, prepare
from msflow_stream.training import fit_scene
from msflow_stream.types import UserError
from tests.support.footage import frames, small_settings


@pytest.fixture(scope="module")
def fitted() -> Scene:
    return fit_scene("gate", [frames(20)], small_settings())


def test_preparation_resizes_straight_and_normalises() -> None:
    image = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    x = prepare(image, InputSettings(size=(32, 40)))
    resized = np.asarray(Image.fromarray(image).resize((40, 32), Image.Resampling.LANCZOS)) / 255
    expected = (resized - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert np.allclose(x.permute(1, 2, 0), expected, atol=1e-5)


@pytest.mark.parametrize("resize", ["lanczos", "area", "bilinear"])
def test_a_constant_picture_stays_constant_whatever_the_resizing(resize: str) -> None:
    settings = InputSettings(size=(37, 64), resize=resize)  # type: ignore[arg-type]
    x = prepare(np.full((90, 31, 3), 128, np.uint8), settings)
    assert x.shape == (3, 37, 64)
    assert float(x.std((1, 2)).max()) < 1e-6


def test_a_loaded_scene_gives_the_same_numbers(fitted: Scene, tmp_path: Path) -> None:
    fitted.save(tmp_path / "gate")
    loaded = Scene.load(tmp_path / "gate")
    images = torch.stack([fitted.prepare(frame.image) for frame in frames(3)])
    for found, expected in zip(loaded.measure(images), fitted.measure(images), strict=True):
        assert torch.equal(found, expected)
    assert loaded.settings == fitted.settings
    assert loaded.calibration == fitted.calibration


def test_a_scene_needs_its_weights_file_no_more(tmp_path: Path) -> None:
    weights = tmp_path / "resnet18.pth"
    import timm

    torch.save(timm.create_model("resnet18").state_dict(), weights)
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
