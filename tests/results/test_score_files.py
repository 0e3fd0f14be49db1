from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from msflow_stream.files import write_json
from msflow_stream.results.run_folder import EVENTS, MAPS, RUN, SCORES, read_run, run_folders, write_events
from msflow_stream.results.score_files import MapReader, MapWriter, ScoreWriter, read_scores
from msflow_stream.scenes.losses import LOSSES, Pass, write_losses
from msflow_stream.types import Event, ScoreRow, Scores, Track, UserError
from tests.support.events import REASON

VALUES = st.floats(-1e6, 1e6) | st.just(math.inf)
ROWS = st.builds(
    ScoreRow,
    index=st.integers(0, 10**9),
    time=st.floats(0, 1e8),
    scores=st.builds(Scores, VALUES, VALUES, VALUES, VALUES, VALUES),
    smoothed=VALUES,
    threshold=VALUES,
    alarm=st.integers(0, 1),
    probability=st.none() | st.floats(1e-12, 1),
)
THREE = [
    ScoreRow(5 * i, 0.2 * i, Scores(1.5, 2.25, -0.125, 0.75, 3.5), 1.75, 1.5, i % 2, (None, 0.25, 1e-9)[i])
    for i in range(3)
]


def write_scores(folder: Path, rows: Sequence[ScoreRow]) -> Path:
    with ScoreWriter(folder) as writer:
        for row in rows:
            writer.write(row)
    return folder / SCORES


def maps(count: int, shape: tuple[int, int] = (3, 4)) -> npt.NDArray[np.float16]:
    return np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float16)


def write_maps(folder: Path, written: Iterable[npt.NDArray[np.float16]]) -> None:
    with MapWriter(folder) as writer:
        for number, anomaly_map in enumerate(written):
            writer.write(5 * number, anomaly_map)


