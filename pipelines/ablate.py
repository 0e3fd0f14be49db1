"""`ablate`: the ablation tables of the paper, with features extracted once for all the variants that share them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from rich.console import Console
from torch import Tensor

from msflow_stream.config.loading import override
from msflow_stream.config.settings import Settings
from msflow_stream.evaluation.cases import EvaluationCase, EvaluationUnit, find_units
from msflow_stream.evaluation.collector import MetricsCollector
from msflow_stream.evaluation.summary import COLUMNS
from msflow_stream.files import read_json, write_json
from msflow_stream.machine import choose_device
from msflow_stream.model.aggregate import Maps, depth
from msflow_stream.results.run_folder import versions
from msflow_stream.scenes.feature_cache import Cache, feature_cache
from msflow_stream.scenes.features import NormalFeatures, extract
from msflow_stream.scenes.normal import learn_normal
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.training import FlowFit
from msflow_stream.scoring.scorer import MapView, Scorer, all_maps
from msflow_stream.series import batched
from msflow_stream.types import UserError

from .storage.copies import local_copy
from .storage.places import Place, place
from .storage.urls import Spec, absolute, joined
from .storage.weights import pyramid_at, weights_at, with_weights_at
from .terminal.consoles import summary_console, trouble_console
from .terminal.progress import number, progress, table
from .units import Failed, Here, Unit, UnitRunner

Metrics = dict[str, float | None]
Measured = tuple[str, str, Metrics]  # names of a variant and a class, and what they have

BLOCKS = {1: 2, 2: 5, 3: 8, 4: 8}  # of a stage, wherever it is used
BACKBONES = ("resnet18", "resnet34", "resnet50", "resnext50_32x4d", "wide_resnet50_2")
STAGES = ((1,), (2,), (3,), (4,), (1, 2), (2, 3), (3, 4), (1, 2, 3), (2, 3, 4), (1, 2, 3, 4))


def _only_add(maps: Maps) -> tuple[Maps, Tensor]:
    return maps._replace(mul=maps.add), maps.add


def _only_mul(maps: Maps) -> tuple[Maps, Tensor]:
    return maps._replace(add=depth(maps)), depth(maps)


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of a table: its name, the settings that it changes, and its view of the maps."""

    name: str
    changes: tuple[str, ...] = ()
    view: MapView = all_maps


Pair = tuple[Variant, Settings]

