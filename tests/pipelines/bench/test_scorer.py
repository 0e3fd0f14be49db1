"""`bench scorer`: the figures are there and agree with one another, and the ways that are compared give the same."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from msflow_stream.model.fused import FusedMeasures
from msflow_stream.scenes.scene import Scene
from msflow_stream.types import UserError
from pipelines.bench import variants as ways
from pipelines.bench.machine import Load
from pipelines.bench.memory_cameras import random_scene
from pipelines.bench.scorer import ScorerJob, ScorerRow, bench_scorer, prepared_images
from tests.support.command import Command
from tests.support.footage import small_settings

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
ENGINES = ("torch",)  # tests/scoring/engines compares the scores of the others
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
            [scene], ScorerJob(batches=(1, 3), repeats=1, device="cpu", out=out, engines=ENGINES, load=LOAD)
        )
    return Measured(rows, json.loads(out.read_text()), printed.getvalue())


def test_the_json_has_the_machine_and_a_row_for_every_way_and_batch(measured: Measured) -> None:
    rows, figures = measured.rows, measured.figures
    assert figures["machine"]["cores"] >= 1
    assert figures["machine"]["peak_gflops"]["float32"] > 0
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
    assert ways.operations(two) - ways.operations(one) == 2 * pixels * block


def test_an_engine_that_there_is_not_is_said(command: Command) -> None:
    outcome = command("bench", "scorer", "--backbone", "test_resnet", "--input-size", 64, "--engine", "steam")
    assert outcome.code == 2
    assert "'steam'" in outcome.err


def test_images_are_as_the_scene_prepares_them(scene: Scene) -> None:
    images = prepared_images(scene, 2)
    assert images.shape == (2, 3, 64, 96)
    assert not torch.equal(images[0], images[1])


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
