"""Names that are made from texts are valid on every system, and those that are so already stay."""

from __future__ import annotations

import ntpath
import re
import sys
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from msflow_stream.datasets.clips import find
from msflow_stream.events.detection.open_event import event_id
from msflow_stream.names import is_portable, portable_name
from msflow_stream.scenes.folder import scene_folder
from msflow_stream.types import FrameScore, Scores, UserError
from msflow_stream.video.reading.source_info import live_name
from msflow_stream.video.sources import group_by_scene, open_source, source_name
from tests.support.footage import write_clip

PIECES = st.sampled_from(["con", "NUL", "aux", "Com1", "lpt9", ".", " ", ":", "/", "\\", "?", "gate", "ü", "²", "\0"])
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=5).map("".join)


def is_valid_on_windows(name: str) -> bool:
    """By the standard library, and by Microsoft's page "Naming Files, Paths, and Namespaces" where that says less."""
    told = getattr(ntpath, "isreserved", None)  # from Python 3.13 on
    reserved = told(name) if told is not None else PureWindowsPath(name).is_reserved()
    return not (reserved or name == "" or re.search(r'[\x00-\x1f<>:"/\\|?*]|[ .]$', name))


@given(TEXTS)
@example("nul .mp4")
@example("con. .")
@example("COM¹")
def test_names_are_valid_on_windows_and_elsewhere(text: str) -> None:
    name = portable_name(text)
    assert is_valid_on_windows(name)
    assert Path(name).name == name
    assert name not in (".", "..")


@given(TEXTS)
def test_names_that_are_valid_stay_as_they_are(text: str) -> None:
    if is_valid_on_windows(text):
        assert is_portable(text)
    assert portable_name(portable_name(text)) == portable_name(text)


@given(st.sampled_from(["rtsp", "http"]), TEXTS)
def test_cameras_have_names_of_folders(scheme: str, place: str) -> None:
    assert is_valid_on_windows(live_name(f"{scheme}://{place}"))


@given(TEXTS)
def test_events_have_names_of_folders(source: str) -> None:
    first = FrameScore(source, "gate", 5, 0.2, None, Scores(1, 1, 1), np.zeros((1, 1), np.float16))
    assert is_valid_on_windows(event_id(first, "origin"))


def test_a_source_is_called_after_its_file_as_far_as_every_system_has_such_names(tmp_path: Path) -> None:
    names = {"today": "today", "gate. (1)": "gate. (1)", "22:30": "22-30", "nul": "_nul", "a.": "a"}
    for stem, name in names.items():
        path = write_clip(tmp_path, stem, 0.2)
        assert source_name(str(path)) == name
        with open_source(str(path)) as reader:
            assert reader.info.name == name
        assert find(tmp_path / "labels", name, alone=False) == tmp_path / "labels" / f"{stem}.npy"
    (tmp_path / "12:00_1.mp4").touch()
    assert group_by_scene(tmp_path).keys() >= {"12-00", "22-30"}


def test_a_new_scene_has_a_name_for_every_system(tmp_path: Path) -> None:
    assert scene_folder(tmp_path, "gate 1") == tmp_path / "gate 1"
    for name, better in {"gate:1": "gate-1", "aux": "_aux", "gate ": "gate"}.items():
        with pytest.raises(UserError, match=f"take '{better}'"):
            scene_folder(tmp_path, name)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such folders")
def test_a_scene_that_is_there_from_before_is_found(tmp_path: Path) -> None:
    (tmp_path / "gate:1").mkdir()
    assert scene_folder(tmp_path, "gate:1") == tmp_path / "gate:1"
