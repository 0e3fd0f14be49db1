"""`fit`: normal footage of one camera view becomes a scene."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.progress import Progress

from msflow_stream.config.loading import differences
from msflow_stream.config.settings import EngineSettings, Settings
from msflow_stream.logs import redact
from msflow_stream.machine import cache_folder, choose_device
from msflow_stream.model.pyramid import Pyramid
from msflow_stream.results.figures import loss_plot
from msflow_stream.results.run_folder import versions
from msflow_stream.scenes.checkpoints import FileCheckpoints
from msflow_stream.scenes.feature_cache import Cache, feature_cache
from msflow_stream.scenes.features import NormalFeatures, extract
from msflow_stream.scenes.folder import read_record
from msflow_stream.scenes.footage_facts import FootageFacts
from msflow_stream.scenes.losses import LOSS_PLOT, Pass, TensorBoardLog, write_losses
from msflow_stream.scenes.normal import learn_normal
from msflow_stream.scenes.preparation import with_normalisation
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.thresholds import NormalStatistics, event_times, write_normal_scores
from msflow_stream.scenes.training import FlowFit
from msflow_stream.scoring.engine_choice import EngineChooser
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.inference import Inference, PlainInference
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.teaching.fitting.normal_features import keep_normal
from msflow_stream.teaching.layout import learn_folder
from msflow_stream.teaching.progress import Progress as JobProgress
from msflow_stream.types import Frame, UserError
from msflow_stream.video.packets.footage import began, dated
from msflow_stream.video.privacy import PrivacyAreas
from msflow_stream.video.sources import expand_sources, is_live, open_source

from .record import RecordJob, record
from .terminal.consoles import summary_console
from .terminal.progress import progress

log = logging.getLogger(__name__)

PLAIN = "torch float32, plain"  # no engine, but a scene's own modules


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """The way a fit runs, apart from the settings that its result depends on; `overwrite` wins over `resume`.

    Attributes:
        device: such as auto, cpu or cuda.
        overwrite: whether a scene or an unfinished fit of the same name may be replaced.
        resume: whether to go on with an unfinished fit.
        image_rate: frames per second of image folders.
        tensorboard: folder for TensorBoard, which has a run per scene in it.
        stride: of every so many sampled frames one is learnt from, where there are very many.
        tell: told how far it is, often.
        by: who has it fitted, for the record; "" where that is not known.
        privacy: what is black in the small view that the scene keeps.
    """

    device: str = "auto"
    overwrite: bool = False
    resume: bool = False
    image_rate: Fraction = Fraction(25)
    tensorboard: Path | None = None
    stride: int = 1
    tell: Callable[[JobProgress], None] = lambda progress: None
    by: str = ""
    privacy: PrivacyAreas | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one scene's fit."""

    state: Literal["fitted", "complete already", "interrupted"]
    record: dict[str, Any]


def fit(
    sources: Sequence[str],
    folder: Path,
    settings: Settings,
    job: FitJob | None = None,
    console: Console | None = None,
    pyramid: Pyramid | None = None,
) -> Outcome:
    """Fits a scene and saves it as `folder`, whose name is the scene's.

    Ctrl-C during the passes keeps those that are complete: the scene is saved with them, and --resume goes on.

    Args:
        sources: videos, folders and patterns of normal footage.
        folder: folder that becomes the scene.
        settings: settings of the scene.
        job: the way it runs.
        console: console for results.
        pyramid: feature pyramid of the same settings, where many scenes share one.

    Raises:
        UserError: bad sources or settings, an existing folder, or an interruption before the first pass ended.
    """
    job, specs = job or FitJob(), expand_sources(sources)
    if endless := [spec for spec in specs if is_live(spec) and not spec.lower().startswith("http")]:
        raise UserError(f"{redact(endless[0])} never ends: record it first, with --for 30m")
    title = f"reading {len(specs)} source{'s' * (len(specs) > 1)}"
    return fit_frames(
        lambda: _frames(specs, settings.score.every, job.image_rate, job.stride),
        title,
        folder,
        settings,
        job,
        console,
        pyramid,
    )


def fit_camera(
    url: str,
    seconds: float,
    folder: Path,
    settings: Settings,
    job: FitJob | None = None,
    console: Console | None = None,
) -> Outcome:
    """Records a camera for so long, and fits a scene on that as `fit` does.

    The footage is kept beside the scene until that is complete, so that the same call goes on after any end.

    Raises:
        UserError: as `record` and `fit`; before anything is recorded, where the scene may not be written.
    """
    job, console = job or FitJob(), console or summary_console()
    checkpoints = _checkpoints(folder)
    job = replace(job, resume=job.resume or (bool(checkpoints.passes) and not job.overwrite))
    if _complete_already(folder, checkpoints, with_normalisation(settings), job):
        return _already(folder, console)
    learnt = learn_folder(folder)
    footage = learnt / "footage"

    def tell(done: float) -> None:
        JobProgress(stage="recording", done=done, of=seconds, unit="s of footage").write(learnt)

    if not record(RecordJob(url=url, seconds=seconds, folder=footage, tell=tell), console):
        return Outcome("interrupted", {})
    outcome = fit([str(footage)], folder, settings, job, console)
    if outcome.state == "fitted":
        shutil.rmtree(learnt, ignore_errors=True)
    return outcome


