"""`bench`: things are timed beside a plain way of doing them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    SCENES,
    Batches,
    Device,
    Engine,
    Figures,
    Overrides,
    Precision,
    SceneMemory,
    Scenes,
    class_names,
    engine_overrides,
    gib_to_bytes,
    numbers,
    scene_path,
    size,
)

app = typer.Typer()
group = typer.Typer(help="Times things beside a plain way of doing them, in the same run.", no_args_is_help=True)
app.add_typer(group, name="bench")


@group.command(
    "fit",
    epilog="Examples:\n\n"
    "msflow-stream bench fit\n\n"
    "msflow-stream bench fit --backbone tf_efficientnet_lite0 --input-size 256x384\n\n"
    "msflow-stream bench fit --backbone wide_resnet50_2 --input-size 512 --device cuda --frames 64",
)
def bench_fit(
    backbone: Annotated[list[str], typer.Option(help="Backbone to time, with random weights; may be repeated.")] = [  # noqa: B006
        "tf_efficientnet_lite0",
        "mobilenetv2_100",
        "wide_resnet50_2",
    ],
    input_size: Annotated[str, typer.Option(help="Size of the input, such as 256 or 256x384 (H x W).")] = "256",
    frames: Annotated[int, typer.Option(min=1, help="Frames in a pass.")] = 16,
    repeats: Annotated[int, typer.Option(min=1, help="Passes of each way that are timed.")] = 5,
    set_: Overrides = None,
    device: Device = "auto",
    out: Figures = None,
) -> None:
    """Times a pass: as the original release does it, features recomputed, features cached, and as `fit` does it."""
    from ..bench.fit import bench_fit as run

    run(backbone, size(input_size), frames, repeats, device, set_ or (), out)


@group.command(
    "scorer",
    epilog="Examples:\n\n"
    "msflow-stream bench scorer\n\n"
    "msflow-stream bench scorer --backbone wide_resnet50_2 --input-size 512 --batch 32 --device cuda --json f.json\n\n"
    "msflow-stream bench scorer --backbone wide_resnet50_2 --batch 32 --no-transfers --profile torch:bf16\n\n"
    "msflow-stream bench scorer --scene gate",
)
def bench_scorer(
    backbone: Annotated[list[str], typer.Option(help="Backbone to time, with random weights; may be repeated.")] = [  # noqa: B006
        "tf_efficientnet_lite0",
        "mobilenetv2_100",
        "resnet18",
        "wide_resnet50_2",
    ],
    input_size: Annotated[str, typer.Option(help="Size of the input, such as 256 or 256x384 (H x W).")] = "256",
    scene: Annotated[
        str | None,
        typer.Option("--scene", "-s", help="Name of a fitted scene to time instead of backbones with random weights."),
    ] = None,
    batch: Batches = None,
    engine: Annotated[
        list[str] | None, typer.Option(help="Engine to time; all of them if not given; may be repeated.")
    ] = None,
    transfers: Annotated[
        bool,
        typer.Option(
            help="Whether images come from memory and results are put there; otherwise both stay on the device."
        ),
    ] = True,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help="Variant such as torch:bf16 whose longest kernels (on a CPU: operators) are listed; may be repeated."
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Timed rounds, each of all ways in turn.")] = 9,
    set_: Overrides = None,
    scenes: Scenes = SCENES,
    device: Device = "auto",
    out: Figures = None,
) -> None:
    """Times a frame by every engine and precision beside a plain PyTorch MSFlow, and its share of the peak."""
    from msflow_stream.scenes.scene import Scene

    from ..bench.memory_cameras import random_scene
    from ..bench.scorer import ScorerJob
    from ..bench.scorer import bench_scorer as run

    if scene is None:
        chosen = [random_scene(name, size(input_size), set_ or ()) for name in backbone]
    else:
        chosen = [Scene.load(scene_path(scenes, scene))]
    run(
        chosen,
        ScorerJob(
            batches=batch or (1, 4),
            repeats=repeats,
            device=device,
            out=out,
            engines=engine or (),
            transfers=transfers,
            profiled=profile or (),
        ),
    )


@group.command(
    "pipeline",
    epilog="Examples:\n\n"
    "msflow-stream bench pipeline\n\n"
    "msflow-stream bench pipeline --height 720 --overlay --json pipeline.json\n\n"
    "msflow-stream bench pipeline today.mp4 --scene gate --seconds 60",
)
def bench_pipeline(
    video: Annotated[
        Path | None, typer.Argument(help="Video to score; synthetic footage in H.264 if not given.")
    ] = None,
    height: Annotated[int, typer.Option(min=32, help="Height of the synthetic footage, which is 16:9.")] = 1080,
    seconds: Annotated[float, typer.Option(min=0.2, help="Seconds of the video that are scored, at most.")] = 20.0,
    overlay: Annotated[
        bool | None, typer.Option(help="Whether an overlay is written; both are timed if not given.")
    ] = None,
    scene: Annotated[
        str | None, typer.Option("--scene", "-s", help="Name of a fitted scene; random weights if not given.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Timed rounds, each of all stages and of the whole.")] = 3,
    engine: Engine = None,
    precision: Precision = None,
    set_: Overrides = None,
    scenes: Scenes = SCENES,
    device: Device = "auto",
    out: Figures = None,
) -> None:
    """Times `score` from end to end beside each of its stages alone.

    Efficiency is the speed from end to end as a share of that of the slowest stage alone. Each stage is measured alone
    with all cores, as it runs in the pipeline; there, stages share the cores. So efficiency comes near 1 only where one
    stage dominates, or where it leaves cores to the others: the table shows the core time of each, and what the cores
    could do if they did nothing else.
    """
    from msflow_stream.config.loading import load_for_scoring
    from msflow_stream.scenes.scene import Scene

    from ..bench.memory_cameras import random_settings
    from ..bench.pipeline import PipelineJob
    from ..bench.pipeline import bench_pipeline as run

    changes = [*(set_ or ()), *engine_overrides(engine, precision)]
    if scene is None:
        chosen = Scene.new("bench", random_settings(["score.kind=combined", *changes]))
    else:
        chosen = Scene.load(scene_path(scenes, scene))
        chosen.settings = load_for_scoring(chosen.settings, None, changes)
    overlays = (False, True) if overlay is None else (overlay,)
    run(
        chosen,
        PipelineJob(
            video=video, height=height, seconds=seconds, overlays=overlays, repeats=repeats, device=device, out=out
        ),
    )


@group.command(
    "scale",
    epilog="Examples:\n\n"
    "msflow-stream bench scale\n\n"
    "msflow-stream bench scale --cameras 1,4,16 --scenes 1,16 --json scale.json\n\n"
    "msflow-stream bench scale --cameras 64 --scenes 1,64 --batch 32 --seconds 30 --device cuda",
)
def bench_scale(
    cameras: Annotated[str, typer.Option(help="Numbers of cameras, such as 1,4,16.")] = "1,4,13,64",
    scene_counts: Annotated[
        str, typer.Option("--scenes", help="Numbers of scenes that the cameras share, such as 1,13.")
    ] = "1,13,64",
    frames: Annotated[
        int, typer.Option(min=1, help="Frames that all cameras together give, as fast as they are scored.")
    ] = 128,
    repeats: Annotated[int, typer.Option(min=1, help="Timed rounds, each of all combinations in turn.")] = 5,
    rate: Annotated[float, typer.Option(min=0.1, help="Frames per second of each live camera.")] = 5.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds that the live cameras run.")] = 5.0,
    batch: Annotated[int, typer.Option(min=1, help="Frames scored at once, at most.")] = 8,
    engine: Engine = None,
    precision: Precision = None,
    scene_memory: SceneMemory = None,
    set_: Overrides = None,
    device: Device = "auto",
    out: Figures = None,
) -> None:
    """Measures one process with many cameras over one scene and over many: speed, latency, drops, memory."""
    from ..bench.memory_cameras import random_settings
    from ..bench.scale import ScaleJob
    from ..bench.scale import bench_scale as run

    settings = random_settings([*(set_ or ()), *engine_overrides(engine, precision)])
    job = ScaleJob(
        cameras=numbers(cameras, ",", "--cameras", "1,4,16"),
        scenes=numbers(scene_counts, ",", "--scenes", "1,13"),
        frames=frames,
        repeats=repeats,
        rate=rate,
        seconds=seconds,
        batch=batch,
        device=device,
        out=out,
        scene_bytes=gib_to_bytes(scene_memory),
    )
    run(settings, job)


@group.command(
    "capacity",
    epilog="Examples:\n\n"
    "msflow-stream bench capacity --cameras 1000 --fps 5 --json node.json\n\n"
    "msflow-stream bench capacity --cameras 300 --fps 2 --figures node.json\n\n"
    "msflow-stream bench capacity --device cuda --measured-cameras 16 --record",
)
def bench_capacity(
    cameras: Annotated[int, typer.Option(min=1, help="Number of cameras that is shown beside the usual ones.")] = 1000,
    fps: Annotated[float, typer.Option(min=0.01, help="Frames per second of each camera that are scored.")] = 5.0,
    figures: Annotated[
        Path | None,
        typer.Option(
            help="JSON file with the figures of a node, as --json writes it; this node is measured if not given."
        ),
    ] = None,
    measured_cameras: Annotated[
        int, typer.Option(min=2, help="Cameras of a measured watch; so many that none of their frames are dropped.")
    ] = 4,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds that each of three watches is measured.")] = 40.0,
    height: Annotated[int, typer.Option(min=32, help="Height of the synthetic footage, which is 16:9.")] = 1080,
    record: Annotated[bool, typer.Option("--record", help="Records overlay videos, as `watch --record`.")] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Timed rounds of scorer and decoder.")] = 3,
    batch: Annotated[int, typer.Option(min=1, help="Frames scored at once, at most.")] = 8,
    engine: Engine = None,
    precision: Precision = None,
    set_: Overrides = None,
    device: Device = "auto",
    out: Figures = None,
) -> None:
    """Measures what a node watches, and prints what 10, 100, 1,000 and 10,000 cameras need, with the formula.

    Memory, cores and files are those of the real `watch` over synthetic cameras; what is assumed is said to be, and can
    be changed in the JSON file.
    """
    from msflow_stream.config.loading import load

    from ..bench.capacity import CapacityJob
    from ..bench.capacity import bench_capacity as run
    from ..bench.capacity_measure import NodeMeasurement

    named = {"--engine": engine, "--precision": precision}
    measurement = NodeMeasurement(
        fps=fps,
        cameras=measured_cameras,
        seconds=seconds,
        height=height,
        repeats=repeats,
        device=device,
        batch=batch,
        record=record,
        options=[part for option, value in named.items() if value is not None for part in (option, value)],
    )
    changes = ["model.weights=random", "fit.passes=1", *(set_ or ()), *engine_overrides(engine, precision)]
    run(load(None, changes), CapacityJob(cameras=cameras, measurement=measurement, figures=figures, out=out))


@group.command(
    "peers",
    epilog="Examples:\n\n"
    "make peers\n\n"
    "msflow-stream bench peers\n\n"
    "msflow-stream bench peers --peers plain --seconds 10\n\n"
    "msflow-stream bench peers --normal normal/ --videos clips/ --labels labels/ --models peers/ --json peers.json\n\n"
    "msflow-stream bench peers --set model.backbone=resnet18 --peers plain,padim,fastflow",
)
def bench_peers(
    videos: Annotated[
        list[str] | None,
        typer.Option(help="Clips to score, files or folders; may be repeated. Synthetic footage if not given."),
    ] = None,
    normal: Annotated[
        list[str] | None, typer.Option(help="Normal footage that all are fitted on; may be repeated.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="A .npy file of 0/1 per frame, or a folder of them.")] = None,
    peers: Annotated[
        str, typer.Option(help="Peers beside ours: plain, and padim, stfpm, patchcore, fastflow of anomalib.")
    ] = "plain,padim,stfpm,fastflow",
    height: Annotated[int, typer.Option(min=32, help="Height of the synthetic footage, which is 16:9.")] = 720,
    seconds: Annotated[
        float, typer.Option(min=1, help="Seconds of synthetic footage to score; twice as many are fitted on.")
    ] = 20.0,
    repeats: Annotated[int, typer.Option(min=1, help="Timed rounds, each of all in turn.")] = 3,
    environment: Annotated[
        Path, typer.Option(help="Virtual environment of anomalib, as `make peers` makes it.")
    ] = Path(".peers-venv"),
    models: Annotated[
        Path | None, typer.Option(help="Folder that keeps what was fitted, for another run on the same footage.")
    ] = None,
    set_: Overrides = None,
    out: Figures = None,
) -> None:
    """Times ours and other detectors from end to end: the same clips, frames, backbone and input size, and AUROC.

    Those of anomalib run in an environment of their own, which `make peers` makes in a checkout (several GB).
    """
    from msflow_stream.config.loading import load

    from ..bench.peers.footage import given_footage, synthetic_footage
    from ..bench.peers.job import PeersJob, check_peers
    from ..bench.peers.job import bench_peers as run
    from ..bench.stages import footage_folder

    names = class_names(peers)
    check_peers(names, environment)
    settings = load(None, set_ or ())
    if videos or normal or labels:
        footage = given_footage(normal or (), videos or (), labels)
    else:
        footage = synthetic_footage(height, seconds, footage_folder())
    run(
        settings,
        PeersJob(footage=footage, peers=names, repeats=repeats, environment=environment, models=models, out=out),
    )


@group.command(
    "contention",
    epilog="Examples:\n\n"
    "msflow-stream bench contention\n\n"
    "msflow-stream bench contention --verb fit --set model.backbone=mobilenetv2_100 --json contention.json\n\n"
    "OMP_WAIT_POLICY=active msflow-stream bench contention --verb fit",
)
def bench_contention(
    verb: Annotated[
        list[str] | None,
        typer.Option(help="Verb to measure: fit, score or watch; all of them if not given; may be repeated."),
    ] = None,
    height: Annotated[int, typer.Option(min=32, help="Height of the synthetic footage, which is 16:9.")] = 360,
    seconds: Annotated[float, typer.Option(min=0.2, help="Seconds of footage that are fitted and scored.")] = 60.0,
    passes: Annotated[int, typer.Option(min=1, help="Passes of a fit.")] = 2,
    cameras: Annotated[int, typer.Option(min=2, help="Cameras that show the footage, for watches.")] = 8,
    watched: Annotated[float, typer.Option(min=0.2, help="Seconds that a watch is measured.")] = 15.0,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds, each of all measurements in turn.")] = 3,
    engine: Engine = None,
    precision: Precision = None,
    set_: Overrides = None,
    device: Device = "auto",
    out: Figures = None,
) -> None:
    """Runs fit, score and watch alone and two at a time, and a watch beside a fit: what becomes of their speed."""
    from ..bench.contention import ContentionJob, verbs_of
    from ..bench.contention import bench_contention as run

    options = [] if engine is None else ["--engine", engine]
    options += [] if precision is None else ["--precision", precision]
    run(
        ContentionJob(
            verbs=verbs_of(verb or ()),
            height=height,
            seconds=seconds,
            passes=passes,
            cameras=cameras,
            watched=watched,
            repeats=repeats,
            device=device,
            settings=set_ or (),
            options=options,
            out=out,
        )
    )


@group.command("memory", epilog="Example: msflow-stream bench memory --backbone mobilenetv2_100 --frames 400")
def bench_memory(
    backbone: Annotated[str, typer.Option(help="Backbone to fit, with random weights.")] = "mobilenetv2_100",
    input_size: Annotated[str, typer.Option(help="Size of the input, such as 256 or 256x384 (H x W).")] = "256",
    frames: Annotated[int, typer.Option(min=8, help="Frames of the larger fits.")] = 320,
    set_: Overrides = None,
) -> None:
    """Measures the peak memory of a fit on the CPU, with features in memory and on disk."""
    from ..bench.fit import bench_memory as run

    run(backbone, size(input_size), frames, set_ or ())


@group.command("metrics", epilog="Examples:\n\nmsflow-stream bench metrics\n\nmsflow-stream bench metrics --masks 20")
def bench_metrics(
    masks: Annotated[int, typer.Option(min=2, help="Maps and masks that AUPRO is computed from.")] = 200,
    size: Annotated[int, typer.Option(min=16, help="Height and width of each map.")] = 512,
    pixels: Annotated[int, typer.Option(min=1, help="Pixels that the pixel AUROC ranks.")] = 10**8,
    thresholds: Annotated[int, typer.Option(min=2, help="Thresholds of the loop that AUPRO is compared with.")] = 800,
    out: Figures = None,
) -> None:
    """Times AUPRO beside the usual loop over thresholds, and measures the memory of a pixel AUROC."""
    from ..bench.metrics import bench_metrics as run

    run(masks, size, pixels, thresholds, out)


@group.command(
    "soak",
    epilog="Examples:\n\nmsflow-stream bench soak\n\nmsflow-stream bench soak --cameras 16 --minutes 60 -o soak.json",
)
def bench_soak(
    cameras: Annotated[int, typer.Option(min=1, help="Synthetic cameras of 640 x 360 at 25 frames/s.")] = 8,
    minutes: Annotated[float, typer.Option(min=0.05, help="Minutes that they are watched.")] = 10,
    every: Annotated[
        int, typer.Option(min=1, help="Step between scored frames: those whose index is a multiple of it.")
    ] = 5,
    set_: Overrides = None,
    out: Figures = None,
) -> None:
    """Watches many cameras and measures memory over time, drops by cause, and how far behind live it is."""
    from ..bench.soak import bench_soak as run

    run(cameras, minutes, every, set_ or (), out)
