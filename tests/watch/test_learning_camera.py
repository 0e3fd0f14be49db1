from __future__ import annotations

from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from msflow_stream.config.cameras import Camera
from msflow_stream.teaching.layout import learn_folder
from msflow_stream.teaching.learning import phase_of
from msflow_stream.watch.learning_camera import LearningCamera


def test_a_full_disk_at_the_end_of_the_learning_only_holds_it_up(tmp_path: Path) -> None:
    scene, closed = tmp_path / "gate", []
    camera = Camera.model_validate({"url": "rtsp://gate", "scene": {"learn": "3s", "name": "gate"}})
    learning = LearningCamera("gate", camera, scene=scene, card=None, random=Random(1))
    learning._tap.recorder = cast(Any, SimpleNamespace(seconds=3.5, close=lambda: closed.append(True)))
    in_the_way = learn_folder(scene) / ".learn.json.partial"
    in_the_way.mkdir(parents=True)
    for _ in range(2):
        learning.advance()
        assert phase_of(scene) == "learning"
    in_the_way.rmdir()
    learning.advance()
    assert phase_of(scene) == "fitting"
    assert closed == [True]
