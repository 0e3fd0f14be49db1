"""`weights` and `train-backbone`: pretrained weights of backbones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Overwrite

app = typer.Typer()
group = typer.Typer(help="Lists, fetches and checks pretrained weights of backbones.", no_args_is_help=True)
app.add_typer(group, name="weights")


@group.command("list")
def list_weights() -> None:
    """Lists the backbones whose pretrained weights are on this machine."""
    from ..weights import list_weights as run

    run()


@group.command(
    "fetch",
    epilog="Examples:\n\n"
    "msflow-stream weights fetch wide_resnet50_2\n\n"
    "msflow-stream weights fetch resnet18 --out resnet18.safetensors",
)
def fetch_weights(
    backbone: Annotated[str, typer.Argument(help="Backbone, a CNN of timm such as resnet18.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File for a copy, for a machine without a network.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Downloads a backbone's weights, for later use without a network."""
    from ..weights import fetch

    fetch(backbone, out, overwrite)


@group.command(
    "check",
    epilog="Examples:\n\n"
    "msflow-stream weights check embedded\n\n"
    "msflow-stream weights check resnet18 resnet18.safetensors --sha256 5c106cde...",
)
def check_weights(
    backbone: Annotated[str, typer.Argument(help="Backbone that the weights should be of.")],
    file: Annotated[
        Path | None, typer.Argument(help="File of weights; the one that `pretrained` uses if not given.")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="SHA-256 that the file should have.")] = None,
) -> None:
    """Verifies that a file holds a backbone's weights, whole and undamaged."""
    from ..weights import check

    check(backbone, file, sha256)


@app.command(
    "train-backbone",
    epilog="Examples:\n\n"
    "msflow-stream train-backbone --out runs/backbone\n\n"
    "msflow-stream train-backbone --out runs/backbone --resume",
)
def train_backbone(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for images, checkpoints, losses and the weights.")],
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps; those of the packaged weights if not given.")
    ] = None,
    scenes: Annotated[
        int | None,
        typer.Option(min=1, help="Images to make and learn from; as many as for the packaged weights if not given."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the images and of the training.")] = 0,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Goes on with what the folder holds.")] = False,
) -> None:
    """Trains the backbone that comes with the package, on pictures made from formulas alone."""
    from msflow_stream.pretraining.learner import Recipe
    from msflow_stream.pretraining.pictures.bank import BankPlan

    from ..train_backbone import TrainJob
    from ..train_backbone import train_backbone as run

    plan = BankPlan(seed=seed) if scenes is None else BankPlan(seed=seed, scenes=scenes)
    recipe = Recipe(seed=seed) if steps is None else Recipe(seed=seed, steps=steps)
    if run(out, TrainJob(plan=plan, recipe=recipe, device=device, resume=resume)) is None:
        raise KeyboardInterrupt
