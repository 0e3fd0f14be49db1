"""The files beside a scene say which phase of its learning it is in, whatever moment the programs ended at."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from msflow_stream.teaching.layout import learn_folder
from msflow_stream.teaching.learning import LearningRecord, Phase, is_calibrated, note_who_asks, phase_of, who_asked

RECORD = LearningRecord(phase="learning", camera="gate", learn=60, calibrate=20, rate=0.1, every=5, settings=("a.b=1",))


def write_scene(folder: Path, calibrated: bool) -> None:
    folder.mkdir()
    calibration = {"basis": {"asked": 0.1} if calibrated else None}
    (folder / "scene.json").write_text(json.dumps({"format": 4, "calibration": calibration}))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    RECORD.moved("failed", "no footage").write(tmp_path / "gate")
    found = LearningRecord.read(tmp_path / "gate")

    assert found is not None
    assert (found.phase, found.reason, found.settings) == ("failed", "no footage", ("a.b=1",))


def test_a_record_says_what_is_private_and_one_of_before_can_be_read(tmp_path: Path) -> None:
    area = (((0.0, 0.0), (0.5, 0.0), (0.5, 1.0)),)
    replace(RECORD, privacy=area).write(tmp_path / "gate")
    found = LearningRecord.read(tmp_path / "gate")
    assert found is not None
    assert found.privacy == area
    assert found.hidden is not None
    path = learn_folder(tmp_path / "gate") / "learn.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "privacy"}))
    before = LearningRecord.read(tmp_path / "gate")
    assert before is not None
    assert (before.learn, before.hidden) == (60, None)


def test_who_has_a_scene_learnt_is_known_if_somebody_said_so(tmp_path: Path) -> None:
    assert who_asked(tmp_path / "gate") == ""
    note_who_asks(tmp_path / "gate", "mira")
    assert who_asked(tmp_path / "gate") == "mira"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"phase": "x"}'])
def test_a_damaged_record_is_none(text: str, tmp_path: Path) -> None:
    learn_folder(tmp_path / "gate").mkdir()
    (learn_folder(tmp_path / "gate") / "learn.json").write_text(text)

    assert LearningRecord.read(tmp_path / "gate") is None
    assert phase_of(tmp_path / "gate") == "learning"


@pytest.mark.parametrize(
    ("written", "scene", "phase"),
    [
        (None, None, "learning"),
        ("learning", None, "learning"),
        ("fitting", None, "fitting"),
        ("failed", None, "failed"),
        ("calibrating", None, "learning"),  # somebody has removed the scene
        ("watching", None, "learning"),
        ("fitting", False, "calibrating"),  # killed between the scene and the record
        ("calibrating", False, "calibrating"),
        ("calibrating", True, "watching"),  # killed between the thresholds and the record
        ("watching", True, "watching"),
        ("watching", False, "watching"),  # a later version
        (None, False, "watching"),  # fitted by hand
        (None, True, "watching"),
    ],
)
def test_the_phase_is_told_by_scene_and_record(
    written: Phase | None, scene: bool | None, phase: Phase, tmp_path: Path
) -> None:
    folder = tmp_path / "gate"
    if written is not None:
        RECORD.moved(written).write(folder)
    if scene is not None:
        write_scene(folder, calibrated=scene)

    assert phase_of(folder) == phase


def test_a_scene_is_calibrated_once_its_thresholds_are_for_a_rate(tmp_path: Path) -> None:
    for calibrated in (False, True):
        write_scene(tmp_path / str(calibrated), calibrated)
        assert is_calibrated(tmp_path / str(calibrated)) is calibrated
