"""The shadow of a candidate is of that candidate alone, goes on after any end, and says when it may be promoted."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from msflow_stream.teaching.layout import candidate_folder
from msflow_stream.teaching.promotion import BY, promote_by_rule
from msflow_stream.teaching.shadow import KEPT, Compared, Moment, Shadow, candidate_identity, shadow_folder
from msflow_stream.teaching.versions import Versions
from tests.support.small_scenes import small_scene

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    make_candidate(tmp_path / "gate", "one")
    return tmp_path / "gate"


def make_candidate(scene: Path, text: str) -> str:
    shutil.rmtree(candidate_folder(scene), ignore_errors=True)
    small_scene(candidate_folder(scene), text, text.encode())
    identity = candidate_identity(scene)
    assert identity is not None
    return identity


def begun(scene: Path) -> Shadow:
    return Shadow.begin(candidate_identity(scene) or "", NOW)


def test_it_is_read_as_it_was_written_and_not_for_another_candidate(gate: Path) -> None:
    assert Shadow.read(gate) is None
    shadow = begun(gate).with_camera("gate", Compared(5, 30.0, 1, 0, 1, 0), Moment("gate", NOW, 1.5, 0.2, "a.jpg"))
    shadow.write(gate)
    read = Shadow.read(gate)
    assert read is not None
    assert (read.since, dict(read.cameras), list(read.moments)) == (NOW, dict(shadow.cameras), list(shadow.moments))
    make_candidate(gate, "two")
    assert Shadow.read(gate) is None
    shadow.write(gate)  # late: the candidate is another one by now
    assert Shadow.read(gate) is None


def test_images_of_moments_that_are_kept_no_longer_go(gate: Path) -> None:
    shadow_folder(gate).mkdir()
    shadow = begun(gate)
    for number in range(KEPT + 3):
        (shadow_folder(gate) / f"{number}.jpg").write_bytes(b"x")
        shadow = shadow.with_camera("gate", Compared(), Moment("gate", NOW, 1.5, 0.2, f"{number}.jpg"))
    shadow.write(gate)
    assert len(shadow.moments) == KEPT
    assert {path.name for path in shadow_folder(gate).iterdir()} == {moment.jpeg for moment in shadow.moments}


@pytest.mark.parametrize(
    ("live", "candidate", "seconds", "allowed"),
    [(2, 0, 3600.0, True), (2, 2, 3600.0, True), (2, 3, 9999.0, False), (2, 0, 3599.0, False)],
)
def test_it_may_be_promoted_after_its_time_if_it_raised_no_more_alarms(
    gate: Path, live: int, candidate: int, seconds: float, allowed: bool
) -> None:
    shadow = begun(gate).with_camera("gate", Compared(9, seconds, live, candidate)).with_camera("yard", Compared())
    assert shadow.allows(3600.0) is allowed


@pytest.mark.parametrize(
    ("seconds", "compared", "promoted"),
    [
        (10.0, {"text": []}, True),
        (5.0, {"text": []}, False),
        (10.0, None, False),
        (10.0, {"doubts": ["gate-1 looks like gate-2"]}, False),
    ],
)
def test_the_rule_promotes_what_was_compared_without_a_doubt_and_was_beside_for_long_enough(
    tmp_path: Path, seconds: float, compared: dict[str, list[str]] | None, promoted: bool
) -> None:
    gate = small_scene(tmp_path / "scenes" / "gate", "first", b"first")
    versions = Versions(gate)
    assert promote_by_rule(gate, 10.0) is None
    versions.propose(small_scene(tmp_path / "staged", "second", b"second"), by="ada", comparison=compared)
    assert promote_by_rule(gate, 10.0) is None
    begun(gate).with_camera("gate", Compared(9, seconds, 1, 0)).write(gate)
    made = promote_by_rule(gate, 10.0)
    assert (made is not None) is promoted
    assert (versions.live.promoted_by == BY) is promoted  # type: ignore[union-attr]
