"""A long video of `score` in parts: scored anywhere, and read back by whoever writes the results of the whole."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from msflow_stream.files import read_json, write_json
from msflow_stream.results.score_files import MapReader, MapWriter
from msflow_stream.scenes.card_frames import card_of
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import Frame, FrameScore, Motion, Scores, Why
from msflow_stream.video.reading.source_info import ReadLimits, SourceInfo
from msflow_stream.video.reading.video_parts import PartError, VideoIndex, VideoPart
from msflow_stream.video.reading.video_reader import VideoReader

from .score_source import ScoreJob, frames_at_once, stream

PART = "part.json"  # what a folder of a part holds beside its maps; the last file that is written


@dataclass(frozen=True, slots=True)
class ScorePart:
    """A part of a video that is scored by itself.

    Attributes:
        number: from 0 on.
        first: index of its first frame, which begins a batch of the whole.
        frames: what is read: from the scored frame before `first` on, which tells whether the decoder agrees.
    """

    number: int
    first: int
    frames: VideoPart


def plan_parts(path: Path, info: SourceInfo, scorer: Scorer, job: ScoreJob, seconds: float) -> list[ScorePart]:
    """Returns the parts of a video, each about so long; none where it is not longer, or cannot be sure to be the same.

    Args:
        info: the video's facts.
        scorer: its settings count.
        job: the way it is done.
        seconds: length of a part.
    """
    if job.skip_static or (info.duration is not None and info.duration < 2 * seconds):
        return []
    index = VideoIndex.of(path)
    if index is None:
        return []
    batch, every = frames_at_once(info, scorer.settings, job.overlay), scorer.settings.every
    step = max(1, round(seconds * float(info.rate) / (every * batch))) * every * batch
    end = index.frames(ReadLimits(job.max_frames, job.duration))
    firsts = [*range(0, max(1, end - step // 2), step), end]
    parts = [(first, index.part(max(0, first - every), last)) for first, last in pairwise(firsts)]
    return [ScorePart(number, first, part) for number, (first, part) in enumerate(parts)] if len(parts) > 1 else []


def score_part(path: Path, part: ScorePart, scorer: Scorer, job: ScoreJob, folder: Path) -> None:
    """Scores a part into a folder, as its frames are scored within the whole.

    Raises:
        PartError: it cannot be read by itself, or has other frames than it should.
    """
    every = scorer.settings.every
    found: list[FrameScore] = []
    seen: dict[int, int] = {}
    with _opened(path, part, scorer, job) as reader, MapWriter(folder) as maps:

        def deliver(_: str, frame: Frame, score: FrameScore | None) -> None:
            if score is not None:
                maps.write(score.index, score.map)
                found.append(score)

        if stream(_own(reader, part, seen), reader.info, scorer, job, deliver):
            raise KeyboardInterrupt
    if [score.index for score in found] != list(range(part.first, part.frames.last, every)):
        raise PartError(f"{path.stem}: frames are missing between {part.first} and {part.frames.last}")
    marks = [seen.get(part.first - every), seen[found[-1].index]]
    write_json(folder / PART, {"marks": marks, "scores": [_plain(score) for score in found]})


def _opened(path: Path, part: ScorePart, scorer: Scorer, job: ScoreJob) -> VideoReader:
    every = scorer.settings.every
    motion_every = None if scorer.scene.motion is None else every
    return VideoReader(
        path,
        every,
        motion_every=motion_every,
        decode=job.decode,
        card=card_of(scorer.scene.device),
        part=part.frames,
    )


def _own(reader: VideoReader, part: ScorePart, seen: dict[int, int]) -> Iterator[Frame]:
    """The frames of a part; notes by which pixels of the first and the last one others see that theirs are the same."""
    last: Frame | None = None
    for frame in reader:
        if frame.index < part.first:
            seen[frame.index] = _mark(frame)
            continue
        last = frame
        yield frame
    if last is not None:
        seen[last.index] = _mark(last)


def _mark(frame: Frame) -> int:
    return zlib.crc32(np.ascontiguousarray(frame.image).data)


def _plain(score: FrameScore) -> list[object]:
    return [score.index, list(score.scores), score.why and list(score.why)]


def _restored(frame: Frame, scene: str, row: Sequence[Any], heat: npt.NDArray[np.float16]) -> FrameScore:
    _, scores, told = row
    why = told and Why(*told)._replace(moved=told[3] and Motion(*told[3]))
    return FrameScore(frame.source, scene, frame.index, frame.time, frame.wall, Scores(*scores), heat, why=why)


def _marks(folder: Path) -> tuple[int | None, int]:
    before, last = read_json(folder / PART)["marks"]
    return before, last


class PartScores(Scorer):
    """A scorer that knows the scores of a video's parts already, and reads them back one part after the other.

    Args:
        scorer: what they were scored by.
        folders: those of all parts, in their order.

    Raises:
        PartError: two parts do not agree on the frame that both have seen.
    """

    def __init__(self, scorer: Scorer, folders: Sequence[Path]) -> None:
        self.scene, self.settings, self.inference = scorer.scene, scorer.settings, scorer.inference
        for before, after in pairwise(_marks(folder) for folder in folders):
            if after[0] is not None and before[1] != after[0]:
                raise PartError("a part that is decoded by itself has other frames than the whole")
        self._left = iter(folders)
        self._known: dict[int, Sequence[Any]] = {}
        self._maps: MapReader | None = None

    @property
    def overlaps(self) -> bool:
        """Nothing computes."""
        return False

    def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
        """Returns the scores of one batch."""
        return [self._score(frame) for frame in frames]

    def _score(self, frame: Frame) -> FrameScore:
        while frame.index not in self._known:
            folder = next(self._left, None)
            if folder is None:
                raise PartError(f"{frame.source}: frame {frame.index} is in no part")
            self._known = {row[0]: row for row in read_json(folder / PART)["scores"]}
            self._maps = MapReader(folder)
        assert self._maps is not None
        return _restored(frame, self.scene.name, self._known[frame.index], self._maps[frame.index])