@given(st.lists(ROWS, max_size=5))
def test_scores_come_back_to_seven_digits_and_times_to_a_microsecond(
    tmp_path_factory: pytest.TempPathFactory, rows: list[ScoreRow]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    write_scores(folder, rows)
    for found, row in zip(read_scores(folder), rows, strict=True):
        assert (found.index, found.alarm) == (row.index, row.alarm)
        assert found.time == pytest.approx(row.time, rel=0, abs=6e-7)
        values = [(*one.scores, one.smoothed, one.threshold) for one in (found, row)]
        assert values[0] == pytest.approx(values[1], rel=1e-6)
        assert (found.probability is None) == (row.probability is None)
        assert (found.probability or 0) == pytest.approx(row.probability or 0, rel=1e-6)


@pytest.mark.parametrize("last", [[], ["reused"], ["probability", "reused"]])
def test_a_file_from_before_there_were_motion_and_the_last_columns_is_read(tmp_path: Path, last: list[str]) -> None:
    missing = {"motion", "combined", *last}
    with write_scores(tmp_path, THREE).open(newline="") as file:
        rows = [{name: cell for name, cell in row.items() if name not in missing} for row in csv.DictReader(file)]
    with (tmp_path / SCORES).open("w", newline="") as file:
        writer = csv.DictWriter(file, [name for name in ScoreRow.COLUMNS if name not in missing], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    found = read_scores(tmp_path)
    assert all(math.isnan(row.scores.motion) and math.isnan(row.scores.combined) for row in found)
    with_motion = [replace(one, scores=row.scores) for one, row in zip(found, THREE, strict=True)]
    assert with_motion == [replace(row, probability=None) if "probability" in last else row for row in THREE]
    assert [row.scores[:3] for row in found] == [row.scores[:3] for row in THREE]


def test_a_motion_that_is_not_known_has_no_text_and_comes_back_as_not_known(tmp_path: Path) -> None:
    row = replace(THREE[0], scores=Scores(1.5, 2.25, -0.125, combined=3.5))
    (line,) = csv.DictReader(write_scores(tmp_path, [row]).read_text().splitlines())
    assert (line["motion"], line["combined"]) == ("", "3.5")
    (found,) = read_scores(tmp_path)
    assert math.isnan(found.scores.motion)
    assert found.cells() == row.cells()


def test_a_score_that_was_reused_says_so(tmp_path: Path) -> None:
    rows = [THREE[0], replace(THREE[1], reused=1)]
    write_scores(tmp_path, rows)
    assert read_scores(tmp_path) == rows


def test_a_camera_that_runs_for_a_year_has_a_time_of_its_own_for_every_frame(tmp_path: Path) -> None:
    year = 365 * 24 * 3600
    write_scores(tmp_path, [replace(THREE[0], time=year + i / 60) for i in range(100)])
    times = [row.time for row in read_scores(tmp_path)]
    assert np.diff(times) == pytest.approx(1 / 60, abs=1e-5)


def test_a_row_is_on_disk_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with ScoreWriter(tmp_path) as writer:
        assert read_scores(tmp_path) == []
        for number, row in enumerate(THREE, start=1):
            writer.write(row)
            assert read_scores(tmp_path) == THREE[:number]


def test_a_file_whose_last_line_was_cut_off_anywhere_is_read_up_to_it(tmp_path: Path) -> None:
    path = write_scores(tmp_path, THREE)
    content = path.read_bytes()
    last = content.splitlines(keepends=True)[-1]
    for lost in range(1, len(last) + 1):  # a line without its end may lack digits of its last value
        path.write_bytes(content[:-lost])
        assert read_scores(tmp_path) == THREE[:2], content[:-lost]


def test_a_line_that_was_cut_off_in_the_middle_of_the_file_is_an_error(tmp_path: Path) -> None:
    path = write_scores(tmp_path, THREE)
    head, first, second, third = path.read_text().splitlines()
    path.write_text("\n".join([head, first, second[:10], third]) + "\n")
    with pytest.raises(UserError, match="is damaged"):
        read_scores(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"index,time\n0,0\n", b"a" * 200_000, b"\xff\xfe\x00", bytes(500)],
    ids=["empty", "other columns", "no lines", "no text", "zeros"],
)
def test_a_file_that_is_not_ours_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SCORES).write_bytes(content)
    with pytest.raises(UserError, match=f"{tmp_path / SCORES}.*score again"):
        read_scores(tmp_path)


@pytest.mark.parametrize("damage", ["nan", "x", "0.5,0", ""])
def test_an_alarm_that_is_no_whole_number_is_an_error(tmp_path: Path, damage: str) -> None:
    path = write_scores(tmp_path, THREE)
    lines = path.read_text().splitlines()
    *before, _, probability, reused = lines[1].split(",")
    lines[1] = ",".join([*before, damage, probability, reused])
    path.write_text("\n".join([*lines, ""]))
    with pytest.raises(UserError, match="is damaged"):
        read_scores(tmp_path)


