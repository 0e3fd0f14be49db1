"""The figures of this node for a capacity plan: its scorer, decoding, and what the real watch takes and writes."""

from __future__ import annotations

import shutil
import sqlite3
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path

import torch
import yaml
from prometheus_client.parser import text_string_to_metric_families

from msflow_stream.config.loading import override
from msflow_stream.config.settings import Settings
from msflow_stream.cores import usable_cores
from msflow_stream.datasets.synthetic import SyntheticScene, Violation
from msflow_stream.events.evidence.event_folder import EVIDENCE_FOLDER
from msflow_stream.files import replaced
from msflow_stream.machine import usable_memory
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scoring.engine_choice import make_inference
from msflow_stream.types import UserError
from msflow_stream.video.sources import open_source
from msflow_stream.video.writing.video_writer import VideoWriter
from msflow_stream.watch.camera_outputs import RECORDINGS

from ..fit import FitJob, fit
from ..terminal.progress import progress
from .capacity_plan import DAY, Figure, NodeFigures, assumed, measured
from .machine import Spent, in_turn, median, spent
from .memory_cameras import MemoryCameras
from .real_watch import START_SECONDS, cameras_showing, watching, write_cameras

RATE = Fraction(25)
CLIP_SECONDS = 16  # of the footage
CALM = "calm"  # name of a scene
CYCLIST = Violation("cyclist", 2.0, 6.0)
FRAMES = 64  # that the scorer is timed with
LOOK_EVERY = 1.0  # seconds between two looks at a watch
SETTLING = 5.0  # seconds of a watch that scores before those that are measured
TOTALS = {
    "process_cpu_seconds_total": "core_s",
    "process_resident_memory_bytes": "resident",
    "msflow_device_memory_bytes": "device",
    "msflow_frames_scored_total": "scored",
    "msflow_frames_dropped_total": "dropped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMeasurement:
    """What is measured.

    Attributes:
        fps: frames a second to be scored of each camera.
        cameras: that are watched at once; so many that none of their frames are dropped.
        seconds: that each watch is measured.
        height: of the synthetic footage, which is 16:9.
        repeats: timed rounds of scorer and decoder.
        device: auto, cpu, cuda and so on.
        batch: frames scored at once, at most.
        record: whether overlay videos are recorded.
        options: further ones of `watch`, such as its engine.
    """

    fps: float
    cameras: int = 4
    seconds: float = 40.0
    height: int = 1080
    repeats: int = 3
    device: str = "auto"
    batch: int = 8
    record: bool = False
    options: Sequence[str] = ()

    @property
    def every(self) -> int:
        """Step between the scored frames of footage of 25 frames a second."""
        return max(1, round(float(RATE) / self.fps))


@dataclass(slots=True)
class WatchFacts:
    """What a watch took over some seconds.

    Attributes:
        core_s: seconds of all cores.
        resident, device: bytes of memory in use, medians; of a GPU 0 where there is none.
        scored, dropped: frames.
        written: bytes by kind, of all cameras.
        events: that have evidence, over the whole run; `evidence`, their bytes.
    """

    seconds: float = 0.0
    core_s: float = 0.0
    resident: float = 0.0
    device: float = 0.0
    scored: float = 0.0
    dropped: float = 0.0
    written: dict[str, int] = field(default_factory=dict)
    events: int = 0
    evidence: int = 0


def measure_node(settings: Settings, job: NodeMeasurement, folder: Path, footage: Path) -> NodeFigures:
    """Returns the figures of this node; takes about three times the seconds of a watch, and some minutes at first.

    Args:
        settings: of the scenes.
        job: what is measured.
        folder: for scenes and results, thrown away by the caller.
        footage: folder that keeps the synthetic footage.

    Raises:
        UserError: a watch that does not start or score.
    """
    quiet, events = footage_of(job.height, footage)
    names = _fitted(settings, job, quiet, folder / "scenes")
    scoring, device = _scoring(settings, job, folder / "scenes", names[0])
    decoding = _decoding(job, quiet)
    one = _watched(job, quiet, folder / "one", [CALM], 1)
    many = _watched(job, quiet, folder / "many", [CALM], job.cameras)
    scenes = _watched(job, events, folder / "scenes-of-their-own", names, job.cameras)
    return figures_of(job, scoring, decoding, (one, many, scenes), quiet, device)


def figures_of(
    job: NodeMeasurement,
    scoring: Spent,
    decoding: float,
    watches: tuple[WatchFacts, WatchFacts, WatchFacts],
    clip: Path,
    device: torch.device,
) -> NodeFigures:
    """Returns the figures that these measurements make.

    Args:
        job: what was measured.
        scoring: of a frame.
        decoding: cores that a camera keeps busy.
        watches: of one camera, of all over one scene, and of all over a scene each while something happens.
        clip: what the cameras showed.
        device: what scored.
    """
    one, many, scenes = watches
    count, rate = job.cameras, many.scored / many.seconds / job.cameras  # as it was: what is dropped costs nothing
    lost = many.dropped / max(1.0, many.scored + many.dropped)
    watched = f"a watch of {count} cameras over {many.seconds:.0f} s"
    less = f"{watched}, less decoding and scoring; {lost:.0%} of its frames were dropped".replace("%", " %")
    core_s = many.core_s / many.seconds / count
    per_camera = (many.resident - one.resident) / (count - 1)
    per_scene = (scenes.resident - many.resident) / (count - 1)
    quiet = many.written["quiet"] / many.seconds / count * DAY
    said = f"{scenes.events} events of {watched}, evidence included"
    unquiet = scenes.written["quiet"] - many.written["quiet"] * scenes.seconds / many.seconds
    event = (max(0.0, unquiet) + scenes.evidence) / scenes.events if scenes.events else 0.0
    values = {
        "cores": measured(usable_cores(), "this machine"),
        "memory_bytes": measured(usable_memory(), "this machine"),
        "frames_per_s": measured(1 / scoring.wall, f"batches of {job.batch} from memory, nothing else runs"),
        "score_core_s": measured(scoring.cpu, "the same"),
        "decode_cores": measured(decoding, f"{job.height} lines, {RATE} frames/s, H.264, every frame decoded"),
        "rest_cores": measured(core_s - decoding - rate * scoring.cpu, less),
        "process_bytes": measured(one.resident - per_camera - per_scene, "a watch of 1 camera, less that camera"),
        "camera_bytes": measured(per_camera, f"{watched} beside one of 1, over one scene"),
        "scene_bytes": measured(per_scene, f"the same over {count} scenes beside one"),
        "stream_bits_per_s": measured(8 * bytes_per_second(clip), f"the stream of {job.height} lines that was shown"),
        "quiet_bytes_per_day": measured(quiet, f"files of {watched}"),
        "event_bytes": measured(event, said) if scenes.events else assumed(8e6, "no event happened while it watched"),
    }
    if job.record:
        recorded = many.written["recordings"] / many.seconds / count * DAY
        values["recorded_bytes_per_day"] = measured(recorded, f"overlay videos of {watched}")
    if device.type == "cuda":
        values |= _gpu(device, one, scenes, count)
    return NodeFigures(**values)


def _gpu(device: torch.device, one: WatchFacts, scenes: WatchFacts, count: int) -> dict[str, Figure]:
    per_scene = (scenes.device - one.device) / (count - 1)
    return {
        "gpus": measured(1, "one was measured"),
        "gpu_memory_bytes": measured(torch.cuda.get_device_properties(device).total_memory, "this GPU"),
        "gpu_process_bytes": measured(one.device - per_scene, "tensors of a watch of one scene, less that scene"),
        "gpu_scene_bytes": measured(per_scene, f"tensors of a watch of {count} scenes beside one"),
    }


def _fitted(settings: Settings, job: NodeMeasurement, quiet: Path, folder: Path) -> list[str]:
    """Fits a scene on quiet footage, and gives it so many names that each camera can have one of its own.

    A last one, CALM, finds no events: of footage so short a scene learns too little to be quiet by itself.
    """
    names = [f"scene{number}" for number in range(job.cameras)]
    fit([str(quiet)], folder / names[0], settings, FitJob(device=job.device))
    for name in names[1:]:
        shutil.copytree(folder / names[0], folder / name)
    calm = Scene.load(folder / names[0])
    calm.settings = override(calm.settings, [f"event.triggers=[{calm.settings.score.kind}]", "score.threshold=1e9"])
    calm.save(folder / CALM)
    return names


def _scoring(settings: Settings, job: NodeMeasurement, scenes: Path, name: str) -> tuple[Spent, torch.device]:
    """Returns the time of a frame where many wait, as fast as this node scores."""
    inference = make_inference(settings.engine)
    cache = SceneCache(scenes, job.device, inference.prepare)
    cameras = MemoryCameras(cache, [name], job.cameras, job.batch, inference)
    taken = in_turn({"score": partial(cameras.all_at_once, FRAMES)}, job.repeats, "scoring")["score"]
    each = median(taken)
    return Spent(each.wall / FRAMES, each.cpu / FRAMES), cache.device


def _decoding(job: NodeMeasurement, clip: Path) -> float:
    """Returns the cores that a camera which shows the clip keeps busy with decoding."""

    def decode() -> None:
        with open_source(str(clip), job.every, motion_every=job.every) as reader:
            for _ in reader:
                pass

    taken = in_turn({"decode": partial(spent, decode)}, job.repeats, "decoding")["decode"]
    return statistics.median(one.cpu for one in taken) / CLIP_SECONDS


def _watched(job: NodeMeasurement, clip: Path, folder: Path, scenes: Sequence[str], count: int) -> WatchFacts:
    """Returns what the real watch takes over cameras that show a clip, after it has settled."""
    folder.mkdir(parents=True)
    names = [f"camera{number}" for number in range(count)]
    options = ["--batch", job.batch, "--device", job.device, *(["--record"] if job.record else []), *job.options]
    with cameras_showing(clip) as port:
        config = folder / "cameras.yaml"
        write_cameras(config, port, names, {"scene": scenes[0], "every": job.every})
        _give_scenes(config, names, scenes)
        with watching(config, folder.parent / "scenes", folder, *options) as watch:
            facts = _observed(watch.metrics, folder / "watched", job, count)
            with suppress(subprocess.TimeoutExpired):  # on a machine that has no room, it is ended otherwise
                watch.stop()
    folders = [one for one in (folder / "watched").glob(f"*/{EVIDENCE_FOLDER}/*") if one.is_dir()]
    facts.events = len(folders)
    facts.evidence = written(folder / "watched")["evidence"]
    return facts


def _give_scenes(config: Path, names: Sequence[str], scenes: Sequence[str]) -> None:
    values = yaml.safe_load(config.read_text(encoding="utf-8"))
    for number, name in enumerate(names):
        values["cameras"][name]["scene"] = scenes[number % len(scenes)]
    config.write_text(yaml.safe_dump(values), encoding="utf-8")


def _observed(metrics: Callable[[], str], out: Path, job: NodeMeasurement, cameras: int) -> WatchFacts:
    """Returns what a watch takes, from its metrics and its files, over the seconds after it has settled."""
    end = time.monotonic() + START_SECONDS
    while totals(metrics())["scored"] < 2 * cameras:
        if time.monotonic() > end:
            raise UserError(f"the watch scored nothing within {START_SECONDS:g} s")
        time.sleep(LOOK_EVERY)
    time.sleep(min(SETTLING, job.seconds))
    begun, before, first = time.monotonic(), written(out), totals(metrics())
    looks = [first]
    while (left := begun + job.seconds - time.monotonic()) > 0:
        time.sleep(min(LOOK_EVERY, left))
        looks.append(totals(metrics()))
    seconds, last, after = time.monotonic() - begun, looks[-1], written(out)
    return WatchFacts(
        seconds=seconds,
        core_s=last["core_s"] - first["core_s"],
        resident=statistics.median(look["resident"] for look in looks),
        device=statistics.median(look["device"] for look in looks),
        scored=last["scored"] - first["scored"],
        dropped=last["dropped"] - first["dropped"],
        written={kind: after[kind] - before[kind] for kind in after},
    )


def totals(text: str) -> dict[str, float]:
    """Returns what is wanted of an answer of /metrics, summed over cameras."""
    found = dict.fromkeys(TOTALS.values(), 0.0)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in TOTALS:
                found[TOTALS[sample.name]] += sample.value
    return found


def written(out: Path) -> dict[str, int]:
    """Returns the bytes of the files below a watch's folder: evidence of events, recordings, and the rest, "quiet"."""
    found: Counter[str] = Counter(quiet=0, evidence=0, recordings=0)
    for path in out.rglob("*"):
        parts = path.relative_to(out).parts
        if path.name.endswith(("-wal", "-shm")):  # which do not grow for ever
            continue
        kind = "evidence" if EVIDENCE_FOLDER in parts else "recordings" if RECORDINGS in parts else "quiet"
        try:
            found[kind] += size_of(path) if path.is_file() else 0
        except FileNotFoundError:  # removed or renamed meanwhile
            continue
    return dict(found)


def size_of(path: Path) -> int:
    """Returns the bytes of a file; of a database those that it has in the end, whatever is in its log still."""
    if path.suffix == ".db":
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)) as database:
                pages, size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
                return int(pages * size)
        except sqlite3.Error:  # it is none
            pass
    return path.stat().st_size


def footage_of(height: int, folder: Path) -> tuple[Path, Path]:
    """Returns videos without an end: on one nothing happens, on the other a cyclist comes by; made if not there.

    They go there and back, so that cameras which show them again and again have no jump, which would be an event.
    """
    width = 2 * round(height * 8 / 9)
    quiet, events = (folder / f"capacity-{height}p-{name}.mp4" for name in ("quiet", "events"))
    there = range(round(CLIP_SECONDS / 2 * RATE))
    scene = SyntheticScene(width, height, RATE, seed=0, traffic_seed=0)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, violations in ((quiet, ()), (events, (CYCLIST,))):
        if path.exists():
            continue
        with (
            replaced(path) as partial_file,
            VideoWriter(partial_file, width, height, 1 / RATE, RATE) as writer,
            progress() as bars,
        ):
            shown = [(index, violations) for index in there] + [(index, ()) for index in reversed(there)]
            for position, (index, some) in enumerate(bars.track(shown, description="making footage")):
                writer.write(scene.frame(index, some).image, position)
    return quiet, events


def bytes_per_second(clip: Path) -> float:
    """Returns the bytes that a camera which shows the clip sends each second, without those of the protocol."""
    return clip.stat().st_size / CLIP_SECONDS
