"""The request for a long piece of work of a scene, and where it says what became of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msflow_stream.logs import redact
from msflow_stream.teaching.layout import begun_file, learn_folder, teach_folder, wanted_file
from msflow_stream.teaching.learning import LearningRecord
from msflow_stream.teaching.progress import Progress

Kind = Literal["fit", "calibrate", "candidate"]

MISTAKE, BUSY = 2, 3  # exit codes: for what a person can mend; another program is at it


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkJob:
    """The request to `work`.

    Attributes:
        kind: fit: the first one, from recorded footage; calibrate: its thresholds; candidate: what was taught.
        scene: the scene's folder.
        device: such as auto, cpu or cuda.
    """

    kind: Kind
    scene: Path
    device: str = "auto"

    @property
    def folder(self) -> Path:
        """The folder that says how far it is."""
        return teach_folder(self.scene) if self.kind == "candidate" else learn_folder(self.scene)


def fail(job: WorkJob, reason: str) -> None:
    """Writes down that the work cannot be done, and why."""
    with suppress(OSError):
        Progress(stage="failed", text=redact(reason)).write(job.folder)
        record = LearningRecord.read(job.scene)
        if job.kind == "candidate":
            asked = begun_file(job.scene) if begun_file(job.scene).exists() else wanted_file(job.scene)
            asked.unlink(missing_ok=True)  # what was asked for since is tried
        elif job.kind == "fit" and record is not None:
            record.moved("failed", redact(reason)).write(job.scene)
