"""`score` and `overlay`: sources are scored, and their overlays drawn again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import (
    SCENES,
    ClusterAddress,
    Config,
    Counted,
    Device,
    Encoder,
    Engine,
    ImageRate,
    Overrides,
    Overwrite,
    Precision,
    SceneName,
    Sources,
    engine_overrides,
    frame_rate,
    scene_spec,
    store_address,
)
from .options import (
    duration as duration_of,
)

app = typer.Typer()


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
    out: Annotated[
        str, typer.Option("--out", "-o", help="Folder for the results, one sub-folder per source; or a URL.")
    ],
    labels: Annotated[
        str | None, typer.Option(help="Labels, 0 or 1 per frame as .npy, or a folder with one per clip.")
    ] = None,
    masks: Annotated[str | None, typer.Option(help="Masks, T x H x W as .npy, or a folder with one per clip.")] = None,
    frames: Counted = "sampled",
    every: Annotated[
        int | None,
        typer.Option(
            min=1, help="Step between scored frames: those whose index is a multiple of it.", show_default="the scene's"
        ),
    ] = None,
    overlay: Annotated[bool, typer.Option(help="Writes overlay.mp4.")] = True,
    overlay_preset: Annotated[
        Literal["ultrafast", "veryfast", "faster", "fast", "medium"],
        typer.Option(help="Preset of the overlay's encoder; a slower one gives a smaller file."),
    ] = "ultrafast",
    encoder: Encoder = "libx264",
    skip_static: Annotated[
        bool, typer.Option("--skip-static", help="Lets frames that show nothing new take the last score.")
    ] = False,
    evidence: Annotated[
        bool | None,
        typer.Option(
            "--evidence/--no-evidence", help="Keeps a clip and images of every event.  [default: as --overlay]"
        ),
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="Database that events are saved in, for `events`: a SQLite file or an address.")
    ] = None,
    save_maps: Annotated[bool, typer.Option("--save-maps", help="Writes maps.safetensors, for `overlay`.")] = False,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Frames of each source, at most.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.001, help="Seconds of each source, at most.")] = None,
    config: Config = None,
    set_: Overrides = None,
    scenes: Annotated[str, typer.Option("--scenes", help="Folder that holds the scenes; or a URL.")] = str(SCENES),
    device: Device = "auto",
    decode: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(help="Decoder: the graphics card (cuda), the processor (cpu), or the card if the scene is on it."),
    ] = "auto",
    engine: Engine = None,
    precision: Precision = None,
    calibration: Annotated[
        list[str] | None,
        typer.Option(help="Normal footage that --precision int8 needs once for a scene; may be repeated."),
    ] = None,
    overwrite: Overwrite = False,
    image_rate: ImageRate = "25",
    cluster: ClusterAddress = None,
    chunk: Annotated[str, typer.Option(help="Length of the parts in which a cluster scores longer videos.")] = "10m",
) -> None:
    """Scores videos, image folders or a camera: overlay, scores, timeline, events; AUROC where labels exist.

    A camera is read until it ends or fails, and its clips are made of scored frames; `watch` is for days and nights.
    With --cluster, and from or to URLs such as s3://bucket/folder, the same command goes on after any end.
    """
    from msflow_stream.config.loading import load_for_scoring
    from msflow_stream.scenes.exchange import scene_identity
    from msflow_stream.scenes.scene import Scene
    from msflow_stream.scoring.engine_choice import images_of, make_inference
    from msflow_stream.scoring.scorer import Scorer
    from msflow_stream.video.writing.encoders import choose_encoder

    from ..cluster.session import running
    from ..score import score as run
    from ..score_source import ScoreJob
    from ..score_spread import ScorerFacts, SpreadJob
    from ..score_units import score_units
    from ..storage.copies import local_copy
    from ..storage.places import place
    from ..storage.urls import absolute, is_url, located

    scene_at = scene_spec(scenes, scene)
    with local_copy(scene_at) as folder:
        loaded, known = Scene.load(folder), scene_identity(folder)
    sampled = [] if every is None else [f"score.every={every}"]
    changes = [*(set_ or ()), *sampled, *engine_overrides(engine, precision)]
    settings = load_for_scoring(loaded.settings, config, changes)
    job = ScoreJob(
        out=Path(out),
        labels=None if labels is None else Path(labels),
        masks=None if masks is None else Path(masks),
        frames=frames,
        overlay=overlay,
        save_maps=save_maps,
        overwrite=overwrite,
        max_frames=max_frames,
        duration=duration,
        image_rate=frame_rate(image_rate),
        event=settings.event,
        evidence=overlay if evidence is None else evidence,
        store=None if store is None else store_address(store),
        skip_static=skip_static,
        overlay_preset=overlay_preset,
        overlay_encoder=choose_encoder(encoder),
        decode=decode,
    )
    if cluster is not None or any(map(is_url, (*sources, out, scenes, labels or "", masks or ""))):
        truth = [None if one is None else absolute(located(one)) for one in (labels, masks)]
        facts = ScorerFacts(
            absolute(scene_at), known, device, settings.score, settings.engine, tuple(calibration or ())
        )
        spread = SpreadJob(
            score=job,
            out=place(absolute(located(out))),
            labels=truth[0],
            masks=truth[1],
            part_seconds=None if cluster is None else duration_of(chunk, "--chunk"),
        )
        with running(cluster) as runner:
            score_units(sources, loaded, facts, spread, runner)
        return
    normal = images_of(calibration) if calibration else None
    scorer = Scorer(loaded, device, settings.score, make_inference(settings.engine, normal))
    results, _ = run(sources, scorer, job)
    if results[-1].interrupted:
        raise KeyboardInterrupt


@app.command(epilog="Example: msflow-stream overlay runs/today --colormap turbo")
def overlay(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or of one source in it.")],
    source: Annotated[Path | None, typer.Option(help="Video, if it has moved.")] = None,
    alpha: Annotated[
        float | None, typer.Option(min=0, max=1, help="Opacity of the heat map; as before if not given.")
    ] = None,
    colormap: Annotated[
        str | None, typer.Option(help="Colour map of OpenCV, such as inferno or turbo; as before if not given.")
    ] = None,
    encoder: Encoder = "libx264",
) -> None:
    """Redraws overlays from saved scores and maps, without the model."""
    from msflow_stream.video.writing.encoders import choose_encoder

    from ..overlay import redraw

    redraw(run, source, alpha, colormap, choose_encoder(encoder))