def fit_frames(
    frames: Callable[[], Iterator[Iterable[Frame]]],
    title: str,
    folder: Path,
    settings: Settings,
    job: FitJob | None = None,
    console: Console | None = None,
    pyramid: Pyramid | None = None,
) -> Outcome:
    """Fits a scene as `fit` does, from the sampled frames of every source; `title` says what is read."""
    job, console = job or FitJob(), console or summary_console()
    settings = with_normalisation(settings)
    checkpoints, facts = _checkpoints(folder), FootageFacts(privacy=job.privacy)
    if _complete_already(folder, checkpoints, settings, job):
        return _already(folder, console)
    log_pass = _tensorboard(job.tensorboard and job.tensorboard / folder.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scene = Scene.new(folder.name, settings, pyramid).to(choose_device(job.device))
    started = time.monotonic()
    room = feature_cache(settings.fit, folder.parent, scene.device)
    with _memory_of_gpu(), room as cache, progress() as bars, log_pass as write:
        footage = _read(scene, map(facts.watching, frames()), cache, bars, title, job.tell)
        flow_fit = FlowFit(scene, footage, checkpoints)
        if job.resume and checkpoints.passes:
            flow_fit.resume()
            if not flow_fit.passes:
                raise UserError("no checkpoint of the unfinished fit can be read: start again with --overwrite")
            console.print(f"going on after pass {len(flow_fit.passes)}")
        try:
            interrupted = _run(flow_fit, bars, console, write, job.tell)
        except UserError:
            if not flow_fit.passes:
                checkpoints.clear()
            raise
        passes = flow_fit.passes
        if not passes:
            checkpoints.clear()
            raise UserError("stopped before the first pass was complete: nothing is saved")
        normal, engine = _learn_normal(scene, footage)
        _keep(folder, scene, footage)
    scene.record = _record(scene, footage, passes, engine, time.monotonic() - started)
    scene.record |= {"by": job.by} if job.by else {}
    scene.save(folder, overwrite=True, add=lambda staging: _add(staging, scene.name, passes, normal, facts))
    if not interrupted:
        checkpoints.clear()
    _report(console, folder, scene)
    return Outcome("interrupted" if interrupted else "fitted", scene.record)


def _checkpoints(folder: Path) -> FileCheckpoints:
    return FileCheckpoints(folder.parent / f".{folder.name}.fit")


def _already(folder: Path, console: Console) -> Outcome:
    console.print(f"scene [bold]{folder.name}[/] is complete already, in {folder}")
    return Outcome("complete already", read_record(folder)["fit"])


def _complete_already(folder: Path, checkpoints: FileCheckpoints, settings: Settings, job: FitJob) -> bool:
    """Returns True if there is nothing to do; removes what may be overwritten, and refuses to touch what may not."""
    if job.overwrite:
        checkpoints.clear()
        return False
    if checkpoints.passes:
        if job.resume:
            return False
        raise UserError(
            f"an unfinished fit of {folder.name!r} is there ({checkpoints.passes} of {settings.fit.passes} passes): "
            "go on with --resume, or start again with --overwrite"
        )
    if not folder.exists():
        return False
    if not job.resume:
        raise UserError(f"{folder} exists already: choose another --scene or give --overwrite")
    record = read_record(folder)
    changed = differences(record["settings"], settings.model_dump(mode="json", exclude={"fit": {"keep"}}))
    if changed or record["fit"].get("passes") != settings.fit.passes:
        reason = "; ".join(changed) or "it was stopped early and its checkpoints are gone"
        raise UserError(f"{folder} cannot be gone on with ({reason}): give --overwrite to fit it again")
    return True


def _read(
    scene: Scene,
    sources: Iterable[Iterable[Frame]],
    cache: Cache,
    bars: Progress,
    title: str,
    tell: Callable[[JobProgress], None],
) -> NormalFeatures:
    footage = NormalFeatures(cache)
    task = bars.add_task(title, total=None)
    for footage in extract(scene, sources, cache, scene.settings.fit.holdout):
        bars.update(task, completed=len(footage.frames))
        tell(JobProgress(stage="reading", done=len(footage.frames), unit="frames"))
    bars.remove_task(task)
    return footage


def _frames(specs: Sequence[str], every: int, image_rate: Fraction, stride: int) -> Iterator[Iterator[Frame]]:
    for spec in specs:
        with open_source(spec, every, image_rate) as reader:
            yield islice(dated(reader, began(Path(spec))), 0, None, stride)


def _learn_normal(scene: Scene, footage: NormalFeatures) -> tuple[NormalStatistics, str]:
    """Calibrates by the engine that scores; returns the scores of the held-out frames, and the engine's name.

    On a CPU it is PyTorch in float32, whose scores all engines there give. On a GPU it is what scoring takes: scores by
    the plain networks tell first how far it may move them.
    """
    if scene.device.type == "cpu":
        return _by_engine(scene, footage, EngineSettings(name="torch", precision="float32"))
    _calibrate(scene, footage, PlainInference())
    return _by_engine(scene, footage, scene.settings.engine)


def _keep(folder: Path, scene: Scene, footage: NormalFeatures) -> None:
    """Keeps features for what people will teach the scene; without them it is a scene all the same."""
    try:
        keep_normal(folder, scene, footage)
    except OSError as error:
        log.warning("%s can be taught nothing: its features are not kept (%s)", scene.name, error.strerror)


def _by_engine(scene: Scene, footage: NormalFeatures, engine: EngineSettings) -> tuple[NormalStatistics, str]:
    choose = EngineChooser(engine, cache_folder())
    try:
        name = str(choose(scene))
    except UserError as error:  # passes that are done are not lost for it
        log.warning("normal frames are measured with PyTorch in float32: %s", error)
        return _calibrate(scene, footage, PlainInference()), PLAIN
    return _calibrate(scene, footage, EngineInference(choose)), name


def _calibrate(scene: Scene, footage: NormalFeatures, inference: Inference) -> NormalStatistics:
    normal = learn_normal(scene, footage, Scorer(scene, str(scene.device), inference=inference).measure)
    scene.calibration = normal.calibration(*event_times(scene.settings), fitted=not footage.held_out)
    return normal


def _run(
    flow_fit: FlowFit,
    bars: Progress,
    console: Console,
    log_pass: Callable[[Pass], None],
    tell: Callable[[JobProgress], None],
) -> bool:
    """Runs the passes with a bar; True if Ctrl-C ended them early."""
    passes, frames = flow_fit.settings.passes, len(flow_fit.footage.fitted)
    task = bars.add_task("fitting", total=passes * frames, completed=len(flow_fit.passes) * frames)
    line = ""

    def advance(count: int) -> None:
        bars.advance(task, count)
        completed = bars.tasks[bars.task_ids.index(task)].completed
        tell(JobProgress(stage="fitting", done=completed, of=passes * frames, unit="frames", text=line))

    try:
        for done in flow_fit.run(advance):
            log_pass(done)
            held_out = "" if done.held_out_loss is None else f", held out {done.held_out_loss:.4f}"
            line = f"pass {done.number}/{passes}, loss {done.loss:.4f}{held_out}"
            bars.update(task, description=line, completed=done.number * frames)
            if not bars.console.is_interactive:  # a log wants lines, and so does a terminal that cannot draw
                bars.console.print(line)
    except KeyboardInterrupt:
        console.print(f"stopped: {len(flow_fit.passes)} of {passes} passes are complete")
        return True
    finally:
        bars.remove_task(task)
    return False


@contextmanager
def _memory_of_gpu() -> Iterator[None]:
    """Has one line said when a GPU's memory is full."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise UserError("the GPU's memory is full: set a smaller fit.batch, input.size or fit.cache_memory") from None


def _tensorboard(folder: Path | None) -> AbstractContextManager[Callable[[Pass], None]]:
    """A context that takes passes and logs them for TensorBoard, or nowhere."""
    if folder is None:
        return nullcontext(lambda done: None)
    try:
        return TensorBoardLog(folder)
    except ImportError:
        raise UserError("TensorBoard is not installed: pip install 'msflow-stream[tensorboard]'") from None


def _add(folder: Path, name: str, passes: Sequence[Pass], normal: NormalStatistics, facts: FootageFacts) -> None:
    """Writes what a scene's folder holds besides the scene."""
    facts.write(folder)
    write_normal_scores(folder, normal.scores)
    write_losses(folder, passes)
    loss_plot(folder / LOSS_PLOT, f"fit of {name}", passes)


def _record(
    scene: Scene, footage: NormalFeatures, passes: Sequence[Pass], engine: str, seconds: float
) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "device": str(scene.device),
        "engine": engine,
        "sources": footage.sources,
        "frames": len(footage.fitted),
        "held_out_frames": len(footage.held_out),
        "passes": len(passes),
        "loss": [round(done.loss, 6) for done in passes],
        "held_out_loss": [done.held_out_loss and round(done.held_out_loss, 6) for done in passes],
        "versions": versions(),
    }


def _report(console: Console, folder: Path, scene: Scene) -> None:
    facts = scene.record
    console.print(
        f"scene [bold]{scene.name}[/]: {facts['frames']} frames fitted in {facts['passes']} passes, "
        f"{facts['held_out_frames']} held out; loss {facts['loss'][0]:.3f} -> {facts['loss'][-1]:.3f}, "
        f"{facts['seconds']:.0f} s; saved in {folder}"
    )
    console.print(f"weights sha256 {read_record(folder)['weights_sha256']}", highlight=False)
