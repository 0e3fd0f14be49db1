"""The command line of msflow-stream: each verb parses its arguments and calls one pipeline."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape

from msflow_stream import __version__
from msflow_stream.config.settings import EngineName, EnginePrecision
from msflow_stream.types import Severity, UserError

if TYPE_CHECKING:
    from msflow_stream.events.store import EventFilter

# The pipelines are imported by the verbs: torch takes seconds to import, and --help should not wait for it.

app = typer.Typer(
    help="Finds violations in fixed-camera video: fit a scene on normal footage, then score videos and cameras.",
    epilog="Start with: msflow-stream demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
scenes_app = typer.Typer(help="Lists fitted scenes and shows what is in them.", no_args_is_help=True)
app.add_typer(scenes_app, name="scenes")
events_app = typer.Typer(help="Lists, shows, exports, labels and keeps events that were found.", no_args_is_help=True)
app.add_typer(events_app, name="events")
bench_app = typer.Typer(help="Times things beside a plain way of doing them, in the same run.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")
weights_app = typer.Typer(help="Lists, fetches and checks pretrained weights of backbones.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")

Sources = Annotated[
    list[str],
    typer.Argument(help="Videos, folders of videos or of images, patterns; for `score` also URLs and webcams."),
]
SceneName = Annotated[str, typer.Option("--scene", "-s", help="Name of the scene.")]
Scenes = Annotated[Path, typer.Option("--scenes", help="Folder that holds the scenes.")]
Config = Annotated[Path | None, typer.Option("--config", "-c", help="YAML file of settings.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="One setting, such as fit.passes=8; may be repeated.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Counted = Annotated[Literal["sampled", "all"], typer.Option(help="Frames that count for the frame-level AUROC.")]
ImageRate = Annotated[str, typer.Option(help="Frames per second of image folders.")]
EventCamera = Annotated[str | None, typer.Option(help="Of this camera only.")]
EventSince = Annotated[str | None, typer.Option(help="Not before a date or time, or 2h, 7d ago.")]
EventSeverity = Annotated[Literal["low", "medium", "high"] | None, typer.Option(help="At least that severe.")]
EventId = Annotated[str, typer.Argument(help="Of the event, or the beginning of it.")]
WatchedOut = Annotated[Path, typer.Option("--out", "-o", help="The folder that `watch` or `score` writes to.")]
StoreUrl = Annotated[
    str | None, typer.Option(envvar="MSFLOW_STORE", help="The database, if it is not events.db in --out.")
]
Engine = Annotated[
    EngineName | None, typer.Option(envvar="MSFLOW_ENGINE", help="What runs the networks; auto: the fastest here.")
]
Precision = Annotated[
    EnginePrecision | None,
    typer.Option(envvar="MSFLOW_PRECISION", help="Of the networks; auto keeps scores as they are."),
]
SceneMemory = Annotated[
    float | None,
    typer.Option(min=0.001, help="GiB of scenes' weights that are ready to score; beyond it scenes take turns."),
]
Figures = Annotated[Path | None, typer.Option("--json", "--out", "-o", help="JSON file for the figures.")]
Batches = Annotated[list[int] | None, typer.Option("--batch", min=1, help="Frames at a time; may be repeated.")]
SCENES, WATCHED = Path("scenes"), Path("watched")
GIB = 2**30


@app.command(
    epilog="Examples:\n\n"
    "msflow-stream fit normal.mp4 --scene gate\n\n"
    "msflow-stream fit normal.mp4 --scene gate --resume\n\n"
    "msflow-stream fit --scenes-from training/videos --tensorboard logs\n\n"
    "msflow-stream fit footage/ --scene gate --set model.backbone=resnet18 --set model.weights=resnet18.safetensors"
)
def fit(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Videos, folders of videos or of images, patterns.")
    ] = None,
    scene: Annotated[str | None, typer.Option("--scene", "-s", help="Name of the scene.")] = None,
    scenes_from: Annotated[
        Path | None, typer.Option(help="Fit many scenes: a folder with a sub-folder or a name prefix (01_) for each.")
    ] = None,
    config: Config = None,
    set_: Overrides = None,
    scenes: Scenes = SCENES,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished fit.")] = False,
    overwrite: Overwrite = False,
    image_rate: ImageRate = "25",
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard's logs.")] = None,
) -> None:
    """Fits a scene on normal footage of one camera view, or one scene for each of many views."""
    from msflow_stream.config.loading import load
    from pipelines.fit import FitJob, fit_many
    from pipelines.fit import fit as run

    if resume and overwrite:
        raise UserError("--resume goes on with a fit, --overwrite starts it again: give one of them")
    settings = load(config, set_ or ())
    job = FitJob(device, overwrite, resume, _rate(image_rate), tensorboard)
    if scenes_from is not None:
        if sources or scene:
            raise UserError("--scenes-from finds sources and names of scenes itself: give no others")
        whole = fit_many(scenes_from, scenes, settings, job)
    elif sources and scene:
        whole = run(sources, _scene_folder(scenes, scene), settings, job).state != "interrupted"
    else:
        raise UserError("give sources and --scene NAME, or --scenes-from FOLDER")
    if not whole:
        Console(stderr=True).print("the same command with --resume goes on from here")
        raise KeyboardInterrupt


@app.command(
    epilog="Examples:\n\n"
    "msflow-stream calibrate gate --false-alarms-per-hour 0.1 --plot tail.png\n\n"
    "msflow-stream calibrate gate --normal night.mp4 --normal sunday.mp4 --false-alarms-per-hour 0.05"
)
def calibrate(
    scene: Annotated[str, typer.Argument(help="Name of the scene.")],
    rate: Annotated[float, typer.Option("--false-alarms-per-hour", min=1e-6, help="That you can live with.")] = 0.1,
    normal: Annotated[
        list[str] | None, typer.Option(help="Normal footage; the frames held out by the fit if not given.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="PNG of alarms per hour over the threshold.")] = None,
    scenes: Scenes = SCENES,
    device: Device = "auto",
    image_rate: ImageRate = "25",
) -> None:
    """Sets a scene's thresholds for a number of false alarms per hour, and says how sure that is."""
    from pipelines.calibrate import CalibrateJob
    from pipelines.calibrate import calibrate as run

    run(
        _scene_folder(scenes, scene),
        CalibrateJob(rate, normal or (), plot, device=device, image_rate=_rate(image_rate)),
    )


