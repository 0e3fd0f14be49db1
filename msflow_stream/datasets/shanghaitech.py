"""ShanghaiTech Campus as it is published: 13 camera views, of which 12 have test clips.

training/videos/SS_VVV.avi              scene and clip; folders of frames will do as well, also in training/frames
testing/frames/SS_VVVV/NNN.jpg          a folder per test clip, names of 3 or 4 digits
testing/test_frame_mask/SS_VVVV.npy     one 0/1 per frame
testing/test_pixel_mask/SS_VVVV.npy     T x H x W; the folder may be missing
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from msflow_stream.datasets.clips import Clip, NpyTruth, VideoScene, clip_sources, frame_files, holds, need, select
from msflow_stream.types import UserError

EVERY = 5  # the MSFlow paper samples every fifth frame and calls the result mSTC
TREE = "ShanghaiTech Campus"
CLIP_NAME = re.compile(r"(\d\d)_\d+")


def shanghaitech(root: Path, scenes: Sequence[str] | None = None) -> list[VideoScene]:
    """Returns the scenes of a tree, sampled every fifth frame; no label or mask is read yet.

    Args:
        root: the folder that holds `training` and `testing`.
        scenes: names such as 01; all if None.

    Raises:
        UserError: another tree than this, or no such scene.
    """
    training = need(root, ["training/videos", "training/frames"], TREE)
    frames = need(root, ["testing/frames"], TREE)
    labels = need(root, ["testing/test_frame_mask"], TREE)
    masks: Path | None = root / "testing" / "test_pixel_mask"
    if masks is not None and not masks.is_dir():
        masks = None
    fit = [Clip(name, source, EVERY) for name, source in _named(training).items()]
    test = [Clip(name, source, EVERY, _truth(source, labels, masks)) for name, source in _named(frames).items()]
    for clip in test:
        if clip.source.is_file():
            raise UserError(f"{clip.source}: a test clip is a folder of frames, this is a file")
    names = sorted({scene_of(clip) for clip in (*fit, *test)})
    return select((VideoScene(name, _of(name, fit), _of(name, test)) for name in names), scenes)


def scene_of(clip: Clip) -> str:
    """Returns the scene that a clip's name begins with."""
    return clip.name.split("_")[0]


def _of(scene: str, clips: Sequence[Clip]) -> tuple[Clip, ...]:
    return tuple(clip for clip in clips if scene_of(clip) == scene)


def _named(folder: Path) -> dict[str, Path]:
    sources = clip_sources(folder)
    if not sources:
        raise UserError(f"{folder} should hold clips such as 01_001, {holds(folder)}")
    for name, source in sources.items():
        if not CLIP_NAME.fullmatch(name):
            raise UserError(f"{source}: expected a name of scene and clip, such as 01_001")
    return sources


def _truth(source: Path, labels: Path, masks: Path | None) -> NpyTruth:
    name = f"{source.name}.npy"
    return NpyTruth(labels / name, masks and masks / name, len(frame_files(source)))
