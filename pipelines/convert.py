"""`export` and `import-checkpoint`: a scene as one file that scores on its own, and one from the original release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from msflow_stream.config.loading import load
from msflow_stream.model import reference_checkpoint
from msflow_stream.results.run_folder import versions
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.export import INPUT, OUTPUTS, SUFFIXES, WRITERS, Standalone, Target
from msflow_stream.types import UserError

from .terminal.consoles import summary_console


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """The request to `export`, apart from the scene.

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
    console = console or summary_console()
    console.print(f"[bold]{job.out}[/] scores on its own:", highlight=False)
    console.print(f"  in   {INPUT}: uint8 B x {height} x {width} x 3, RGB", highlight=False)
    console.print(f"  out  {', '.join(OUTPUTS[:-1])}: float32 B", highlight=False)
    console.print(f"       {OUTPUTS[-1]}: float32 B x {size[0]} x {size[1]}", highlight=False)
    if scene.calibration is not None:
        kind = scene.settings.score.kind
        console.print(f"normal scores ({kind}) stay below {scene.calibration.thresholds[kind]:.6g}", highlight=False)


def import_checkpoint(
    file: Path,
    folder: Path,
    backbone: str,
    size: tuple[int, int],
    overrides: Sequence[str] = (),
    order: Sequence[int] | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> Path:
    """Makes a scene of a .pt file, as `folder`, whose name is the scene's. Nothing in the file is executed.

    Args:
        file: as the release writes it; it holds the flows, not the backbone.
        folder: of the scene.
        backbone: of the release's training, by its name in timm.
        size: of its input, height and width.
        overrides: further settings, such as model.weights or model.stages.
        order: which of the stored fusion permutations belongs to which scale, where their lengths do not tell.
        overwrite: whether a scene there may be replaced.
        console: for the result.

    Raises:
        UserError: no such checkpoint, an architecture that is not the backbone's, an ambiguous order.
    """
    if folder.exists() and not overwrite:
        raise UserError(f"{folder} exists already: choose another --scene or give --overwrite")
    checkpoint = reference_checkpoint.read(file)
    facts = (
        f"model.backbone={backbone}",
        f"model.blocks={checkpoint.blocks}",
        f"model.condition_channels={checkpoint.condition_channels}",
        f"input.size={list(size)}",
        "input.resize=lanczos",
        "score.kind=paper",
        "score.alignment=corners",
    )
    settings = load(None, [*facts, *overrides])
    model = settings.model
    fixed = (model.blocks, model.condition_channels, model.fusion, model.norm, settings.input.size)
    if fixed != (tuple(checkpoint.blocks), checkpoint.condition_channels, True, "layer", size):
        raise UserError(
            "blocks, condition_channels, fusion and norm are the checkpoint's own, the size is --input-size: "
            "take them out of --set"
        )
    flow = reference_checkpoint.to_msflow(checkpoint, settings.model.clamp, order)
    scene = Scene.new(folder.name, settings)
    if scene.pyramid.channels != checkpoint.channels:
        raise UserError(
            f"the stages {list(settings.model.stages)} of {backbone} have {scene.pyramid.channels} channels, "
            f"the checkpoint is for {checkpoint.channels}: give its backbone, and model.stages if they are others"
        )
    scene.flow = flow
    scene.record = {"imported": file.name, "passes": checkpoint.epoch, "versions": versions()}
    scene.save(folder, overwrite)
    (console or summary_console()).print(
        f"scene [bold]{scene.name}[/]: {backbone} at {size[0]}x{size[1]}, blocks {checkpoint.blocks}; "
        f"not calibrated, so it scores but raises no alarms; saved in {folder}"
    )
    return folder
