"""The dial says what `score` says: a file is watched once, and its alarms are told for any rate of false alarms."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from rich.console import Console

from msflow_stream.config.settings import EngineSettings
from msflow_stream.datasets.synthetic import SyntheticScene, Violation
from msflow_stream.events.serialization import event_from_json
from msflow_stream.files import write_json
from msflow_stream.results.score_files import read_scores
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scenes.folder import RECORD, fit_identity, read_record, stored_settings
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.tails import pareto
from msflow_stream.scenes.thresholds import NormalScore, read_normal_scores, save_calibration, write_normal_scores
from msflow_stream.scoring.engine_choice import make_inference
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import Event, Scores, UserError
from msflow_stream.video.writing.video_writer import VideoWriter
from msflow_stream.watch.camera_outputs import WatchOutputs
from msflow_stream.watch.replay.applying import apply, last_applied, undo
from msflow_stream.watch.replay.dial import Dial, dial
from msflow_stream.watch.replay.recorded import Recorded
from pipelines.calibrate import CalibrateJob, calibrate
from pipelines.machine_watch import WatchJob
from pipelines.score import score
from pipelines.score_source import ScoreJob
from pipelines.watch import watch
from tests.pipelines.conftest import Workplace
from tests.support.footage import RATE, SIZE

TORCH = EngineSettings(name="torch", precision="float32")
RATES = (0.2, 1.0, 3.0, 6.0, 12.0)
WRONG = [Violation("cart", start, start + 1) for start in np.arange(1, 24, 1.9).tolist()]
PROMPT = {"event": {"min_duration": 0.2, "cool_down": 0.4, "leave": 0.9, "triggers": ["paper", "surprise"]}}


@dataclass(frozen=True)
class Case:
    folder: Path
    dial: Dial
    recorded: Recorded

    @property
    def scene(self) -> Path:
        return self.folder / "scenes" / "gate"


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """How well a tail fits is not told: to find out takes most of a calibration, and no threshold depends on it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "fit_p_value", lambda *_: 0.5)
        yield


