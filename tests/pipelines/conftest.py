"""Fitted scenes and labelled clips that the tests of the pipelines share, made once for all workers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from msflow_stream.datasets.synthetic import Violation
from pipelines.fit import FitJob, fit
from tests.support.footage import small_settings, write_clip
from tests.support.stage import fit_scene


@dataclass(frozen=True, slots=True)
class Workplace:
    """Folders of clips, labels, masks and scenes; read-only for tests."""

    folder: Path

    @property
    def scenes(self) -> Path:
        return self.folder / "scenes"

    @property
    def clips(self) -> Path:
        return self.folder / "clips"


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first worker that needs it makes, and the others wait for."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            partial = folder.with_name(f"{name}.partial")
            make(partial)
            partial.rename(folder)
    return folder


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(shared(tmp_path_factory, "workplace", make_workplace))


def make_workplace(folder: Path) -> None:
    """Normal footage, two clips with a violation each, and scene `gate`."""
    place = Workplace(folder)
    place.clips.mkdir(parents=True)
    write_clip(place.folder, "normal", 6)
    for name, traffic in (("first", 1), ("second", 2)):
        write_clip(place.clips, name, 3, [Violation("cart", 1, 2.5)], traffic)
    fit([str(place.folder / "normal.mp4")], place.scenes / "gate", small_settings("fit.passes=6"), FitJob(device="cpu"))


@pytest.fixture(scope="session")
def prompt_scenes(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scene `gate` for a stage: its events begin and end soon."""
    return shared(tmp_path_factory, "prompt", lambda folder: fit_scene(workplace.folder / "normal.mp4", folder))
