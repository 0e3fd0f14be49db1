"""`weights`: pretrained weights of backbones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import ListForm, Overwrite

app = typer.Typer()
group = typer.Typer(help="Lists, fetches and checks pretrained weights of backbones.", no_args_is_help=True)
app.add_typer(group, name="weights")


@group.command("list")
def list_weights(form: ListForm = "table") -> None:
    """Lists the backbones whose pretrained weights are on this machine."""
    from ..weights import list_weights as run

    run(form)


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
    "msflow-stream weights check tf_efficientnet_lite0\n\n"
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
