"""The job of `score` in units: sources from anywhere, scored here or on a cluster, each once whatever dies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from msflow_stream.evaluation.clip_truth import EVALUATION, Evaluation
from msflow_stream.events.store.run_events import RunEvents
from msflow_stream.files import VIDEO_SUFFIXES
from msflow_stream.logs import redact
from msflow_stream.names import portable_name
from msflow_stream.results.run_folder import RUN
from msflow_stream.results.source_results import SourceResult
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.scorer import check_kind
from msflow_stream.types import UserError
from msflow_stream.video.sources import is_live, source_name

from .score import new_evaluation, print_results
from .score_kept import Kept, identity, kept, stamps_of, tidy
from .score_spread import (
    Parts,
    ScorerFacts,
    SpreadJob,
    SpreadSource,
    Unfit,
    join_parts,
    score_one_part,
    score_or_plan,
    score_whole,
)
from .storage.sources import expanded
from .storage.urls import is_url, last_part
from .terminal.consoles import summary_console, trouble_console
from .terminal.tables import print_evaluation
from .units import Failed, Here, Unit, UnitRunner, Warm

OF_RESULTS = (  # what results depend on, of a ScoreJob
    *("overlay", "save_maps", "max_frames", "duration", "evidence", "skip_static"),
    *("overlay_preset", "decode"),
)
GPU_SHARE = 0.5  # of a unit: while one decodes, another one scores


def score_units(
    sources: Sequence[str],
    scene: Scene,
    facts: ScorerFacts,
    job: SpreadJob,
    runner: UnitRunner | None = None,
    console: Console | None = None,
) -> tuple[list[SourceResult], Evaluation | None]:
    """Scores sources in any order, and prints tables: what was written and, with labels or masks, how right it is.

    What is complete from the same source, scene and settings is kept. One that fails does not stop the others.

    Args:
        sources: as a person named them.
        scene: the scene.
        facts: what scorers are made from.
        job: what to do.
        runner: runs the units; this process if None.
        console: for results.

    Raises:
        UserError: bad arguments, an existing folder of something else or, after all are done, sources that failed.
    """
    console = console or summary_console()
    check_kind(scene, facts.settings)
    return _Run(_sources(sources, facts, job), scene, facts, job, runner or Here(), console).run()


def _sources(args: Sequence[str], facts: ScorerFacts, job: SpreadJob) -> list[SpreadSource]:
    specs = expanded(args)
    for spec in specs:
        if not is_url(spec) and is_live(spec):
            raise UserError(f"{redact(spec)} is live: score a camera without --cluster, into a folder of this machine")
    shared: dict[str, Any] = {name: getattr(job.score, name) for name in OF_RESULTS}
    shared |= {"encoder": job.score.overlay_encoder.name, "image_rate": str(job.score.image_rate)}
    shared["event"] = job.score.event.model_dump(mode="json")
    shared["scorer"] = [facts.identity, facts.settings.model_dump(mode="json"), facts.engine.model_dump(mode="json")]
    shared["truth"] = [stamps_of(place) for place in (job.labels, job.masks)]
    places = [spec if is_url(spec) else Path(spec).absolute() for spec in specs]
    names = [_name_at(spec) if is_url(spec) else source_name(spec) for spec in specs]
    return [
        SpreadSource(place, name, identity(place, shared), len(specs) == 1)
        for place, name in zip(places, names, strict=True)
    ]


def _name_at(url: str) -> str:
    """Returns the name that a copy of what is at a URL has: a video's without its suffix, a folder's as it is."""
    path = Path(last_part(url))
    return portable_name(path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name)


class _Run:
    """One run of the job: the units of all sources, and what came of them."""

    def __init__(
        self,
        sources: Sequence[SpreadSource],
        scene: Scene,
        facts: ScorerFacts,
        job: SpreadJob,
        runner: UnitRunner,
        console: Console,
    ) -> None:
        self._sources, self._scene, self._facts, self._job = sources, scene, facts, job
        self._runner, self._console = runner, console
        self._share = runner.share(facts.device, GPU_SHARE)
        self._warm = Warm(ScorerFacts.make, (replace(facts, device=self._share.device),))
        self._of: dict[Unit, SpreadSource] = {}
        self._parts: dict[str, list[Any]] = {}  # the answers of a source's parts that are to come, and have come
        self._failed: dict[str, str] = {}
        self._stored: RunEvents | None = None

    def run(self) -> tuple[list[SourceResult], Evaluation | None]:
        """Runs the units, and sums up."""
        job = self._job
        tidy(job.out)
        done = [source for source in self._sources if kept(job.out, source.name, source.identity) is not None]
        left = [source for source in self._sources if source not in done]
        for source in left:
            if job.out.is_complete(source.name, RUN) and not job.score.overwrite:
                raise UserError(f"{job.out.at(source.name)} exists already: choose another --out or give --overwrite")
        if done:
            self._console.print(f"{len(done)} of {len(self._sources)} sources are complete already")
        with nullcontext() if job.score.store is None else RunEvents(job.score.store) as self._stored:
            for source in done:
                self._store(source)
            try:
                units = [self._unit(source, score_or_plan, source, job) for source in left]
                self._runner.run(units, self._take, f"scoring {len(left)} source{'s' * (len(left) != 1)}")
            finally:
                tidy(job.out)
            return self._sum_up()

    def _unit(self, source: SpreadSource, call: Callable[..., Any], *args: object, part: str = "") -> Unit:
        unit = Unit(source.name + part, call, args, self._share.cpus, self._share.gpus, self._warm)
        self._of[unit] = source
        return unit

    def _take(self, unit: Unit, answer: Any) -> Iterable[Unit] | None:
        """Takes what came of a unit, and returns those that follow."""
        source, job = self._of.pop(unit), self._job
        if isinstance(answer, Parts):
            self._parts[source.name] = [len(answer.parts)]
            return [
                self._unit(source, score_one_part, source, part, job, part=f" part {part.number}")
                for part in answer.parts
            ]
        if unit.call is score_one_part:
            return self._take_part(source, answer)
        if isinstance(answer, Failed):
            self._fail(source, answer.text)
        else:
            self._store(source)
        return None

    def _take_part(self, source: SpreadSource, answer: Any) -> Iterable[Unit] | None:
        count, *answers = self._parts[source.name]
        answers.append(answer)
        self._parts[source.name] = [count, *answers]
        if len(answers) < count:
            return None
        failed = next((one for one in answers if isinstance(one, Failed)), None)
        if failed is not None:
            self._fail(source, failed.text)
            return None
        if any(isinstance(one, Unfit) for one in answers):
            return [self._unit(source, score_whole, source, self._job)]
        return [self._unit(source, join_parts, source, count, self._job)]

    def _fail(self, source: SpreadSource, text: str) -> None:
        self._failed[source.name] = text
        said = f"[red]{escape(source.name)} failed:[/] {escape(text)}"
        trouble_console(self._console).print(said, highlight=False)

    def _store(self, source: SpreadSource) -> None:
        found = self._kept(source)
        if found is None:
            self._fail(source, f"{self._job.out.at(source.name)} is not seen here: all nodes should share --out")
        elif self._stored is not None:
            self._stored.add(found.result.events)

    def _kept(self, source: SpreadSource) -> Kept | None:
        return kept(self._job.out, source.name, source.identity)

    def _sum_up(self) -> tuple[list[SourceResult], Evaluation | None]:
        job, results = self._job, list[SourceResult]()
        measured = job.labels is not None or job.masks is not None
        evaluation = new_evaluation(self._scene, self._facts.settings, job.score) if measured else None
        for source in self._sources:
            found = None if source.name in self._failed else self._kept(source)
            if found is None:
                continue
            results.append(found.result)
            if evaluation is not None and found.truth is not None:
                evaluation.add(source.name, found.truth, found.result)
        if results:
            print_results(self._console, results, job.out.at(""))
        if evaluation is not None and results:
            print_evaluation(self._console, evaluation)
            evaluation.save(job.out.folder)
            job.out.publish_file(EVALUATION)
        if self._stored is not None:
            self._stored.finish()
        if self._failed:
            count = f"{len(self._failed)} of {len(self._sources)}"
            raise UserError(f"{count} sources failed: {', '.join(self._failed)}; the reasons are above")
        return results, evaluation
