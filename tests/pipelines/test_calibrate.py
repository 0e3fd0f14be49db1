"""`calibrate` from a real scene and real videos: thresholds, probabilities, words, and a scene that survives a kill."""

from __future__ import annotations

import csv
import json
import math
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image
from rich.console import Console

from msflow_stream.config.settings import EngineSettings
from msflow_stream.datasets.synthetic import SyntheticScene
from msflow_stream.results.wording import every, span
from msflow_stream.scenes.folder import FORMAT
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.tails import pareto
from msflow_stream.scenes.thresholds import (
    NORMAL_SCORES,
    NormalScore,
    NormalStatistics,
    read_normal_scores,
    write_normal_scores,
)
from msflow_stream.scoring.engine_choice import make_inference
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import UserError
from msflow_stream.video.reading.video_reader import VideoReader
from msflow_stream.video.writing.video_writer import VideoWriter
from pipelines.calibrate import Calibrated, CalibrateJob, calibrate
from pipelines.score import score
from pipelines.score_source import ScoreJob
from tests.pipelines.conftest import Workplace
from tests.support.command import Command
from tests.support.footage import RATE, SIZE

KINDS = ["paper", "surprise", "surprise_mean"]


class Case(NamedTuple):
    """A calibrated scene's folder, what came of it, and what was printed."""

    scene: Path
    result: Calibrated
    printed: str


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """How well a tail fits is told by few samples: the usual 200 take most of a calibration."""
    of_samples = pareto.fit_p_value
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "fit_p_value", lambda excesses, tail, random, _: of_samples(excesses, tail, random, 5))
        yield


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of normal footage in ten videos, which the scene has not seen; it moves five times a second."""
    folder = tmp_path_factory.mktemp("footage")
    for number in range(10):
        scene = SyntheticScene(*SIZE, RATE, seed=0, traffic_seed=11 + number)
        with VideoWriter(folder / f"walk{number}.mp4", *SIZE, 1 / RATE, RATE) as writer:
            for index in range(0, 150, 5):
                image = scene.frame(index).image
                for repeated in range(5):
                    writer.write(image, index + repeated)
    return folder


@pytest.fixture(scope="module")
def calibrated(workplace: Workplace, footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A scene calibrated for one alarm a minute, by the whole footage."""
    scene = Path(shutil.copytree(workplace.scenes / "gate", tmp_path_factory.mktemp("calibrated") / "gate"))
    return Case(scene, *run(scene, 60, footage))


@pytest.fixture(scope="module")
def normal(workplace: Workplace, footage: Path) -> list[NormalScore]:
    """The scores of the whole footage."""
    engine = EngineSettings(name="torch", precision="float32")
    scorer, found = Scorer(Scene.load(workplace.scenes / "gate"), "cpu", inference=make_inference(engine)), []
    for path in sorted(footage.glob("*.mp4")):
        with VideoReader(path, every=5) as reader:
            scores = list(scorer(reader))
        found += [NormalScore(path.stem, s.index, s.time, s.scores) for s in scores]
    return found


@pytest.fixture
def scene(workplace: Workplace, tmp_path: Path) -> Path:
    """A scene's folder of one's own."""
    return Path(shutil.copytree(workplace.scenes / "gate", tmp_path / "scenes" / "gate"))


@pytest.fixture
def minute(scene: Path, normal: list[NormalScore]) -> Path:
    """A scene whose fit kept the scores of the whole footage."""
    write_normal_scores(scene, normal)
    return scene


def run(scene: Path, rate: float, *normal: Path, plot: Path | None = None) -> tuple[Calibrated, str]:
    """What came of it, and what was printed."""
    out = StringIO()
    job = CalibrateJob(
        rate=rate,
        normal=[str(path) for path in normal],
        plot=plot,
        device="cpu",
        engine="torch" if normal else None,
        precision="float32" if normal else None,
    )
    return calibrate(scene, job, Console(file=out, width=200)), out.getvalue()


def files(scene: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in scene.iterdir()}


