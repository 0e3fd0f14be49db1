"""`fit` on the command line."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pytest
import torch
from PIL import Image

from msflow_stream.config.settings import EngineSettings
from msflow_stream.scenes.feature_cache import FeatureCache
from msflow_stream.scenes.features import extract
from msflow_stream.scenes.folder import list_scenes
from msflow_stream.scenes.losses import Pass
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.training import FlowFit
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.engines.torch_engine import TorchEngine
from msflow_stream.scoring.inference import Inference, PlainInference
from msflow_stream.scoring.scorer import Scorer
from pipelines.fit import PLAIN, _by_engine
from tests.pipelines.conftest import Workplace
from tests.support.command import Command
from tests.support.footage import frames, small_flags, small_settings
from tests.support.prepared import prepared


def test_a_fit_saves_a_scene_that_says_where_it_comes_from(
    command: Command, workplace: Workplace, tmp_path: Path
) -> None:
    outcome = command("fit", workplace.clips, "--scene", "gate", "--scenes", tmp_path, *small_flags("fit.seed=7"))
    assert outcome.code == 0, outcome.err
    record = json.loads((tmp_path / "gate" / "scene.json").read_text())
    assert record["fit"]["sources"] == {"first": 15, "second": 15}
    assert (record["fit"]["frames"], record["fit"]["held_out_frames"], record["fit"]["passes"]) == (28, 2, 2)
    assert record["settings"]["fit"]["seed"] == 7
    assert record["fit"]["engine"] == "torch float32"
    assert {path.name for path in tmp_path.iterdir()} == {"gate", ".gate.teach"}


@pytest.mark.parametrize(("given", "niceness"), [([], 10), (["--nice", 0], 0), (["--nice", 19], 19)])
def test_others_on_the_machine_go_first_as_far_as_a_person_says(
    command: Command, monkeypatch: pytest.MonkeyPatch, given: list[object], niceness: int
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("pipelines.commands.fit.stand_back", asked.append)
    command("fit", *given)  # of nothing
    assert asked == [niceness]


@pytest.mark.parametrize(
    ("engine", "name", "inference"),
    [
        (EngineSettings(name="torch", precision="bf16"), "torch bf16", EngineInference(lambda _: TorchEngine("bf16"))),
        (EngineSettings(name="tensorrt"), PLAIN, PlainInference()),  # needs a GPU
    ],
)
def test_normal_frames_are_measured_by_the_engine_that_scores_if_it_can_be_had(
    engine: EngineSettings, name: str, inference: Inference, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene.new("gate", small_settings())
    *_, footage = extract(scene, [frames(12)], FeatureCache(), 0.5)
    normal, found = _by_engine(scene, footage, engine)
    measures = Scorer(scene, "cpu", inference=inference).measure(footage.cache.batch(footage.held_out))
    assert found == name
    assert [one.scores.surprise for one in normal.scores] == pytest.approx(measures.surprise.tolist(), rel=1e-6)
    assert scene.calibration is not None
    assert scene.calibration.frames == 6
    assert ("needs an NVIDIA GPU" in caplog.text) == (name == PLAIN)


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["NORMAL"], "give sources and --scene NAME"),
        (["--scene", "new"], "give sources and --scene NAME"),
        (["NORMAL", "--scene", "new", "--resume", "--overwrite"], "give one of them"),
        (["NORMAL", "--scenes-from", "FOLDER"], "give no others"),
        (["--scenes-from", "nowhere"], "no folder nowhere"),
    ],
)
def test_options_that_contradict_are_refused(
    arguments: list[str], message: str, command: Command, workplace: Workplace
) -> None:
    given = {"NORMAL": str(workplace.folder / "normal.mp4"), "FOLDER": str(workplace.clips)}
    outcome = command("fit", *(given.get(argument, argument) for argument in arguments))
    assert outcome.code == 2
    assert message in outcome.err


PASSES = 5  # of fits that something happens to


def signal_in_third_pass(number: int) -> None:
    """Has every fit of this process get a signal in the middle of its third pass."""
    run = FlowFit.run

    def interrupted(self: FlowFit, on_batch: Callable[[int], None]) -> Iterator[Pass]:
        def batch(frames: int) -> None:
            on_batch(frames)
            if len(self.passes) == 2:
                signal.raise_signal(number)

        return run(self, batch)

    FlowFit.run = interrupted  # type: ignore[method-assign]


def fit_until(number: int, workplace: Workplace, scenes: Path) -> subprocess.CompletedProcess[str]:
    """A fit in a process of its own, which gets a signal in its third pass."""
    code = f"from tests.pipelines.test_fit import signal_in_third_pass\nsignal_in_third_pass({int(number)})"
    arguments = ["fit", str(workplace.folder / "normal.mp4"), *small_flags(f"fit.passes={PASSES}")]
    arguments += ["--scenes", str(scenes), "--scene", "gate"]
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        code_of_end = prepared().begin(arguments, out, err, before=code).wait(240)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code_of_end, out.read(), err.read())


@pytest.fixture(scope="module")
def killed(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes among which is what a killed fit left; to be copied."""
    scenes = tmp_path_factory.mktemp("killed")
    done = fit_until(signal.SIGKILL, workplace, scenes)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "pass 2/" in done.stderr
    assert not (scenes / "gate").exists()
    return scenes


