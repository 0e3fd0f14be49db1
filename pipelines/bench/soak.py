"""`bench soak`: many cameras watched for minutes by the real program, measured from outside by its own metrics."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from msflow_stream.config.loading import load
from msflow_stream.datasets.synthetic import SyntheticScene
from msflow_stream.files import write_json
from msflow_stream.video.writing.video_writer import VideoWriter

from ..fit import FitJob, fit
from ..terminal.progress import number, progress_of, table
from .real_watch import MEBI, RealWatch, WatchMeasurement, cameras_showing, watching, write_cameras

SIZE, RATE, CLIP_SECONDS, FIT_SECONDS = (640, 360), Fraction(25), 10, 8
SMALL = ("input.size=[128,192]", "model.weights=random", "fit.passes=1", "model.blocks=[1,2,2]")  # a scene for 2 cores
SAMPLE_SECONDS = 2.0


def bench_soak(
    cameras: int, minutes: float, every: int, set_: Sequence[str], out: Path | None, console: Console | None = None
) -> WatchMeasurement:
    """Prints memory, drops by cause and lag of a watch over so many cameras and minutes.

    Raises:
        UserError: the watch does not start, or ends early.
    """
    console = console or Console()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        clip = _footage(folder)
        fit([str(clip)], folder / "scenes" / "soak", load(overrides=[*SMALL, *set_]), FitJob())
        with cameras_showing(clip) as port:
            config = folder / "cameras.yaml"
            names = [f"cam{i + 1:02d}" for i in range(cameras)]
            write_cameras(config, port, names, {"scene": "soak", "every": every})
            with watching(config, folder / "scenes", folder) as watch:
                measured = _measure(watch, minutes * 60)
                stopped = watch.stop()
    _print(console, measured, cameras, minutes, stopped)
    if out is not None:
        write_json(out, _record(measured, cameras, minutes, stopped))
    return measured


def _footage(folder: Path) -> Path:
    scene = SyntheticScene(*SIZE, RATE, seed=0, traffic_seed=0)
    with VideoWriter(folder / "clip.mp4", *SIZE, 1 / RATE, RATE) as writer:
        for frame in scene.render(CLIP_SECONDS, ()):
            writer.write(frame.image, frame.index)
    return folder / "clip.mp4"


def _measure(watch: RealWatch, seconds: float) -> WatchMeasurement:
    measured, begin = WatchMeasurement(), time.monotonic()
    with progress_of(*Progress.get_default_columns()) as bars:
        task = bars.add_task("watching", total=seconds)
        while (passed := time.monotonic() - begin) < seconds:
            time.sleep(min(SAMPLE_SECONDS, max(0.05, seconds - passed)))
            measured.add(time.monotonic() - begin, watch.metrics())
            bars.update(task, completed=passed)
    return measured


def _print(console: Console, measured: WatchMeasurement, cameras: int, minutes: float, stopped: float) -> None:
    sampled, delivered = measured.total("sampled"), measured.total("delivered")
    drops = measured.drops()
    lags = measured.worst_lag()
    rows = [
        ["memory at the end", f"{measured.memory[-1] / MEBI:.0f} MiB"],
        ["memory slope after warm-up", f"{number(measured.slope(), 2)} MiB/min"],
        ["frames read", f"{measured.total('read'):.0f}"],
        ["frames sampled", f"{sampled:.0f}"],
        ["frames scored and delivered", f"{delivered:.0f} ({delivered / measured.times[-1]:.1f}/s)"],
        *([f"dropped: {cause}", f"{count:.0f}"] for cause, count in drops.items()),
        ["neither delivered nor dropped yet", f"{sampled - delivered - sum(drops.values()):.0f}"],
        ["most seconds behind live, any camera", f"{max(lags.values()):.2f} s" if lags else "–"],
        ["time to stop", f"{stopped:.1f} s"],
    ]
    console.print(table(f"{cameras} cameras, {minutes:g} minutes", ["", "measured"], rows))


def _record(measured: WatchMeasurement, cameras: int, minutes: float, stopped: float) -> dict[str, object]:
    return {
        "cameras": cameras,
        "minutes": minutes,
        "memory_slope_mib_per_minute": measured.slope(),
        "memory_mib": [round(one / MEBI, 2) for one in measured.memory],
        "seconds": [round(one, 2) for one in measured.times],
        "totals": measured.totals,
        "worst_lag_seconds": measured.worst_lag(),
        "stop_seconds": stopped,
    }
