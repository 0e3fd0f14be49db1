"""`fit --scenes-from`: a scene for each of many camera views, one after another here, or side by side on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from msflow_stream.config.settings import Settings
from msflow_stream.machine import choose_device
from msflow_stream.model.pyramid import Pyramid
from msflow_stream.scenes.folder import RECORD, scene_folder
from msflow_stream.scenes.scene import Scene
from msflow_stream.types import UserError

from .fit import FitJob, Outcome, fit
from .storage.held import held
from .storage.places import Place, place
from .storage.sources import expanded, local_sources, scenes_from
from .storage.urls import Spec, absolute, is_url
from .storage.weights import pyramid_at, weights_at
from .terminal.consoles import summary_console, trouble_console
from .terminal.progress import number, table
from .units import Failed, Here, Unit, UnitRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneFit:
    """The fit of one of many scenes, as any machine can do it.

    Attributes:
        sources: paths or URLs of its footage.
        scenes: where it goes.
        weights: the backbone's file, if there is one.
        alone: whether no other program can have begun the same.
    """

    name: str
    sources: Sequence[str]
    scenes: Place
    settings: Settings
    job: FitJob
    weights: Spec | None
    alone: bool


class _Interrupted(Exception):  # noqa: N818 - names what happened
    """A fit that Ctrl-C ended after a pass: those after it are not begun."""


def fit_many(
    root: Spec, scenes: Spec, settings: Settings, job: FitJob | None = None, runner: UnitRunner | None = None
) -> bool:
    """Fits a scene for every camera in a folder, see `group_by_scene`; one that fails does not stop the others.

    Args:
        root: folder of the footage, or the URL of one.
        scenes: folder that the scenes go to, or the URL of one.
        settings: settings of all scenes.
        job: the way they run; on a cluster, what is complete or unfinished is gone on with unless it is overwritten.
        runner: where they run; here if None.

    Returns:
        Whether all were finished: False after Ctrl-C.

    Raises:
        UserError: nothing there, or, after all are done, the number of scenes that failed.
    """
    job, console, runner = job or FitJob(), summary_console(), runner or Here()
    groups = scenes_from(root if isinstance(runner, Here) else absolute(root))
    units = _units(groups, scenes, settings, job, runner, console)
    outcomes: dict[str, Outcome | Failed] = {}

    def note(unit: Unit, outcome: Outcome | Failed) -> None:
        outcomes[unit.key] = outcome
        if isinstance(outcome, Failed):
            said = "  [red]failed:[/]" if isinstance(runner, Here) else f"[red]{unit.key} failed:[/]"
            trouble_console(console).print(f"{said} {outcome.text}", highlight=False)
        elif outcome.state == "interrupted":
            raise _Interrupted

    try:
        runner.run(units, note, "fitting scenes")
        interrupted = False
    except _Interrupted:
        interrupted = True
    rows = [_row(name, outcomes.get(name)) for name in groups]
    console.print(table(f"scenes in {scenes}", ["scene", "", "frames", "passes", "loss", "seconds"], rows))
    failed = sum(isinstance(outcome, Failed) for outcome in outcomes.values())
    if failed:
        raise UserError(f"{failed} of {len(groups)} scenes failed; the reasons are above")
    return not interrupted


def fit_at(sources: Sequence[str], scenes: Spec, name: str, settings: Settings, job: FitJob | None = None) -> Outcome:
    """Fits one scene as `fit` does, from and to folders or URLs."""
    job, weights = job or FitJob(), weights_at(settings)
    if not any(map(is_url, [*sources, scenes, settings.model.weights])):
        return fit(sources, scene_folder(Path(scenes), name), settings, job)
    one = SceneFit(
        name=name,
        sources=expanded(sources),
        scenes=place(scenes),
        settings=settings,
        job=job,
        weights=weights,
        alone=True,
    )
    return fit_one(one, summary_console())


def fit_one(one: SceneFit, console: Console | None = None, pyramid: Pyramid | None = None) -> Outcome:
    """Fits one of many scenes."""
    if console is not None:
        console.print(f"[bold]{one.name}[/]: {len(one.sources)} source{'s' * (len(one.sources) > 1)}")
    folder = scene_folder(one.scenes.folder, one.name)
    with nullcontext() if one.alone else held(folder), local_sources(one.sources) as sources:
        one.scenes.fetch(one.name, RECORD)
        pyramid = pyramid or pyramid_at(one.settings, one.weights)
        outcome = fit(sources, folder, one.settings, one.job, console, pyramid)
        if outcome.state == "fitted":
            one.scenes.publish(one.name, RECORD)
        if outcome.state != "interrupted":
            one.scenes.forget(one.name)
        return outcome


def _units(
    groups: dict[str, list[str]], scenes: Spec, settings: Settings, job: FitJob, runner: UnitRunner, console: Console
) -> list[Unit]:
    weights, part = weights_at(settings), runner.share(job.device)
    if isinstance(runner, Here):  # one pyramid is enough for all, and is worth checking before the first begins
        pyramid = pyramid_at(settings, weights) or Scene.new("shared", settings).pyramid
        at, said = place(scenes), [console, pyramid.to(choose_device(job.device))]
    else:
        at, said = place(absolute(scenes)), []
        board = job.tensorboard and job.tensorboard.resolve()
        job = replace(job, device=part.device, resume=not job.overwrite, tensorboard=board)
    alone = isinstance(runner, Here)
    fits = [
        SceneFit(name=name, sources=sources, scenes=at, settings=settings, job=job, weights=weights, alone=alone)
        for name, sources in groups.items()
    ]
    return [Unit(one.name, fit_one, (one, *said), part.cpus, part.gpus) for one in fits]


def _row(name: str, outcome: Outcome | Failed | None) -> list[str]:
    if outcome is None:
        return [name, "not started", "", "", "", ""]
    if isinstance(outcome, Failed):
        return [name, "failed", "", "", "", ""]
    facts = outcome.record
    figures = [str(facts["frames"]), str(facts["passes"]), number(facts["loss"][-1]), f"{facts['seconds']:.0f}"]
    return [name, outcome.state, *figures]
