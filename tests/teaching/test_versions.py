from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from msflow_stream.files import file_hash
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scenes.exchange import hidden_folder
from msflow_stream.scenes.folder import RECORD, WEIGHTS, list_scenes, read_record
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scenes.thresholds import save_calibration
from msflow_stream.teaching.layout import candidate_folder, history_file, shadow_file, versions_folder
from msflow_stream.teaching.versions import KEPT, Versions
from msflow_stream.types import UserError
from tests.support.killed import run_killed
from tests.support.small_scenes import small_scene, word_of

REFUSED = {"refusals": [{"event": "gate-1", "text": "gate-1 would be missed"}]}


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return small_scene(tmp_path / "scenes" / "gate", "first", b"first")


def staged(gate: Path, word: str) -> Path:
    return small_scene(hidden_folder(gate) / "staged", word, word.encode())


def proposed(gate: Path, word: str, *taught: str) -> Versions:
    versions = Versions(gate)
    versions.propose(staged(gate, word), by="ada", taught=taught, comparison={"refusals": []})
    return versions


def states(gate: Path) -> list[str]:
    return [one.state for one in Versions(gate).entries]


def test_a_scene_without_a_history_is_version_1_and_looking_writes_nothing(gate: Path) -> None:
    versions = Versions(gate)
    assert [(one.number, one.state, one.taught) for one in versions.entries] == [(1, "live", ())]
    assert versions.live == versions.entries[0]
    assert versions.candidate is None
    assert sorted(path.name for path in gate.parent.iterdir()) == ["gate"]


def test_a_place_without_a_scene_has_no_version(tmp_path: Path) -> None:
    assert Versions(tmp_path / "nothing").entries == ()
    assert Versions(tmp_path / "nothing").live is None


def test_a_candidate_is_a_whole_scene_that_is_not_live(gate: Path) -> None:
    candidate = proposed(gate, "second", "gate-1", "gate-2").candidate
    assert candidate is not None
    assert candidate.taught == ("gate-1", "gate-2")
    assert candidate.base == 1
    assert word_of(candidate_folder(gate)) == "second"
    assert word_of(gate) == "first"
    assert list_scenes(gate.parent) == ["gate"]


def test_a_promoted_candidate_is_live_and_what_was_live_is_kept(gate: Path) -> None:
    shadow_file(gate).parent.mkdir()
    versions = proposed(gate, "second")
    shadow_file(gate).write_text("{}")
    live = versions.promote("bob")
    assert (live.number, live.by, live.promoted_by, live.before) == (2, "ada", "bob", 1)
    assert word_of(gate) == "second"
    assert word_of(versions_folder(gate) / "0001") == "first"
    assert states(gate) == ["earlier", "live"]
    assert versions.candidate is None
    assert not shadow_file(gate).exists()
    assert [(one.what, one.by, one.number) for one in versions.changes[1:]] == [
        ("proposed", "ada", 2),
        ("promoted", "bob", 2),
    ]


def test_a_refused_scene_is_noted_with_its_reason_and_not_kept(gate: Path) -> None:
    versions = proposed(gate, "second")
    refused = versions.propose(staged(gate, "poisoned"), by="eve", taught=["gate-1"], comparison=REFUSED)
    assert refused.state == "refused"
    assert refused.refusals[0]["event"] == "gate-1"
    assert states(gate) == ["live", "candidate", "refused"]
    assert word_of(candidate_folder(gate)) == "second"
    assert not list(versions_folder(gate).iterdir())
    assert not (hidden_folder(gate) / "staged").exists()


def test_a_new_candidate_takes_the_place_of_the_one_before(gate: Path) -> None:
    proposed(gate, "second")
    proposed(gate, "third")
    assert states(gate) == ["live", "discarded", "candidate"]
    assert word_of(candidate_folder(gate)) == "third"


def test_a_discarded_candidate_is_gone_but_not_forgotten(gate: Path) -> None:
    assert proposed(gate, "second").discard("bob").number == 2
    assert states(gate) == ["live", "discarded"]
    assert not candidate_folder(gate).exists()
    with pytest.raises(UserError, match="no candidate"):
        Versions(gate).promote("bob")
    with pytest.raises(UserError, match="no candidate"):
        Versions(gate).discard("bob")


def test_a_rollback_goes_back_step_by_step_and_a_number_goes_anywhere(gate: Path) -> None:
    versions = proposed(gate, "second")
    versions.promote("ada")
    proposed(gate, "third").promote("ada")
    assert versions.rollback("bob").number == 2
    assert word_of(gate) == "second"
    assert versions.rollback("bob").number == 1
    assert word_of(gate) == "first"
    with pytest.raises(UserError, match="no earlier version to go back to"):
        versions.rollback("bob")
    assert versions.rollback("bob", 3).number == 3
    assert word_of(gate) == "third"
    with pytest.raises(UserError, match=r"no earlier version 9 to go back to \(kept: 1, 2\)"):
        versions.rollback("bob", 9)
    proposed(gate, "fourth").promote("ada")
    assert versions.rollback("bob").number == 3


