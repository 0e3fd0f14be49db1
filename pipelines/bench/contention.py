"""`bench contention`: fit, score and watch alone and beside their like, and a watch beside a fit, as real processes."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from msflow_stream.files import write_json
from msflow_stream.machine import choose_device
from msflow_stream.results.run_folder import read_run
from msflow_stream.scenes.folder import read_record
from msflow_stream.types import UserError

from ..terminal.progress import number, print_markdown, progress
from .machine import machine_facts, machine_line
from .real_watch import (
    START_SECONDS,
    RealWatch,
    WatchMeasurement,
    cameras_showing,
    command_line,
    last_line,
    watching,
    write_cameras,
)
from .stages import footage_folder, synthetic_video

Verb = Literal["fit", "score", "watch"]
VERBS: tuple[Verb, ...] = get_args(Verb)
UNITS: Mapping[Verb, str] = {"fit": "frames of a pass", "score": "frames", "watch": "frames scored"}
COLUMNS = ["", "alone (1/s)", "side by side (1/s each)", "together, of one alone"]
LOST_COLUMNS = ["a watch", "frames to score", "lost", "most seconds behind live", "the fit (1/s)"]
SCENE = "scene"
SAMPLED, SAMPLE_SECONDS = 5, 1.0  # frames to one that is scored beside a fit; between two looks at a watch
SHORTEST = 0.1  # seconds: what a fit takes is known to a tenth


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentionJob:
    """The request to `bench contention`.

    Attributes:
        verbs: those that are measured.
        height, seconds: of the synthetic footage, which is 16:9.
        passes: of a fit.
        cameras: that are watched: all frames of them alone and side by side, every fifth beside a fit.
        watched: seconds that a watch is measured.
        repeats: rounds, of all measurements in turn.
        device: such as auto, cpu or cuda.
        settings: of the scene, as --set takes them.
        options: further ones of `score` and `watch`, such as their engine.
        out: a JSON file for the figures.
    """

    verbs: Sequence[Verb] = VERBS
    height: int = 360
    seconds: float = 60.0
    passes: int = 2
    cameras: int = 8
    watched: float = 15.0
    repeats: int = 3
    device: str = "auto"
    settings: Sequence[str] = ()
    options: Sequence[str] = ()
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class ContentionRow:
    """One verb, medians over the rounds.

    Attributes:
        alone_per_s: of a process that has the machine for itself.
        beside_per_s: of each of two processes at the same time.
        together: of both, as a share of the one alone.
    """

    verb: Verb
    unit: str
    alone_per_s: float
    beside_per_s: Sequence[float]
    together: float


@dataclass(frozen=True, slots=True)
class LostRow:
    """A watch with or without a fit beside it, over all rounds.

    Attributes:
        sampled: frames that were to be scored.
        lost: those of them that were not.
        behind_s: the most seconds behind live, of any camera.
        fit_per_s: frames of a pass that the fit beside it got through; None where there was none.
    """

    beside: Literal["nothing", "a fit"]
    sampled: int
    lost: int
    behind_s: float
    fit_per_s: float | None


def bench_contention(job: ContentionJob) -> tuple[list[ContentionRow], list[LostRow]]:
    """Measures all verbs, prints two tables, and writes JSON.

    Raises:
        UserError: a process that fails, with its own words.
    """
    clip = synthetic_video(job.height, job.seconds, footage_folder())
    facts = machine_facts(choose_device(job.device))
    with tempfile.TemporaryDirectory(prefix="contention-") as name, cameras_showing(clip) as port:
        site = Site(job, clip, port, Path(name))
        rates: dict[tuple[Verb, int], list[list[float]]] = {(verb, n): [] for verb in job.verbs for n in (1, 2)}
        lost: dict[bool, list[LostRow]] = {False: [], True: []} if {"fit", "watch"} <= set(job.verbs) else {}
        with progress("measurements") as bars:
            bar = bars.add_task("side by side", total=job.repeats * (len(rates) + len(lost)))
            site.fit(1)  # the scene for the others
            for _ in range(job.repeats):
                for (verb, count), taken in rates.items():
                    taken.append(site.measure(verb, count))
                    bars.advance(bar)
                for fitting, found in lost.items():
                    found.append(site.watch_beside(fitting))
                    bars.advance(bar)
    rows = [summary(verb, rates[verb, 1], rates[verb, 2]) for verb in job.verbs]
    sums = [total(one) for one in lost.values()]
    _print(rows, sums, job, machine_line(facts))
    if job.out is not None:
        about = {"height": job.height, "seconds": job.seconds, "passes": job.passes, "cameras": job.cameras}
        figures = {"rows": [asdict(row) for row in rows], "watch": [asdict(row) for row in sums]}
        write_json(job.out, {"machine": facts, **about, "settings": list(job.settings), **figures})
    return rows, sums


def verbs_of(names: Sequence[str]) -> list[Verb]:
    """Returns the verbs of these names; all if there is no name.

    Raises:
        UserError: a name that is none of theirs.
    """
    unknown = sorted({*names} - {*VERBS})
    if unknown:
        raise UserError(f"--verb is {', '.join(VERBS)}, not {', '.join(unknown)}")
    return [verb for verb in VERBS if verb in names or not names]


def summary(verb: Verb, alone: Sequence[Sequence[float]], beside: Sequence[Sequence[float]]) -> ContentionRow:
    """Returns the medians of rates per second: of one process in each round, and of two at the same time."""
    one = statistics.median(rate for (rate,) in alone)
    each = [statistics.median(rates) for rates in zip(*beside, strict=True)]
    together = statistics.median(sum(rates) for rates in beside)
    return ContentionRow(verb, UNITS[verb], one, each, together / one)


def total(rows: Sequence[LostRow]) -> LostRow:
    """Returns the sum of some rounds."""
    rates = [row.fit_per_s for row in rows if row.fit_per_s is not None]
    return LostRow(
        beside=rows[0].beside,
        sampled=sum(row.sampled for row in rows),
        lost=sum(row.lost for row in rows),
        behind_s=max(row.behind_s for row in rows),
        fit_per_s=statistics.median(rates) if rates else None,
    )


class Site:
    """The place where the processes run: a clip, cameras that show it, and a folder for scenes and results.

    Args:
        job: what is asked for.
        clip: the footage.
        port: that of the cameras.
        folder: for everything that is written.
    """

    def __init__(self, job: ContentionJob, clip: Path, port: int, folder: Path) -> None:
        self._job, self._clip, self._port, self._folder = job, clip, port, folder
        self._device = ["--device", job.device]

    def measure(self, verb: Verb, count: int) -> list[float]:
        """Returns what each of so many processes of a verb gets through in a second."""
        measures: dict[Verb, Callable[[int], list[float]]] = {"fit": self.fit, "score": self.score, "watch": self.watch}
        return measures[verb](count)

    def fit(self, count: int, name: str = SCENE) -> list[float]:
        """Fits so many scenes at the same time; reading footage counts too, loading the program does not."""
        names = [f"{name}{number}" for number in range(count)]
        changes = ["model.weights=random", f"fit.passes={self._job.passes}", *self._job.settings]
        options = ["--scenes", self._scenes, "--overwrite", *self._device]
        options += [part for one in changes for part in ("--set", one)]
        self._run([command_line("fit", self._clip, "--scene", name, *options) for name in names])
        records = [read_record(self._scenes / name)["fit"] for name in names]
        return [one["frames"] * one["passes"] / max(SHORTEST, one["seconds"]) for one in records]

    def score(self, count: int) -> list[float]:
        """Scores the clip so many times at the same time, without overlays; loading the scene does not count."""
        runs = [self._folder / f"run{number}" for number in range(count)]
        options = ["--scene", f"{SCENE}0", "--scenes", self._scenes, "--no-overlay", "--overwrite"]
        options += [*self._device, *self._job.options]
        self._run([command_line("score", self._clip, "--out", run, *options) for run in runs])
        return [read_run(run / self._clip.stem)["frames_per_second"] for run in runs]

    def watch(self, count: int) -> list[float]:
        """Watches every frame of the cameras, which are divided among so many processes."""
        with ExitStack() as stack:
            watches = [stack.enter_context(self._watch(1, number, count)) for number in range(count)]
            first = [_read(one) for one in watches]
            time.sleep(self._job.watched)
            last = [_read(one) for one in watches]
        return [
            (after.total("delivered") - before.total("delivered")) / (after.times[-1] - before.times[-1])
            for before, after in zip(first, last, strict=True)
        ]

    def watch_beside(self, fitting: bool) -> LostRow:
        """Watches every fifth frame of the cameras, while a fit goes on or while nothing does."""
        with self._watch(SAMPLED, 0, 1) as watch, ThreadPoolExecutor(1) as pool:
            measured, before = WatchMeasurement(), _read(watch)
            end = time.monotonic() + self._job.watched
            fit = pool.submit(self.fit, 1, "beside") if fitting else None
            while time.monotonic() < end or not (fit is None or fit.done()):
                time.sleep(min(SAMPLE_SECONDS, self._job.watched))
                measured.add(time.monotonic(), watch.metrics())
        return LostRow(
            beside="nothing" if fit is None else "a fit",
            sampled=round(measured.total("sampled") - before.total("sampled")),
            lost=round(sum(measured.drops().values()) - sum(before.drops().values())),
            behind_s=max((max(lags) for lags in measured.lags.values()), default=0.0),
            fit_per_s=None if fit is None else fit.result()[0],
        )

    @property
    def _scenes(self) -> Path:
        return self._folder / "scenes"

    @contextmanager
    def _watch(self, every: int, number: int, count: int) -> Iterator[RealWatch]:
        """A watch of every so manieth camera that has begun to deliver scores."""
        names = [f"camera{i}" for i in range(self._job.cameras)][number::count]
        folder = self._folder / f"watch{number}"
        folder.mkdir(exist_ok=True)
        config = folder / "cameras.yaml"
        write_cameras(config, self._port, names, {"scene": f"{SCENE}0", "every": every})
        options = ["--no-evidence", *self._device, *self._job.options]
        with watching(config, self._scenes, folder, *options) as watch:
            end = time.monotonic() + START_SECONDS
            while _read(watch).total("delivered") < len(names):
                if time.monotonic() > end:
                    raise UserError(f"the watch scored nothing within {START_SECONDS:g} s")
                time.sleep(SAMPLE_SECONDS)
            yield watch

    def _run(self, commands: Sequence[Sequence[str]]) -> None:
        """Runs all at the same time, to their ends.

        Raises:
            UserError: one of them failed.
        """
        logs = [self._folder / f"process{number}.log" for number in range(len(commands))]
        with ExitStack() as stack:
            files = [stack.enter_context(log.open("w")) for log in logs]
            running = [
                stack.enter_context(subprocess.Popen(one, stdout=file, stderr=subprocess.STDOUT))
                for one, file in zip(commands, files, strict=True)
            ]
            try:
                codes = [process.wait() for process in running]
            finally:
                for process in running:
                    process.kill()
        for code, log in zip(codes, logs, strict=True):
            if code:
                raise UserError(f"a process of the bench failed: {last_line(log)}")


def _read(watch: RealWatch) -> WatchMeasurement:
    measured = WatchMeasurement()
    measured.add(time.monotonic(), watch.metrics())
    return measured


def _print(rows: Sequence[ContentionRow], lost: Sequence[LostRow], job: ContentionJob, machine: str) -> None:
    cells = [
        [
            f"{row.verb}, {row.unit}",
            f"{row.alone_per_s:.1f}",
            ", ".join(f"{rate:.1f}" for rate in row.beside_per_s),
            f"{row.together:.2f}",
        ]
        for row in rows
    ]
    notes = [
        f"{machine}. Processes of the command line over synthetic footage of {job.height} lines, {job.seconds:g} s; "
        f"medians of {job.repeats} rounds. fit: {job.passes} passes, with what comes before and after them. score: "
        f"without overlays. watch: every frame of {job.cameras} cameras, divided among the processes, over "
        f"{job.watched:g} s. Loading programs and scenes does not count.",
    ]
    print_markdown("Alone and side by side", COLUMNS, cells, notes)
    if lost:
        cells = [
            [
                f"beside {row.beside}",
                str(row.sampled),
                f"{row.lost} ({100 * row.lost / max(1, row.sampled):.1f} %)",
                f"{row.behind_s:.2f}",
                number(row.fit_per_s, 1),
            ]
            for row in lost
        ]
        notes = [
            f"{job.cameras} cameras of 25 frames/s, every {SAMPLED}. of which is to be scored; all rounds together."
        ]
        print_markdown("A watch beside a fit", LOST_COLUMNS, cells, notes)
