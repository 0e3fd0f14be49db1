"""`info`, `scenes`, `demo`, and the command line itself."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from tests.pipelines.conftest import Workplace
from tests.support.command import Command
from tests.support.data import REPOSITORY
from tests.support.footage import small_flags

SLOW = Fraction(10)  # frames per second of a demo: to draw them takes most of the time


def test_info_names_versions_devices_and_codecs(command: Command) -> None:
    outcome = command("info")
    assert outcome.code == 0
    assert all(word in outcome.out for word in ("torch", "cpu", "h264", "libavcodec"))


def test_scenes_are_listed_and_shown(command: Command, workplace: Workplace) -> None:
    listed = command("scenes", "list", "--scenes", workplace.scenes)
    assert (listed.code, "gate" in listed.out, "test_resnet" in listed.out) == (0, True, True)
    shown = command("scenes", "show", "gate", "--scenes", workplace.scenes)
    assert all(word in shown.out for word in ("fit.learning_rate", "surprise_mean", "held-out", "weights sha256"))
    assert command("scenes", "show", "gatt", "--scenes", workplace.scenes).code == 2
    assert "fit VIDEO" in command("scenes", "list", "--scenes", workplace.folder / "none").out


def test_the_demo_goes_from_footage_to_auroc(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.demo.SIZE", (192, 128))
    monkeypatch.setattr("pipelines.demo.RATE", SLOW)
    arguments = ["demo", "--out", tmp_path / "demo", "--seconds", 5, "--device", "cpu", *small_flags("fit.passes=1")]
    outcome = command(*arguments)
    assert outcome.code == 0, outcome.err
    assert "random weights" in outcome.out
    assert "frame-level AUROC" in outcome.out
    assert json.loads((tmp_path / "demo" / "run" / "evaluation.json").read_text())["pooled"]["pixel"] is not None
    assert (tmp_path / "demo" / "run" / "today" / "overlay.mp4").exists()
    again = command(*arguments)
    assert (again.code, "--overwrite" in again.err) == (2, True)


def test_the_demo_as_it_comes_takes_the_weights_of_the_package(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.demo.RATE", SLOW)
    outcome = command("demo", "--out", tmp_path / "demo", "--seconds", 5, "--set", "fit.passes=1", "--device", "cpu")
    assert outcome.code == 0, outcome.err
    assert "random weights" not in outcome.out
    settings = json.loads((tmp_path / "demo" / "scenes" / "walkway" / "scene.json").read_text())["settings"]["model"]
    assert (settings["backbone"], settings["weights"]) == ("tf_efficientnet_lite0", "pretrained")


def test_help_is_quick_and_has_examples() -> None:
    code = "import sys, cli; sys.argv = ['msflow-stream', 'fit', '--help']; cli.main()"
    check = f"try:\n    {code}\nexcept SystemExit:\n    assert 'torch' not in sys.modules"
    result = subprocess.run(
        [sys.executable, "-c", "import sys\n" + check], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert result.returncode == 0, result.stderr
    assert "msflow-stream fit normal.mp4 --scene gate" in result.stdout


def test_a_checkout_runs_without_installation() -> None:
    result = subprocess.run(
        [sys.executable, "cli.py", "--version"], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert result.stdout.startswith("msflow-stream ")
