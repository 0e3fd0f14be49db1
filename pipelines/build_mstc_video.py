"""One video of mSTC: sampled, written whole or not at all, and checked against its source."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from msflow_stream.cores import usable_cores
from msflow_stream.datasets import mstc
from msflow_stream.datasets.clips import Clip, Truth, load_labels, load_masks
from msflow_stream.datasets.mstc import TEST, VideoRow
from msflow_stream.datasets.shanghaitech import EVERY
from msflow_stream.files import replaced
from msflow_stream.types import UserError
from msflow_stream.video.reading.image_folder import image_files, read_image
from msflow_stream.video.reading.open_file import exact_frames, first_video_stream, open_file
from msflow_stream.video.reading.video_reader import VideoReader, count_frames


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildJob:
    """The request to `build-mstc`: what is written, and by how many threads.

    Attributes:
        index_only: no images and masks, only a manifest that points into the source.
        quality: of JPEG for frames of videos, PNG if None; frames that are images already are copied as they are.
        workers: videos at a time.
    """

    index_only: bool = False
    quality: int | None = None
    workers: int = field(default_factory=usable_cores)


@dataclass(frozen=True, slots=True)
class MstcVideo:
    """A clip of the source and its place in mSTC."""

    scene: str
    split: str
    clip: Clip
    out: Path

    @property
    def folder(self) -> Path:
        """Folder of its frames."""
        return mstc.clip_folder(self.out, self.scene, self.split, self.clip.name)

    @property
    def masks(self) -> tuple[Path, Path]:
        """Files for its frame mask and its pixel mask."""
        return mstc.mask_files(self.out, self.scene, self.clip.name)

    @property
    def labels(self) -> list[int]:
        """0 or 1 per kept frame of a test clip; nothing for a training clip, all of which is normal."""
        return [] if self.clip.truth is None else self.clip.truth.labels[::EVERY].astype(int).tolist()

    def row(self, frames: int) -> VideoRow:
        """Its line of videos.csv, with this number of frames in the source."""
        kept = len(range(0, frames, EVERY))
        return VideoRow(self.scene, self.split, self.clip.name, frames, kept, sum(self.labels))


def write_video(video: MstcVideo, job: BuildJob) -> VideoRow:
    """Writes a video, or only reads it where the job is an index; returns its line of videos.csv.

    Raises:
        UserError: it cannot be trusted; nothing of it is there then.
    """
    truth = video.clip.truth
    remove(video)
    _check(truth)
    if job.index_only:
        return video.row(_sample(video.clip.source, None, None))
    with _staged(video.folder) as folder:
        frames = _sample(video.clip.source, folder, job.quality)
        if truth is not None:
            _write_masks(truth, *video.masks)
    return video.row(frames)


def is_whole(video: MstcVideo, row: VideoRow, job: BuildJob) -> bool:
    """Returns True if what is noted and written of a video is what its source holds."""
    try:
        _check(video.clip.truth)
        if row != video.row(row.frames):
            return False
        promised = source_frames(video.clip.source)
        if row.frames != promised and (row.frames < promised or video.clip.source.is_dir()):
            return False  # a video, though, may hold more frames than its header says
        return job.index_only or _is_written(video, row.kept)
    except UserError:
        return False


def remove(video: MstcVideo) -> None:
    """Takes out whatever was written of a video."""
    shutil.rmtree(video.folder, ignore_errors=True)
    for mask in video.masks if video.split == TEST else ():
        mask.unlink(missing_ok=True)


def source_frames(source: Path) -> int:
    """Returns the number of frames that a folder of images has, or that a video file claims to have.

    Raises:
        UserError: neither of them, or one that cannot be opened.
    """
    if source.is_dir():
        return len(image_files(source))
    with open_file(source) as container:
        stream = first_video_stream(container, source)
        said = exact_frames(stream, source.stat().st_size) or stream.frames
    return said or count_frames(source)


def _check(truth: Truth | None) -> None:
    """Raises where labels or masks are not as many as the frames, which reading the first of them shows."""
    if truth is not None and len(truth.labels):
        truth.mask(0)


def _sample(source: Path, folder: Path | None, quality: int | None) -> int:
    """Reads every fifth frame of a source, and writes it if there is a folder; returns how many frames there were."""
    return _sample_images(source, folder) if source.is_dir() else _sample_video(source, folder, quality)


def _sample_images(source: Path, folder: Path | None) -> int:
    paths = image_files(source)
    if not paths:
        raise UserError(f"{source} holds no images")
    for index in range(0, len(paths), EVERY):
        read_image(paths[index])  # one that cannot be read is to be found now
        if folder is not None:
            shutil.copyfile(paths[index], folder / f"{index:06d}{paths[index].suffix.lower()}")
    return len(paths)


def _sample_video(source: Path, folder: Path | None, quality: int | None) -> int:
    promised = source_frames(source)
    with VideoReader(source, EVERY, threads=False, motion_every=None) as reader:
        for frame in reader:
            if folder is not None and quality is None:  # level 1: a third of the time, a quarter more bytes
                Image.fromarray(frame.image).save(folder / f"{frame.index:06d}.png", compress_level=1)
            elif folder is not None:
                Image.fromarray(frame.image).save(folder / f"{frame.index:06d}.jpg", quality=quality)
    if reader.frames_read < promised:
        raise UserError(f"{source} ends early: {reader.frames_read} of {promised} frames could be read; copy it again")
    if reader.damaged:
        raise UserError(f"{source} is damaged: {reader.damaged} packets cannot be decoded; copy it again")
    return reader.frames_read


def _write_masks(truth: Truth, frame_mask: Path, pixel_mask: Path) -> None:
    """The masks of every fifth frame, as uint8: T, and T x H x W where there are any."""
    labels = truth.labels[::EVERY].astype(np.uint8)
    frame_mask.parent.mkdir(parents=True, exist_ok=True)
    with replaced(frame_mask) as partial, partial.open("wb") as file:
        np.save(file, labels)
    first = truth.mask(0)
    if first is None:
        return
    pixel_mask.parent.mkdir(parents=True, exist_ok=True)
    with replaced(pixel_mask) as partial:
        masks = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(labels), *first.shape))
        for place in range(len(labels)):
            masks[place] = truth.mask(place * EVERY)
        masks.flush()


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder to write to, which takes its name when all went well and vanishes when not."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_written(video: MstcVideo, kept: int) -> bool:
    """Returns True if frames, labels and masks are there, as many as they should be."""
    if len(image_files(video.folder)) != kept:
        return False
    if video.clip.truth is None:
        return True
    frame_mask, pixel_mask = video.masks
    if video.clip.truth.has_masks:
        load_masks(pixel_mask, kept)
    return bool(load_labels(frame_mask, kept).astype(int).tolist() == video.labels)