@pytest.mark.parametrize("read", [read_scores, read_run])
def test_a_folder_without_results_says_what_to_give(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(UserError, match="give a folder that `msflow-stream score` wrote"):
        read(tmp_path)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_maps_are_readable_by_the_loader_of_safetensors(tmp_path: Path, count: int) -> None:
    written = maps(count)
    write_maps(tmp_path, written)
    loaded = load_file(tmp_path / MAPS)
    assert loaded["index"].dtype == np.int64
    assert loaded["index"].tolist() == [5 * i for i in range(count)]
    assert loaded["maps"].dtype == np.float16
    assert np.array_equal(loaded["maps"].reshape(written.shape), written)


def test_maps_are_read_one_at_a_time_by_the_index_of_their_frame(tmp_path: Path) -> None:
    written = maps(7)
    write_maps(tmp_path, written)
    reader = MapReader(tmp_path)
    for number in (3, 0, 6, 3):
        assert np.array_equal(reader[5 * number], written[number])
        assert reader[5 * number].shape == (3, 4)
    with pytest.raises(KeyError):
        reader[1]


def test_infinities_zeros_and_strided_maps_are_kept_bit_by_bit(tmp_path: Path) -> None:
    anomaly_map = np.array([[np.inf, -np.inf, 0.0, -0.0], [65504, 2.0**-24, 1, -1]], np.float16)
    with MapWriter(tmp_path) as writer:
        writer.write(0, anomaly_map[::-1, ::2])
        writer.write(5, np.asfortranarray(anomaly_map[:, :2]))
    loaded = load_file(tmp_path / MAPS)["maps"].view(np.uint16)
    assert np.array_equal(loaded[0], anomaly_map[::-1, ::2].copy().view(np.uint16))
    assert np.array_equal(loaded[1], anomaly_map[:, :2].copy().view(np.uint16))


def test_the_maps_have_their_name_only_when_they_are_complete(tmp_path: Path) -> None:
    with MapWriter(tmp_path) as writer:
        for number, anomaly_map in enumerate(maps(3)):
            writer.write(number, anomaly_map)
            assert not (tmp_path / MAPS).exists()
    assert [path.name for path in tmp_path.iterdir()] == [MAPS]


def test_an_error_between_two_maps_leaves_a_file_of_those_before_it(tmp_path: Path) -> None:
    written = maps(2)

    def cut_off() -> Iterator[npt.NDArray[np.float16]]:
        yield from written
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_maps(tmp_path, cut_off())
    assert np.array_equal(load_file(tmp_path / MAPS)["maps"], written)


class InterruptedMap:
    """Looks like a map; Ctrl-C falls on the moment when it is taken."""

    shape = (3, 4)

    def __array__(self, *_: object, **__: object) -> npt.NDArray[np.float16]:
        raise KeyboardInterrupt


def test_an_interruption_within_a_map_leaves_a_file_of_those_before_it(tmp_path: Path) -> None:
    written = maps(2)
    with pytest.raises(KeyboardInterrupt):
        write_maps(tmp_path, [*written, InterruptedMap()])  # type: ignore[list-item]
    loaded = load_file(tmp_path / MAPS)
    assert loaded["index"].tolist() == [0, 5]
    assert np.array_equal(loaded["maps"], written)


@pytest.mark.parametrize("content", [b"", b"x" * 100], ids=["empty", "no safetensors"])
def test_maps_that_cannot_be_read_say_how_to_get_them(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MAPS).write_bytes(content)
    with pytest.raises(UserError, match="--save-maps"):
        MapReader(tmp_path)


def test_maps_that_were_cut_off_or_never_written_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--save-maps"):
        MapReader(tmp_path)
    write_maps(tmp_path, maps(3))
    (tmp_path / MAPS).write_bytes((tmp_path / MAPS).read_bytes()[:-1])
    with pytest.raises(UserError, match="--save-maps"):
        MapReader(tmp_path)


def test_events_hold_all_their_fields_and_null_while_they_are_open(tmp_path: Path) -> None:
    wall = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    track = Track(1, 0.2, 0.4, ((0.2, (1, 2, 3, 4)), (0.4, (2, 2, 3, 4))))
    closed = Event(
        id="gate-5",
        source="gate",
        scene="yard",
        triggers=("paper", "surprise"),
        start=0.2,
        end=0.8,
        start_wall=wall,
        end_wall=None,
        peak_score=3.5,
        peak_index=10,
        peak_time=0.4,
        probability=0.001,
        severity="high",
        regions=((1, 2, 3, 4), (5, 6, 7, 8)),
        tracks=(track,),
        version=3,
        why=REASON,
    )
    write_events(tmp_path, [closed, replace(closed, id="gate-50", end=None)])
    first, second = json.loads((tmp_path / EVENTS).read_text())
    assert first == {
        "id": "gate-5",
        "source": "gate",
        "scene": "yard",
        "triggers": ["paper", "surprise"],
        "start": 0.2,
        "end": 0.8,
        "start_wall": "2026-01-02T03:04:05+00:00",
        "end_wall": None,
        "peak_score": 3.5,
        "peak_index": 10,
        "peak_time": 0.4,
        "probability": 0.001,
        "severity": "high",
        "regions": [[1, 2, 3, 4], [5, 6, 7, 8]],
        "tracks": [{"number": 1, "start": 0.2, "end": 0.4, "path": [[0.2, [1, 2, 3, 4]], [0.4, [2, 2, 3, 4]]]}],
        "version": 3,
        "why": {**asdict(REASON), "at": [0.1, 0.9], "velocity": [-0.11, 0.0]},
    }
    assert second["end"] is None


def test_a_json_file_that_cannot_be_written_leaves_the_one_before_it(tmp_path: Path) -> None:
    write_json(tmp_path / RUN, {"scene": "yard — früh"})
    with pytest.raises(TypeError):
        write_json(tmp_path / RUN, {"scene": object()})
    assert read_run(tmp_path) == {"scene": "yard — früh"}
    assert [path.name for path in tmp_path.iterdir()] == [RUN]


def test_who_reads_a_json_file_while_it_is_written_again_sees_the_whole_old_one(tmp_path: Path) -> None:
    write_json(tmp_path / RUN, {"frames": 1})
    with (tmp_path / RUN).open() as reader:
        write_json(tmp_path / RUN, {"frames": 2})
        assert json.load(reader) == {"frames": 1}
    assert read_run(tmp_path) == {"frames": 2}


@pytest.mark.parametrize("content", ["", "{", "null", "[1]", "3", "\x00"])
def test_a_damaged_record_is_a_user_error(tmp_path: Path, content: str) -> None:
    (tmp_path / RUN).write_text(content)
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        read_run(tmp_path)


def test_the_folders_of_a_run_are_itself_or_its_sub_folders_with_a_record_in_order(tmp_path: Path) -> None:
    def found() -> list[str]:
        return [path.name for path in run_folders(tmp_path)]

    assert found() == []
    for name in ("b", "a", "c"):
        (tmp_path / name).mkdir()
    for name in ("b", "a"):
        write_json(tmp_path / name / RUN, {})
    assert found() == ["a", "b"]
    write_json(tmp_path / RUN, {})
    assert found() == [tmp_path.name]


def read_losses(folder: Path) -> list[dict[str, str]]:
    with (folder / LOSSES).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_losses_have_a_line_per_pass_under_the_names_of_their_columns(tmp_path: Path) -> None:
    passes = [Pass(i, -1.23456789 / i, 0.987654321 * i, 1e-4 * 0.33**i, 1234.56789 * i) for i in (1, 2, 10)]
    write_losses(tmp_path, passes)
    rows = read_losses(tmp_path)
    assert [list(row) for row in rows] == [["pass", "loss", "held_out_loss", "learning_rate", "seconds"]] * 3
    for row, done in zip(rows, passes, strict=True):
        assert int(row["pass"]) == done.number
        assert float(row["loss"]) == pytest.approx(done.loss, rel=1e-6)
        assert float(row["held_out_loss"]) == pytest.approx(done.held_out_loss, rel=1e-6)
        assert float(row["learning_rate"]) == pytest.approx(done.learning_rate, rel=1e-6)
        assert float(row["seconds"]) == pytest.approx(done.seconds, rel=0, abs=6e-4)


def test_a_loss_that_there_is_none_of_is_an_empty_field_and_a_loss_of_nought_is_not(tmp_path: Path) -> None:
    write_losses(tmp_path, [Pass(1, 0.0, None, 1e-4, 0.0), Pass(2, 0.0, 0.0, 1e-4, 0.0)])
    without, nought = read_losses(tmp_path)
    assert without["held_out_loss"] == ""
    assert float(without["loss"]) == float(nought["held_out_loss"]) == 0


def test_losses_that_are_written_again_replace_those_before(tmp_path: Path) -> None:
    for count in (3, 1):
        write_losses(tmp_path, [Pass(i + 1, 1.0, None, 1e-4, 1.0) for i in range(count)])
    assert [row["pass"] for row in read_losses(tmp_path)] == ["1"]