@app.command(
    epilog="Examples:\n\n"
    "msflow-stream score today.mp4 --scene gate --out runs/today\n\n"
    "msflow-stream score clips/ --scene gate --labels labels/ --masks masks/ --out runs/clips\n\n"
    "msflow-stream score clips/ --scene gate --out runs/clips --store runs/clips/events.db\n\n"
    "msflow-stream score rtsp://camera/stream --scene gate --duration 60 --out runs/live"
)
def score(
    sources: Sources,
    scene: SceneName,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results, one sub-folder per source.")],
    labels: Annotated[Path | None, typer.Option(help="0/1 per frame as .npy, or a folder with one per clip.")] = None,
    masks: Annotated[Path | None, typer.Option(help="T x H x W as .npy, or a folder with one per clip.")] = None,
    frames: Counted = "sampled",
    every: Annotated[int | None, typer.Option(min=1, help="Score frames whose index is a multiple of this.")] = None,
    overlay: Annotated[bool, typer.Option(help="Write overlay.mp4.")] = True,
    overlay_preset: Annotated[
        Literal["ultrafast", "veryfast", "faster", "fast", "medium"],
        typer.Option(help="Of its encoder: slower is smaller."),
    ] = "ultrafast",
    skip_static: Annotated[
        bool, typer.Option("--skip-static", help="Frames that show nothing new take the last score.")
    ] = False,
    evidence: Annotated[
        bool | None,
        typer.Option(
            "--evidence/--no-evidence", help="Keep a clip and pictures of every event.  [default: as --overlay]"
        ),
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="Save events here, for `events`: a SQLite file, or a database's address.")
    ] = None,
    save_maps: Annotated[bool, typer.Option("--save-maps", help="Write maps.safetensors, for `overlay`.")] = False,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop each source after so many frames.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.001, help="Stop each source after so many seconds.")] = None,
    config: Config = None,
    set_: Overrides = None,
    scenes: Scenes = SCENES,
    device: Device = "auto",
    engine: Engine = None,
    precision: Precision = None,
    calibration: Annotated[
        list[str] | None, typer.Option(help="Normal footage, for --precision int8: once for a scene.")
    ] = None,
    overwrite: Overwrite = False,
    image_rate: ImageRate = "25",
) -> None:
    """Scores videos, image folders or a camera: overlay, scores, timeline, events; AUROC where labels exist.

    A camera is read until it ends or fails, and its clips are made of scored frames; `watch` is for days and nights.
    """
    from msflow_stream.config.loading import load_for_scoring
    from msflow_stream.scenes.scene import Scene
    from msflow_stream.scoring.engine_choice import images_of, make_scoring
    from msflow_stream.scoring.scorer import Scorer
    from pipelines.score import score as run
    from pipelines.score_source import ScoreJob

    loaded = Scene.load(_scene_folder(scenes, scene))
    sampled = [] if every is None else [f"score.every={every}"]
    changes = [*(set_ or ()), *sampled, *_engine(engine, precision)]
    settings = load_for_scoring(loaded.settings, config, changes)
    normal = images_of(calibration) if calibration else None
    scorer = Scorer(loaded, device, settings.score, make_scoring(settings.engine, normal))
    limits = max_frames, duration, _rate(image_rate)
    address = None if store is None else _store_address(store)
    evidence = overlay if evidence is None else evidence
    job = ScoreJob(
        out,
        labels,
        masks,
        frames,
        overlay,
        save_maps,
        overwrite,
        *limits,
        settings.event,
        evidence,
        address,
        skip_static,
        overlay_preset,
    )
    results, _ = run(sources, scorer, job)
    if results[-1].interrupted:
        raise KeyboardInterrupt


