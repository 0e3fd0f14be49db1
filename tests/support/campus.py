"""Small trees in the layout of ShanghaiTech Campus, whose frames say which they are (see `videos.coded_image`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.support.videos import coded_image, write_video

SIZE = (64, 48)  # width, height
TRAIN = {"01_001": 12, "01_002": 5, "02_001": 11}
TEST = {"01_0001": 11, "01_0002": 16}


def write_campus(
    root: Path,
    train: Mapping[str, int] = TRAIN,
    test: Mapping[str, int] = TEST,
    kind: npt.DTypeLike = np.uint8,
    digits: int = 3,
) -> Path:
    """Writes a tree with so many frames per clip; masks are of a type, names of frames have so many digits."""
    for name, count in train.items():
        (root / "training" / "videos").mkdir(parents=True, exist_ok=True)
        video = root / "training" / "videos" / f"{name}.avi"
        write_video(video, count, SIZE, codec="mjpeg", pix_fmt="yuvj420p", options={"qscale": "2"})
    for name, count in test.items():
        write_frames(root / "testing" / "frames" / name, count, digits)
        for folder, content in (("test_frame_mask", labels(count)), ("test_pixel_mask", masks(count))):
            (root / "testing" / folder).mkdir(exist_ok=True)
            np.save(root / "testing" / folder / f"{name}.npy", content.astype(kind))
    return root


def write_frames(folder: Path, count: int, digits: int = 3) -> None:
    """A clip as a folder of JPEGs."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.fromarray(coded_image(index, SIZE)).save(folder / f"{index:0{digits}d}.jpg", quality=95)


def labels(count: int) -> npt.NDArray[np.bool_]:
    """The second half of a clip is anomalous."""
    return np.arange(count) >= count // 2


def masks(count: int) -> npt.NDArray[np.bool_]:
    """T x H x W: where a frame is anomalous, the first row marks as many pixels as its index."""
    columns = np.arange(SIZE[0])[None, :] < np.arange(count)[:, None]
    result = np.zeros((count, SIZE[1], SIZE[0]), bool)
    result[:, 0] = columns & labels(count)[:, None]
    return result
