"""The videos of `build-mstc` as units that any machine can write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from pathlib import Path

from msflow_stream.datasets.mstc import TEST, TRAIN, VideoRow
from msflow_stream.datasets.shanghaitech import shanghaitech

from .build_mstc_video import BuildJob, MstcVideo, write_video
from .storage.copies import local_copy
from .storage.held import held
from .storage.urls import Spec
from .units import Unit, Warm


def campus_videos(source: Path, out: Path) -> Iterator[MstcVideo]:
    """Yields the videos of ShanghaiTech Campus as published, with their places in mSTC.

    Raises:
        UserError: another tree than this.
    """
    for scene in shanghaitech(source):
        for split, clips in ((TRAIN, scene.fit), (TEST, scene.test)):
            for clip in clips:
                yield MstcVideo(scene.name, split, clip, out)


def video_units(source: Spec, out: Path, videos: Sequence[MstcVideo], job: BuildJob) -> list[Unit]:
    """Returns a unit for each video, which returns the video's line of videos.csv."""
    warm = Warm(Campus, (source, out))
    places = [(video.split, video.clip.name) for video in videos]
    return [Unit(f"{split} {name}", build_video, (split, name, job), warm=warm) for split, name in places]


class Campus:
    """The data set on this machine: found once, and kept as long as the process lives."""

    def __init__(self, source: Spec, out: Path) -> None:
        """Finds the videos, copying the data set if it is at a URL."""
        self._copies = ExitStack()
        root = self._copies.enter_context(local_copy(source))
        self._videos = {(video.split, video.clip.name): video for video in campus_videos(root, out)}

    def video(self, split: str, name: str) -> MstcVideo:
        """Returns a video whose labels and masks nobody has read yet."""
        video = self._videos[split, name]
        return replace(video, clip=replace(video.clip, truth=copy(video.clip.truth)))


def build_video(campus: Campus, split: str, name: str, job: BuildJob) -> VideoRow:
    """Writes a video whole or not at all; returns its line of videos.csv."""
    video = campus.video(split, name)
    with held(video.folder):
        return write_video(video, job)
