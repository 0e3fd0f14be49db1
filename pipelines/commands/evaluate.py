"""`evaluate`, `ablate` and `build-mstc`: data sets are measured as the paper does."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from msflow_stream.datasets import DATASETS

from ..storage.urls import located
from .options import (
    ClusterAddress,
    Config,
    Device,
    Engine,
    Overrides,
    Precision,
    class_names,
    engine_overrides,
)

app = typer.Typer()
NAMES = ", ".join(DATASETS)
Root = Annotated[str, typer.Option(metavar="PATH", help="Folder of the data set, as it was published; or a URL.")]


@app.command(
    epilog="Examples:\n\n"
    "msflow-stream evaluate mvtec --root mvtec/ --out runs/mvtec\n\n"
    "msflow-stream evaluate mvtec --root mvtec/ --out runs/two --classes bottle,transistor --seeds 3\n\n"
    "msflow-stream evaluate mtd --root magnetic_tile/ --out runs/mtd --set model.backbone=mobilenetv2_100\n\n"
    "msflow-stream evaluate mstc --root mstc/ --out runs/mstc\n\n"
    "msflow-stream evaluate mstc --root s3://campus/mstc --out s3://campus/runs/mstc --cluster auto"
)
def evaluate(
    data: Annotated[str, typer.Argument(help=f"Data set: {NAMES}.")],
    root: Root,
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Folder for scenes and results; the same command goes on with an unfinished one.",
        ),
    ],
    classes: Annotated[
        str | None, typer.Option(help="Classes or scenes, such as bottle,cable or 01,06; all of them if not given.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Fits per class, with seeds from fit.seed on.")] = 1,
    frames: Annotated[
        Literal["sampled", "all"], typer.Option(help="Frames that count for the frame AUROC.")
    ] = "sampled",
    config: Config = None,
    set_: Overrides = None,
    device: Device = "auto",
    engine: Engine = None,
    precision: Precision = None,
    cluster: ClusterAddress = None,
) -> None:
    """Fits a model per class or scene of a data set, scores its test part, and reports beside published results."""
    from msflow_stream.config.loading import load

    from ..cluster.session import running
    from ..evaluate import EvaluateJob, settings_file
    from ..evaluate import evaluate as run

    job = EvaluateJob(
        data=data,
        root=located(root),
        out=located(out),
        classes=class_names(classes),
        seeds=seeds,
        device=device,
        frames=frames,
    )
    settings = load(config or settings_file(data), [*(set_ or ()), *engine_overrides(engine, precision)])
    with running(cluster) as runner:
        run(job, settings, runner=runner)


@app.command(
    epilog="Examples:\n\n"
    "msflow-stream ablate --table topk --data mtd --root magnetic_tile/ --out runs/ablations\n\n"
    "msflow-stream ablate --table backbone --data mvtec --root mvtec/ --classes bottle --out runs/ablations "
    "--set 'model.weights=weights/{backbone}.safetensors'"
)
def ablate(
    table: Annotated[
        str, typer.Option(help="Table: stages, pooling, backbone, blocks, fusion, norm, aggregation or topk.")
    ],
    data: Annotated[str, typer.Option(help=f"Data set: {NAMES}.")],
    root: Root,
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Folder for TABLE.json; the same command goes on with an unfinished one.",
        ),
    ],
    classes: Annotated[
        str | None, typer.Option(help="Classes or scenes, such as bottle,cable or 01,06; all of them if not given.")
    ] = None,
    config: Config = None,
    set_: Overrides = None,
    device: Device = "auto",
    cluster: ClusterAddress = None,
) -> None:
    """Makes one of the paper's ablation tables; features are extracted once for all variants that share them."""
    from msflow_stream.config.loading import load

    from ..ablate import AblateJob
    from ..ablate import ablate as run
    from ..cluster.session import running
    from ..evaluate import settings_file

    job = AblateJob(
        table=table, data=data, root=located(root), out=located(out), classes=class_names(classes), device=device
    )
    settings = load(config or settings_file(data), set_ or ())
    with running(cluster) as runner:
        run(job, settings, runner=runner)


@app.command(
    "build-mstc",
    epilog="Examples:\n\n"
    "msflow-stream build-mstc shanghaitech/ mstc/\n\n"
    "msflow-stream build-mstc shanghaitech/ mstc/ --quality 95 --workers 8\n\n"
    "msflow-stream build-mstc shanghaitech/ mstc-index/ --index-only",
)
def build_mstc(
    shanghaitech: Annotated[
        str,
        typer.Argument(
            metavar="SHANGHAITECH",
            help="Folder, or URL of one, of ShanghaiTech Campus as published, which holds training and testing.",
        ),
    ],
    out: Annotated[
        str,
        typer.Argument(metavar="OUT", help="Folder to write, or URL; the same command goes on with an unfinished one."),
    ],
    index_only: Annotated[
        bool, typer.Option("--index-only", help="Copies nothing, and writes a manifest that points into the source.")
    ] = False,
    quality: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Quality of JPEGs that frames of videos are written as, instead of PNG."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Videos at a time; as many as there are processors if not given.")
    ] = None,
    cluster: ClusterAddress = None,
) -> None:
    """Makes mSTC of ShanghaiTech Campus: every fifth frame, with its masks. Run again, it goes on where it was."""
    from ..build_mstc import build_mstc as run
    from ..build_mstc_video import BuildJob
    from ..cluster.session import running

    job = (
        BuildJob(index_only=index_only, quality=quality)
        if workers is None
        else BuildJob(index_only=index_only, quality=quality, workers=workers)
    )
    with running(cluster) as runner:
        run(located(shanghaitech), located(out), job, runner=runner)