@pytest.fixture
def left(killed: Path, tmp_path: Path) -> Path:
    """Its own copy for each test."""
    return shutil.copytree(killed, tmp_path / "left")


def test_ctrl_c_keeps_the_complete_passes_and_resume_goes_on(
    command: Command, workplace: Workplace, tmp_path: Path
) -> None:
    arguments = ["fit", workplace.folder / "normal.mp4", "--scene", "gate", "--scenes", tmp_path]
    flags = small_flags(f"fit.passes={PASSES}")
    done = fit_until(signal.SIGINT, workplace, tmp_path)
    assert done.returncode == 130, done.stderr
    assert "--resume goes on" in done.stderr
    assert f"2 of {PASSES} passes are complete" in done.stdout
    stopped = Scene.load(tmp_path / "gate").record
    assert 2 == stopped["passes"] == len(stopped["loss"])

    outcome = command(*arguments, *flags)
    assert outcome.code == 2
    assert "go on with --resume, or start again with --overwrite" in outcome.err
    outcome = command(*arguments, *flags, "--resume")
    assert outcome.code == 0, outcome.err
    assert "going on after pass 2" in outcome.out
    resumed = Scene.load(tmp_path / "gate").record
    assert resumed["passes"] == PASSES
    assert resumed["loss"][:2] == stopped["loss"]
    assert {path.name for path in tmp_path.iterdir()} == {"gate", ".gate.teach"}
    assert "complete already" in command(*arguments, *flags, "--resume").out


def test_a_killed_fit_that_is_resumed_ends_as_an_uninterrupted_one(
    command: Command, workplace: Workplace, left: Path, tmp_path: Path
) -> None:
    hashes = []
    for folder, flags in ((left, ["--resume"]), (tmp_path / "whole", [])):
        arguments = ["fit", workplace.folder / "normal.mp4", "--scene", "gate", "--scenes", folder]
        outcome = command(*arguments, *small_flags(f"fit.passes={PASSES}"), *flags)
        assert outcome.code == 0, outcome.err
        hashes.append(json.loads((folder / "gate" / "scene.json").read_text())["weights_sha256"])
        assert hashes[-1] in outcome.out.replace("\n", "")
    assert hashes[0] == hashes[1]