@pytest.fixture(scope="module")
def case(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A clip with a dozen violations that was watched, and the dial for a scene that knows an hour like it."""
    folder = tmp_path_factory.mktemp("dial")
    scene = Path(shutil.copytree(workplace.scenes / "gate", folder / "scenes" / "gate"))
    write_steps(folder / "clip.mp4", 26, WRONG)
    record = json.loads((scene / RECORD).read_text())
    record["settings"] |= PROMPT
    record["settings"]["score"] |= {"kind": "paper", "smoothing": 0.1}
    write_json(scene / RECORD, record)
    scored(folder, "first")
    write_normal_scores(scene, hour_like([row.scores for row in read_scores(folder / "first" / "clip")]))
    calibrate(scene, CalibrateJob(rate=2.0), Console(file=io.StringIO()))
    watch_clip(folder)
    recorded = Recorded.read(folder / "watched" / "clip")
    return Case(folder, turned(scene, recorded), recorded)


def write_steps(path: Path, seconds: int, violations: list[Violation]) -> None:
    """A clip that moves five times a second, as it is sampled."""
    scene = SyntheticScene(*SIZE, RATE, seed=0, traffic_seed=3)
    with VideoWriter(path, *SIZE, 1 / RATE, RATE) as writer:
        for index in range(0, seconds * 25, 5):
            image = scene.frame(index, violations).image
            for repeated in range(5):
                writer.write(image, index + repeated)


def watch_clip(folder: Path) -> None:
    cameras = {"cameras": {"clip": {"url": str(folder / "clip.mp4"), "scene": "gate"}}}
    (folder / "cameras.yaml").write_text(yaml.safe_dump(cameras))
    written = WatchOutputs(out=folder / "watched", evidence=False)
    watch(
        WatchJob(
            cameras=folder / "cameras.yaml",
            scenes=folder / "scenes",
            written=written,
            device="cpu",
            table=False,
            engine=TORCH,
        )
    )


def turned(scene: Path, recorded: Recorded) -> Dial:
    record = read_record(scene)
    settings, calibration = stored_settings(record), calibration_of(scene)
    scores, fit = read_normal_scores(scene), fit_identity(record)
    return dial(recorded, settings, calibration, scores, scene="gate", fit=fit, rates=RATES)


def hour_like(seen: list[Scores]) -> list[NormalScore]:
    """An hour in which the score rises a hundred times, to levels that these scores have; one a second."""
    random, found = np.random.default_rng(0), []
    levels = np.sort(np.nan_to_num(np.array(seen)), axis=0)
    for number in range(3600):
        if number % 36 == 0:
            rise = 0.2 + 0.8 * random.beta(1, 1.5)
        share = rise if number % 36 < 3 else 0.1
        found.append(NormalScore("hour", 25 * number, number, Scores(*at(levels, share + random.uniform(0, 0.01)))))
    return found


def at(levels: npt.NDArray[np.float64], share: float) -> list[float]:
    place = min(share, 1.0) * (len(levels) - 1)
    low = min(int(place), len(levels) - 2)
    return (levels[low] + (place - low) * (levels[low + 1] - levels[low])).tolist()  # type: ignore[no-any-return]


def scored(folder: Path, name: str) -> list[Event]:
    """What `score` finds in the clip with the scene as it is."""
    scene = Scene.load(folder / "scenes" / "gate")
    job = ScoreJob(out=folder / name, overlay=False, evidence=False, event=scene.settings.event)
    scorer = Scorer(scene, "cpu", scene.settings.score, make_inference(TORCH))
    score([str(folder / "clip.mp4")], scorer, job, Console(file=io.StringIO()))
    return [event_from_json(one) for one in json.loads((folder / name / "clip" / "events.json").read_text())]


def facts(event: Event) -> dict[str, Any]:
    """An event but for its id and version, and the time of arrival, which a file has not."""
    different = ("id", "version", "start_wall", "end_wall")
    return {name: getattr(event, name) for name in event.__dataclass_fields__ if name not in different}


def test_at_five_positions_the_alarms_are_those_of_score_with_these_thresholds(case: Case) -> None:
    numbers, before = [], calibration_of(case.scene)
    for number, position in enumerate(case.dial.positions):
        thresholds = {**before.thresholds, **{one.kind: one.threshold for one in position.triggers}}
        save_calibration(case.scene, before.model_copy(update={"thresholds": thresholds}))
        events = scored(case.folder, f"run{number}")
        assert [facts(one) for one in position.events] == [facts(one) for one in events]
        assert position.exact
        assert all(one.start_wall is not None for one in position.events)
        numbers.append(len(events))
    save_calibration(case.scene, before)
    assert numbers[-1] >= 12
    assert len(set(numbers)) >= 3
    assert {kind for event in case.dial.positions[-1].events for kind in event.triggers} == {"paper", "surprise"}


def test_a_position_that_is_applied_is_what_calibrate_makes_and_can_be_undone(case: Case) -> None:
    before, position = (case.scene / RECORD).read_text(), case.dial.positions[1]
    assert position.rate is not None
    assert last_applied(case.scene) is None
    said = apply(case.scene, position.rate, "anna")
    made = calibration_of(case.scene)
    assert {one.kind: one.threshold for one in position.triggers} == {
        k: made.thresholds[k] for k in ("paper", "surprise")
    }
    assert made.basis is not None
    assert (made.basis.asked, said[0][:21]) == (position.rate, "Normal footage: 60 mi")
    assert (last_applied(case.scene) or {})["by"] == "anna"
    undo(case.scene)
    assert json.loads((case.scene / RECORD).read_text()) == json.loads(before) | {"applied": None}
    with pytest.raises(UserError, match="nothing to undo"):
        undo(case.scene)
    apply(case.scene, position.rate, "anna")
    calibrate(case.scene, CalibrateJob(rate=position.rate), Console(file=io.StringIO()))
    fresh = calibration_of(case.scene)
    assert fresh.model_copy(update={"basis": None}) == made.model_copy(update={"basis": None})


def test_what_another_fit_was_judged_by_is_left_out_and_said(case: Case) -> None:
    record = read_record(case.scene)
    settings, calibration = stored_settings(record), calibration_of(case.scene)
    other = dial(case.recorded, settings, calibration, [], scene="gate", fit="another", rates=RATES)
    assert other.today.events == ()
    assert other.positions == ()
    assert "before the scene was fitted again" in other.said[0]


def test_below_what_was_recorded_for_it_says_at_least(case: Case) -> None:
    record = read_record(case.scene)
    calibration = calibration_of(case.scene)
    lower = calibration.model_copy(update={"thresholds": {k: v * 0.9 for k, v in calibration.thresholds.items()}})
    made = dial(case.recorded, stored_settings(record), lower, [], scene="gate", fit=fit_identity(record), rates=RATES)
    assert not made.today.exact
    assert any("at least" in line for line in made.said)


def calibration_of(scene: Path) -> Calibration:
    return Calibration.model_validate(read_record(scene)["calibration"])