def test_normal_footage_gives_thresholds_that_the_scene_keeps(
    calibrated: Case, workplace: Workplace, footage: Path, tmp_path: Path
) -> None:
    before, result = files(workplace.scenes / "gate"), calibrated.result
    after = Scene.load(calibrated.scene)
    assert after.calibration == result.calibration
    assert {name for name, content in files(calibrated.scene).items() if content != before.get(name)} == {"scene.json"}
    basis = result.calibration.basis
    assert basis is not None
    assert basis.sources == {f"walk{number}": 30 for number in range(10)}
    assert basis.hours == pytest.approx(1 / 60)
    assert (basis.asked, basis.smoothing, basis.gap) == (60, 0.5, 2.0)
    assert result.calibration.frames == 300
    for kind in KINDS:
        found = result.found[kind]  # type: ignore[index]
        assert len(found.record.values) == 280  # all but the first two of each source: nothing lasted 0.4 s by then
        assert found.estimate.counted <= 5  # one is to be expected

    score([str(footage / "walk3.mp4")], Scorer(after, "cpu"), ScoreJob(out=tmp_path / "run", overlay=False))
    with (tmp_path / "run" / "walk3" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    kind = after.settings.score.kind
    threshold, tail = result.calibration.thresholds[kind], result.calibration.tails[kind]
    for row in rows:
        assert float(row["threshold"]) == pytest.approx(threshold, rel=1e-6)
        assert float(row["probability"]) == pytest.approx(tail.probability(float(row["smoothed"])), rel=1e-4)


def test_the_scores_are_those_that_score_gives(scene: Path, footage: Path) -> None:
    result, _ = run(scene, 60, footage / "walk3.mp4")
    scorer = Scorer(Scene.load(scene), "cpu")
    with VideoReader(footage / "walk3.mp4", every=5) as reader:
        expected = [one.surprise for one in scorer(reader)]
    quantiles = result.calibration.quantiles["surprise"]
    assert (quantiles["0.0"], quantiles["1.0"]) == pytest.approx((min(expected), max(expected)), rel=1e-5)


def test_what_the_fit_kept_is_enough(calibrated: Case, minute: Path) -> None:
    before = Scene.load(minute).calibration
    given, (again, _) = calibrated.result, run(minute, 60)
    assert before is not None
    assert again.calibration.thresholds == pytest.approx(given.calibration.thresholds)
    for kind, one in again.found.items():
        assert one.estimate.rate_interval == pytest.approx(given.found[kind].estimate.rate_interval, rel=1e-4)
    assert again.calibration.map_range == before.map_range


def test_a_fit_keeps_its_held_out_scores(workplace: Workplace) -> None:
    kept = read_normal_scores(workplace.scenes / "gate")
    assert [(one.source, one.index, one.time) for one in kept] == [
        ("normal", 135, pytest.approx(5.4)),
        ("normal", 140, pytest.approx(5.6)),
        ("normal", 145, pytest.approx(5.8)),
    ]
    calibration = Scene.load(workplace.scenes / "gate").calibration
    assert calibration is not None
    assert calibration.quantiles["paper"]["1.0"] == pytest.approx(max(one.score for one in kept))


def test_three_frames_work_and_promise_nothing(scene: Path) -> None:
    before = Scene.load(scene).calibration
    result, printed = run(scene, 0.1)
    assert before is not None
    assert result.calibration.thresholds == pytest.approx(before.thresholds)
    assert not result.calibration.tails
    assert all(limit.rate is None for limit in result.calibration.limits.values())
    assert "no rate can be told; the threshold is the highest normal score" in printed
    assert Scene.load(scene).calibration == result.calibration


def test_footage_that_is_too_short_says_how_much_more_is_needed(minute: Path) -> None:
    result, printed = run(minute, 0.1)
    assert result.calibration.basis is not None
    assert result.calibration.basis.supported == pytest.approx(6)  # one in ten minutes, of one minute of footage
    assert [limit.rate for limit in result.calibration.limits.values()] == pytest.approx([6] * 5)
    assert "too short for one in 10 hours" in printed
    assert "59 minutes more is needed" in printed
    assert "expect 6 an hour, with 95% confidence between" in printed


def test_the_table_has_what_a_statistician_asks_for(calibrated: Case) -> None:
    _, result, printed = calibrated
    for word in (*KINDS, "shape", "scale", "Anderson-Darling", "bootstrap", "extremal index", "excursions above"):
        assert word in printed
    assert f"{result.calibration.thresholds['paper']:.4g}" in printed
    assert all(line in printed for line in result.sentences)


def test_the_same_footage_gives_the_same_thresholds(calibrated: Case, scene: Path, footage: Path) -> None:
    again, _ = run(scene, 60, footage)
    assert again.calibration.limits == calibrated.result.calibration.limits


def test_the_tails_are_drawn(minute: Path, tmp_path: Path) -> None:
    run(minute, 0.1, plot=tmp_path / "tails.png")
    with Image.open(tmp_path / "tails.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 2 * picture.height
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 50


def test_a_plot_without_tails_is_drawn(scene: Path, tmp_path: Path) -> None:
    write_normal_scores(scene, read_normal_scores(scene)[:2])
    run(scene, 0.1, plot=tmp_path / "none.png")
    assert (tmp_path / "none.png").exists()


def test_fitted_footage_is_noticed(scene: Path, workplace: Workplace) -> None:
    _, printed = run(scene, 60, workplace.folder / "normal.mp4")
    assert "fitted before, by their names: normal" in printed


def test_frames_that_were_fitted_are_called_so(scene: Path) -> None:
    record = json.loads((scene / "scene.json").read_text())
    record["fit"]["held_out_frames"] = 0
    (scene / "scene.json").write_text(json.dumps(record))
    result, printed = run(scene, 60)
    assert result.calibration.frames == 0
    assert "These are the frames that the scene was fitted on" in printed


def test_a_scene_of_an_older_program_is_read_and_calibrated(scene: Path, footage: Path) -> None:
    record = json.loads((scene / "scene.json").read_text())
    record["format"] = 1
    for name in ("tails", "limits", "basis"):
        del record["calibration"][name]
    (scene / "scene.json").write_text(json.dumps(record))
    (scene / NORMAL_SCORES).unlink()
    old = Scene.load(scene).calibration
    assert old is not None
    assert not old.tails
    with pytest.raises(UserError, match="give normal footage with --normal SOURCE"):
        run(scene, 0.1)
    run(scene, 60, footage)
    new = Scene.load(scene).calibration
    assert new is not None
    assert new.tails
    assert json.loads((scene / "scene.json").read_text())["format"] == FORMAT


def test_a_scene_that_was_never_calibrated_is(scene: Path, footage: Path) -> None:
    record = json.loads((scene / "scene.json").read_text()) | {"calibration": None}
    (scene / "scene.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="give normal footage with --normal SOURCE"):
        run(scene, 0.1)
    run(scene, 60, footage / "walk3.mp4")
    assert Scene.load(scene).calibration is not None


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(scene: Path, rate: float) -> None:
    with pytest.raises(UserError, match="a number above 0"):
        run(scene, rate)


def test_an_engine_without_footage_is_refused(scene: Path) -> None:
    with pytest.raises(UserError, match="give it with --normal SOURCE"):
        calibrate(scene, CalibrateJob(rate=0.1, precision="bf16"))


def test_what_the_environment_says_for_all_commands_is_no_mistake(
    scene: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSFLOW_ENGINE", "torch")
    arguments = ("calibrate", scene.name, "--scenes", scene.parent)
    assert command(*arguments).code == 0
    refused = command(*arguments, "--engine", "torch")
    assert refused.code == 2
    assert "give it with --normal SOURCE" in refused.err


def test_cameras_and_missing_files_are_refused(scene: Path) -> None:
    before = files(scene)
    with pytest.raises(UserError, match="live and has no end") as error:
        calibrate(scene, CalibrateJob(rate=0.1, normal=["rtsp://admin:hunter2@camera.example/live"]))
    assert "hunter2" not in str(error.value)
    with pytest.raises(UserError, match=r"nowhere\.mp4"):
        calibrate(scene, CalibrateJob(rate=0.1, normal=["nowhere.mp4"]))
    assert files(scene) == before


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


MOMENTS = {
    "scoring": (NormalStatistics, "add"),
    "writing": (Path, "replace"),  # what was written is about to take the old one's place
}


def killed(work: Callable[..., object], *arguments: object) -> int | None:
    """The exit code of a process that does the work."""
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    process.join(120)
    return process.exitcode


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_leaves_the_old_calibration(
    moment: str, scene: Path, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(scene)
    with monkeypatch.context() as patch:
        patch.setattr(*MOMENTS[moment], die)
        assert killed(run, scene, 60, footage / "walk3.mp4") == -signal.SIGKILL
    left = files(scene)
    assert {name: left[name] for name in before} == before
    assert len(left) == len(before) + (moment == "writing")
    Scene.load(scene)
    result, _ = run(scene, 60, footage / "walk3.mp4")
    assert Scene.load(scene).calibration == result.calibration
    assert set(files(scene)) == set(before)


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (12.0, "12 an hour"),
        (0.1, "one in 10 hours"),
        (0.75, "one in 80 minutes"),
        (0.01, "one in 4.17 days"),
        (0, "practically none"),
    ],
)
def test_rates_are_said_as_people_say_them(rate: float, words: str) -> None:
    assert every(rate) == words


@pytest.mark.parametrize(
    ("hours", "words"), [(60, "2.5 days"), (3, "3 hours"), (0.5, "30 minutes"), (0.01, "36 seconds")]
)
def test_lengths_of_time_are_in_the_unit_that_suits_them(hours: float, words: str) -> None:
    assert span(hours) == words