def test_a_fit_leaves_its_losses_as_a_table_and_as_a_picture(workplace: Workplace) -> None:
    folder = workplace.scenes / "gate"
    with (folder / "loss.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    record = Scene.load(folder).record
    assert [int(row["pass"]) for row in rows] == list(range(1, 7))
    assert [float(row["loss"]) for row in rows] == pytest.approx(record["loss"], abs=1e-6)
    assert [float(row["held_out_loss"]) for row in rows] == pytest.approx(record["held_out_loss"], abs=1e-6)
    with Image.open(folder / "loss.png") as picture:
        assert picture.format == "PNG"


def test_losses_go_to_tensorboard(command: Command, workplace: Workplace, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    arguments = ["fit", workplace.folder / "normal.mp4", "--scene", "gate", "--scenes", tmp_path / "scenes"]
    outcome = command(*arguments, *small_flags("fit.passes=3"), "--tensorboard", tmp_path / "logs")
    assert outcome.code == 0, outcome.err
    events = EventAccumulator(str(tmp_path / "logs" / "gate"))
    events.Reload()
    record = Scene.load(tmp_path / "scenes" / "gate").record
    assert [event.step for event in events.Scalars("loss/fitted")] == [1, 2, 3]
    assert [event.value for event in events.Scalars("loss/fitted")] == pytest.approx(record["loss"], abs=1e-5)
    assert len(events.Scalars("learning rate")) == 3


def test_many_scenes_in_one_call_finish_what_they_can(command: Command, workplace: Workplace, tmp_path: Path) -> None:
    footage, scenes = tmp_path / "footage", tmp_path / "scenes"
    (footage / "back_door").mkdir(parents=True)
    video = workplace.clips / "first.mp4"
    for name in ("01_001.mp4", "01_002.mp4", "back_door/morning.mp4"):
        shutil.copy(video, footage / name)
    (footage / "02_001.mp4").write_text("no video")
    (footage / "README.txt").write_text("what this is")
    arguments = ["fit", "--scenes-from", footage, "--scenes", scenes, *small_flags("fit.passes=1")]
    outcome = command(*arguments)
    assert outcome.code == 2
    assert "1 of 3 scenes failed" in outcome.err
    assert "02_001.mp4" in outcome.out
    assert list_scenes(scenes) == ["01", "back_door"]
    assert Scene.load(scenes / "01").record["sources"] == {"01_001": 15, "01_002": 15}
    alone = command("fit", video, "--scene", "alone", "--scenes", scenes, *small_flags("fit.passes=1"))
    assert alone.code == 0, alone.err
    found, expected = (Scene.load(scenes / name).flow.state_dict() for name in ("back_door", "alone"))
    assert all(torch.equal(found[key], expected[key]) for key in expected)  # whatever was fitted before

    (footage / "02_001.mp4").unlink()
    shutil.copy(video, footage / "02_001.mp4")
    outcome = command(*arguments, "--resume")
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("is complete already") == 2
    assert list_scenes(scenes) == ["01", "02", "alone", "back_door"]


def test_a_found_name_stays_inside_the_folder_of_scenes(command: Command, workplace: Workplace, tmp_path: Path) -> None:
    footage, scenes = tmp_path / "footage", tmp_path / "scenes"
    footage.mkdir()
    shutil.copy(workplace.clips / "first.mp4", footage / "_front.mp4")
    (scenes / "other").mkdir(parents=True)
    arguments = ["fit", "--scenes-from", footage, "--scenes", scenes, "--overwrite", *small_flags("fit.passes=1")]
    assert command(*arguments).code == 0
    assert {path.name for path in scenes.iterdir()} == {"_front", "._front.teach", "other"}


def test_an_unfinished_fit_without_a_readable_checkpoint_is_not_begun_anew(
    command: Command, workplace: Workplace, left: Path
) -> None:
    for path in (left / ".gate.fit").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    arguments = ["fit", workplace.folder / "normal.mp4", "--scene", "gate", "--scenes", left, "--resume"]
    outcome = command(*arguments, *small_flags(f"fit.passes={PASSES}"))
    assert outcome.code == 2
    assert "start again with --overwrite" in outcome.err
    assert not (left / "gate").exists()


def test_a_fit_that_diverged_goes_on_with_a_lower_learning_rate(
    command: Command, workplace: Workplace, left: Path
) -> None:
    arguments = ["fit", workplace.folder / "normal.mp4", "--scene", "gate", "--scenes", left, "--resume"]
    outcome = command(*arguments, *small_flags(f"fit.passes={PASSES}", "fit.learning_rate=1e-5"))
    assert outcome.code == 0, outcome.err
    assert "going on after pass" in outcome.out


def test_a_fit_with_damaged_footage_goes_on(command: Command, workplace: Workplace, tmp_path: Path) -> None:
    from tests.support.videos import overwrite_packets, write_video

    video = write_video(tmp_path / "damaged.avi", 60, codec="mjpeg", pix_fmt="yuvj420p")
    overwrite_packets(video, [20])
    outcome = command("fit", video, "--scene", "gate", "--scenes", tmp_path / "scenes", *small_flags())
    assert outcome.code == 0, outcome.err
    assert np.isfinite(Scene.load(tmp_path / "scenes" / "gate").record["loss"]).all()
