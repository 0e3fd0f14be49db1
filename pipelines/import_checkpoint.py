"""`import-checkpoint`: a checkpoint of the original MSFlow release becomes a scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from msflow_stream.config.loading import load
from msflow_stream.model import reference_checkpoint
from msflow_stream.results.run_folder import versions
from msflow_stream.scenes.scene import Scene
from msflow_stream.types import UserError


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
    (console or Console()).print(
        f"scene [bold]{scene.name}[/]: {backbone} at {size[0]}x{size[1]}, blocks {checkpoint.blocks}; "
        f"not calibrated, so it scores but raises no alarms; saved in {folder}"
    )
    return folder
