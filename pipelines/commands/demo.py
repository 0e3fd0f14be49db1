"""`demo` and `info`: the first things to try."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Overrides, Overwrite

app = typer.Typer()


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for footage, scene and results.")] = Path("demo"),
    seconds: Annotated[float, typer.Option(min=4, help="Seconds of the clip that is scored.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic place.")] = 0,
    set_: Overrides = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Makes synthetic footage, fits, scores, and shows where the results are. Needs no network."""
    from ..demo import demo as run

    run(out, seconds, overwrite, seed, set_ or (), device)


@app.command()
def info() -> None:
    """Shows versions, devices and codecs."""
    from ..info import info as run

    run()
