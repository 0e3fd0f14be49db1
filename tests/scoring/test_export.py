"""Exported files: each scores in a process that has its own runtime and nothing of this program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.export import SUFFIXES, Target
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import Frame, UserError
from pipelines.convert import ExportJob, export
from tests.support.footage import small_settings

RUN = """
import sys
sys.modules["msflow_stream"] = sys.modules["timm"] = sys.modules["FrEIA"] = None
import numpy as np
NAMES = ("score", "surprise", "surprise_mean", "map")
def onnx(file, frames):
    import onnxruntime
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["frames"]
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, {"frames": frames})))
def openvino(file, frames):
    import openvino
    values = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(frames)
    return {name: values[name] for name in NAMES}
def torch(file, frames):
    import torch
    values = torch.export.load(file).module()(torch.from_numpy(frames))
    return {name: value.numpy() for name, value in zip(NAMES, values)}
run = globals()[sys.argv[1]]
for place in sys.argv[2:]:
    file, frames, out = place.split("|")
    np.savez(out, **run(file, np.load(frames)))
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene on the disk; its flow is as initialised."""
    folder = tmp_path_factory.mktemp("scenes") / "gate"
    Scene.new("gate", small_settings("score.kind=paper", "score.top_k=0.1")).save(folder)
    return folder


def pictures(count: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    smooth = np.linspace(0, 255, height)[:, None, None] * np.ones((1, width, 3))
    noise = np.random.default_rng(0).integers(0, 60, (count, height, width, 3))
    return np.clip(smooth[None] * 0.7 + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "sizes"), [("onnx", (None, (120, 200))), ("openvino", (None, (120, 200))), ("torch", ((120, 200),))]
)
def test_a_file_has_the_scores_of_the_scene(
    scene: Path, tmp_path: Path, kind: Target, sizes: tuple[tuple[int, int] | None, ...]
) -> None:
    loaded, shown, places = Scene.load(scene), {}, []
    for number, frame_size in enumerate(sizes):
        folder = tmp_path / str(number)
        folder.mkdir()
        file, frames, out = (folder / name for name in (f"gate{SUFFIXES[kind]}", "frames.npy", "found.npz"))
        export(scene, ExportJob(to=kind, out=file, frame_size=frame_size))
        shown[frame_size] = pictures(3, *(frame_size or loaded.settings.input.size))
        np.save(frames, shown[frame_size])
        places.append(f"{file}|{frames}|{out}")
    command = [sys.executable, "-c", RUN, kind, *places]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    for number, (frame_size, images) in enumerate(shown.items()):
        found = np.load(tmp_path / str(number) / "found.npz")
        expected = Scorer(loaded, "cpu").score([Frame("s", i, None, 0.0, None, one) for i, one in enumerate(images)])
        for name in ("score", "surprise", "surprise_mean"):
            # A pixel that is rounded to another grey level moves a score a little.
            near = pytest.approx([getattr(one, name) for one in expected], rel=1e-3 if frame_size else 1e-4)
            assert found[name] == near
        assert found["map"].shape == (3, *loaded.settings.input.size)
        assert np.allclose(found["map"], [one.map for one in expected], atol=2e-2 if frame_size else 2e-3)


def test_a_file_s_ending_says_what_it_is(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gate\.bin should end in \.onnx"):
        export(scene, ExportJob(to="onnx", out=tmp_path / "gate.bin"))


def test_a_file_is_not_replaced_unless_told_to(scene: Path, tmp_path: Path) -> None:
    file = tmp_path / "gate.onnx"
    file.write_text("mine")
    with pytest.raises(UserError, match=r"exists already: choose another name or give --overwrite"):
        export(scene, ExportJob(to="onnx", out=file))
    assert file.read_text() == "mine"
    export(scene, ExportJob(to="onnx", out=file, overwrite=True))
    assert file.stat().st_size > 1000


@pytest.mark.parametrize(("kind", "package"), [("onnx", "onnx"), ("openvino", "onnx"), ("openvino", "openvino")])
def test_a_package_that_is_not_installed_is_one_line(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Target, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"{package} is not installed: pip install 'msflow-stream\[{package}\]'"):
        export(scene, ExportJob(to=kind, out=tmp_path / f"gate{SUFFIXES[kind]}"))
    assert not list(tmp_path.iterdir())


def test_sizes_that_do_not_divide_are_pooled_exactly(tmp_path: Path) -> None:
    """The fusion flow pools 15 x 20 features to 8 x 10 at this size, which ONNX has no operator for."""
    folder = tmp_path / "odd"
    Scene.new("odd", small_settings("score.kind=paper", "input.size=[120,168]")).save(folder)
    export(folder, ExportJob(to="onnx", out=tmp_path / "odd.onnx"))
    import onnxruntime

    images = pictures(2, 120, 168)
    session = onnxruntime.InferenceSession(tmp_path / "odd.onnx", providers=["CPUExecutionProvider"])
    score, surprise, *_ = session.run(None, {"frames": images})
    expected = Scorer(Scene.load(folder), "cpu").score(
        [Frame("s", i, None, 0.0, None, x) for i, x in enumerate(images)]
    )
    assert score == pytest.approx([one.score for one in expected], rel=1e-4)
    assert surprise == pytest.approx([one.surprise for one in expected], rel=1e-4)
