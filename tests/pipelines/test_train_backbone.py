"""`train-backbone`: from nothing to a file of weights that the pyramid takes, and on from where it was stopped."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from msflow_stream.files import file_hash
from msflow_stream.model.pyramid import Pyramid, load_weights
from msflow_stream.pretraining.learner import Recipe
from msflow_stream.pretraining.pictures.bank import BankPlan
from msflow_stream.scenes.checkpoints import FileCheckpoints
from msflow_stream.types import UserError
from pipelines.train_backbone import RECORD, WEIGHTS, TrainJob, train_backbone

PLAN = BankPlan(scenes=6, size=80, shard=3, textures=10, pieces=1)
JOB = TrainJob(plan=PLAN, recipe=Recipe(steps=20, batch=2, side=64, warmup=2), device="cpu")
SCRIPT = """
import sys
from pathlib import Path
from dataclasses import replace
from tests.pipelines.test_train_backbone import JOB
from pipelines.train_backbone import train_backbone
if __name__ == "__main__":
    train_backbone(Path(sys.argv[1]), replace(JOB, recipe=replace(JOB.recipe, steps=100000)))
"""


def test_a_training_gives_weights_a_record_and_losses(tmp_path: Path) -> None:
    path = train_backbone(tmp_path, JOB)
    assert path == tmp_path / WEIGHTS
    Pyramid("embedded", load_weights("embedded", str(path)))
    record = json.loads((tmp_path / RECORD).read_text())
    assert record["sha256"] == file_hash(path)
    assert (record["recipe"]["steps"], record["bank"]["scenes"]) == (20, 6)
    with (tmp_path / "losses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["20"]
    with pytest.raises(UserError, match="20 steps of a training: go on with --resume"):
        train_backbone(tmp_path, JOB)


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    one, two = (train_backbone(tmp_path / name, JOB) for name in ("one", "two"))
    assert one is not None
    assert two is not None
    first, second = load_file(one), load_file(two)
    assert all(bool((first[name] == second[name]).all()) for name in first)


def test_a_signal_ends_a_training_with_all_that_it_did_kept(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}  # noqa: PTH109
    process = subprocess.Popen([sys.executable, script, tmp_path / "out"], env=environment, stdout=subprocess.PIPE)
    losses = tmp_path / "out" / "losses.csv"
    deadline = time.monotonic() + 240
    while not (losses.exists() and len(losses.read_text().splitlines()) >= 2):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert b"--resume goes on" in said
    assert FileCheckpoints(tmp_path / "out" / "checkpoints").passes >= 20
