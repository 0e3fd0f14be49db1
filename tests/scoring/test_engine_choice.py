"""Choosing an engine: the fastest that leaves scores as they are, tried once per machine."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from msflow_stream.config.engines import ENGINES, EngineName
from msflow_stream.config.settings import EngineSettings, Settings
from msflow_stream.scenes.scene import Measures, Scene
from msflow_stream.scoring import engine_choice as choosing
from msflow_stream.scoring import engine_trial as trial
from msflow_stream.scoring.engine_choice import EngineChooser
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.engine_trial import BOUND, EngineTiming, TrialFile, TrialResult, error_of, trial_images
from msflow_stream.scoring.engines import openvino_engine
from msflow_stream.scoring.engines.base import Engine, Run, Samples
from msflow_stream.scoring.engines.torch_engine import TorchEngine
from msflow_stream.scoring.inference import PlainInference, SceneBatch
from msflow_stream.types import UserError
from tests.support.footage import small_settings


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene.new("gate", small_settings())


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0.0)


def test_the_fastest_within_the_bound_is_chosen() -> None:
    found = {
        "torch float32": EngineTiming(9, 0),
        "openvino float32": EngineTiming(4, BOUND / 2),
        "openvino bf16": EngineTiming(2, 2 * BOUND),
    }
    assert TrialResult(found).fastest(BOUND) == "openvino float32"
    assert TrialResult(found).fastest(float("inf")) == "openvino bf16"
    assert str(TrialResult(found)).endswith("openvino bf16 2.0 ms per frame (scores differ); chosen: openvino float32")


def test_an_engine_that_moves_scores_is_not_chosen_however_fast(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Wrong(TorchEngine):
        name: EngineName = "openvino"

        def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
            run = super().compile(graph, example, samples)
            known = [0 * one for one in run(example)]
            return lambda inputs: [one[:1].expand(len(inputs[0]), *one.shape[1:]) for one in known]

    monkeypatch.setattr(openvino_engine, "OpenVinoEngine", Wrong)
    chosen = EngineChooser(EngineSettings(), tmp_path)(scene)
    assert (chosen.name, chosen.precision) != ("openvino", "float32")
    ((_, verdict),) = TrialFile(tmp_path / "engines.json").all()
    assert verdict.found["openvino float32"].error > BOUND
    assert verdict.found["torch float32"].error < 1e-4


def test_a_machine_is_tried_once_and_says_so_in_one_line(
    scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = EngineChooser(EngineSettings(), tmp_path)(scene)
    said = [record.getMessage() for record in caplog.records if "engines tried" in record.getMessage()]
    assert len(said) == 1
    assert said[0].endswith(f"chosen: {first}")
    caplog.clear()
    assert str(EngineChooser(EngineSettings(), tmp_path)(scene)) == str(first)
    assert not caplog.records


def test_other_networks_are_tried_anew(scene: Scene, tmp_path: Path) -> None:
    file = TrialFile(tmp_path / "engines.json")
    for settings in ((), ("fit.seed=3",), ("input.size=[96,96]",)):
        EngineChooser(EngineSettings(), tmp_path)(Scene.new("other", small_settings(*settings)))
    assert sorted(tuple(facts["size"]) for facts, _ in file.all()) == [(64, 96), (96, 96)]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}', '{"x": {"found": {"torch float32": 3}}}'])
def test_a_damaged_file_is_as_none(scene: Scene, tmp_path: Path, content: str) -> None:
    (tmp_path / "engines.json").write_text(content)
    assert TrialFile(tmp_path / "engines.json").all() == []
    EngineChooser(EngineSettings(), tmp_path)(scene)
    assert len(TrialFile(tmp_path / "engines.json").all()) == 1
    json.loads((tmp_path / "engines.json").read_text())


def test_a_folder_that_cannot_be_written_costs_the_memory_only(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    trials = []
    run = choosing.run_trial
    monkeypatch.setattr(choosing, "run_trial", lambda *given: trials.append(given) or run(*given))
    chooser = EngineChooser(EngineSettings(), tmp_path / "file" / "cache")
    assert chooser(scene) is chooser(scene)
    assert len(trials) == 1


def test_what_a_person_names_is_not_tried(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "run_trial", None)
    for name, precision, expected in [
        ("torch", "auto", "torch float32"),
        ("openvino", "auto", "openvino float32"),
        ("torch", "bf16", "torch bf16"),
        ("auto", "int8", "openvino int8"),
        ("compile", "float32", "compile float32"),
    ]:
        assert str(EngineChooser(EngineSettings(name=name, precision=precision), tmp_path)(scene)) == expected


@pytest.mark.parametrize(
    ("processor", "missing", "expected"),
    [
        ("model without", [], ["torch float32", "openvino float32"]),
        ("model amx_bf16", [], ["torch float32", "openvino float32", "openvino bf16"]),
        ("model without", ["openvino"], ["torch float32", "onnxruntime float32"]),
    ],
)
def test_what_came_second_wherever_it_was_measured_is_not_tried(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, processor: str, missing: list[str], expected: list[str]
) -> None:
    tried: list[str] = []

    def note(engines: Sequence[Engine], scene: Scene) -> TrialResult:
        tried.extend(map(str, engines))
        return TrialResult({str(engine): EngineTiming(1, 0) for engine in engines})

    monkeypatch.setattr(choosing, "run_trial", note)
    monkeypatch.setattr(choosing, "processor", lambda: processor)
    for package in missing:
        monkeypatch.setitem(sys.modules, package, None)
    EngineChooser(EngineSettings())(scene)
    assert tried == expected


def test_with_nothing_else_installed_there_is_no_trial(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "run_trial", None)
    for package in ("openvino", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)
    assert str(EngineChooser(EngineSettings())(scene)) == "torch float32"
    assert str(EngineChooser(EngineSettings(precision="bf16"))(scene)) == "torch bf16"


class OnGpu(NamedTuple):
    """What a chooser asks of a scene on a GPU."""

    settings: Settings
    device: torch.device = torch.device("cuda:1")


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card of {device}")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    return OnGpu(small_settings())  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({}, "torch bf16"),
        ({"bf16": 2 * BOUND}, "torch fp16"),
        ({"bf16": 2 * BOUND, "fp16": 2 * BOUND}, "torch tf32"),
        ({"bf16": 2 * BOUND, "fp16": 2 * BOUND, "tf32": 2 * BOUND}, "torch float32"),
    ],
)
def test_on_a_gpu_the_fastest_precision_that_leaves_scores_is_chosen(
    on_gpu: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, errors: dict[str, float], expected: str
) -> None:
    times = {"float32": 9.0, "tf32": 5.0, "bf16": 1.0, "fp16": 2.0}

    def run(engines: Sequence[Engine], scene: Scene) -> TrialResult:
        assert [engine.streams for engine in engines] == [1] * len(engines)  # a GPU computes one thing at a time
        return TrialResult(
            {str(one): EngineTiming(times[one.precision], errors.get(one.precision, 0)) for one in engines}
        )

    monkeypatch.setattr(choosing, "run_trial", run)
    assert str(EngineChooser(EngineSettings(), tmp_path)(on_gpu)) == expected
    ((facts, _),) = TrialFile(tmp_path / "engines.json").all()
    assert facts["device"].startswith("card of cuda:1, CUDA ")


@pytest.mark.parametrize(
    ("name", "capability", "expected"),
    [
        ("auto", (9, 0), ["torch float32", "torch tf32", "torch bf16", "torch fp16"]),
        ("auto", (7, 5), ["torch float32", "torch fp16"]),
        ("compile", (9, 0), ["compile float32", "compile bf16", "compile fp16"]),
    ],
)
def test_on_a_gpu_precisions_that_it_has_are_tried(
    on_gpu: Scene, monkeypatch: pytest.MonkeyPatch, name: EngineName, capability: tuple[int, int], expected: list[str]
) -> None:
    tried: list[str] = []

    def note(engines: Sequence[Engine], scene: Scene) -> TrialResult:
        tried.extend(map(str, engines))
        return TrialResult({str(engine): EngineTiming(1, 0) for engine in engines})

    monkeypatch.setattr(choosing, "run_trial", note)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    EngineChooser(EngineSettings(name=name))(on_gpu)
    assert tried == expected


def test_on_a_gpu_a_precision_that_a_person_names_is_theirs(on_gpu: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "run_trial", None)
    assert str(EngineChooser(EngineSettings(precision="tf32"))(on_gpu)) == "torch tf32"
    with pytest.raises(UserError, match="openvino scores on the CPU"):
        EngineChooser(EngineSettings(name="openvino"))(on_gpu)
    with pytest.raises(UserError, match="torch has no int8"):
        EngineChooser(EngineSettings(precision="int8"))(on_gpu)


def test_tf32_needs_a_gpu(scene: Scene) -> None:
    inference = EngineInference(EngineChooser(EngineSettings(name="torch", precision="tf32")))
    with pytest.raises(UserError, match="tf32 is a precision of NVIDIA GPUs"):
        inference.prepare(scene)


def test_int8_is_never_chosen_by_itself() -> None:
    assert all("int8" not in (*one.tried, *one.tried_on_gpu) for one in ENGINES.values())


def test_the_error_is_a_fraction_of_the_spread_of_normal_scores(scene: Scene) -> None:
    images, plain = trial_images(scene), PlainInference()
    measures = plain.measures([SceneBatch(scene, plain.features(scene, images), scene.settings.score)])[0]
    moved = Measures(measures.score, measures.surprise + 0.5, measures.surprise_mean, measures.map)
    spread = float(measures.surprise.max() - measures.surprise.min())
    assert error_of(moved, measures, scene) == pytest.approx(0.5 / spread, rel=1e-4)
    assert error_of(measures, measures, scene) == 0
    assert torch.isfinite(images).all()