@app.command(
    epilog="Examples:\n\n"
    "msflow-stream watch cameras.yaml --check\n\n"
    "msflow-stream watch cameras.yaml --out watched --record --preview --keep-days 14\n\n"
    "msflow-stream watch --schema > cameras.schema.json"
)
def watch(
    cameras: Annotated[
        Path | None, typer.Argument(help="The cameras file; configs/cameras.example.yaml is one.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="For what is written, one folder per camera.")] = Path(
        "watched"
    ),
    scenes: Scenes = SCENES,
    check: Annotated[bool, typer.Option("--check", help="Open every camera and scene once, and report.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of cameras files, for editors.")
    ] = False,
    record: Annotated[bool, typer.Option("--record", help="Write overlay videos of the scored frames.")] = False,
    evidence: Annotated[bool, typer.Option(help="Keep clips and pictures of every event.")] = True,
    preview: Annotated[bool, typer.Option("--preview", help="Write preview.jpg, replaced every second.")] = False,
    keep_days: Annotated[
        float | None, typer.Option(min=0.001, help="Remove scores, recordings and evidence that are older.")
    ] = None,
    keep_gib: Annotated[
        float | None, typer.Option(min=0.001, help="Of recordings, and of evidence, per camera; the oldest go.")
    ] = None,
    keep_free_gib: Annotated[
        float, typer.Option(min=0, help="With less left on the disk, the oldest recordings go.")
    ] = 1.0,
    http: Annotated[str, typer.Option(help="HOST:PORT of /metrics, /healthz and /readyz, or off.")] = "127.0.0.1:9840",
    log: Annotated[Literal["text", "json"], typer.Option(help="Lines for people, or for machines.")] = "text",
    table: Annotated[bool, typer.Option(help="Show how every camera is doing, in a terminal.")] = True,
    batch: Annotated[int, typer.Option(min=1, help="Frames scored at once, at most.")] = 8,
    device: Device = "auto",
    engine: Engine = None,
    precision: Precision = None,
    scene_memory: SceneMemory = None,
) -> None:
    """Watches cameras day and night: scores, recordings, metrics. SIGHUP reads the cameras file again."""
    if schema:
        from msflow_stream.config.cameras_file import json_schema

        typer.echo(json.dumps(json_schema(), indent=2))
        return
    if cameras is None:
        raise UserError("give a cameras file; configs/cameras.example.yaml is one")
    if check:
        from pipelines.watch import check as run_check

        run_check(cameras, scenes)
        return
    from msflow_stream.config.settings import EngineSettings
    from msflow_stream.events.evidence.retention import EvidenceRetention
    from msflow_stream.watch.camera_outputs import WatchOutputs
    from msflow_stream.watch.outputs.retention import Retention
    from pipelines.watch import WatchJob
    from pipelines.watch import watch as run

    kept = keep_days, _bytes(keep_gib), int(keep_free_gib * GIB)
    written = WatchOutputs(out, record, preview, keep_days, Retention(*kept), evidence, EvidenceRetention(*kept))
    engine_settings = EngineSettings(name=engine or "auto", precision=precision or "auto")
    shown = _address(http), log, table
    run(WatchJob(cameras, scenes, written, device, batch, *shown, engine_settings, _bytes(scene_memory)))


@events_app.command("list", epilog="Example: msflow-stream events list --camera gate --since 24h --severity medium")
def list_events(
    camera: EventCamera = None,
    since: EventSince = None,
    severity: EventSeverity = None,
    limit: Annotated[int, typer.Option(min=1, help="Newest first, so many at most.")] = 50,
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
) -> None:
    """Lists events, newest first."""
    from pipelines.events import list_events as run

    run(_store(store, out), _events(camera, since, severity, limit), Console())


@events_app.command("show")
def show_event(id: EventId, out: WatchedOut = WATCHED, store: StoreUrl = None) -> None:
    """Shows all that is known of an event, and where its clip and pictures are."""
    from pipelines.events import show as run

    run(_store(store, out), id, out, Console())


@events_app.command(
    "export",
    epilog="Examples:\n\nmsflow-stream events export --format csv --since 7d > week.csv\n\n"
    "msflow-stream events export --format coco --to annotations.json",
)
def export_events(
    form: Annotated[Literal["csv", "json", "coco"], typer.Option("--format", help="Of the export.")] = "csv",
    to: Annotated[Path | None, typer.Option("--to", help="A file; standard output if not given.")] = None,
    camera: EventCamera = None,
    since: EventSince = None,
    severity: EventSeverity = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Newest first, so many at most.")] = None,
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
) -> None:
    """Writes events as CSV, JSON, or COCO annotations of their snapshots."""
    from pipelines.events import export as run

    run(_store(store, out), _events(camera, since, severity, limit), form, to, out, Console(stderr=True))


@events_app.command("label", epilog="Example: msflow-stream events label gate-20261123T232138 normal")
def label_event(
    id: EventId,
    value: Annotated[Literal["normal", "violation", "none"], typer.Argument(help="What it was; none takes it back.")],
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
) -> None:
    """Notes what an event really was."""
    from pipelines.events import label as run

    run(_store(store, out), id, None if value == "none" else value, Console())


@events_app.command("keep", epilog="Example: msflow-stream events keep gate-20261123T232138")
def keep_event(
    id: EventId,
    undo: Annotated[bool, typer.Option("--undo", help="Keep it no longer than others.")] = False,
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
) -> None:
    """Keeps an event's clip and pictures, however old they are."""
    from pipelines.events import keep as run

    run(_store(store, out), id, not undo, out, Console())


@app.command(epilog="Example: msflow-stream overlay runs/today --colormap turbo")
def overlay(
    run: Annotated[Path, typer.Argument(help="A run, or one source's folder in it.")],
    source: Annotated[Path | None, typer.Option(help="The video, if it has moved.")] = None,
    alpha: Annotated[float | None, typer.Option(min=0, max=1, help="Opacity of the heat map.")] = None,
    colormap: Annotated[str | None, typer.Option(help="A colour map of OpenCV, such as inferno or turbo.")] = None,
) -> None:
    """Redraws overlays from saved scores and maps, without the model."""
    from pipelines.overlay import redraw

    redraw(run, source, alpha, colormap)


@app.command(
    "import-checkpoint",
    epilog="Examples:\n\n"
    "msflow-stream import-checkpoint bottle.pt --backbone wide_resnet50_2 --input-size 512 --scene bottle\n\n"
    "msflow-stream import-checkpoint bottle.pt --backbone wide_resnet50_2 --input-size 512 --scene bottle "
    "--set model.weights=wide_resnet50_2.safetensors",
)
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="A .pt file; it is read without executing anything in it.")],
    scene: SceneName,
    backbone: Annotated[str, typer.Option(help="The backbone it was trained on, by its name in timm.")],
    input_size: Annotated[str, typer.Option(help="The input it was trained with, such as 512 or 256x384 (H x W).")],
    order: Annotated[
        str | None, typer.Option(help="Which stored fusion permutation belongs to which scale, such as 2,0,1.")
    ] = None,
    set_: Overrides = None,
    scenes: Scenes = SCENES,
    overwrite: Overwrite = False,
) -> None:
    """Makes a scene of a checkpoint of the original MSFlow release."""
    from pipelines.convert import import_checkpoint as run

    chosen = None if order is None else _numbers(order, ",", "--order", "2,0,1")
    run(file, _scene_folder(scenes, scene), backbone, _size(input_size), set_ or (), chosen, overwrite)


