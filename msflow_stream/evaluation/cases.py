"""The units of an evaluation, classes of still images and scenes of video, and their test cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from msflow_stream.cores import usable_cores
from msflow_stream.datasets import DATASETS
from msflow_stream.datasets.clips import Clip, Flags, VideoScene, holds, mask_at
from msflow_stream.datasets.images import load_images, load_mask
from msflow_stream.datasets.stills import Still, StillClass
from msflow_stream.types import Frame, UserError
from msflow_stream.video.sources import Reader, open_source

Size = tuple[int, int]  # height, width


@dataclass(frozen=True, slots=True)
class EvaluationCase:
    """A test frame and what is true of it.

    Attributes:
        frame: the frame that is scored.
        kind: "good", or the kind of defect; for video "normal" or "anomalous".
        anomalous: true if it should have a high score.
        mask: bool, at the size asked for; None where it is not known which pixels are anomalous.
    """

    frame: Frame
    kind: str
    anomalous: bool
    mask: npt.NDArray[np.bool_] | None


class EvaluationUnit(Protocol):
    """A class of images or a scene of video: the unit that one model is fitted for."""

    @property
    def name(self) -> str:
        """The name of the class or the scene."""

    @property
    def is_video(self) -> bool:
        """True if the cases are frames of clips, in order."""

    def fit_sources(self) -> Iterator[Iterator[Frame]]:
        """Yields the frames to fit on, source by source."""

    def test_clips(self, size: Size) -> Iterator[tuple[str, Iterator[EvaluationCase]]]:
        """Yields the test cases clip by clip, masks at `size`; stills are one clip."""

    def all_labels(self, clip: str) -> Flags:
        """Returns a label for every frame of a clip, those between the samples too.

        Raises:
            UserError: they are not known.
        """


@dataclass(frozen=True, slots=True)
class ImageUnit:
    """A class of still images."""

    images: StillClass

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.images.name

    @property
    def is_video(self) -> bool:
        """False."""
        return False

    def fit_sources(self) -> Iterator[Iterator[Frame]]:
        """Yields one source: all images to fit on."""
        yield self._frames(self.images.fit)

    def test_clips(self, size: Size) -> Iterator[tuple[str, Iterator[EvaluationCase]]]:
        """Yields one clip: all test images."""
        yield self.name, self._cases(size)

    def all_labels(self, clip: str) -> Flags:
        """Raises a UserError: still images have no frames between."""
        raise UserError(f"{self.name}: still images have no frames between: --frames all is for video")

    def _frames(self, stills: Sequence[Still]) -> Iterator[Frame]:
        with closing(load_images([still.path for still in stills], usable_cores())) as images:
            for index, (still, image) in enumerate(zip(stills, images, strict=True)):
                yield Frame(still.name, index, None, float(index), None, image)

    def _cases(self, size: Size) -> Iterator[EvaluationCase]:
        for still, frame in zip(self.images.test, self._frames(self.images.test), strict=True):
            mask = load_mask(still.mask, size) if still.mask else None if still.anomalous else np.zeros(size, np.bool_)
            yield EvaluationCase(frame, still.kind, still.anomalous, mask)


@dataclass(frozen=True, slots=True)
class VideoUnit:
    """A scene of video."""

    scene: VideoScene

    @property
    def name(self) -> str:
        """The name of the scene."""
        return self.scene.name

    @property
    def is_video(self) -> bool:
        """True."""
        return True

    def fit_sources(self) -> Iterator[Iterator[Frame]]:
        """Yields the sampled frames of every clip to fit on."""
        for clip in self.scene.fit:
            with self._open(clip) as reader:
                yield iter(reader)

    def test_clips(self, size: Size) -> Iterator[tuple[str, Iterator[EvaluationCase]]]:
        """Yields the sampled frames of every clip whose truth is known."""
        for clip in self.scene.test:
            if clip.truth is not None:
                yield clip.name, self._cases(clip, size)

    def all_labels(self, clip: str) -> Flags:
        """Returns one flag per frame of the original clip."""
        (found,) = (one for one in self.scene.test if one.name == clip)
        if found.step != 1 or found.truth is None:
            raise UserError(f"{found.source} holds sampled frames only: --frames all wants the original clips")
        return found.truth.labels

    def _open(self, clip: Clip) -> Reader:
        """Opens a clip; sampled frames that were stored are too far apart to tell what moved."""
        motion_every = 1 if clip.step == 1 else None
        return open_source(str(clip.source), clip.every, self._rate(clip) / clip.step, motion_every=motion_every)

    def _rate(self, clip: Clip) -> Fraction:
        """Returns the frames per second of a clip's original video: where one of the scene is at hand, that one's."""
        videos = (one.source for one in (*self.scene.fit, *self.scene.test) if one.source.is_file())
        video = next(videos, None)
        if video is None:
            return clip.rate
        with open_source(str(video), motion_every=None) as reader:
            return reader.info.rate

    def _cases(self, clip: Clip, size: Size) -> Iterator[EvaluationCase]:
        truth = clip.truth
        assert truth is not None
        last = -clip.every
        with self._open(clip) as reader:
            for frame in reader:
                last = frame.index
                if frame.index >= len(truth.labels):
                    raise UserError(f"{clip.source} has more frames than its truth has labels ({len(truth.labels)})")
                anomalous = bool(truth.labels[frame.index])
                mask = truth.mask(frame.index)
                if mask is not None:
                    mask = mask_at(mask[None], 0, size)
                original = replace(frame, index=clip.original_index(frame.index))
                yield EvaluationCase(original, "anomalous" if anomalous else "normal", anomalous, mask)
        if last + clip.every < len(truth.labels):
            raise UserError(f"{clip.source} ends after frame {last}, its truth has {len(truth.labels)} labels")


def find_units(data: str, root: Path, classes: Sequence[str] | None = None) -> list[EvaluationUnit]:
    """Returns the classes or scenes of a data set, all or those named, without scenes that lack clips to fit or test.

    Raises:
        UserError: an unknown data set, a wrong tree, or a class that it lacks.
    """
    names = list(classes) if classes else None
    if not root.is_dir():
        raise UserError(f"no folder {root}: --root is the data set's own folder")
    units = [unit for one in DATASETS.find(data).load(root, names) if (unit := _unit(one)) is not None]
    if not units:
        raise UserError(f"{root}: no scene has both clips to fit on and clips to test on, {holds(root)}")
    unknown = set(names or ()) - {unit.name for unit in units}
    if unknown:
        raise UserError(f"no {', '.join(sorted(unknown))} in {root}: there is {', '.join(one.name for one in units)}")
    return [unit for unit in units if not names or unit.name in names]


def _unit(found: StillClass | VideoScene) -> EvaluationUnit | None:
    """None for a scene that cannot be evaluated."""
    if isinstance(found, StillClass):
        return ImageUnit(found)
    return VideoUnit(found) if found.fit and found.test else None
