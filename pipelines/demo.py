"""`demo`: makes footage of a synthetic walkway, fits a scene on normal frames, scores a clip with violations."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.progress import Progress

from msflow_stream.config.loading import load
from msflow_stream.datasets.synthetic import SyntheticScene, Violation, default_violations
from msflow_stream.evaluation.clip_truth import Evaluation
from msflow_stream.results.run_folder import OVERLAY, SCORES, TIMELINE
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import UserError
from msflow_stream.video.writing.video_writer import VideoWriter

from . import packaged_config
from .fit import FitJob, fit
from .score import score
from .score_source import ScoreJob
from .terminal.consoles import summary_console
from .terminal.progress import progress

SIZE, RATE = (320, 240), Fraction(25)
CAMERAS = """\
# The demo's clip as if it were a camera: watch it, and judge its events in a browser.
cameras:
  walkway:
    url: today.mp4
    scene: walkway
"""
MORE_NORMAL = 2.0  # times as much normal footage as there is to score
NORMAL_TRAFFIC, TEST_TRAFFIC = 1, 2  # seeds: other people walk by in the test clip


def demo(
    out: Path,
    seconds: float = 60.0,
    overwrite: bool = False,
    seed: int = 0,
    overrides: Sequence[str] = (),
    device: str = "auto",
) -> Evaluation:
    """Runs the whole job on synthetic footage and prints where everything is.

    Args:
        out: folder for footage, scene and results.
        seconds: length of the clip to score; the normal footage is longer.
        overwrite: whether an earlier demo there may be replaced.
        seed: of the place.
        overrides: settings, as --set takes them.

    Raises:
        UserError: the folder exists, or bad settings.
    """
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists already: choose another --out or give --overwrite")
    console = summary_console()
    settings = load(packaged_config("demo"), overrides)
    for name in ("labels", "masks"):
        (out / name).mkdir(parents=True, exist_ok=True)
    with progress() as bars:
        make_clip(out, "normal", MORE_NORMAL * seconds, (), seed, NORMAL_TRAFFIC, bars)
        make_clip(out, "today", seconds, default_violations(seconds), seed, TEST_TRAFFIC, bars)
    if settings.model.weights == "random":
        console.print("the backbone has random weights (no download): real footage wants pretrained ones")
    scene = out / "scenes" / "walkway"
    fit([str(out / "normal.mp4")], scene, settings, FitJob(device=device, overwrite=True), console)
    job = ScoreJob(out=out / "run", labels=out / "labels", masks=out / "masks", save_maps=True, overwrite=True)
    scorer = Scorer(Scene.load(scene), device)
    results, evaluation = score([str(out / "today.mp4")], scorer, job, console)
    run = results[0].folder
    (out / "cameras.yaml").write_text(CAMERAS, encoding="utf-8")
    console.print(f"watch [bold]{run / OVERLAY}[/], look at {run / TIMELINE}, read {run / SCORES}")
    command = f"msflow-stream watch {out / 'cameras.yaml'} --scenes {out / 'scenes'} --out {out / 'watched'} --console"
    console.print(f"judge its events in a browser: {escape(command)}", soft_wrap=True)
    if evaluation is None:
        raise AssertionError("a run with labels has an evaluation")
    auroc = evaluation.result()["pooled"]
    kind = settings.score.kind
    console.print(f"frame-level AUROC ({kind}): {auroc[kind]:.3f}, smoothed {auroc[kind + ' smoothed']:.3f}")
    return evaluation


def make_clip(
    folder: Path, name: str, seconds: float, violations: Sequence[Violation], seed: int, traffic: int, bars: Progress
) -> None:
    """Writes `name`.mp4 and, with violations, its labels and masks as labels/`name`.npy and masks/`name`.npy."""
    scene = SyntheticScene(*SIZE, RATE, seed, traffic)
    frames = round(seconds * RATE)
    task = bars.add_task(f"making {name}.mp4", total=frames)
    labels = np.zeros(frames, np.uint8)
    masks = (
        np.lib.format.open_memmap(folder / "masks" / f"{name}.npy", "w+", np.uint8, (frames, SIZE[1], SIZE[0]))
        if violations
        else None
    )
    with VideoWriter(folder / f"{name}.mp4", *SIZE, 1 / RATE, RATE, crf=18) as writer:
        for frame in scene.render(seconds, violations):
            writer.write(frame.image, frame.index)
            labels[frame.index] = frame.label
            if masks is not None:
                masks[frame.index] = frame.mask
            bars.advance(task)
    if violations:
        np.save(folder / "labels" / f"{name}.npy", labels)
    bars.remove_task(task)
