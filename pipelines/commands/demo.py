"""`demo`, `doctor` and `info`: the first things to try."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, ListForm, Overrides, Overwrite

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
def info(form: ListForm = "table") -> None:
    """Shows versions, devices and codecs."""
    from ..info import info as run

    run(form)


@app.command(
    epilog="Examples:\n\nmsflow-stream doctor\n\nmsflow-stream doctor --out /srv/watched --format json\n\n"
    "Its exit code is 1 if anything is missing, else 0."
)
def doctor(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder that a watch would write to; its disk is looked at.")
    ] = Path("watched"),
    form: ListForm = "table",
) -> None:
    """Says what is missing or slow on this machine, and how to mend it."""
    from ..doctor import doctor as run

    if not run(out, form):
        raise typer.Exit(1)
