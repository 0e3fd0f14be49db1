"""What takes the scored frames of one camera: the contract, and what all sinks share."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from msflow_stream.results.score_files import ScoreRow
from msflow_stream.types import Frame, FrameScore, UserError


class Sink(Protocol):
    """Takes the scored frames of one source, in their order, from one thread at a time.

    What goes wrong while it runs (a full disk, a server that is away) is never raised: it is logged once, what is lost
    is counted by its cause, and the sink goes on when it can.
    """

    @property
    def losses(self) -> Mapping[str, int]:
        """How many frames are not in its output, by cause; all causes are there from the start. From any thread."""
        ...

    def take(self, frame: Frame, score: FrameScore, row: ScoreRow) -> None:
        """Takes one scored frame; the image stays as it is."""
        ...

    def close(self) -> None:
        """Finishes the output; twice is fine. Nothing is taken after it."""
        ...


class Trouble:
    """Says once that something does not work, however often it fails, and once that it works again."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._reason: str | None = None

    @property
    def lasts(self) -> bool:
        return self._reason is not None

    def begin(self, message: str, reason: str = "") -> None:
        """Warns, unless the trouble lasts already for this reason."""
        if reason != self._reason:
            self._reason = reason
            self._logger.warning("%s", message)

    def end(self, message: str) -> None:
        """Says that it is over, if it lasted."""
        if self._reason is not None:
            self._reason = None
            self._logger.info("%s", message)


def arrival(score: FrameScore) -> datetime:
    """When a frame arrived, in UTC; a frame of a file arrives when it is scored."""
    return (score.wall or datetime.now(UTC)).astimezone(UTC)


def make_folder(folder: Path) -> None:
    """Makes the folder of a sink when the program starts.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the folder {folder}: {error.strerror}; choose another one") from None