TABLES: dict[str, tuple[Variant, ...]] = {
    "stages": tuple(
        Variant(
            "+".join(f"S{stage}" for stage in stages),
            (f"model.stages={list(stages)}", f"model.blocks={[BLOCKS[stage] for stage in stages]}"),
        )
        for stages in STAGES
    ),
    "pooling": (
        Variant("kernel 1", ("model.pool=avg", "model.pool_kernel=1")),  # of one value, mean and maximum are the same
        *(
            Variant(f"{pool}, kernel {kernel}", (f"model.pool={pool}", f"model.pool_kernel={kernel}"))
            for pool in ("avg", "max")
            for kernel in (3, 5, 7)
        ),
        Variant("none", ("model.pool=none", "model.pool_kernel=3")),
    ),
    "backbone": tuple(Variant(name, (f"model.backbone={name}",)) for name in BACKBONES),
    "blocks": tuple(
        Variant("-".join(map(str, blocks)), (f"model.blocks={blocks}",))
        for blocks in ([2, 2, 2], [5, 5, 5], [8, 8, 8], [8, 5, 2], [2, 5, 8])
    ),
    "fusion": (Variant("without", ("model.fusion=false",)), Variant("with", ("model.fusion=true",))),
    "norm": tuple(Variant(norm, (f"model.norm={norm}",)) for norm in ("none", "batch", "layer")),
    "aggregation": (
        Variant("add", view=_only_add),
        Variant("mul", view=_only_mul),
    ),
    "topk": tuple(Variant(f"{k} %", (f"score.top_k={k / 100}",)) for k in range(1, 11)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AblateJob:
    """A table to make, the data that it is made of, and where it goes.

    Attributes:
        table: a key of TABLES.
        data: name of the data set.
        root: its folder, or the URL of one.
        out: folder for TABLE.json, or the URL of one, which a run that was stopped goes on from.
        classes: or scenes; all if empty.
        device: such as auto, cpu or cuda.
    """

    table: str
    data: str
    root: Spec
    out: Spec
    classes: Sequence[str] = ()
    device: str = "auto"


def ablate(
    job: AblateJob, settings: Settings, console: Console | None = None, runner: UnitRunner | None = None
) -> dict[str, Metrics]:
    """Makes a table of the paper and returns it: metrics of every variant, as means over classes.

    Here a class that fails ends the run; on a cluster the others are done first.

    Raises:
        UserError: an unknown table, no such data, a file of other settings in `out`, or a class that failed.
    """
    console, runner = console or summary_console(), runner or Here()
    if job.table not in TABLES:
        raise UserError(f"no table {job.table!r}: there are {', '.join(TABLES)}")
    out = place(job.out if isinstance(runner, Here) else absolute(job.out))
    with local_copy(job.root) as root:
        units = find_units(job.data, root, job.classes)
        done = _Done(job, out, settings, [unit.name for unit in units])
        _run(units, job, settings, done, console, runner)
    variants = [variant.name for variant in TABLES[job.table]]
    means = {name: _mean([done.results[name][one.name] for one in units]) for name in variants}
    _print(console, job, means, settings)
    out.forget()
    return means


class _Done:
    """The metrics that are there, by variant and class, kept in TABLE.json."""

    def __init__(self, job: AblateJob, out: Place, settings: Settings, classes: Sequence[str]) -> None:
        """Reads what an earlier run left.

        Raises:
            UserError: it is of something else.
        """
        self._out, self._table, self._classes = out, job.table, classes
        root = str(absolute(job.root))
        self._facts = {"data": job.data, "root": root, "settings": settings.model_dump(mode="json")}
        self.results = _read(out.fetch_file(self._file), self._facts)
        out.folder.mkdir(parents=True, exist_ok=True)

    @property
    def _file(self) -> str:
        return f"{self._table}.json"

    def add(self, variant: str, name: str, metrics: Metrics) -> None:
        """Keeps the metrics of a variant for a class; in which order they come does not matter."""
        found = self.results.setdefault(variant, {})
        found[name] = metrics
        self.results[variant] = {one: found[one] for one in sorted(found, key=self._place)}
        order = [one.name for one in TABLES[self._table] if one.name in self.results]
        results = {one: self.results[one] for one in order}
        write_json(self._out.folder / self._file, self._facts | {"results": results, "versions": versions()})
        self._out.publish_file(self._file)

    def _place(self, name: str) -> int:
        return self._classes.index(name) if name in self._classes else -1


def _run(
    units: Sequence[EvaluationUnit],
    job: AblateJob,
    settings: Settings,
    done: _Done,
    console: Console,
    runner: UnitRunner,
) -> None:
    """Has every variant measured that is not, for every class."""
    here, share, failed = isinstance(runner, Here), runner.share(job.device), list[str]()
    variants = [(variant, _settings(settings, variant)) for variant in TABLES[job.table]]
    work: list[Unit] = []
    for unit in units:
        left = [pair for pair in variants if unit.name not in done.results.get(pair[0].name, {})]
        # Who shares features stands together; on a cluster, who shares a fit.
        for _, group in groupby(left, key=lambda pair: _pyramid_key(pair[1]) if here else _flow_key(pair[1])):
            pairs = list(group)
            key = f"{unit.name}, {pairs[0][0].name}"
            if here:
                work.append(Unit(key, _keep_group, (unit, pairs, job.device, done.add)))
            else:
                args = (job.data, absolute(job.root), unit.name, _everywhere(pairs), share.device)
                work.append(Unit(key, _measure_group, args, share.cpus, share.gpus))

    def note(one: Unit, answer: list[Measured] | Failed) -> None:
        if not isinstance(answer, Failed):
            for measured in answer:
                done.add(*measured)
        elif answer.error is not None:  # here, it ends the run
            raise answer.error
        else:
            failed.append(one.key)
            trouble_console(console).print(f"[red]{one.key} failed:[/] {answer.text}", highlight=False)

    runner.run(work, note, f"table {job.table}")
    if failed:
        raise UserError(f"{len(failed)} of {len(work)} failed, the reasons are above: the same command goes on")


def _everywhere(group: Sequence[Pair]) -> list[Pair]:
    return [(variant, with_weights_at(settings)) for variant, settings in group]


def _keep_group(
    unit: EvaluationUnit, group: Sequence[Pair], device: str, keep: Callable[[str, str, Metrics], None]
) -> list[Measured]:
    """Measures variants that share their features, and keeps each as soon as it is done."""
    for variant, metrics in _group(unit, group, device):
        keep(variant, unit.name, metrics)
    return []


def _measure_group(data: str, root: Spec, name: str, group: Sequence[Pair], device: str) -> list[Measured]:
    """Returns what variants of a class have that share their features."""
    with local_copy(root) as folder:
        (unit,) = find_units(data, folder, [name])
        return [(variant, name, metrics) for variant, metrics in _group(unit, group, device)]


def _settings(settings: Settings, variant: Variant) -> Settings:
    changed = override(settings, variant.changes)
    weights = changed.model.weights.replace("{backbone}", changed.model.backbone)
    return override(changed, [f"model.weights={weights}"])


def _pyramid_key(settings: Settings) -> str:
    """The settings that features depend on, as text."""
    of_flow = {"blocks", "condition_channels", "clamp", "fusion", "norm"}
    return settings.input.model_dump_json() + settings.model.model_dump_json(exclude=of_flow)


def _flow_key(settings: Settings) -> str:
    """The settings that a fitted flow depends on, as text."""
    return settings.model_dump_json(include={"input", "model", "fit"})


def _group(
    unit: EvaluationUnit, group: Sequence[tuple[Variant, Settings]], device: str
) -> Iterator[tuple[str, Metrics]]:
    """Metrics of variants that share their features."""
    first = group[0][1]
    chosen = choose_device(device)
    pyramid_of = Scene.new(unit.name, first, pyramid_at(first, weights_at(first))).to(chosen)
    with (
        feature_cache(first.fit, device=chosen) as fit_cache,
        feature_cache(first.fit) as test_cache,
        progress() as bars,
    ):
        task = bars.add_task(f"reading {unit.name}", total=None)
        footage = NormalFeatures(fit_cache)
        for footage in extract(pyramid_of, unit.fit_sources(), fit_cache, first.fit.holdout):
            bars.update(task, completed=len(footage.frames))
        cases = _extract_cases(unit, Scorer(pyramid_of, device), test_cache)
        bars.remove_task(task)
        fitted: dict[str, Scene] = {}
        for variant, settings in group:
            key = _flow_key(settings)
            if key not in fitted:
                scene = Scene.new(unit.name, settings, pyramid_of.pyramid).to(chosen)
                task = bars.add_task(f"{unit.name}, {variant.name}", total=settings.fit.passes)
                for _ in FlowFit(scene, footage).run():
                    bars.advance(task)
                bars.remove_task(task)
                learn_normal(scene, footage, scene.measure_features)
                fitted = {key: scene}  # the last one is enough: variants of one flow stand together
            scorer = Scorer(replace(fitted[key], settings=settings), device)
            yield variant.name, _metrics(unit, scorer, cases, test_cache, variant.view)


def _extract_cases(unit: EvaluationUnit, scorer: Scorer, cache: Cache) -> list[tuple[str, EvaluationCase]]:
    """Fills the cache with the features of the test cases; the cases come back without their images."""
    cases: list[tuple[str, EvaluationCase]] = []
    nothing = np.zeros((0, 0, 3), np.uint8)
    for clip, stream in unit.test_clips(scorer.scene.settings.input.size):
        for part in batched(stream, scorer.settings.batch):
            cache.add(scorer.features([case.frame for case in part]))
            cases += [(clip, replace(case, frame=replace(case.frame, pixels=nothing, earlier=None))) for case in part]
    return cases


def _metrics(
    unit: EvaluationUnit,
    scorer: Scorer,
    cases: Sequence[tuple[str, EvaluationCase]],
    cache: Cache,
    view: MapView,
) -> Metrics:
    collector = MetricsCollector(unit.is_video, scorer.settings.smoothing)
    for positions in batched(range(len(cases)), scorer.settings.batch):
        part = [cases[position] for position in positions]
        scores = scorer.score_with_maps([case.frame for _, case in part], cache.batch(positions), view)
        for (clip, case), scored in zip(part, scores, strict=True):
            collector.add(clip, case, scored)
    return collector.metrics()


def _mean(metrics: Sequence[Metrics]) -> Metrics:
    result: Metrics = {}
    for key in metrics[0]:
        known = [value for one in metrics if (value := one.get(key)) is not None]
        result[key] = fmean(known) if known else None
    return result


def _read(path: Path, facts: dict[str, Any]) -> dict[str, dict[str, Metrics]]:
    """The results of an earlier run."""
    if not path.exists():
        return {}
    content = read_json(path)
    if any(content.get(key) != value for key, value in facts.items()):
        raise UserError(f"{path} is of other data or other settings: choose another --out")
    return dict(content["results"])


def _print(console: Console, job: AblateJob, means: dict[str, Metrics], settings: Settings) -> None:
    columns = [key for key in COLUMNS if key in next(iter(means.values()))]
    rows = [[name, *(number(values.get(key)) for key in columns)] for name, values in means.items()]
    title = f"{job.table}, {job.data}, {settings.model.backbone} at {settings.input.size[0]}x{settings.input.size[1]}"
    caption = f"last pass of {settings.fit.passes}, seed {settings.fit.seed}; also in {joined(job.out, job.table)}.json"
    console.print(table(title, [job.table, *(COLUMNS[key] for key in columns)], rows, caption))
