"""`work`: hidden, as a watch begins it by itself."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer

from .options import SCENES, Device, Scenes, scene_path

app = typer.Typer()


@app.command(hidden=True)
def work(
    kind: Annotated[Literal["fit", "calibrate", "candidate"], typer.Argument(help="What is to be done.")],
    scene: Annotated[str, typer.Argument(help="Name of the scene.")],
    scenes: Scenes = SCENES,
    device: Device = "auto",
) -> None:
    """Does a long piece of work beside a watch, which begins it by itself."""
    from ..work import work as run
    from ..work_job import WorkJob

    code = run(WorkJob(kind=kind, scene=scene_path(scenes, scene), device=device))
    os._exit(code)  # at once: all is written, and tidying up takes long for the last in line
