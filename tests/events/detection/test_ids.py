from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.events.detection.open_event import event_id, origin_of
from tests.events.detection.detecting import scored

CAMERA, FILE = scored(10, live=True), scored(10)


def test_a_camera_s_id_tells_the_moment_of_its_arrival_in_utc() -> None:
    assert re.fullmatch(r"gate-20261123T232140\.200Z-[0-9a-f]{8}", event_id(CAMERA, ""))
    elsewhere = replace(CAMERA, wall=CAMERA.wall and CAMERA.wall.astimezone(timezone(timedelta(hours=5))))
    assert event_id(elsewhere, "") == event_id(CAMERA, "")


def test_a_file_s_id_tells_the_frame() -> None:
    assert re.fullmatch(r"gate-00000050-[0-9a-f]{8}", event_id(FILE, ""))


@given(st.text())
def test_an_id_is_fit_for_a_file_s_name(source: str) -> None:
    for first in (CAMERA, FILE):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,99}", event_id(replace(first, source=source), ""))


def test_names_that_look_alike_as_files_have_ids_of_their_own() -> None:
    sources = ["a b", "a_b", "a/b", "a\\b", "тор", "вор", "", "..", "x" * 200, "x" * 201]
    for first in (CAMERA, FILE):
        assert len({event_id(replace(first, source=source), "") for source in sources}) == len(sources)


@pytest.mark.parametrize(
    "other",
    [
        replace(CAMERA, source="yard"),
        replace(CAMERA, scene="night"),
        replace(CAMERA, index=55),
        replace(CAMERA, wall=datetime(2026, 11, 23, 23, 21, 40, 200_001, tzinfo=UTC)),
    ],
)
def test_two_events_share_no_id_even_in_one_millisecond(other: object) -> None:
    assert event_id(other, "") != event_id(CAMERA, "")  # type: ignore[arg-type]
    assert event_id(CAMERA, "another file") != event_id(CAMERA, "")


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=20, unique=True))
def test_ids_of_a_camera_are_in_order_of_time(milliseconds: list[int]) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    firsts = [replace(CAMERA, wall=start + timedelta(milliseconds=one)) for one in sorted(milliseconds)]
    ids = [event_id(first, "") for first in firsts]
    assert ids == sorted(ids)


@given(st.lists(st.integers(0, 10**8 - 1), min_size=2, max_size=20, unique=True))
def test_ids_of_a_file_are_in_order_of_time(indices: list[int]) -> None:
    ids = [event_id(replace(FILE, index=index), "") for index in sorted(indices)]
    assert ids == sorted(ids)


def test_a_file_or_a_folder_of_images_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("monday", "copy", "tuesday")]
    for folder, second in zip(folders, (b"2", b"2", b"3"), strict=True):
        (folder / "gate").mkdir(parents=True)
        (folder / "gate.mp4").write_bytes(second)
        (folder / "gate/1.png").write_bytes(b"1")
        (folder / "gate/2.png").write_bytes(second)
    (folders[1] / "gate/notes.txt").write_text("no picture")
    for name in ("gate", "gate.mp4"):
        monday, copy, tuesday = (origin_of(folder / name) for folder in folders)
        assert monday == copy != tuesday
