"""Small data for jobs of many units, what makes their files the same, and which node works at what."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import av

from msflow_stream.datasets.synthetic import Violation
from tests.support.footage import write_clip
from tests.support.ray_cluster import children

TIMES = ("created", "seconds")  # in scene.json: when a fit was, and how long it took; loss.csv has seconds too


def write_views(root: Path, names: Sequence[str], seconds: float = 3) -> Path:
    """Normal footage of some camera views, a sub-folder for each."""
    for number, name in enumerate(names):
        (root / name).mkdir(parents=True)
        write_clip(root / name, "normal", seconds, traffic=number)
    return root


def write_walkways(root: Path, scenes: Sequence[str], seconds: float = 2) -> Path:
    """A tree of ShanghaiTech's form: for each scene a video to fit on, and a clip of frames with a violation."""
    (root / "training" / "videos").mkdir(parents=True)
    for folder in ("test_frame_mask", "test_pixel_mask"):
        (root / "testing" / folder).mkdir(parents=True)
    for number, scene in enumerate(scenes):
        clip = write_clip(root, f"{scene}_001", seconds, traffic=number)
        clip.rename(root / "training" / "videos" / clip.name)
        name = f"{scene}_0002"
        clip = write_clip(root, name, seconds, [Violation("cart", 0.5, seconds - 0.2)], traffic=number + 7)
        frames = root / "testing" / "frames" / name
        frames.mkdir(parents=True)
        with av.open(str(clip)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                frame.to_image().save(frames / f"{index:03}.png")
        for ours, theirs in (("labels", "test_frame_mask"), ("masks", "test_pixel_mask")):
            (root / ours / f"{name}.npy").rename(root / "testing" / theirs / f"{name}.npy")
    return root


def differences(one: Path, other: Path) -> list[str]:
    """The files of two folders, hidden ones too, that differ in anything but when a fit was and how long it took."""
    names = sorted({str(path.relative_to(root)) for root in (one, other) for path in root.rglob("*") if path.is_file()})
    return [name for name in names if not _same(one / name, other / name)]


def _same(one: Path, other: Path) -> bool:
    if not (one.is_file() and other.is_file()):
        return False
    if one.name == "scene.json":
        return _timeless(one) == _timeless(other)
    if one.name == "loss.csv":
        return _columns(one) == _columns(other)
    return one.read_bytes() == other.read_bytes()


def _columns(path: Path) -> list[list[str]]:
    """A table without its last column, the seconds."""
    with path.open(newline="") as file:
        return [row[:-1] for row in csv.reader(file)]


def _timeless(path: Path) -> Any:
    content = json.loads(path.read_text())
    for name in TIMES:
        content["fit"].pop(name)
    return content


def node_in_a_fit(cluster: Any, scenes: Path) -> Any:
    """A node, not the head's, with a process that has a fit with a checkpoint below this folder; None for none now."""
    for node in list(cluster.worker_nodes):
        for lock in _open_locks(node):
            name = lock.name.removeprefix(".").removesuffix(".lock")
            if any((scenes / f".{name}.fit").glob("pass-*.sha256")):
                return node
    return None


def _open_locks(node: Any) -> Iterator[Path]:
    raylets = [one.process.pid for one in node.all_processes.get("raylet", [])]
    for pid in [child for raylet in raylets for child in children(raylet)]:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    path = Path(os.readlink(descriptor))  # noqa: PTH115 - as it is, also where it is gone
                    if path.name.endswith(".lock") and path.name.startswith("."):
                        yield path
