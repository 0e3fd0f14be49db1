from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from msflow_stream.types import UserError
from msflow_stream.video.reading.image_folder import ImageFolderReader
from msflow_stream.video.reading.video_reader import VideoReader
from msflow_stream.video.sources import Reader, expand_sources, is_live, open_source, source_name
from tests.support.videos import coded_image, write_video

URL = "rtsp://admin:hunter2@camera.example/stream1"


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def names(specs: list[str], root: Path) -> list[str]:
    return [Path(spec).relative_to(root).as_posix() for spec in specs]


def test_files_urls_and_webcams_pass_through_in_order(tmp_path: Path) -> None:
    file = str(touch(tmp_path / "b.mp4"))
    assert expand_sources([URL, file, "0"]) == [URL, file, "0"]


def test_a_folder_of_videos_is_its_direct_children_in_natural_order(tmp_path: Path) -> None:
    for name in ("cam10.mp4", "cam2.MP4", "cam1.avi", "notes.txt", ".cam3.mp4", "sub/cam4.mp4"):
        touch(tmp_path / name)
    assert names(expand_sources([str(tmp_path)]), tmp_path) == ["cam1.avi", "cam2.MP4", "cam10.mp4"]


def test_a_folder_of_images_is_one_source(tmp_path: Path) -> None:
    touch(tmp_path / "scene" / "0.jpg")
    touch(tmp_path / "scene" / "1.PNG")
    assert expand_sources([str(tmp_path / "scene")]) == [str(tmp_path / "scene")]


def test_a_folder_of_image_folders_is_one_source_each(tmp_path: Path) -> None:
    for name in ("10/0.jpg", "9/0.jpg", "empty/notes.txt"):
        touch(tmp_path / name)
    assert names(expand_sources([str(tmp_path)]), tmp_path) == ["9", "10"]


def test_patterns_are_expanded_in_natural_order(tmp_path: Path) -> None:
    for name in ("a10.mp4", "a9.mp4", "b1.mp4"):
        touch(tmp_path / name)
    assert names(expand_sources([str(tmp_path / "a*.mp4")]), tmp_path) == ["a9.mp4", "a10.mp4"]


def test_a_pattern_may_match_folders(tmp_path: Path) -> None:
    for name in ("day1/x/0.jpg", "day2/y/0.jpg"):
        touch(tmp_path / name)
    assert names(expand_sources([str(tmp_path / "day*")]), tmp_path) == ["day1/x", "day2/y"]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path: Path) -> None:
    file = str(touch(tmp_path / "cam[1].mp4"))
    assert expand_sources([file]) == [file]


def test_what_is_named_twice_is_read_once(tmp_path: Path) -> None:
    file = str(touch(tmp_path / "a.mp4"))
    assert expand_sources([file, str(tmp_path / "*.mp4"), URL, URL]) == [file, URL]


@pytest.mark.parametrize(
    ("arg", "says"),
    [
        ("missing.mp4", "no such file"),
        ("*.mp4", "nothing matches this pattern"),
        ("empty", r"looked for videos \(.*\.mp4.*images, and folders of images"),
        ("mixed", "holds both videos and images"),
    ],
)
def test_an_argument_that_gives_no_source_is_an_error(arg: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "mixed" / "a.mp4")
    touch(tmp_path / "mixed" / "a.jpg")
    with pytest.raises(UserError, match=says) as caught:
        expand_sources([str(tmp_path / arg)])
    assert arg in str(caught.value)


def test_no_argument_at_all_is_an_error() -> None:
    with pytest.raises(UserError, match="no source given"):
        expand_sources([])


@pytest.mark.parametrize("other", ["b/cam.mp4", "a/cam.avi", "b/CAM.mp4"])
def test_two_sources_of_one_name_are_refused_by_naming_both(other: str, tmp_path: Path) -> None:
    specs = [str(touch(tmp_path / "a" / "cam.mp4")), str(touch(tmp_path / other))]
    with pytest.raises(UserError, match="same name") as caught:
        expand_sources(specs)
    assert all(spec in str(caught.value) for spec in specs)


def test_two_cameras_of_one_name_are_refused_without_their_passwords() -> None:
    with pytest.raises(UserError, match="same name") as caught:
        expand_sources([URL, URL.replace("admin:hunter2", "guest:hunter3")])
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("videos/gate.v2.mp4", "gate.v2"),
        ("0", "webcam0"),
        (URL, "camera.example-stream1"),
        ("rtsp://10.0.0.7:554/live/main", "10.0.0.7-live-main"),
        ("rtsp://10.0.0.7:8554/live", "10.0.0.7-8554-live"),
        (
            "rtsp://u:p%40ss@nvr/cam/realmonitor?channel=2&subtype=0&token=abc",
            "nvr-cam-realmonitor-channel-2-subtype-0",
        ),
        ("http://camera.example:8080/../../etc?password=x", "camera.example-8080-..-..-etc"),
    ],
)
def test_the_name_of_a_source_is_safe_as_a_folder(spec: str, name: str) -> None:
    assert source_name(spec) == name


def test_a_folder_is_named_by_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scene.01").mkdir()
    assert source_name(str(tmp_path / "scene.01") + "/") == "scene.01"
    monkeypatch.chdir(tmp_path / "scene.01")
    assert source_name(".") == "scene.01"


def test_cameras_are_live_and_files_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "01").mkdir()
    assert [is_live(spec) for spec in (URL, "srt://a:9000", "HTTP://a/b", "0")] == [True] * 4
    assert [is_live(spec) for spec in ("a.mp4", "01", "folder/0")] == [False] * 3


def test_a_url_of_an_unknown_kind_is_refused_without_its_password() -> None:
    with pytest.raises(UserError, match="cannot read ftp URLs") as caught:
        is_live("ftp://admin:hunter2@host/a.mp4")
    assert "hunter2" not in str(caught.value)


def test_every_kind_of_source_opens_behind_the_same_interface(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", 12)
    folder = tmp_path / "folder"
    folder.mkdir()
    for index in range(12):
        Image.fromarray(coded_image(index)).save(folder / f"{index}.png")
    for spec, kind in ((str(video), VideoReader), (str(folder), ImageFolderReader)):
        reader: Reader = open_source(spec, every=5, image_rate=Fraction(10), max_frames=10)
        with reader:
            assert isinstance(reader, kind)
            assert [frame.index for frame in reader] == [0, 5]
        assert reader.info.name == source_name(spec)
        assert (reader.frames_read, reader.damaged) == (10, 0)
