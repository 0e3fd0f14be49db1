"""A fit beside a watch, measured: `python -m tests.watch.learning_load --cameras 3 --minutes 3`.

A real watch over cameras that loop a clip and are all scored, more than the machine can do, while one more camera's
scene is fitted in the background. The worker is stopped and let go in turn, from outside; prints the frames scored per
second of both, and the most seconds behind live.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import yaml
from rich.console import Console

from msflow_stream.config.loading import load
from msflow_stream.teaching.layout import learn_folder
from msflow_stream.teaching.progress import Progress
from pipelines.bench.real_watch import RealWatch, WatchMeasurement, cameras_showing, watching
from pipelines.bench.stages import synthetic_video
from pipelines.fit import FitJob, fit

SAMPLE, SETTLE = 1.0, 3.0  # seconds; what just began is not measured
ENDLESS = "fit.passes=100000"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--turn", type=float, default=20.0, help="seconds with and without the fit")
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--engine", default="auto")
    job = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(job, Path(folder), Console())


def measure(job: argparse.Namespace, folder: Path, console: Console) -> None:
    scenes, clip = folder / "scenes", synthetic_video(360, 8.0, folder)
    fit([str(clip)], scenes / "place", load(None, ["fit.passes=1"]), FitJob(device="cpu"))
    with cameras_showing(clip) as port:
        address = f"http://127.0.0.1:{port}"
        cameras = {f"c{n}": {"url": f"{address}/c{n}", "scene": "place"} for n in range(job.cameras)}
        cameras["new"] = {"url": f"{address}/new", "scene": {"learn": "6s", "settings": [ENDLESS]}}
        every = {"defaults": {"every": job.every}, "cameras": cameras}
        (folder / "cameras.yaml").write_text(yaml.safe_dump(every), encoding="utf-8")
        options = ("--device", "cpu", "--engine", job.engine)
        with watching(folder / "cameras.yaml", scenes, folder / "run", *options) as watch:
            new = scenes / "new"
            while (worker := worker_of(watch)) is None or stage_of(new) not in ("fitting", "paused"):
                time.sleep(1)
            compare(job, watch, worker, new, console)


def compare(job: argparse.Namespace, watch: RealWatch, worker: int, new: Path, console: Console) -> None:
    rates: dict[bool, list[float]] = {False: [], True: []}
    lags: dict[bool, list[float]] = {False: [], True: []}
    end, works = time.monotonic() + 60 * job.minutes, False
    before = done_of(new)
    running = 0
    while time.monotonic() < end:
        works = not works
        if works:
            signal_to(worker, signal.SIGCONT)
        held(works, worker, SETTLE)
        first, begun, measured = totals(watch), time.monotonic(), WatchMeasurement()
        while time.monotonic() - begun < job.turn:
            held(works, worker, SAMPLE)
            running += works and not is_stopped(worker)
            measured.add(time.monotonic() - begun, watch.metrics())
        rates[works].append((totals(watch) - first) / (time.monotonic() - begun))
        lags[works] += [max(values) for values in zip(*measured.lags.values(), strict=False)]
        console.print(
            f"{'with' if works else 'without'} the fit: {rates[works][-1]:.1f} frames/s, load {os.getloadavg()}"
        )
    alone, beside = (statistics.median(rates[one]) for one in (False, True))
    console.print(
        f"frames per second: {alone:.1f} without, {beside:.1f} with a fit ({beside / alone:.1%}); "
        f"most seconds behind live: {max(lags[False]):.2f} and {max(lags[True]):.2f}; the fit ran in {running} s "
        f"and got from {before:.0f} to {done_of(new):.0f} frames"
    )


def held(works: bool, worker: int, seconds: float) -> None:
    """Waits, and has the worker stand still meanwhile unless it may work."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if not works:
            signal_to(worker, signal.SIGSTOP)
        time.sleep(min(left, 0.5))


def totals(watch: RealWatch) -> float:
    """Frames scored so far."""
    measured = WatchMeasurement()
    measured.add(0.0, watch.metrics())
    return measured.total("scored")


def worker_of(watch: RealWatch) -> int | None:
    return next(iter(children(watch.pid)), None)


def children(pid: int) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, path.read_text().split())


def is_stopped(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return True


def signal_to(pid: int, number: int) -> None:
    with suppress(OSError):
        os.kill(pid, number)


def stage_of(scene: Path) -> str:
    progress = Progress.read(learn_folder(scene))
    return "" if progress is None else progress.stage


def done_of(scene: Path) -> float:
    progress = Progress.read(learn_folder(scene))
    return 0.0 if progress is None else progress.done


if __name__ == "__main__":
    main()