@app.command(
    "build-mstc",
    epilog="Examples:\n\n"
    "msflow-stream build-mstc shanghaitech/ mstc/\n\n"
    "msflow-stream build-mstc shanghaitech/ mstc/ --quality 95 --workers 8\n\n"
    "msflow-stream build-mstc shanghaitech/ mstc-index/ --index-only",
)
def build_mstc(
    shanghaitech: Annotated[
        Path, typer.Argument(help="ShanghaiTech Campus as published: the folder that holds training and testing.")
    ],
    out: Annotated[Path, typer.Argument(help="A new folder, or an unfinished one to go on with.")],
    index_only: Annotated[
        bool, typer.Option("--index-only", help="Copy nothing: write a manifest that points into the source.")
    ] = False,
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, help="JPEG of this quality for frames of videos, instead of PNG.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Videos at a time; all processors if not given.")] = None,
) -> None:
    """Makes mSTC of ShanghaiTech Campus: every fifth frame, with its masks. Run again, it goes on where it was."""
    from pipelines.build_mstc import build_mstc as run
    from pipelines.build_mstc_video import BuildJob

    job = BuildJob(index_only, quality) if workers is None else BuildJob(index_only, quality, workers)
    run(shanghaitech, out, job)


@app.command(
    epilog="Examples:\n\n"
    "msflow-stream evaluate mvtec --root mvtec/ --out runs/mvtec\n\n"
    "msflow-stream evaluate mvtec --root mvtec/ --out runs/two --classes bottle,transistor --seeds 3\n\n"
    "msflow-stream evaluate mtd --root magnetic_tile/ --out runs/mtd --set model.backbone=mobilenetv2_100\n\n"
    "msflow-stream evaluate mstc --root mstc/ --out runs/mstc"
)
def evaluate(
    data: Annotated[str, typer.Argument(help="mvtec, visa, mtd, mstc, ped1, ped2, avenue or folder.")],
    root: Annotated[Path, typer.Option(help="The data set's own folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="For scenes and results; run again, it goes on there.")],
    classes: Annotated[str | None, typer.Option(help="Some classes or scenes, such as bottle,cable or 01,06.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Fits per class, with seeds from fit.seed on.")] = 1,
    frames: Annotated[
        Literal["sampled", "all"], typer.Option(help="Frames that count for the frame AUROC.")
    ] = "sampled",
    config: Config = None,
    set_: Overrides = None,
    device: Device = "auto",
    engine: Engine = None,
    precision: Precision = None,
) -> None:
    """Fits a model per class or scene of a data set, scores its test part, and reports beside published results."""
    from msflow_stream.config.loading import load
    from pipelines.evaluate import EvaluateJob, settings_file
    from pipelines.evaluate import evaluate as run

    job = EvaluateJob(data, root, out, _classes(classes), seeds, device, frames)
    run(job, load(config or settings_file(data), [*(set_ or ()), *_engine(engine, precision)]))


@app.command(
    epilog="Examples:\n\n"
    "msflow-stream ablate --table topk --data mtd --root magnetic_tile/ --out runs/ablations\n\n"
    "msflow-stream ablate --table backbone --data mvtec --root mvtec/ --classes bottle --out runs/ablations "
    "--set 'model.weights=weights/{backbone}.safetensors'"
)
def ablate(
    table: Annotated[str, typer.Option(help="stages, pooling, backbone, blocks, fusion, norm, aggregation or topk.")],
    data: Annotated[str, typer.Option(help="mvtec, visa, mtd, mstc, ped1, ped2, avenue or folder.")],
    root: Annotated[Path, typer.Option(help="The data set's own folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="For TABLE.json; run again, it goes on there.")],
    classes: Annotated[str | None, typer.Option(help="Some classes or scenes, such as bottle,cable or 01,06.")] = None,
    config: Config = None,
    set_: Overrides = None,
    device: Device = "auto",
) -> None:
    """Makes one of the paper's ablation tables; features are extracted once for all variants that share them."""
    from msflow_stream.config.loading import load
    from pipelines.ablate import AblateJob
    from pipelines.ablate import ablate as run
    from pipelines.evaluate import settings_file

    job = AblateJob(table, data, root, out, _classes(classes), device)
    run(job, load(config or settings_file(data), set_ or ()))


@app.command(
    epilog="Examples:\n\n"
    "msflow-stream export gate --to onnx -o gate.onnx\n\n"
    "msflow-stream export gate --to openvino -o gate.xml --frame-size 1080x1920"
)
def export(
    scene: Annotated[str, typer.Argument(help="Name of the scene.")],
    to: Annotated[Literal["onnx", "openvino", "torch"], typer.Option(help="The kind of file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="FILE.onnx, FILE.xml or FILE.pt2.")],
    frame_size: Annotated[
        str | None, typer.Option(help="Of the frames it will get, H x W; the scene's input size if not given.")
    ] = None,
    scenes: Scenes = SCENES,
    overwrite: Overwrite = False,
) -> None:
    """Writes a scene as a file that scores on its own: uint8 frames in, scores and maps out."""
    from pipelines.convert import ExportJob
    from pipelines.convert import export as run

    run(_scene_folder(scenes, scene), ExportJob(to, out, None if frame_size is None else _size(frame_size), overwrite))


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for footage, scene and results.")] = Path("demo"),
    seconds: Annotated[float, typer.Option(min=4, help="Length of the clip to score.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Of the synthetic place.")] = 0,
    set_: Overrides = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Makes synthetic footage, fits, scores, and shows where the results are. Needs no network."""
    from pipelines.demo import demo as run

    run(out, seconds, overwrite, seed, set_ or (), device)


@app.command()
def info() -> None:
    """Shows versions, devices and codecs."""
    from pipelines.info import info as run

    run()


@scenes_app.command("list")
def list_scenes(scenes: Scenes = SCENES) -> None:
    """Lists the scenes in a folder."""
    from pipelines.info import list_all

    list_all(scenes)


@scenes_app.command("show")
def show_scene(name: Annotated[str, typer.Argument(help="Name of the scene.")], scenes: Scenes = SCENES) -> None:
    """Shows a scene's settings, its fit, and what is normal for its scores."""
    from pipelines.info import show

    show(_scene_folder(scenes, name))


@weights_app.command("list")
def list_weights() -> None:
    """Lists the backbones whose pretrained weights are on this machine."""
    from pipelines.weights import list_weights as run

    run()


@weights_app.command(
    "fetch",
    epilog="Examples:\n\n"
    "msflow-stream weights fetch wide_resnet50_2\n\n"
    "msflow-stream weights fetch resnet18 --out resnet18.safetensors",
)
def fetch_weights(
    backbone: Annotated[str, typer.Argument(help="Such as resnet18: a CNN of timm.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A copy, for a machine without a network.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Downloads a backbone's weights, for later use without a network."""
    from pipelines.weights import fetch

    fetch(backbone, out, overwrite)


@weights_app.command(
    "check",
    epilog="Examples:\n\n"
    "msflow-stream weights check embedded\n\n"
    "msflow-stream weights check resnet18 resnet18.safetensors --sha256 5c106cde...",
)
def check_weights(
    backbone: Annotated[str, typer.Argument(help="Whose weights they should be.")],
    file: Annotated[Path | None, typer.Argument(help="What `pretrained` uses, if not given.")] = None,
    sha256: Annotated[str | None, typer.Option(help="That the file should have.")] = None,
) -> None:
    """Verifies that a file holds a backbone's weights, whole and undamaged."""
    from pipelines.weights import check

    check(backbone, file, sha256)


@app.command(
    "train-backbone",
    epilog="Examples:\n\n"
    "msflow-stream train-backbone --out runs/backbone\n\n"
    "msflow-stream train-backbone --out runs/backbone --resume",
)
def train_backbone(
    out: Annotated[Path, typer.Option("--out", "-o", help="For scenes, checkpoints, losses and the weights.")],
    steps: Annotated[int | None, typer.Option(min=1, help="More or fewer than of the packaged weights.")] = None,
    scenes: Annotated[int | None, typer.Option(min=1, help="Pictures to make and learn from.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the scenes and of the training.")] = 0,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what the folder holds.")] = False,
) -> None:
    """Trains the backbone that comes with the package, on pictures made from formulas alone."""
    from msflow_stream.pretraining.learner import Recipe
    from msflow_stream.pretraining.pictures.bank import BankPlan
    from pipelines.train_backbone import TrainJob
    from pipelines.train_backbone import train_backbone as run

    plan = BankPlan(seed=seed) if scenes is None else BankPlan(seed=seed, scenes=scenes)
    recipe = Recipe(seed=seed) if steps is None else Recipe(seed=seed, steps=steps)
    if run(out, TrainJob(plan, recipe, device, resume=resume)) is None:
        raise KeyboardInterrupt


@bench_app.command(
    "fit",
    epilog="Examples:\n\n"
    "msflow-stream bench fit\n\n"
    "msflow-stream bench fit --backbone wide_resnet50_2 --input-size 512 --device cuda --frames 64",
)
def bench_fit(
    backbone: Annotated[list[str], typer.Option(help="With random weights; may be repeated.")] = [  # noqa: B006
        "embedded",
        "mobilenetv2_100",
        "wide_resnet50_2",
    ],
    input_size: Annotated[str, typer.Option(help="Such as 256 or 256x384 (H x W).")] = "256",
    frames: Annotated[int, typer.Option(min=1, help="Frames in a pass.")] = 16,
    repeats: Annotated[int, typer.Option(min=1, help="Passes of each way that count.")] = 5,
    set_: Overrides = None,
    device: Device = "auto",
    out: Figures = None,
) -> None:
    """Time per pass of a fit: as the original release does it, features recomputed, features cached."""
    from pipelines.bench.fit import bench_fit as run

    run(backbone, _size(input_size), frames, repeats, device, set_ or (), out)


@bench_app.command(
    "scorer",
    epilog="Examples:\n\n"
    "msflow-stream bench scorer\n\n"
    "msflow-stream bench scorer --backbone wide_resnet50_2 --input-size 512 --batch 32 --device cuda --json f.json\n\n"
    "msflow-stream bench scorer --scene gate",
)
def bench_scorer(
    backbone: Annotated[list[str], typer.Option(help="With random weights; may be repeated.")] = [  # noqa: B006
        "embedded",
        "mobilenetv2_100",
        "resnet18",
        "wide_resnet50_2",
    ],
    input_size: Annotated[str, typer.Option(help="Such as 256 or 256x384 (H x W).")] = "256",
    scene: Annotated[str | None, typer.Option("--scene", "-s", help="A fitted scene, not the backbones.")] = None,
    batch: Batches = None,
    engine: Annotated[list[str] | None, typer.Option(help="Of these only; may be repeated.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that count, of all ways in turn.")] = 9,
    set_: Overrides = None,
    scenes: Scenes = SCENES,
    device: Device = "auto",
    out: Figures = None,
) -> None:
    """Time per frame of every engine and precision beside a plain PyTorch MSFlow, and share of the machine's peak."""
    from msflow_stream.scenes.scene import Scene
    from pipelines.bench.memory_cameras import random_scene
    from pipelines.bench.scorer import ScorerJob
    from pipelines.bench.scorer import bench_scorer as run

    if scene is None:
        chosen = [random_scene(name, _size(input_size), set_ or ()) for name in backbone]
    else:
        chosen = [Scene.load(_scene_folder(scenes, scene))]
    run(chosen, ScorerJob(batch or (1, 4), repeats, device, out, engine or ()))


@bench_app.command(
    "pipeline",
    epilog="Examples:\n\n"
    "msflow-stream bench pipeline\n\n"
    "msflow-stream bench pipeline --height 720 --overlay --json pipeline.json\n\n"
    "msflow-stream bench pipeline today.mp4 --scene gate --seconds 60",
)
def bench_pipeline(
    video: Annotated[Path | None, typer.Argument(help="A file; synthetic footage in H.264 if not given.")] = None,
    height: Annotated[int, typer.Option(min=32, help="Of the synthetic footage, 16:9.")] = 1080,
    seconds: Annotated[float, typer.Option(min=0.2, help="Of the video, at most.")] = 20.0,
    overlay: Annotated[bool | None, typer.Option(help="With or without overlay; both if not given.")] = None,
    scene: Annotated[str | None, typer.Option("--scene", "-s", help="A fitted scene; random weights if none.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that count, of all stages and the whole.")] = 3,
    engine: Engine = None,
    precision: Precision = None,
    set_: Overrides = None,
    scenes: Scenes = SCENES,
    device: Device = "auto",
    out: Figures = None,
) -> None:
    """Time of `score` from end to end beside each of its stages alone.

    Efficiency is the speed from end to end as a share of that of the slowest stage alone. Each stage is measured alone
    with all cores, as it runs in the pipeline; there, stages share the cores. So efficiency comes near 1 only where one
    stage dominates, or where it leaves cores to the others: the table shows the core time of each, and what the cores
    could do if they did nothing else.
    """
    from msflow_stream.config.loading import load_for_scoring
    from msflow_stream.scenes.scene import Scene
    from pipelines.bench.memory_cameras import random_settings
    from pipelines.bench.pipeline import PipelineJob
    from pipelines.bench.pipeline import bench_pipeline as run

    changes = [*(set_ or ()), *_engine(engine, precision)]
    if scene is None:
        chosen = Scene.new("bench", random_settings(changes))
    else:
        chosen = Scene.load(_scene_folder(scenes, scene))
        chosen.settings = load_for_scoring(chosen.settings, None, changes)
    overlays = (False, True) if overlay is None else (overlay,)
    run(chosen, PipelineJob(video, height, seconds, overlays, repeats, device, out))


@bench_app.command(
    "scale",
    epilog="Examples:\n\n"
    "msflow-stream bench scale\n\n"
    "msflow-stream bench scale --cameras 1,4,16 --scenes 1,16 --json scale.json",
)
def bench_scale(
    cameras: Annotated[str, typer.Option(help="How many, such as 1,4,16.")] = "1,4,13,64",
    scene_counts: Annotated[str, typer.Option("--scenes", help="Over how many scenes, such as 1,13.")] = "1,13",
    frames: Annotated[int, typer.Option(min=1, help="Of all cameras together, as fast as can be.")] = 104,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that count, of all combinations in turn.")] = 5,
    rate: Annotated[float, typer.Option(min=0.1, help="Frames per second of each live camera.")] = 5.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of live cameras.")] = 5.0,
    batch: Annotated[int, typer.Option(min=1, help="Frames scored at once, at most.")] = 8,
    engine: Engine = None,
    precision: Precision = None,
    scene_memory: SceneMemory = None,
    set_: Overrides = None,
    device: Device = "auto",
    out: Figures = None,
) -> None:
    """One process with many cameras over one scene and over many: frames per second, latency, drops, memory."""
    from pipelines.bench.memory_cameras import random_settings
    from pipelines.bench.scale import ScaleJob
    from pipelines.bench.scale import bench_scale as run

    counts = _numbers(cameras, ",", "--cameras", "1,4,16"), _numbers(scene_counts, ",", "--scenes", "1,13")
    settings = random_settings([*(set_ or ()), *_engine(engine, precision)])
    run(settings, ScaleJob(*counts, frames, repeats, rate, seconds, batch, device, out, _bytes(scene_memory)))


@bench_app.command("memory", epilog="Example: msflow-stream bench memory --backbone mobilenetv2_100 --frames 400")
def bench_memory(
    backbone: Annotated[str, typer.Option(help="With random weights.")] = "mobilenetv2_100",
    input_size: Annotated[str, typer.Option(help="Such as 256 or 256x384 (H x W).")] = "256",
    frames: Annotated[int, typer.Option(min=8, help="Of the larger fits.")] = 320,
    set_: Overrides = None,
) -> None:
    """Peak memory of a fit on the CPU, with features in memory and on disk."""
    from pipelines.bench.fit import bench_memory as run

    run(backbone, _size(input_size), frames, set_ or ())


@bench_app.command(
    "metrics", epilog="Examples:\n\nmsflow-stream bench metrics\n\nmsflow-stream bench metrics --masks 20"
)
def bench_metrics(
    masks: Annotated[int, typer.Option(min=2, help="Maps and masks for AUPRO.")] = 200,
    size: Annotated[int, typer.Option(min=16, help="Height and width of each.")] = 512,
    pixels: Annotated[int, typer.Option(min=1, help="For the pixel AUROC.")] = 10**8,
    thresholds: Annotated[int, typer.Option(min=2, help="Of the loops that AUPRO is compared with.")] = 800,
    out: Figures = None,
) -> None:
    """AUPRO beside the usual loop over thresholds, and the memory of a pixel AUROC."""
    from pipelines.bench.metrics import bench_metrics as run

    run(masks, size, pixels, thresholds, out)


@bench_app.command(
    "soak",
    epilog="Examples:\n\nmsflow-stream bench soak\n\nmsflow-stream bench soak --cameras 16 --minutes 60 -o soak.json",
)
def bench_soak(
    cameras: Annotated[int, typer.Option(min=1, help="Synthetic cameras of 640 x 360 at 25 frames/s.")] = 8,
    minutes: Annotated[float, typer.Option(min=0.05, help="How long they are watched.")] = 10,
    every: Annotated[int, typer.Option(min=1, help="Score frames whose index is a multiple of this.")] = 5,
    set_: Overrides = None,
    out: Figures = None,
) -> None:
    """Watches many cameras and measures memory over time, drops by cause, and how far behind live it is."""
    from pipelines.bench.soak import bench_soak as run

    run(cameras, minutes, every, set_ or (), out)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"msflow-stream {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens inside.")] = False,
) -> None:
    """Options that come before the verb."""
    handler = RichHandler(console=Console(stderr=True), show_time=False, show_path=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    logging.getLogger("timm").setLevel(logging.ERROR)  # it warns of each key of the head, which features do not need
    if verbose:
        logging.getLogger("msflow_stream").setLevel(logging.DEBUG)


def _scene_folder(scenes: Path, name: str) -> Path:
    from msflow_stream.scenes.folder import scene_folder

    return scene_folder(scenes, name)


def _classes(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


def _numbers(text: str, separator: str, option: str, example: str) -> list[int]:
    try:
        return [int(part) for part in text.split(separator)]
    except ValueError:
        raise UserError(f"{option} takes numbers such as {example}, not {text!r}") from None


def _size(text: str) -> tuple[int, int]:
    sides = _numbers(text, "x", "--input-size", "512 or 256x384")
    if len(sides) > 2:
        raise UserError(f"--input-size takes numbers such as 512 or 256x384, not {text!r}")
    return sides[0], sides[-1]


def _engine(engine: EngineName | None, precision: EnginePrecision | None) -> list[str]:
    """As overrides of settings."""
    named = {"engine.name": engine, "engine.precision": precision}
    return [f"{name}={value}" for name, value in named.items() if value is not None]


def _store(store: str | None, out: Path) -> str:
    return _store_address(store or str(out / "events.db"))


def _store_address(text: str) -> str:
    return text if "://" in text else f"sqlite:///{text}"


def _events(camera: str | None, since: str | None, severity: Severity | None, limit: int | None) -> EventFilter:
    from msflow_stream.events.store import EventFilter, parse_moment

    begin = None if since is None else parse_moment(since, datetime.now(UTC))
    return EventFilter(camera=camera, since=begin, severity=severity, limit=limit)


def _bytes(gib: float | None) -> int | None:
    return None if gib is None else int(gib * GIB)


def _address(text: str) -> tuple[str, int] | None:
    if text == "off":
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"--http takes HOST:PORT such as 0.0.0.0:9840, or off, not {text!r}")
    return host.strip("[]"), int(port)


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise UserError(f"--image-rate is a number above 0 such as 25 or 30000/1001, not {text!r}")
    return rate


def main() -> None:
    """The console command: one line and exit code 2 for what a person can mend, 130 after Ctrl-C."""
    try:
        app()
    except UserError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(2)
    except OSError as error:  # a full disk, a folder without permission: the system's own words say it
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
