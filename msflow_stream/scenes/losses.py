"""The losses of a fit's passes: loss.csv, and a log for TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

LOSSES, LOSS_PLOT = "loss.csv", "loss.png"  # in a scene's folder


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of a fit: its number from 1, mean loss per feature value, and that of the held-out frames."""

    number: int
    loss: float
    held_out_loss: float | None
    learning_rate: float
    seconds: float


def write_losses(folder: Path, passes: Sequence[Pass]) -> None:
    """Writes loss.csv, a line per pass."""
    with (folder / LOSSES).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["pass", "loss", "held_out_loss", "learning_rate", "seconds"])
        for one in passes:
            held_out = "" if one.held_out_loss is None else f"{one.held_out_loss:.7g}"
            rows.writerow([one.number, f"{one.loss:.7g}", held_out, f"{one.learning_rate:.7g}", f"{one.seconds:.3f}"])


class TensorBoardLog:
    """A context whose value writes passes below `folder` as they come.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # an extra, which a fit does without

        self._writer = SummaryWriter(str(folder))

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def __call__(self, done: Pass) -> None:
        """Writes one pass."""
        scalars = {"loss/fitted": done.loss, "loss/held out": done.held_out_loss, "learning rate": done.learning_rate}
        for name, value in scalars.items():
            if value is not None:
                self._writer.add_scalar(name, value, done.number)
        self._writer.flush()
