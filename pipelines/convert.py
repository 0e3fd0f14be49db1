"""`export`: a scene as one file that scores on its own, without this program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.export import INPUT, OUTPUTS, SUFFIXES, WRITERS, Standalone, Target
from msflow_stream.types import UserError


@dataclass(frozen=True, slots=True)
class ExportJob:
    """What is written, and where.

    Attributes:
        to: the kind of file.
        out: the file.
        frame_size: (height, width) of the frames that it will be given; the scene's input size if None.
        overwrite: whether a file that is there may be replaced.
    """

    to: Target
    out: Path
    frame_size: tuple[int, int] | None = None
    overwrite: bool = False


def export(folder: Path, job: ExportJob, console: Console | None = None) -> None:
    """Writes the file, and prints what goes in and comes out.

    Raises:
        UserError: no such scene, a file that is there already or has another ending, a package that is missing.
    """
    if job.out.suffix != SUFFIXES[job.to]:
        raise UserError(f"{job.out.name} should end in {SUFFIXES[job.to]}: --to {job.to} writes such files")
    if job.out.exists() and not job.overwrite:
        raise UserError(f"{job.out} exists already: choose another name or give --overwrite")
    scene = Scene.load(folder)
    model = Standalone(scene, job.frame_size)
    job.out.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[job.to](model, job.out)
    _, height, width, _ = model.example.shape
    size = scene.settings.input.size
    console = console or Console()
    console.print(f"[bold]{job.out}[/] scores on its own:", highlight=False)
    console.print(f"  in   {INPUT}: uint8 B x {height} x {width} x 3, RGB", highlight=False)
    console.print(f"  out  {', '.join(OUTPUTS[:-1])}: float32 B", highlight=False)
    console.print(f"       {OUTPUTS[-1]}: float32 B x {size[0]} x {size[1]}", highlight=False)
    if scene.calibration is not None:
        kind = scene.settings.score.kind
        console.print(f"normal scores ({kind}) stay below {scene.calibration.thresholds[kind]:.6g}", highlight=False)
