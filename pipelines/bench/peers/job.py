"""The job of `bench peers`: fits every contender, runs them in turn, and prints one table."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from msflow_stream.config.settings import Settings
from msflow_stream.cores import COUNTS, WAITING
from msflow_stream.files import write_json
from msflow_stream.scenes.scene import Scene
from msflow_stream.types import UserError
from msflow_stream.video.sources import source_name

from ...terminal.progress import number, print_markdown, progress
from ..machine import machine_facts, machine_line, median
from . import own
from .anomalib_peers import AnomalibContender, PeersEnvironment, common_request, fit_peer
from .footage import PeersFootage
from .runs import WARM_UP, CannotRunError, Fitted, Run

PLAIN, OURS, LIBRARY = "plain", "ours", "ours, library"
ANOMALIB = ("padim", "stfpm", "patchcore", "fastflow")
PEERS = (PLAIN, *ANOMALIB)
MEBI = 2**20
COLUMNS = [
    "",
    "frames/s",
    "scored/s",
    "core-ms/frame",
    "peak (MiB)",
    "load (s)",
    "fit (s)",
    "AUROC",
    "to fastest peer",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeersJob:
    """The request to `bench peers`.

    Attributes:
        footage: what is fitted on and scored.
        peers: of PEERS; ours runs beside them.
        repeats: rounds that count, each of all contenders in turn.
        environment: where anomalib is installed.
        models: a folder that keeps what was fitted for the next time; None: a temporary one.
    """

    footage: PeersFootage
    peers: Sequence[str] = (PLAIN, "padim", "stfpm", "fastflow")
    repeats: int = 3
    environment: Path
    models: Path | None = None
    out: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRow:
    """One contender: medians of its runs, or the reason why there are none.

    Attributes:
        frames_per_s: of the videos, end to end.
        scored_per_s: of those that are scored.
        core_ms_per_frame: of all cores together, per frame of the videos.
        load_seconds: until the model can score.
        fit_seconds: of its fit on the same normal frames.
        auroc: of all scored frames; None without labels.
        ratio: to the fastest peer that ran; None where none did.
    """

    contender: str
    frames: int | None = None
    scored: int | None = None
    frames_per_s: float | None = None
    scored_per_s: float | None = None
    core_ms_per_frame: float | None = None
    peak_bytes: int | None = None
    load_seconds: float | None = None
    fit_seconds: float | None = None
    auroc: float | None = None
    ratio: float | None = None
    reason: str | None = None


class Contender(Protocol):
    """What can score clips in a process of its own."""

    fitted: Fitted

    def run(self, clips: Sequence[str], folder: Path) -> Run:
        """Scores all clips."""


def check_peers(names: Sequence[str], environment: Path) -> None:
    """Refuses, before anything takes time, what cannot run.

    Raises:
        UserError: a name that no peer has, no name at all, or no environment for those that need one.
    """
    for name in names:
        if name not in PEERS:
            raise UserError(f"there is no peer {name!r}, only {', '.join(PEERS)}")
    if not names:
        raise UserError(f"--peers names at least one of {', '.join(PEERS)}")
    if foreign := [name for name in names if name in ANOMALIB]:
        PeersEnvironment(environment).check(foreign)


def bench_peers(settings: Settings, job: PeersJob) -> list[PeerRow]:
    """Fits all contenders on the same frames, runs them in turn, prints a table, and writes JSON.

    Raises:
        UserError: a peer of a name that there is not, no environment for those that need one.
    """
    check_peers(job.peers, job.environment)
    environment = PeersEnvironment(job.environment)
    kept = tempfile.TemporaryDirectory(prefix="peers-") if job.models is None else nullcontext(str(job.models))
    with kept as name:
        models = Path(name)
        models.mkdir(parents=True, exist_ok=True)
        contenders, reasons = _contenders(settings, job, environment, models)
        runs = _in_turn(contenders, job, reasons)
    fits = {name: one.fitted.seconds for name, one in contenders.items()}
    rows = summary(runs, fits, reasons, job.footage.labels)
    facts = machine_facts(torch.device("cpu"))
    _print(rows, settings, job, facts)
    if job.out is not None:
        about = {"clips": [source_name(one) for one in job.footage.clips], "settings": settings.model_dump(mode="json")}
        write_json(job.out, {"machine": facts, **about, "rows": [asdict(row) for row in rows]})
    return rows


def summary(
    runs: Mapping[str, Sequence[Run]],
    fits: Mapping[str, float],
    reasons: Mapping[str, str],
    labels: Sequence[Any] | None,
) -> list[PeerRow]:
    """Returns a row for each contender: those that ran, in their order, then those with a reason."""
    rows = [_row(name, taken, fits[name], labels) for name, taken in runs.items() if taken]
    fastest = max((row.frames_per_s or 0 for row in rows if row.contender in PEERS), default=None)
    found = [PeerRow(**asdict(row) | {"ratio": (row.frames_per_s or 0) / fastest if fastest else None}) for row in rows]
    return [*found, *(PeerRow(contender=name, reason=reason) for name, reason in reasons.items())]


def _row(name: str, runs: Sequence[Run], fit_seconds: float, labels: Sequence[Any] | None) -> PeerRow:
    spent, frames, scored = median(run.spent for run in runs), runs[0].frames, runs[0].scored
    return PeerRow(
        contender=name,
        frames=frames,
        scored=scored,
        frames_per_s=frames / spent.wall,
        scored_per_s=scored / spent.wall,
        core_ms_per_frame=1000 * spent.cpu / frames,
        peak_bytes=max(run.peak_bytes for run in runs),
        load_seconds=statistics.median(run.load_seconds for run in runs),
        fit_seconds=fit_seconds,
        auroc=None if labels is None else runs[0].auroc(labels),
    )


def _contenders(
    settings: Settings, job: PeersJob, environment: PeersEnvironment, models: Path
) -> tuple[dict[str, Contender], dict[str, str]]:
    """Fits what is not fitted yet; those that cannot be fitted come with the reason."""
    normal, folder = job.footage.normal, models / "scene"
    made, reasons = dict[str, Contender](), dict[str, str]()
    with progress("fits") as bars:
        bar = bars.add_task("fitting ours", total=1 + len(job.peers))
        key: dict[str, Any] = {"normal": list(normal), "settings": settings.model_dump(mode="json")}
        fitted = _once(models / "scene.json", key, lambda: Fitted(folder, own.fit_scene(normal, folder, settings)))
        request = common_request(Scene.load(folder), models)
        bars.advance(bar)
        for name in job.peers:
            bars.update(bar, description=f"fitting {name}", advance=1)
            if name == PLAIN:
                made[name] = own.OwnContender(own.score_plain, fitted, dropped=(*WAITING, *COUNTS))
                continue
            try:
                make = _fit(environment, name, request, normal, models)
                found = _once(models / f"{name}.json", key, make)
                made[name] = AnomalibContender(environment, found, request)
            except CannotRunError as reason:
                reasons[name] = str(reason)
    made[OURS] = own.OwnContender(own.score_verb, fitted)
    made[LIBRARY] = own.OwnContender(own.score_library, fitted)
    return made, reasons


def _fit(
    environment: PeersEnvironment, name: str, request: dict[str, Any], normal: Sequence[str], models: Path
) -> Callable[[], Fitted]:
    return lambda: fit_peer(environment, name, request, normal, models)


def _once(record: Path, key: Mapping[str, Any], make: Callable[[], Fitted]) -> Fitted:
    """Returns what was fitted in an earlier run from the same footage and settings; makes it otherwise."""
    if record.exists():
        found = json.loads(record.read_text(encoding="utf-8"))
        if found["key"] == key:
            return Fitted(Path(found["model"]), found["seconds"])
    fitted = make()
    write_json(record, {"key": key, "model": str(fitted.model.absolute()), "seconds": fitted.seconds})
    return fitted


def _in_turn(contenders: Mapping[str, Contender], job: PeersJob, reasons: dict[str, str]) -> dict[str, list[Run]]:
    """Rounds of all contenders; one that fails is left out from then on, with its reason."""
    taken: dict[str, list[Run]] = {name: [] for name in contenders}
    with progress("runs") as bars, tempfile.TemporaryDirectory(prefix="peers-") as folder:
        bar = bars.add_task("", total=job.repeats * len(contenders))
        for _ in range(job.repeats):
            for name, contender in contenders.items():
                bars.update(bar, description=name)
                if name not in reasons:
                    try:
                        taken[name].append(contender.run(job.footage.clips, Path(folder)))
                    except CannotRunError as reason:
                        reasons[name] = str(reason)
                bars.advance(bar)
    return {name: runs for name, runs in taken.items() if name not in reasons}


def _print(rows: Sequence[PeerRow], settings: Settings, job: PeersJob, facts: dict[str, Any]) -> None:
    ran = [row for row in rows if row.reason is None]
    cells = [
        [
            row.contender,
            number(row.frames_per_s, 1),
            number(row.scored_per_s, 1),
            number(row.core_ms_per_frame, 2),
            number((row.peak_bytes or 0) / MEBI, 0),
            number(row.load_seconds, 1),
            number(row.fit_seconds, 0),
            number(row.auroc),
            number(row.ratio, 2),
        ]
        for row in ran
    ]
    height, width = settings.input.size
    notes = [
        f"{machine_line(facts)}. {ran[0].frames} frames in {len(job.footage.clips)} clips, {ran[0].scored} of them "
        f"scored; medians of {job.repeats} rounds in turn, each in a process of its own after {WARM_UP} frames that "
        f"warm up. All have {settings.model.backbone} with the same weights, at {height}x{width}.",
        "`plain`: the same MSFlow in PyTorch; OpenCV decodes every frame, Pillow resizes, one frame at a time. "
        f"anomalib's ({', '.join(ANOMALIB)}): its OpenVINO inferencer, one frame at a time in a loop over OpenCV's "
        "frames. `ours`: all that `score` does but overlay and evidence. `ours, library`: a reader and a scorer in a "
        "loop, nothing written.",
        *(
            f"`{row.contender}` scored {row.scored} of {row.frames} frames, which are others."
            for row in ran
            if (row.frames, row.scored) != (ran[0].frames, ran[0].scored)
        ),
        *(f"`{row.contender}` could not run: {row.reason}" for row in rows if row.reason is not None),
    ]
    print_markdown("peers", COLUMNS, cells, notes)
