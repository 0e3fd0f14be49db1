"""`bench scorer`: the figures are there and agree with one another, and the ways that are compared give the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch

from msflow_stream.config.engines import ENGINES, HOME, EngineInfo, EnginePrecision
from msflow_stream.model.fused import FusedMeasures
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engines.base import Run, Samples
from msflow_stream.scoring.engines.torch_engine import TorchEngine
from msflow_stream.types import UserError
from pipelines.bench import variants as ways
from pipelines.bench.machine import COPY, Spent
from pipelines.bench.memory_cameras import random_scene
from pipelines.bench.peaks import Load, Peaks
from pipelines.bench.plain import operations
from pipelines.bench.scorer import ScorerJob, ScorerRow, bench_scorer, prepared_images
from tests.support.command import Command
from tests.support.footage import small_settings
from tests.support.recorder import SimulatedGpu

KEYS = [
    "engine",
    "precision",
    "batch",
    "ms_per_frame",
    "frames_per_s",
    "ratio",
    "max_score_difference",
    "peak_fraction",
]
TIMED = ("torch",)  # tests/scoring/engines compares the scores of the others
LOAD = Load(matrix=64, channels=8, side=8)


class Measured(NamedTuple):
    rows: list[ScorerRow]
    figures: dict[str, Any]
    printed: str


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene.new("small", small_settings())


@pytest.fixture(scope="module")
def measured(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    out, printed = tmp_path_factory.mktemp("figures") / "figures.json", StringIO()
    with redirect_stdout(printed):
        rows = bench_scorer(
            [scene], ScorerJob(batches=(1, 3), repeats=1, device="cpu", out=out, engines=TIMED, load=LOAD)
        )
    return Measured(rows, json.loads(out.read_text()), printed.getvalue())


def test_the_json_has_the_machine_and_a_row_for_every_way_and_batch(measured: Measured) -> None:
    rows, figures = measured.rows, measured.figures
    assert figures["machine"]["cores"] >= 1
    assert figures["machine"]["peak_gflops"]["float32"] > 0
    assert figures["machine"]["copy_gb_per_s"] > 0
    assert "tf32" not in figures["machine"]["peak_gflops"]  # a precision of GPUs
    assert len(figures["rows"]) == len(rows)
    assert all(set(KEYS) <= row.keys() for row in figures["rows"])
    for batch in (1, 3):
        engines = [row.engine for row in rows if row.batch == batch]
        assert {ways.PLAIN, ways.UNFUSED, "torch"} <= set(engines)


def test_ratios_and_shares_of_the_peak_follow_from_the_times(measured: Measured) -> None:
    rows = measured.rows
    plain = {row.batch: row for row in rows if row.engine == ways.PLAIN}
    for row in rows:
        assert row.frames_per_s == pytest.approx(1000 / row.ms_per_frame)
        assert row.ratio == pytest.approx(plain[row.batch].ms_per_frame / row.ms_per_frame)
        if row.precision == "float32":
            share = plain[row.batch].peak_fraction
            assert row.peak_fraction is not None
            assert share is not None
            assert row.peak_fraction == pytest.approx(row.ratio * share)
    assert all(row.ratio == 1 and row.max_score_difference == 0 for row in plain.values())


def test_ways_in_float32_give_the_plain_scores(measured: Measured) -> None:
    assert all(row.max_score_difference < 1e-4 for row in measured.rows if row.precision == "float32")


def test_the_table_can_be_pasted_and_says_what_is_not_in_it(measured: Measured) -> None:
    lines = [line for line in measured.printed.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(measured.rows)
    assert {line.count("|") for line in lines} == {9}
    assert measured.printed.startswith("**small at 64x96**")
    assert "decoding, resizing and normalising are not in it" in measured.printed


def test_the_difference_is_the_largest_of_any_image() -> None:
    def of(score: float, surprise: float) -> ways.Measured:
        values = torch.tensor([0.5, score]), torch.tensor([100.0, surprise]), torch.tensor([0.0, 0.0])
        return FusedMeasures(*values, torch.zeros(2, 1, 1))

    assert ways.largest_difference([of(0.5, 100)], [of(0.25, 100)]) == pytest.approx(0.25)
    assert ways.largest_difference([of(0.5, 110)], [of(0.5, 100)]) == pytest.approx(0.1)  # of a surprise of 100


def test_the_operations_are_those_of_the_plain_model() -> None:
    settings = small_settings("model.stages=[1]", "model.blocks=[1]", "model.fusion=false", "model.pool=none")
    one = Scene.new("one block", settings)
    two = Scene.new(
        "two blocks", settings.model_copy(update={"model": settings.model.model_copy(update={"blocks": (2,)})})
    )
    pixels, channels, condition = 16 * 24, one.pyramid.channels[0], 8
    inside = channels // 2 + condition
    block = 9 * inside * inside + 9 * inside * channels + channels * channels  # two convolutions and a permutation
    assert operations(two) - operations(one) == 2 * pixels * block


class Broken(TorchEngine):
    """An engine that fails, in bf16 with its first batch and in float32 when it is asked for."""

    def __init__(self, precision: EnginePrecision, *_: object) -> None:
        if precision == "float32":
            raise UserError("float32 is out of order today")
        super().__init__(precision)

    def compile(self, graph: torch.nn.Module, example: Sequence[torch.Tensor], samples: Samples) -> Run:
        run = super().compile(graph, example, samples)

        def fails(inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
            if len(inputs[0]) == 3:
                raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate\n2 GiB")
            return run(inputs)

        return fails


def test_an_engine_that_fails_is_a_row_with_its_error(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    info = replace(ENGINES["torch"], reference="broken:Broken", precisions=("float32", "bf16"))
    monkeypatch.setitem(ENGINES, "torch", info)
    monkeypatch.setitem(sys.modules, f"{HOME}.broken", SimpleNamespace(Broken=Broken))
    job = ScorerJob(batches=(2, 3), repeats=1, device="cpu", out=tmp_path / "f.json", engines=("torch",), load=LOAD)
    bench_scorer([scene], job)
    rows = {
        (row["engine"], row["precision"], row["batch"]): row
        for row in json.loads((tmp_path / "f.json").read_text())["rows"]
    }
    memory = "OutOfMemoryError: CUDA out of memory. Tried to allocate"
    assert rows["torch", "float32", 2]["error"] == "float32 is out of order today"
    assert rows["torch", "bf16", 3]["error"] == memory
    assert rows["torch", "bf16", 2]["error"] is None
    assert rows["torch", "bf16", 2]["ms_per_frame"] > 0
    assert rows["torch", "bf16", 3]["ms_per_frame"] is None
    printed = capsys.readouterr().out
    assert f"torch bf16, batches of 3: {memory}" in " ".join(printed.split())
    assert printed.count("failed") == 3


@pytest.mark.parametrize(("names", "expected"), [((), []), (("openvino",), ["openvino"] * 4)])
def test_an_engine_that_is_not_installed_is_a_row_where_it_was_named(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], expected: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(ways.Variants, "_engine", lambda self, name, precision: ENGINES["openvino"].make(precision))
    found = [one for one in ways.Variants(scene, []).all(names) if one.engine not in (ways.PLAIN, ways.UNFUSED)]
    assert [one.engine for one in found] == expected
    assert all("openvino is not installed" in str(one.error) for one in found)


def test_results_that_stay_on_the_device_are_the_same(scene: Scene) -> None:
    images = prepared_images(scene, 3)
    there, here = (list(ways.Variants(scene, [], transfers).all(["torch"])) for transfers in (False, True))
    found = {(one.engine, one.precision): one.measure(one.given(images)) for one in there}
    expected = {(one.engine, one.precision): one.measure(one.given(images)) for one in here}
    assert found.keys() == expected.keys() - {(ways.UNFUSED, "float32")}
    for key, one in found.items():
        assert ways.largest_difference([one], [expected[key]]) < 1e-6


def test_an_engine_that_records_gives_all_that_a_scene_takes_at_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = SimulatedGpu()
    monkeypatch.setattr(EngineInfo, "make", lambda self, precision: engine)
    images = prepared_images(scene, 3)
    plain, *_, recorded = (one for one in ways.Variants(scene, [], False).all(["torch"]))
    found, expected = (one.measure(one.given(images)) for one in (recorded, plain))
    assert ways.largest_difference([found], [expected]) < 1e-4
    assert (4, 3, 64, 96) in engine.record.recorded  # type: ignore[attr-defined]  # three images, filled up to four


def test_a_profile_names_what_takes_the_time(scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    job = ScorerJob(
        batches=(2,),
        repeats=1,
        device="cpu",
        out=tmp_path / "f.json",
        engines=TIMED,
        transfers=False,
        profiled=("plain:float32",),
        load=LOAD,
    )
    bench_scorer([scene], job)
    (found,) = json.loads((tmp_path / "f.json").read_text())["profiles"]
    assert (found["engine"], found["precision"], found["batch"]) == ("plain", "float32", 2)
    times = [one["milliseconds"] for one in found["kernels"]]
    assert times == sorted(times, reverse=True)
    assert 0.5 < sum(one["share"] for one in found["kernels"]) <= 1
    assert "aten::mkldnn_convolution" in {one["name"] for one in found["kernels"]}
    assert "small, plain float32, a batch of 2: where the time goes" in " ".join(capsys.readouterr().out.split())


def test_a_profile_of_what_there_is_not_is_said(scene: Scene) -> None:
    with pytest.raises(UserError, match=r"--profile 'steam:bf16' .*give it as torch:bf16"):
        bench_scorer([scene], ScorerJob(profiled=("steam:bf16",)))


def test_what_a_device_does_not_do_is_refused_before_anything_takes_time(scene: Scene) -> None:
    with pytest.raises(UserError, match="engine tensorrt does not score here: use --device cuda"):
        bench_scorer([scene], ScorerJob(device="cpu", engines=("tensorrt",)))
    with pytest.raises(UserError, match="--profile torch:tf32: tf32 is a precision of NVIDIA GPUs"):
        bench_scorer([scene], ScorerJob(device="cpu", profiled=("torch:tf32",)))


def test_peaks_are_of_work_done_several_times_and_of_bytes_both_ways() -> None:
    peaks = Peaks(torch.device("cpu"), Load(matrix=32, channels=8, side=8, copied_bytes=4000, times=3))
    peaks.add({key: [Spent(2.0, 0.0), Spent(0.5, 0.0)] for key in peaks.measurements})
    convolution, product = 2 * 4 * 8**2 * 8**2 * 9, 2 * 32**3
    assert peaks.speeds["float32"] == pytest.approx(3 * max(product, convolution) / 0.5)
    assert peaks.speeds[COPY] == pytest.approx(3 * 2 * 4000 / 0.5)
    assert "tf32" not in peaks.speeds
    before = torch.backends.cudnn.benchmark
    for measure in peaks.measurements.values():
        assert measure().wall > 0
    assert torch.backends.cudnn.benchmark == before


def test_an_engine_that_there_is_not_is_said(command: Command) -> None:
    outcome = command("bench", "scorer", "--backbone", "test_resnet", "--input-size", 64, "--engine", "steam")
    assert outcome.code == 2
    assert "'steam'" in outcome.err


def test_images_are_as_the_scene_prepares_them(scene: Scene) -> None:
    images = prepared_images(scene, 2)
    assert images.prepared.shape == (2, 3, 64, 96)
    assert not torch.equal(images.prepared[0], images.prepared[1])
    assert torch.equal(images.prepared[1], scene.prepare(images.frames[1]))


def test_bench_scorer_on_the_command_line(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Load, "of", lambda device: LOAD)
    Scene.new("fitted as this", small_settings()).save(tmp_path / "gate")
    arguments = ["--scene", "gate", "--scenes", tmp_path, "--batch", 2, "--repeats", 1, "--json", tmp_path / "f.json"]
    arguments += ["--engine", "torch"]
    outcome = command("bench", "scorer", *arguments)
    assert outcome.code == 0, outcome.err
    assert "gate at 64x96" not in outcome.out  # a saved scene keeps its own name
    assert "fitted as this at 64x96" in outcome.out
    assert {row["batch"] for row in json.loads((tmp_path / "f.json").read_text())["rows"]} == {2}


@pytest.mark.parametrize(
    ("setting", "option"), [("model.backbone=resnet34", "--backbone"), ("input.size=64", "--input")]
)
def test_what_an_option_says_is_not_set_otherwise(setting: str, option: str) -> None:
    with pytest.raises(UserError, match=f"set by {option}"):
        random_scene("test_resnet", (64, 96), [setting])
