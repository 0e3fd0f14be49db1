"""`train-backbone`: makes scenes from formulas and trains the embedded backbone on them."""

from __future__ import annotations

import csv
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from rich.console import Console
from safetensors.torch import save_file

from msflow_stream.files import file_hash, replaced
from msflow_stream.machine import choose_device, usable_cores
from msflow_stream.model.embedded import EmbeddedBackbone
from msflow_stream.pretraining.learner import Learner, Recipe
from msflow_stream.pretraining.pictures.bank import Bank, BankPlan, make
from msflow_stream.results.run_folder import versions
from msflow_stream.scenes.checkpoints import FileCheckpoints
from msflow_stream.types import UserError

from .terminal.progress import progress

WEIGHTS, RECORD, LOSSES = "embedded.safetensors", "embedded.json", "losses.csv"
EVERY = 20  # steps between two rows of losses


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainJob:
    """The request to `train-backbone`, apart from the folder.

    Attributes:
        checkpoint_minutes: between two checkpoints, each enough to go on from.
        resume: whether to go on with what the folder holds.
    """

    plan: BankPlan = field(default_factory=BankPlan)
    recipe: Recipe = field(default_factory=Recipe)
    device: str = "auto"
    checkpoint_minutes: float = 3.0
    resume: bool = False


def train_backbone(out: Path, job: TrainJob, console: Console | None = None) -> Path | None:
    """Trains, or goes on; returns the file of weights, None if a signal ended it early.

    The folder gets the bank of scenes, checkpoints, losses.csv, the weights as float16 and a record of how they came.

    Raises:
        UserError: the folder holds another training, or one that was not asked to go on.
    """
    console = console or Console()
    checkpoints = FileCheckpoints(out / "checkpoints")
    if checkpoints.passes and not job.resume:
        raise UserError(
            f"{out} holds {checkpoints.passes} steps of a training: go on with --resume, or choose another --out"
        )
    bank = _bank(out / "bank", job.plan)
    device = choose_device(job.device)
    learner = Learner(job.recipe, bank.read, job.plan.scenes, device)
    newest = checkpoints.newest()
    if newest is not None:
        learner.restore(newest)
    if not _steps(learner, checkpoints, job, out / LOSSES):
        console.print(f"ended after step {learner.done} of {job.recipe.steps}: the same command with --resume goes on")
        return None
    save(out / WEIGHTS, learner.finished())
    record = {"recipe": asdict(job.recipe), "bank": asdict(job.plan), "sha256": file_hash(out / WEIGHTS)}
    with replaced(out / RECORD) as path:
        path.write_text(json.dumps(record | {"versions": versions()}, indent=2) + "\n", encoding="utf-8")
    console.print(f"weights: [bold]{out / WEIGHTS}[/], SHA-256 {record['sha256']}")
    return out / WEIGHTS


def save(path: Path, model: EmbeddedBackbone) -> None:
    """Writes the weights as float16, without what only a training needs."""
    state = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    with replaced(path) as partial:
        save_file({name: value.detach().half().cpu().contiguous() for name, value in state.items()}, partial)


def _bank(folder: Path, plan: BankPlan) -> Bank:
    with progress("scenes") as bars:
        task = bars.add_task("making scenes", total=plan.scenes)
        for made in make(folder, plan, usable_cores()):
            bars.advance(task, made)
    return Bank(folder)


def _steps(learner: Learner, checkpoints: FileCheckpoints, job: TrainJob, losses: Path) -> bool:
    """Does the steps that are left, keeping checkpoints; False if a signal came between."""
    total = job.recipe.steps
    saved = time.monotonic()
    with _stopping() as stopped, progress("steps") as bars, losses.open("a", newline="", encoding="utf-8") as file:
        task = bars.add_task("training", total=total, completed=learner.done)
        while learner.done < total and not stopped:
            parts = learner.step()
            bars.advance(task)
            if learner.done % EVERY == 0:
                _note(file, learner.done, parts)
            if time.monotonic() - saved > 60 * job.checkpoint_minutes:
                checkpoints.save(learner.done, learner.state())
                saved = time.monotonic()
        checkpoints.save(learner.done, learner.state())
    return learner.done == total


def _note(file: IO[str], step: int, parts: dict[str, float]) -> None:
    """Adds a row of losses, and a head above the first one."""
    writer = csv.writer(file)
    if file.tell() == 0:
        writer.writerow(["step", *parts])
    writer.writerow([step, *(f"{value:.4f}" for value in parts.values())])
    file.flush()


@contextmanager
def _stopping() -> Iterator[list[int]]:
    """A list that gets the number of SIGTERM or SIGINT, so that the step at hand can be finished and kept."""
    got: list[int] = []
    before = {number: signal.signal(number, lambda n, _: got.append(n)) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield got
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