def test_a_rollback_gives_scores_that_are_identical_byte_for_byte(tmp_path: Path) -> None:
    gate = small_scene(tmp_path / "gate", "first")
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)

    def seen() -> tuple[bytes, ...]:
        scene = Scene.load(gate)
        measures = scene.measure(scene.prepare(image)[None])
        files = [file_hash(gate / name).encode() for name in (WEIGHTS, RECORD)]
        return (*files, *(value.numpy().tobytes() for value in measures))

    before, cache = seen(), SceneCache(tmp_path, "cpu")
    assert cache.get("gate").record["word"] == "first"
    other = Scene.load(gate)
    with torch.no_grad():
        for parameter in other.flow.parameters():
            parameter.mul_(1.01)
    other.save(tmp_path / ".gate.teach" / "staged")
    versions = Versions(gate)
    versions.propose(tmp_path / ".gate.teach" / "staged", by="ada")
    versions.promote("ada")
    assert cache.reload(["gate"]) == ["gate"]
    assert seen() != before
    versions.rollback("ada")
    assert seen() == before
    assert cache.reload(["gate"]) == ["gate"]
    assert cache.get("gate").record["word"] == "first"


def test_a_scene_that_was_fitted_by_hand_since_is_a_version_of_its_own(gate: Path) -> None:
    versions = proposed(gate, "second")
    shutil.rmtree(gate)
    small_scene(gate, "by hand", b"by hand")
    assert [(one.state, one.reason) for one in versions.entries] == [
        ("earlier", "fitted"),
        ("candidate", "fitted with 0 taught events"),
        ("live", "fitted"),
    ]
    assert versions.folder(1) is None
    assert versions.folder(3) == gate
    versions.promote("ada")
    assert word_of(gate) == "second"
    assert versions.rollback("ada").number == 3
    assert word_of(gate) == "by hand"


def test_a_calibration_by_hand_is_a_version_that_knows_what_was_taught(gate: Path) -> None:
    versions = proposed(gate, "second", "gate-1")
    versions.promote("ada")
    before = (gate / RECORD).read_bytes()
    record = json.loads(before) | {"applied": {"by": "bob", "at": "2026-01-02T03:04:05+00:00", "rate": 1}}
    (gate / RECORD).write_text(json.dumps(record))
    live = versions.live
    assert live is not None
    assert (live.number, live.reason, live.by, live.taught) == (3, "calibrated again", "bob", ("gate-1",))
    assert live.made.isoformat() == "2026-01-02T03:04:05+00:00"
    (gate / RECORD).write_bytes(before)
    assert versions.entries[1].state == "live", "taken back, it is the version that it was"
    assert states(gate) == ["earlier", "live", "earlier"]


def test_a_bounded_number_of_earlier_versions_is_kept(gate: Path) -> None:
    for number in range(KEPT + 3):
        versions = proposed(gate, f"word {number}")
        versions.promote("ada")
    kept = sorted(int(path.name) for path in versions_folder(gate).iterdir())
    assert kept == list(range(4, KEPT + 4))
    assert versions.folder(3) is None
    assert len(versions.entries) == KEPT + 4
    with pytest.raises(UserError, match="no earlier version 2"):
        versions.rollback("ada", 2)


def second(gate: Path) -> None:
    proposed(gate, "second")


def second_and_third(gate: Path) -> None:
    proposed(gate, "second")
    staged(gate, "third")


def second_live(gate: Path) -> None:
    proposed(gate, "second").promote("ada")


def as_many_as_two_before(gate: Path) -> None:
    for word in ("second", "third"):
        proposed(gate, word).promote("ada")
    proposed(gate, "last")


def third_proposed(versions: Versions) -> None:
    versions.propose(hidden_folder(versions.scene) / "staged", by="ada", taught=["gate-1"])


def third_refused(versions: Versions) -> None:
    versions.propose(hidden_folder(versions.scene) / "staged", by="ada", comparison=REFUSED)


CHANGES: dict[str, tuple[Callable[[Path], None], Callable[[Versions], object]]] = {
    "a candidate is promoted": (second, lambda versions: versions.promote("ada")),
    "a promotion is rolled back": (second_live, lambda versions: versions.rollback("ada")),
    "a candidate is discarded": (second, lambda versions: versions.discard("ada")),
    "a candidate is replaced": (second_and_third, third_proposed),
    "a scene is refused": (second_and_third, third_refused),
    "the oldest version goes": (as_many_as_two_before, lambda versions: versions.promote("ada")),
}


