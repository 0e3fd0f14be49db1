"""The scores and maps of one source in files that are written as scoring goes: scores.csv and maps.safetensors."""

from __future__ import annotations

import csv
import json
import struct
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from msflow_stream.results.run_folder import MAPS, SCORES
from msflow_stream.types import ScoreRow, UserError

WITHOUT_MOTION = tuple(column for column in ScoreRow.COLUMNS if column not in ("motion", "combined"))
EARLIER_COLUMNS = (
    WITHOUT_MOTION,
    WITHOUT_MOTION[:-1],
    WITHOUT_MOTION[:-2],
)  # of files from before there were the others
HEADER_BYTES = 512  # reserved at the front of maps.safetensors, filled in when the number of maps is known


class ScoreWriter:
    """Writes scores.csv, one line per scored frame, on disk as soon as it is known; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / SCORES).open("w", newline="", encoding="utf-8", buffering=1)
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._csv.writerow(ScoreRow.COLUMNS)

    def __enter__(self) -> ScoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, row: ScoreRow) -> None:
        """Writes a row."""
        self._csv.writerow(row.cells())


def read_scores(folder: Path) -> list[ScoreRow]:
    """Returns the rows of a folder's scores.csv; a line that was cut off at the end is left out.

    Files from before there were the last columns are read too.

    Raises:
        UserError: there is no such file, or it is not one of ours.
    """
    try:
        with (folder / SCORES).open(newline="", encoding="utf-8") as file:
            head, *lines = csv.reader(line for line in file if line.endswith("\n"))
        if tuple(head) not in (ScoreRow.COLUMNS, *EARLIER_COLUMNS):
            raise UserError(f"{folder / SCORES} has other columns than this program writes; score again")
        if any(len(line) != len(head) for line in lines):
            raise ValueError("a line of another length")
        return [ScoreRow.from_cells(line, head) for line in lines]
    except FileNotFoundError:
        raise UserError(f"no {SCORES} in {folder}: give a folder that `msflow-stream score` wrote") from None
    except (ValueError, csv.Error):
        raise UserError(f"{folder / SCORES} is damaged; score again") from None


class MapWriter:
    """Writes maps.safetensors: maps (float16 N h w) and their frame indices (int64 N), in constant memory.

    A context manager. The file takes its name when it is complete.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MAPS
        self._partial = self.path.with_suffix(".partial")
        self._file: IO[bytes] = self._partial.open("wb")
        self._file.write(b" " * (8 + HEADER_BYTES))
        self._indices: list[int] = []
        self._shape: tuple[int, ...] = (0, 0)

    def __enter__(self) -> MapWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file as file:
            count = len(self._indices)
            end = count * int(np.prod(self._shape)) * 2
            file.seek(8 + HEADER_BYTES + end)  # over what an interrupted `write` may have left
            file.write(np.asarray(self._indices, "<i8").tobytes())
            file.truncate()
            header = json.dumps(
                {
                    "maps": {"dtype": "F16", "shape": [count, *self._shape], "data_offsets": [0, end]},
                    "index": {"dtype": "I64", "shape": [count], "data_offsets": [end, end + 8 * count]},
                }
            ).encode()
            file.seek(0)
            file.write(struct.pack("<Q", HEADER_BYTES) + header.ljust(HEADER_BYTES))
        self._partial.replace(self.path)

    def write(self, index: int, map: npt.NDArray[np.float16]) -> None:
        """Writes the map of a frame; all have one shape."""
        self._shape = map.shape
        self._file.write(np.ascontiguousarray(map, "<f2").tobytes())
        self._indices.append(index)


class MapReader:
    """Reads the maps of maps.safetensors one at a time."""

    def __init__(self, folder: Path) -> None:
        """Opens the file in a folder.

        Raises:
            UserError: it cannot be read.
        """
        try:
            self._file = cast(Any, safe_open(folder / MAPS, "numpy"))  # its compiled methods have no types
            indices: npt.NDArray[np.int64] = self._file.get_tensor("index")
            self._position = {index: i for i, index in enumerate(indices.tolist())}
        except (SafetensorError, OSError) as error:
            raise UserError(f"{folder / MAPS} cannot be read ({error}); score again with --save-maps") from None

    def __getitem__(self, index: int) -> npt.NDArray[np.float16]:
        """Returns the map (float16 h w) of the frame with this source index."""
        result: npt.NDArray[np.float16] = self._file.get_slice("maps")[self._position[index]]
        return result
