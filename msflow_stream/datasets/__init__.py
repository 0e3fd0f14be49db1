"""The registry of data sets: everything that `evaluate` and `ablate` need to know of one, by its name.

A data set is one file that defines a `DataSet`, and one line in BUILT_IN. A data set of another distribution needs no
change here: an entry point of the group `msflow_stream.datasets` names its `DataSet`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from msflow_stream.types import UserError

if TYPE_CHECKING:
    from msflow_stream.config.settings import Settings
    from msflow_stream.datasets.clips import VideoScene
    from msflow_stream.datasets.stills import StillClass

GROUP = "msflow_stream.datasets"

PAPER = "the paper (best epoch on the test set)"
RELEASE_LOG = "the release's log (last epoch)"

BUILT_IN = {
    "mvtec": "msflow_stream.datasets.mvtec:MVTEC",
    "visa": "msflow_stream.datasets.visa:VISA",
    "mtd": "msflow_stream.datasets.mtd:MTD",
    "folder": "msflow_stream.datasets.folder:FOLDER",
    "mstc": "msflow_stream.datasets.mstc:MSTC",
    "ped1": "msflow_stream.datasets.ucsd:PED1",
    "ped2": "msflow_stream.datasets.ucsd:PED2",
    "avenue": "msflow_stream.datasets.avenue:AVENUE",
}


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set of images or of videos.

    Attributes:
        load: finds the classes or the scenes in the data set's folder; all of them, or at least those named.
        config: the settings that it is evaluated with: the name of one of the package's, or the path of a file.
        classes: number of classes or scenes that the published means are over; fewer cannot be compared.
        published: published results: a metric's name to its value, by where they were published.
        class_settings: the settings of a class, by its name and the settings of all.
    """

    load: Callable[[Path, Sequence[str] | None], Sequence[StillClass] | Sequence[VideoScene]]
    config: str | Path
    classes: int = 0
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    class_settings: Callable[[str, Settings], Settings] = lambda name, settings: settings


class DataSets(Mapping[str, DataSet]):
    """The data sets by name; the file of one is imported when it is asked for."""

    def __getitem__(self, name: str) -> DataSet:
        found: DataSet = self._entries[name].load()
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: str) -> DataSet:
        """Returns the data set of this name.

        Raises:
            UserError: there is none.
        """
        if name not in self:
            raise UserError(f"no data set {name!r}: there are {', '.join(self)}")
        return self[name]

    @cached_property
    def _entries(self) -> dict[str, EntryPoint]:
        """The entry point of each data set; another distribution cannot take a name from ours."""
        own = {name: EntryPoint(name, value, GROUP) for name, value in BUILT_IN.items()}
        return own | {one.name: one for one in entry_points(group=GROUP) if one.name not in own}


DATASETS = DataSets()
