"""What a source was scored from, and what its results are beside its folder: so that the same job goes on."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

import msflow_stream
from msflow_stream.evaluation.clip_truth import ClipTruth
from msflow_stream.results.run_folder import RUN
from msflow_stream.results.source_results import SourceResult
from msflow_stream.video.reading.image_folder import image_files

from .storage.objects import Objects
from .storage.places import Place
from .storage.urls import Spec, is_url

ASIDE = ".cluster"  # in a run's folder: what is not a result
STAGING = f"{ASIDE}/staging"
_RESULT = TypeAdapter(SourceResult)


@dataclass(frozen=True, slots=True)
class Kept:
    """The results of a source that is complete, and its labels and masks as far as they are needed to measure it."""

    result: SourceResult
    truth: ClipTruth | None


def identity(source: Spec, facts: Mapping[str, Any]) -> str:
    """Returns what tells a source's results from those of anything else: a hash of what it is and how it is scored."""
    stamps = [str(source), [_stamp(source)], msflow_stream.__version__]
    return hashlib.sha256(json.dumps([stamps, facts], sort_keys=True).encode()).hexdigest()[:24]


def stamps_of(place: Spec | None) -> list[Any]:
    """Returns names, sizes and times of a file, of the files in a folder, or of the objects at a URL."""
    return [] if place is None else _stamp(place)


def _stamp(place: Spec) -> list[Any]:
    if is_url(place):
        return [[one.name, one.size, one.version] for one in Objects(str(place)).listed()]
    path = Path(place)
    files = image_files(path) or sorted(path.iterdir()) if path.is_dir() else [path]
    return [[str(file.resolve()), (facts := file.stat()).st_size, facts.st_mtime_ns] for file in files]


def staging(place: Place) -> Path:
    """Makes a folder to write in, that nobody else has."""
    folder = place.folder / STAGING / uuid4().hex
    folder.mkdir(parents=True)
    return folder


def keep(place: Place, staged: Path, which: str, result: SourceResult, truth: ClipTruth | None) -> None:
    """Makes a source's folder the result, once, with what is to be remembered of it.

    Args:
        place: the run's.
        staged: the folder, complete, under its own name.
        which: its identity.
        result: what is in it.
        truth: its labels and masks.
    """
    name = staged.name
    memory = f"{ASIDE}/{_hash(staged / RUN)}.json"
    content = {"identity": which, "result": asdict(result), "truth": None if truth is None else _plain_truth(truth)}
    written = staged.parent / "memory.json"
    written.write_text(json.dumps(content, default=str), encoding="utf-8")
    written.replace(place.folder / memory)
    place.publish_file(memory)
    _settle(place, staged, which)
    place.publish(name, RUN)


def _settle(place: Place, staged: Path, which: str) -> None:
    target = place.folder / staged.name
    while True:
        try:
            staged.rename(target)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if kept(place, staged.name, which, fetched=True) is not None:
            return  # somebody else was quicker with the same
        with suppress(FileNotFoundError):
            (place.folder / ASIDE / f"{_hash(target / RUN)}.json").unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            target.rename(staged.parent / "before")


def kept(place: Place, name: str, which: str, fetched: bool = False) -> Kept | None:
    """Returns the results of a source, None where they are not complete, or those of something else.

    Args:
        place: the run's.
        name: of the source.
        which: its identity.
        fetched: whether what is here is what counts.
    """
    record = place.folder / name / RUN if fetched else place.fetch_file(f"{name}/{RUN}")
    if not record.is_file():
        return None
    memory = place.fetch_file(f"{ASIDE}/{_hash(record)}.json")
    if not memory.is_file():
        return None
    content = json.loads(memory.read_text(encoding="utf-8"))
    if content["identity"] != which:
        return None
    result = _RESULT.validate_python({**content["result"], "folder": place.folder / name})
    return Kept(result, None if content["truth"] is None else _truth(content["truth"]))


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:24]


def _plain_truth(truth: ClipTruth) -> dict[str, Any]:
    labels = None
    if truth.labels is not None:
        changes = np.flatnonzero(np.diff(truth.labels.astype(np.int8), prepend=0))
        labels = [len(truth.labels), changes.tolist()]
    counts = [
        [places.tolist(), one[places].tolist()] for one in truth.pixels.counts() for places in [np.flatnonzero(one)]
    ]
    return {"labels": labels, "pixels": None if truth.masks is None else counts}


def _truth(content: Mapping[str, Any]) -> ClipTruth:
    truth = ClipTruth()
    if content["labels"] is not None:
        length, changes = content["labels"]
        flips: npt.NDArray[np.int64] = np.zeros(length, np.int64)
        flips[changes] = 1
        truth.labels = np.cumsum(flips) % 2 == 1
    if content["pixels"] is not None:
        truth.masks = np.zeros(0)
        for known, (places, numbers) in zip(truth.pixels.counts(), content["pixels"], strict=True):
            known[places] = numbers
    return truth


def tidy(place: Place) -> None:
    """Removes what units that died have left."""
    shutil.rmtree(place.folder / STAGING, ignore_errors=True)
    with suppress(OSError):  # there are parts of sources that are yet to be joined, or never were any
        (place.folder / ASIDE / "parts").rmdir()
