"""`train-backbone`: from nothing to a file of weights that the pyramid takes, and on from where it was stopped."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import load_file

from msflow_stream.files import file_hash
from msflow_stream.model.pyramid import Pyramid, load_weights
from msflow_stream.pretraining.learner import Learner, Recipe
from msflow_stream.pretraining.pictures.bank import BankPlan
from msflow_stream.scenes.checkpoints import FileCheckpoints
from msflow_stream.types import UserError
from pipelines.train_backbone import EVERY, RECORD, WEIGHTS, TrainJob, train_backbone

PLAN = BankPlan(scenes=6, size=80, shard=3, textures=10, pieces=1)
JOB = TrainJob(plan=PLAN, recipe=Recipe(steps=EVERY, batch=2, side=64, warmup=2), device="cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that is done."""
    folder = tmp_path_factory.mktemp("trained")
    assert train_backbone(folder, JOB) == folder / WEIGHTS
    return folder


def with_its_bank(trained: Path, folder: Path) -> Path:
    """A folder with the scenes of a training, and nothing else of it."""
    shutil.copytree(trained / "bank", folder / "bank")
    return folder


def test_a_training_gives_weights_a_record_and_losses(trained: Path) -> None:
    Pyramid("embedded", load_weights("embedded", str(trained / WEIGHTS)))
    record = json.loads((trained / RECORD).read_text())
    assert record["sha256"] == file_hash(trained / WEIGHTS)
    assert (record["recipe"]["steps"], record["bank"]["scenes"]) == (20, 6)
    with (trained / "losses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["20"]
    with pytest.raises(UserError, match="20 steps of a training: go on with --resume"):
        train_backbone(trained, JOB)


def test_the_same_seed_gives_the_same_weights(trained: Path, tmp_path: Path) -> None:
    again = train_backbone(with_its_bank(trained, tmp_path), JOB)
    assert again is not None
    first, second = load_file(trained / WEIGHTS), load_file(again)
    assert all(bool((first[name] == second[name]).all()) for name in first)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_training_with_all_that_it_did_kept(
    by: signal.Signals, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, before = Learner.step, signal.getsignal(by)

    def interrupted(learner: Learner) -> dict[str, float]:
        if learner.done == 2:
            signal.raise_signal(by)  # in the middle of the third step
        return step(learner)

    monkeypatch.setattr(Learner, "step", interrupted)
    printed = StringIO()
    out = with_its_bank(trained, tmp_path)
    assert train_backbone(out, JOB, Console(file=printed, width=200)) is None
    assert "--resume goes on" in printed.getvalue()
    assert FileCheckpoints(out / "checkpoints").passes == 3
    assert not (out / WEIGHTS).exists()
    assert signal.getsignal(by) == before