def whole(gate: Path) -> tuple[list[str], str]:
    """Returns the states and the live scene's word, having found that everything is as the history says."""
    versions = Versions(gate)
    for one in versions.entries:
        folder = versions.folder(one.number)
        if one.state in ("live", "candidate"):
            assert folder is not None
        if folder is not None:
            word_of(folder)
    known = {versions.folder(one.number) for one in versions.entries}
    there = set(versions_folder(gate).glob("[0-9]*")) | {candidate_folder(gate)}
    assert {path for path in there if path.exists()} <= known
    return [one.state for one in versions.entries], word_of(gate)


@pytest.mark.parametrize("change", CHANGES)
def test_a_kill_between_any_two_steps_leaves_a_scene_that_loads_and_a_history_that_is_true(
    gate: Path, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msflow_stream.teaching.versions.KEPT", 2)
    prepare, work = CHANGES[change]
    prepare(gate)
    before, copy = whole(gate), shutil.copytree(gate.parent, tmp_path / "before")
    work(Versions(gate))
    after = whole(gate)
    assert after != before
    for step in range(1000):
        shutil.rmtree(gate.parent)
        shutil.copytree(copy, gate.parent)
        if not run_killed(lambda: work(Versions(gate)), step):
            break
        assert list_scenes(gate.parent) == ["gate"], "for those who know nothing of versions"
        found = whole(gate)
        assert found in (before, after)
        if found == before:
            work(Versions(gate))
            assert whole(gate) == after
    assert step > 5


def test_a_fit_by_hand_after_a_kill_is_not_overwritten(gate: Path, tmp_path: Path) -> None:
    second(gate)
    copy = shutil.copytree(gate.parent, tmp_path / "before")
    lives = set()
    for step in range(1000):
        shutil.rmtree(gate.parent)
        shutil.copytree(copy, gate.parent)
        if not run_killed(lambda: Versions(gate).promote("ada"), step):
            break
        shutil.rmtree(gate, ignore_errors=True)
        small_scene(gate, "by hand", b"by hand")
        states_then, word = whole(gate)
        assert word == "by hand"
        assert states_then[-1] == "live"
        lives.add(tuple(states_then))
    assert lives == {("earlier", "candidate", "live"), ("earlier", "earlier", "live")}
    assert step > 5


def test_changes_of_many_programs_come_one_after_another(gate: Path) -> None:
    children = []
    for number in range(6):
        ready = small_scene(hidden_folder(gate) / f"staged-{number}", f"word {number}", f"{number}".encode())
        if (child := os.fork()) == 0:
            Versions(gate).propose(ready, by=f"person {number}")
            Versions(gate).live  # noqa: B018
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
    entries = Versions(gate).entries
    assert [one.state for one in entries] == ["live", *["discarded"] * 5, "candidate"]
    assert [one.number for one in entries] == list(range(1, 8))
    assert {one.by for one in entries[1:]} == {f"person {number}" for number in range(6)}
    assert word_of(candidate_folder(gate)) == f"word {entries[-1].by[-1]}"


def test_who_reads_a_scene_while_versions_change_gets_a_whole_one(gate: Path) -> None:
    proposed(gate, "second").promote("ada")
    if (child := os.fork()) == 0:
        for _ in range(60):
            Versions(gate).rollback("ada", 1)
            Versions(gate).rollback("ada", 2)
        os._exit(0)
    words = set()
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        assert list_scenes(gate.parent) in ([], ["gate"])
        words.add(read_record(gate)["fit"]["word"])
        live = Versions(gate).live
        assert live is not None
    assert words == {"first", "second"}
    assert word_of(gate) == "second"


def test_a_calibration_after_a_kill_is_of_the_scene_that_became_live(gate: Path, tmp_path: Path) -> None:
    second(gate)
    copy = shutil.copytree(gate.parent, tmp_path / "before")
    for step in range(1000):
        shutil.rmtree(gate.parent)
        shutil.copytree(copy, gate.parent)
        if not run_killed(lambda: Versions(gate).promote("ada"), step):
            break
        calibration = Calibration.model_validate(read_record(gate)["calibration"])
        save_calibration(gate, calibration.model_copy(update={"frames": 7}))
        states_then, word = whole(gate)
        assert states_then in (["earlier", "candidate", "live"], ["earlier", "earlier", "live"])
        assert (word == "second") == (states_then[1] == "earlier")
        assert Versions(gate).entries[-1].reason == "calibrated again"


def test_the_live_scene_is_no_candidate(gate: Path) -> None:
    with pytest.raises(UserError, match="live one"):
        Versions(gate).propose(shutil.copytree(gate, hidden_folder(gate) / "staged"), by="ada")
    with pytest.raises(UserError, match="no scene"):
        Versions(gate).propose(hidden_folder(gate) / "nothing", by="ada")
    assert states(gate) == ["live"]


def test_a_damaged_history_says_what_to_do(gate: Path) -> None:
    proposed(gate, "second")
    history_file(gate).write_text("{")
    with pytest.raises(UserError, match="remove it"):
        Versions(gate).entries  # noqa: B018
