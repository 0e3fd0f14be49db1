from __future__ import annotations

from dataclasses import replace

from msflow_stream.video.live.states import State
from msflow_stream.watch.report import healthy, ready
from tests.web.reports import SECRET, dark, in_state, nothing, refused, report, running, unreachable


def test_a_watch_is_ready_once_a_camera_gave_pictures_and_they_were_scored() -> None:
    assert ready(report(running())) == []
    assert ready(report(unreachable(), running())) == []


def test_it_is_not_ready_before_the_first_picture() -> None:
    assert ready(report(unreachable("a"), unreachable("b"))) == ["no camera has given a picture yet"]


def test_it_is_not_ready_before_the_models_have_scored() -> None:
    assert ready(replace(report(running()), stream=nothing().stream)) == ["nothing was scored yet"]


def test_it_is_not_ready_without_cameras() -> None:
    assert ready(nothing()) == ["no camera is watched"]


def test_it_stays_ready_when_its_cameras_fail_later() -> None:
    assert ready(report(dark(), in_state("gate", State.RECONNECTING), in_state("door", State.FAILED))) == []


def test_it_is_healthy_unless_somebody_says_why_not() -> None:
    assert healthy(None) == []
    assert healthy(lambda: None) == []
    assert healthy(lambda: "no batch for 60 s") == ["no batch for 60 s"]


def test_the_reason_of_these_tests_stands_for_one_with_credentials() -> None:
    assert "camera.example" in refused()
    assert SECRET not in refused()
