"""`record`: a camera is recorded, for a fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from ..terminal.consoles import summary_console
from .options import duration

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n"
    "msflow-stream record rtsp://user:password@camera/stream --for 30m\n\n"
    "msflow-stream record rtsp://camera/stream --for 2h --out footage/gate\n\n"
    "msflow-stream fit footage/gate --scene gate"
)
def record(
    url: Annotated[str, typer.Argument(help="Address of a camera, or a webcam's number.")],
    length: Annotated[
        str, typer.Option("--for", metavar="TIME", help="Length of the footage, such as 30m, 2h or 90s.")
    ] = "30m",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the footage.", show_default="footage/ and the camera's name"),
    ] = None,
    transport: Annotated[Literal["tcp", "udp"], typer.Option(help="How RTSP sends frames.")] = "tcp",
) -> None:
    """Records a camera as it is, for a fit, and says what came in.

    The camera's own packets are written, in files of some minutes that play whatever happens. A camera that is lost is
    connected again; black and frozen frames do not count. The same command goes on with what is there.
    """
    from msflow_stream.config.cameras import CameraSettings

    from ..record import RecordJob, check_camera
    from ..record import record as run

    seconds, name = duration(length, "--for"), check_camera(url)
    folder = out or Path("footage") / name
    settings = CameraSettings(decode="cpu", transport=transport)
    if not run(RecordJob(url=url, seconds=seconds, folder=folder, settings=settings)):
        Console(stderr=True).print("the same command goes on from here")
        raise KeyboardInterrupt
    summary_console().print(f"fit it: msflow-stream fit {folder} --scene NAME", highlight=False, soft_wrap=True)
