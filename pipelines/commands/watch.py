"""`watch`: cameras are watched day and night."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from msflow_stream.types import UserError

from .options import (
    CONSOLE,
    GIB,
    SCENES,
    ClusterAddress,
    Device,
    Engine,
    Precision,
    SceneMemory,
    Scenes,
    for_linux,
    gib_to_bytes,
    host_and_port,
    http_address,
)

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n"
    "msflow-stream watch cameras.yaml --check\n\n"
    "msflow-stream watch cameras.yaml --console\n\n"
    "msflow-stream watch cameras.yaml --out watched --record --preview --keep-days 14\n\n"
    "msflow-stream watch cameras.yaml --cluster auto\n\n"
    "msflow-stream watch --schema > cameras.schema.json"
)
def watch(
    cameras: Annotated[
        Path | None, typer.Argument(help="Cameras file, as README shows one; --schema prints what it may hold.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for what is written, with one folder per camera.")
    ] = Path("watched"),
    scenes: Scenes = SCENES,
    check: Annotated[bool, typer.Option("--check", help="Opens every camera and scene once, and reports.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Prints the JSON schema of cameras files, for editors.")
    ] = False,
    record: Annotated[bool, typer.Option("--record", help="Writes overlay videos of the scored frames.")] = False,
    evidence: Annotated[bool, typer.Option(help="Keeps clips and images of every event.")] = True,
    preview: Annotated[bool, typer.Option("--preview", help="Writes preview.jpg, replaced every second.")] = False,
    keep_days: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Days after which scores, recordings and evidence are removed; never if not given."
        ),
    ] = None,
    keep_gib: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="GiB of recordings, and of evidence, that each camera may have; the oldest go; no limit if not given.",
        ),
    ] = None,
    keep_free_gib: Annotated[
        float, typer.Option(min=0, help="GiB that stay free on the disk; with less left, the oldest recordings go.")
    ] = 1.0,
    http: Annotated[str, typer.Option(help="HOST:PORT of /metrics, /healthz and /readyz, or off.")] = "127.0.0.1:9840",
    console: Annotated[
        bool, typer.Option("--console", help="Serves the console, pages for a browser, in a process of its own.")
    ] = False,
    console_http: Annotated[
        str | None, typer.Option(help="HOST:PORT of the console, which is then served.", show_default=CONSOLE)
    ] = None,
    log: Annotated[
        Literal["text", "json"], typer.Option(help="Format of log lines: text for people, json for machines.")
    ] = "text",
    table: Annotated[bool, typer.Option(help="Shows how every camera is doing, in a terminal.")] = True,
    batch: Annotated[int, typer.Option(min=1, help="Frames scored at once, at most.")] = 8,
    device: Device = "auto",
    engine: Engine = None,
    precision: Precision = None,
    scene_memory: SceneMemory = None,
    cluster: ClusterAddress = None,
) -> None:
    """Watches cameras day and night: scores, recordings, metrics. SIGHUP reads the cameras file again."""
    for_linux("watch")
    if schema:
        from msflow_stream.config.cameras_file import json_schema

        typer.echo(json.dumps(json_schema(), indent=2))
        return
    if cameras is None:
        raise UserError("give a cameras file; configs/cameras.example.yaml is one")
    if check:
        from ..watch import check as run_check

        run_check(cameras, scenes, device=device)
        return
    address = None
    if console or console_http is not None:
        address = host_and_port(console_http or CONSOLE, "--console-http")
        from ..console_process import check_installed

        check_installed()
    from msflow_stream.config.settings import EngineSettings
    from msflow_stream.files import Retention
    from msflow_stream.watch.camera_outputs import WatchOutputs

    from ..machine_watch import WatchJob
    from ..watch import watch as run

    written = WatchOutputs(
        out=out,
        record=record,
        preview=preview,
        keep_days=keep_days,
        retention=Retention(
            keep_days=keep_days, keep_bytes=gib_to_bytes(keep_gib), min_free_bytes=int(keep_free_gib * GIB)
        ),
        evidence=evidence,
    )
    job = WatchJob(
        cameras=cameras,
        scenes=scenes,
        written=written,
        device=device,
        batch=batch,
        address=http_address(http),
        console=address,
        logs=log,
        table=table,
        engine=EngineSettings(name=engine or "auto", precision=precision or "auto"),
        scene_bytes=gib_to_bytes(scene_memory),
    )
    if cluster is not None:
        from ..cluster.watch_cluster import watch_cluster

        watch_cluster(job, cluster)
        return
    run(job)
