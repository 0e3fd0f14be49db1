"""Logs the passes of a fit for TensorBoard (extra `tensorboard`)."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from msflow_stream.results.score_files import Pass


class TensorBoardLog:
    """A context whose value takes passes and writes them below `folder` as they come."""

    def __init__(self, folder: Path) -> None:
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
