"""A camera may learn its scene instead of naming one that there is."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest

from msflow_stream.config.cameras import Camera
from msflow_stream.config.cameras_file import load_text
from msflow_stream.types import UserError

FILE = Path("cameras.yaml")


def camera(scene: str) -> Camera:
    return load_text(f"cameras:\n  gate:\n    url: rtsp://host/1\n    scene: {scene}\n", FILE).cameras["gate"]


def test_a_scene_to_learn_has_the_name_of_its_camera_unless_it_has_another() -> None:
    plain, named = camera("{learn: 30m}"), camera("{learn: 30m, name: yard}")

    assert (plain.scenes, named.scenes) == (("gate",), ("yard",))
    assert plain.scene_at(time(12)) == "gate"
    assert plain.learn is not None
    assert plain.learn.learn == 1800


def test_a_named_scene_is_not_learnt() -> None:
    assert camera("gate").learn is None


@pytest.mark.parametrize(
    ("scene", "seconds"),
    [("{learn: 30m}", 600), ("{learn: 90s}", 120), ("{learn: 20s, calibrate: 10s}", 10), ("{learn: 20}", 120)],
)
def test_calibration_takes_a_third_of_the_time_to_learn_and_two_minutes_unless_said(scene: str, seconds: float) -> None:
    learn = camera(scene).learn

    assert learn is not None
    assert learn.calibrate_seconds == seconds


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        ("{lern: 30m}", "line 4: cameras.gate.scene.learn: Field required"),
        ("{learn: 30m, calibrat: 3m}", "line 4: cameras.gate.scene.calibrat is unknown: did you mean 'calibrate'?"),
        ("{learn: never}", "line 4: cameras.gate.scene.learn: should be a length of time such as 30m, 2h or 90s"),
        ("{learn: 30m, settings: [fit.pases=3]}", "unknown setting 'fit.pases': did you mean 'fit.passes'?"),
        ("7", "line 4: cameras.gate.scene: Input should be a valid string"),
    ],
)
def test_mistakes_name_their_line(scene: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        camera(scene)

    assert message in str(error.value)


def test_two_cameras_cannot_learn_one_scene() -> None:
    text = "cameras:\n" + "".join(f"  {n}: {{url: 'rtsp://h/{n}', scene: {{learn: 3m, name: x}}}}\n" for n in "ab")

    with pytest.raises(UserError, match="a and b would both learn the scene x"):
        load_text(text, FILE)


def test_a_file_may_have_no_cameras_yet() -> None:
    assert load_text("cameras: {}\n", FILE).cameras == {}
