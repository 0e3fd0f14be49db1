"""A fitted scene and two labelled clips that the tests of the pipelines share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from msflow_stream.datasets.synthetic import Violation
from pipelines.fit import FitJob, fit
from tests.support.footage import small_settings, write_clip


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


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("workplace"))
    place.clips.mkdir()
    write_clip(place.folder, "normal", 6)
    for name, traffic in (("first", 1), ("second", 2)):
        write_clip(place.clips, name, 3, [Violation("cart", 1, 2.5)], traffic)
    fit([str(place.folder / "normal.mp4")], place.scenes / "gate", small_settings("fit.passes=6"), FitJob(device="cpu"))
    return place
