"""`fit` on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msflow_stream.scene import Scene
from tests.pipelines.conftest import Workplace
from tests.support.command import Command
from tests.support.data import REPOSITORY
from tests.support.footage import frames, small_flags


def test_a_fit_saves_a_scene_that_says_where_it_comes_from(
    command: Command, workplace: Workplace, tmp_path: Path
) -> None:
    outcome = command("fit", workplace.clips, "--scene", "gate", "--scenes", tmp_path, *small_flags("fit.seed=7"))
    assert outcome.code == 0, outcome.err
    record = json.loads((tmp_path / "gate" / "scene.json").read_text())
    assert record["fit"]["sources"] == {"first": 15, "second": 15}
    assert (record["fit"]["frames"], record["fit"]["held_out_frames"], record["fit"]["passes"]) == (28, 2, 2)
    assert record["settings"]["fit"]["seed"] == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gate"]


def test_a_folder_of_images_is_footage_too(command: Command, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number, frame in enumerate(frames(12, every=1)):
        Image.fromarray(frame.image).save(tmp_path / "pictures" / f"{number}.png")
    flags = small_flags("score.every=1")
    outcome = command("fit", tmp_path / "pictures", "--scene", "stills", "--scenes", tmp_path / "scenes", *flags)
    assert outcome.code == 0, outcome.err
    assert Scene.load(tmp_path / "scenes" / "stills").record["sources"] == {"pictures": 12}


def test_settings_come_from_a_file_and_are_overridden(command: Command, workplace: Workplace, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("fit: {passes: 3, seed: 5}\n")
    flags = small_flags()
    normal = workplace.folder / "normal.mp4"
    outcome = command("fit", normal, "--scene", "gate", "--scenes", tmp_path, "--config", file, *flags)
    assert outcome.code == 0, outcome.err
    fit = Scene.load(tmp_path / "gate").settings.fit
    assert (fit.passes, fit.seed) == (2, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.mp4", "--scene", "gate"], "missing.mp4"),
        (["NORMAL", "--scene", "gate"], "exists already"),
        (["NORMAL", "--scene", "../gate"], "cannot be a scene's name"),
        (["NORMAL", "--scene", "new", "--set", "fit.pases=3"], "did you mean 'fit.passes'?"),
        (["NORMAL", "--scene", "new", "--set", "model.weights=nowhere.pth"], "no weights at nowhere.pth"),
        (["NORMAL", "--scene", "new", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["NORMAL", "--scene", "new", "--device", "cuda:99"], "no device 'cuda:99'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, command: Command, workplace: Workplace
) -> None:
    normal = str(workplace.folder / "normal.mp4")
    before = sorted(workplace.scenes.rglob("*"))
    given = [normal if argument == "NORMAL" else argument for argument in arguments]
    # the settings given last win
    outcome = command("fit", *small_flags(), "--scenes", workplace.scenes, *given)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err
    assert sorted(workplace.scenes.rglob("*")) == before


def test_ctrl_c_keeps_the_complete_passes(workplace: Workplace, tmp_path: Path) -> None:
    flags = [*small_flags("fit.passes=100000"), "--scenes", str(tmp_path), "--scene", "gate"]
    arguments = [sys.executable, "cli.py", "fit", str(workplace.folder / "normal.mp4"), *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        arguments, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stderr is not None
    while "pass 2/" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "of 100000 passes are complete" in out
    record = Scene.load(tmp_path / "gate").record
    assert 2 <= record["passes"] == len(record["loss"]) < 100000


def test_a_fit_with_damaged_footage_goes_on(command: Command, workplace: Workplace, tmp_path: Path) -> None:
    from tests.support.videos import overwrite_packets, write_video

    video = write_video(tmp_path / "damaged.avi", 60, codec="mjpeg", pix_fmt="yuvj420p")
    overwrite_packets(video, [20])
    outcome = command("fit", video, "--scene", "gate", "--scenes", tmp_path / "scenes", *small_flags())
    assert outcome.code == 0, outcome.err
    assert np.isfinite(Scene.load(tmp_path / "scenes" / "gate").record["loss"]).all()
