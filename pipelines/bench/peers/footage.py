"""The clips that the contenders score: given ones, or synthetic footage with violations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from msflow_stream.datasets.synthetic import SyntheticScene, Violation, default_violations
from msflow_stream.evaluation.clip_truth import find_truth
from msflow_stream.files import replaced
from msflow_stream.types import UserError
from msflow_stream.video.sources import expand_sources, is_live, open_source, source_name
from msflow_stream.video.writing.video_writer import VideoWriter

from ...terminal.progress import progress

RATE = Fraction(25)
NORMAL_TRAFFIC, TEST_TRAFFIC = 1, 2  # seeds: other people walk by in the test clip


@dataclass(frozen=True, slots=True)
class PeersFootage:
    """The footage: normal sources to fit on, clips to score, and the clips' labels, if there are any."""

    normal: Sequence[str]
    clips: Sequence[str]
    labels: Sequence[npt.NDArray[np.bool_]] | None


def given_footage(normal: Sequence[str], videos: Sequence[str], labels: Path | None) -> PeersFootage:
    """Returns the footage that somebody named.

    Raises:
        UserError: bad or live sources, only one of both kinds, labels that do not fit.
    """
    if not normal or not videos:
        raise UserError("--videos and --normal belong together: clips to score, and normal footage to fit on")
    fit_on, clips = expand_sources(normal), expand_sources(videos)
    for spec in (*fit_on, *clips):
        if is_live(spec):
            raise UserError("cameras cannot be compared, every contender has to see the same: give files")
    return PeersFootage(fit_on, clips, None if labels is None else [_labels(one, labels, clips) for one in clips])


def synthetic_footage(height: int, seconds: float, folder: Path) -> PeersFootage:
    """Synthetic footage, 16:9: `seconds` with violations, and twice as much without; made if it is not there."""
    folder = folder / f"peers-{height}p-{seconds:g}s"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    normal, clip = folder / "normal.mp4", folder / "today.mp4"
    _write(normal, height, 2 * seconds, (), NORMAL_TRAFFIC)
    _write(clip, height, seconds, default_violations(seconds), TEST_TRAFFIC)
    return given_footage([str(normal)], [str(clip)], clip.with_suffix(".npy"))


def _labels(clip: str, labels: Path, clips: Sequence[str]) -> npt.NDArray[np.bool_]:
    with open_source(clip, motion_every=None) as reader:
        frames = reader.info.frames
    truth = find_truth(clip, source_name(clip), frames, labels, None, alone=len(clips) == 1)
    assert truth is not None
    assert truth.labels is not None
    return truth.labels


def _write(path: Path, height: int, seconds: float, violations: Sequence[Violation], traffic: int) -> None:
    """Writes a clip, and its labels beside it where it has violations."""
    if path.exists():
        return
    width = 2 * round(height * 8 / 9)
    labels = np.zeros(round(seconds * RATE), np.uint8)
    with progress() as bars, replaced(path) as partial:
        task = bars.add_task(f"making {path.name}", total=len(labels))
        with VideoWriter(partial, width, height, 1 / RATE, RATE) as writer:
            for frame in SyntheticScene(width, height, RATE, 0, traffic).render(seconds, violations):
                writer.write(frame.image, frame.index)
                labels[frame.index] = frame.label
                bars.advance(task)
        np.save(path.with_suffix(".npy"), labels)
