"""`bench` on the command line: the figures are there, and the ways compute the same."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from msflow_stream.config.loading import load
from msflow_stream.scenes.scene import Scene
from pipelines.bench import fit as bench
from tests.support.command import Command

SMALL = (
    "model.stages=[1,2]",
    "model.blocks=[1,1]",
    "model.condition_channels=8",
    "fit.batch=2",
    "fit.learning_rate=1e-3",
)


def test_bench_fit_prints_and_saves_four_ways(command: Command, tmp_path: Path) -> None:
    flags = [part for setting in SMALL for part in ("--set", setting)]
    arguments = ["--backbone", "test_resnet", "--input-size", "64x96", "--frames", 2, "--repeats", 1]
    outcome = command("bench", "fit", *arguments, *flags, "--out", tmp_path / "figures.json")
    assert outcome.code == 0, outcome.err
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [result["way"] for result in figures["results"]] == list(bench.WAYS)
    assert figures["results"][0]["times_as_fast"] == 1
    assert all(result["seconds"] > 0 and result["way"] in outcome.out for result in figures["results"])


def test_the_ways_that_are_compared_do_the_same_work() -> None:
    settings = load(None, ["model.backbone=test_resnet", "model.weights=random", "input.size=[64,96]", *SMALL])
    images = bench._images(settings, 2)  # one batch: its order does not matter much
    plain, recomputed = Scene.new("plain", settings), Scene.new("recomputed", settings)
    before = {name: value.clone() for name, value in plain.flow.state_dict().items()}
    bench._plain_pass(plain, images)()
    bench._recomputed_pass(recomputed, images)()
    found, expected = recomputed.flow.state_dict(), plain.flow.state_dict()
    changed = [name for name in before if not torch.equal(expected[name], before[name])]
    assert len(changed) > 10
    assert all(torch.allclose(found[name], expected[name], atol=1e-4) for name in before)
    assert all(parameter.grad is not None for parameter in list(plain.pyramid.parameters())[:3])  # as in the release
    assert all(parameter.grad is None for parameter in recomputed.pyramid.parameters())


def test_bench_fit_memory_prints_peaks(command: Command, in_process: None) -> None:
    arguments = ["bench", "memory", "--backbone", "test_resnet", "--input-size", "64x96", "--frames", 10]
    outcome = command(*arguments, *(part for setting in SMALL for part in ("--set", setting)))
    assert outcome.code == 0, outcome.err
    assert "peak (MiB)" in outcome.out
    assert "the rest on disk" in outcome.out
