"""`bench contention`: what follows from the rates, and real processes of every verb."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from msflow_stream.types import UserError
from pipelines.bench import real_watch
from pipelines.bench.contention import ContentionJob, LostRow, Site, summary, total
from pipelines.bench.real_watch import cameras_showing
from tests.support.command import Command
from tests.support.footage import SMALL, small_flags, write_clip
from tests.support.prepared import Forked, prepared

PASSES = ["--passes", 1, "--seconds", 2, "--height", 64]


@pytest.fixture
def in_turn(monkeypatch: pytest.MonkeyPatch, command: Command) -> list[list[str]]:
    """Commands run in this process, one after the other; returns all that ran."""
    ran: list[list[str]] = []

    def run(site: Site, commands: Sequence[Sequence[str]]) -> None:
        for _, _, _, *arguments in commands:  # Python, -m, the program
            ran.append(list(arguments))
            outcome = command(*arguments)
            assert outcome.code == 0, outcome.err

    monkeypatch.setattr(Site, "_run", run)
    return ran


@pytest.fixture
def prepared_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches begin at once; their processes are real."""

    def begin(command: Sequence[str], stderr: IO[str]) -> Forked:
        python, module, name, *arguments = command
        assert (python, module, name) == (sys.executable, "-m", "pipelines.commands.app")
        return prepared().begin(arguments, stderr)

    monkeypatch.setattr(real_watch, "subprocess", SimpleNamespace(Popen=begin))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    clip = write_clip(tmp_path, "normal", 2)
    job = ContentionJob(cameras=2, passes=1, watched=0.5, settings=SMALL)
    with cameras_showing(clip) as port:
        yield Site(job, clip, port, tmp_path)


def test_two_that_share_a_machine_fairly_reach_together_what_one_does() -> None:
    row = summary("score", [[90.0], [100.0], [130.0]], [[50.0, 40.0], [30.0, 60.0], [70.0, 50.0]])
    assert row.alone_per_s == 100
    assert row.beside_per_s == [50, 50]
    assert row.together == pytest.approx(0.9)
    assert row.unit == "frames"


def test_lost_frames_of_all_rounds_count() -> None:
    rounds = [
        LostRow("a fit", 100, 0, 0.1, 10.0),
        LostRow("a fit", 120, 3, 0.4, 14.0),
        LostRow("a fit", 90, 0, 0.2, 12),
    ]
    assert total(rounds) == LostRow("a fit", 310, 3, 0.4, 12)
    assert total([LostRow("nothing", 100, 0, 0.1, None)]).fit_per_s is None


@pytest.mark.long
def test_fit_and_score_are_measured_alone_and_side_by_side(
    command: Command, in_turn: list[list[str]], in_process: None, tmp_path: Path
) -> None:
    out = tmp_path / "figures.json"
    verbs = ["--verb", "score", "--verb", "fit"]
    outcome = command("bench", "contention", *verbs, *PASSES, "--repeats", 1, *small_flags(), "--json", out)
    assert outcome.code == 0, outcome.err
    figures = json.loads(out.read_text())
    assert [(row["verb"], len(row["beside_per_s"])) for row in figures["rows"]] == [("fit", 2), ("score", 2)]
    for row in figures["rows"]:
        assert row["together"] == pytest.approx(sum(row["beside_per_s"]) / row["alone_per_s"])
    assert figures["watch"] == []  # there is none without watches
    assert [one[0] for one in in_turn] == ["fit", "fit", *["fit"] * 2, "score", *["score"] * 2]
    assert "together, of one alone" in outcome.out


@pytest.mark.long
def test_a_watch_is_measured_while_a_scene_is_fitted(
    site: Site, in_turn: list[list[str]], prepared_watches: None
) -> None:
    site.fit(1)
    (rate,) = site.watch(1)
    assert rate > 0
    row = site.watch_beside(fitting=True)
    assert (row.beside, in_turn[-1][0]) == ("a fit", "fit")
    assert row.sampled > 0
    assert row.lost <= row.sampled
    assert row.fit_per_s is not None


def test_a_process_that_fails_is_said_in_its_words(site: Site) -> None:
    good, bad = [sys.executable, "-c", ""], [sys.executable, "-c", "import sys; sys.exit('no luck')"]
    site._run([good, good])
    with pytest.raises(UserError, match="a process of the bench failed: no luck"):
        site._run([good, bad])


def test_a_verb_that_cannot_be_measured_is_refused(command: Command) -> None:
    outcome = command("bench", "contention", "--verb", "fit", "--verb", "overlay")
    assert outcome.code == 2
    assert "--verb is fit, score, watch, not overlay" in outcome.err
