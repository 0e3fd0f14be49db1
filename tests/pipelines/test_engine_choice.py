"""Engines on the command line: the same scores from each, and what `info` says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from msflow_stream.results.score_files import read_scores
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring import engine_trial as trial
from tests.pipelines.conftest import Workplace
from tests.support.command import Command


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where trials are kept; each is over after one round."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(trial, "SECONDS", 0.0)
    return tmp_path / "cache" / "msflow-stream"


def score(command: Command, place: Workplace, out: Path, *options: str) -> list[float]:
    clip = str(place.clips / "first.mp4")
    given = ["--scene", "gate", "--scenes", str(place.scenes), "--out", str(out), "--no-overlay", "--device", "cpu"]
    outcome = command("score", clip, *given, *options)
    assert outcome.code == 0, outcome.err
    return [value for row in read_scores(out / "first") for value in (row.score, row.surprise, row.surprise_mean)]


def test_every_engine_gives_the_same_scores(
    command: Command, workplace: Workplace, tmp_path: Path, cache: Path
) -> None:
    expected = score(command, workplace, tmp_path / "torch", "--engine", "torch")
    for name in ("openvino", "onnxruntime", "auto"):
        found = score(command, workplace, tmp_path / name, "--engine", name, "--precision", "float32")
        assert found == pytest.approx(expected, rel=1e-4)


def test_info_says_what_is_installed_and_what_auto_takes_here(
    command: Command, workplace: Workplace, tmp_path: Path, cache: Path
) -> None:
    assert "trials of engines" not in command("info").out
    score(command, workplace, tmp_path / "auto", "--engine", "auto", "--precision", "auto")
    said = command("info").out
    assert "trials of engines" in said
    backbone = Scene.load(workplace.scenes / "gate").settings.model.backbone
    assert backbone in said
    assert "openvino float32" in " ".join(said.split())


def test_int8_learns_from_normal_footage_once(
    command: Command, workplace: Workplace, tmp_path: Path, cache: Path
) -> None:
    normal = str(workplace.folder / "normal.mp4")
    first = score(
        command, workplace, tmp_path / "first", "--precision", "int8", "--engine", "auto", "--calibration", normal
    )
    again = score(command, workplace, tmp_path / "again", "--precision", "int8", "--engine", "auto")
    assert again == first
    plain = score(command, workplace, tmp_path / "plain", "--engine", "torch", "--precision", "float32")
    assert first == pytest.approx(plain, rel=0.25)


def test_export_is_a_command(command: Command, workplace: Workplace, tmp_path: Path) -> None:
    given = ["gate", "--scenes", str(workplace.scenes), "--to", "onnx", "--out", str(tmp_path / "gate.onnx")]
    outcome = command("export", *given, "--frame-size", "120x160")
    assert outcome.code == 0, outcome.err
    assert "frames: uint8 B x 120 x 160 x 3, RGB" in outcome.out
    assert (tmp_path / "gate.onnx").stat().st_size > 1000
    assert command("export", *given).code == 2
