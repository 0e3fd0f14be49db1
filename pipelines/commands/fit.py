"""`fit` and `calibrate`: normal footage becomes a scene with thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from msflow_stream.cores import stand_back
from msflow_stream.types import UserError

from ..storage.urls import located
from .options import (
    SCENES,
    ClusterAddress,
    Config,
    Device,
    Engine,
    ImageRate,
    Overrides,
    Overwrite,
    Precision,
    ScenesAt,
    duration,
    frame_rate,
    is_of_environment,
    scene_path,
    scene_spec,
)

app = typer.Typer()
INTERRUPTED = "interrupted"


@app.command(
    epilog="Examples:\n\n"
    "msflow-stream fit normal.mp4 --scene gate\n\n"
    "msflow-stream fit normal.mp4 --scene gate --resume\n\n"
    "msflow-stream fit rtsp://user:password@camera/stream --for 30m --scene gate\n\n"
    "msflow-stream fit --scenes-from training/videos --tensorboard logs\n\n"
    "msflow-stream fit --scenes-from s3://campus/normal --scenes s3://campus/scenes --cluster auto\n\n"
    "msflow-stream fit footage/ --scene gate --set model.backbone=resnet18 --set model.weights=resnet18.safetensors"
)
def fit(
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Normal footage: videos, folders of videos or of images, patterns; with --for a camera."),
    ] = None,
    scene: Annotated[str | None, typer.Option("--scene", "-s", help="Name of the scene.")] = None,
    scenes_from: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Folder, or URL, of many scenes' footage, with a sub-folder or a name prefix (01_) for each.",
        ),
    ] = None,
    length: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="Records a camera first, for so long: 30m, 2h or 90s."),
    ] = None,
    config: Config = None,
    set_: Overrides = None,
    scenes: ScenesAt = str(SCENES),
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Goes on with an unfinished fit.")] = False,
    overwrite: Overwrite = False,
    image_rate: ImageRate = "25",
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard's logs.")] = None,
    nice: Annotated[
        int,
        typer.Option(min=0, max=19, help="How far others on this machine go first, such as a watch; 0: not at all."),
    ] = 10,
    cluster: ClusterAddress = None,
) -> None:
    """Fits a scene on normal footage of one camera view, or one scene for each of many views.

    With --for a camera is recorded first, and the recording goes once the scene is there; `record` keeps one.
    """
    stand_back(nice)  # before threads are started, which inherit it
    from msflow_stream.config.loading import load

    from ..cluster.session import running
    from ..fit import FitJob, fit_camera
    from ..fit_many import fit_at, fit_many

    if resume and overwrite:
        raise UserError("--resume goes on with a fit, --overwrite starts it again: give one of them")
    settings = load(config, set_ or ())
    job = FitJob(
        device=device, overwrite=overwrite, resume=resume, image_rate=frame_rate(image_rate), tensorboard=tensorboard
    )
    at = located(scenes)
    if cluster is not None and scenes_from is None:
        raise UserError("--cluster fits many scenes side by side: give it with --scenes-from")
    if length is not None:
        if scenes_from or not scene or sources is None or len(sources) != 1:
            raise UserError("--for records one camera: give its address and --scene NAME, and no other source")
        if not isinstance(at, Path):
            raise UserError("--for records beside the scene: give --scenes a folder, not a URL")
        seconds, folder = duration(length, "--for"), scene_path(at, scene)
        whole = fit_camera(sources[0], seconds, folder, settings, job).state != INTERRUPTED
    elif scenes_from is not None:
        if sources or scene:
            raise UserError("--scenes-from finds sources and names of scenes itself: give no others")
        with running(cluster) as runner:
            whole = fit_many(located(scenes_from), at, settings, job, runner)
    elif sources and scene:
        whole = fit_at(sources, at, scene, settings, job).state != INTERRUPTED
    else:
        raise UserError("give sources and --scene NAME, or --scenes-from FOLDER")
    if not whole:
        Console(stderr=True).print(f"the same command{' with --resume' * (length is None)} goes on from here")
        raise KeyboardInterrupt


@app.command(
    epilog="Examples:\n\n"
    "msflow-stream calibrate gate --false-alarms-per-hour 0.1 --plot tail.png\n\n"
    "msflow-stream calibrate gate --normal night.mp4 --normal sunday.mp4 --false-alarms-per-hour 0.05"
)
def calibrate(
    context: typer.Context,
    scene: Annotated[str, typer.Argument(help="Name of the scene.")],
    rate: Annotated[
        float,
        typer.Option(
            "--false-alarms-per-hour", metavar="RATE", min=1e-6, help="Rate of false alarms that is acceptable."
        ),
    ] = 0.1,
    normal: Annotated[
        list[str] | None,
        typer.Option(help="Normal footage; the frames that the fit held out if not given; may be repeated."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="PNG file for a plot of alarms per hour over the threshold.")
    ] = None,
    scenes: ScenesAt = str(SCENES),
    device: Device = "auto",
    engine: Engine = None,
    precision: Precision = None,
    image_rate: ImageRate = "25",
    cluster: ClusterAddress = None,
) -> None:
    """Sets a scene's thresholds for a number of false alarms per hour, and says how sure that is."""
    from ..calibrate import CalibrateJob
    from ..calibrate import calibrate as run
    from ..cluster.session import running

    if not normal:  # then nothing is scored; what the environment says for all commands is no mistake
        engine = None if is_of_environment(context, "engine") else engine
        precision = None if is_of_environment(context, "precision") else precision
    job = CalibrateJob(
        rate=rate,
        normal=normal or (),
        plot=plot,
        device=device,
        engine=engine,
        precision=precision,
        image_rate=frame_rate(image_rate),
    )
    with running(cluster) as runner:
        run(scene_spec(scenes, scene), job, runner=runner)
