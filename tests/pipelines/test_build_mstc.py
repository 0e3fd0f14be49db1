"""`build-mstc`: every fifth frame with its masks, whole videos only, and the same however often it runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from msflow_stream.datasets.mstc import VideoRow, mstc, read_facts, read_videos
from msflow_stream.types import UserError
from msflow_stream.video.reading.image_folder import read_image
from msflow_stream.video.reading.video_reader import VideoReader
from pipelines import build_mstc as pipeline
from pipelines.build_mstc import build_mstc
from pipelines.build_mstc_video import BuildJob, MstcVideo
from tests.support import campus, data
from tests.support.campus import TEST, TRAIN, write_campus
from tests.support.command import Command
from tests.support.videos import cut_short, overwrite_packets, read_code

VIDEOS = len(TRAIN) + len(TEST)
FORMS = [BuildJob(workers=1), BuildJob(index_only=True, workers=1)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_campus(tmp_path / "campus")


def build(tree: Path, out: Path, job: BuildJob = FORMS[0]) -> str:
    """Returns what is printed, also where videos fail."""
    console = Console(file=io.StringIO(), width=200)
    try:
        build_mstc(tree, out, job, console)
    except UserError as error:
        console.print(f"error: {error}")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest(out: Path) -> list[dict[str, str]]:
    with (out / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int32])
@pytest.mark.parametrize("digits", [3, 4])
def test_every_fifth_frame_is_kept_with_its_masks(tmp_path: Path, kind: type, digits: int) -> None:
    out = tmp_path / "mstc"
    build(write_campus(tmp_path / "campus", {"01_001": 12}, {"01_0001": 16}, kind, digits), out)
    for folder, indices in (("train/01_001", [0, 5, 10]), ("test/01_0001", [0, 5, 10, 15])):
        frames = sorted((out / "01" / folder).iterdir())
        assert [int(frame.stem) for frame in frames] == indices
        assert [read_code(read_image(frame)) for frame in frames] == indices
    assert np.array_equal(np.load(out / "01" / "frame_mask" / "01_0001.npy"), campus.labels(16)[::5])
    assert np.array_equal(np.load(out / "01" / "pixel_mask" / "01_0001.npy"), campus.masks(16)[::5])


def test_a_clip_goes_on_after_its_thousandth_frame(tmp_path: Path) -> None:
    build(write_campus(tmp_path / "campus", {"01_001": 1}, {"01_0001": 1006}), tmp_path / "mstc")
    codes = {path.stem: read_code(read_image(path)) for path in (tmp_path / "mstc" / "01" / "test").glob("*/*")}
    assert len(codes) == 202
    assert all(int(name) == code for name, code in codes.items())


def test_frames_of_videos_are_kept_without_loss_and_images_byte_for_byte(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "mstc"
    build(tree, out)
    with VideoReader(tree / "training" / "videos" / "01_001.avi", every=5) as reader:
        for frame in reader:
            assert np.array_equal(read_image(out / f"01/train/01_001/{frame.index:06d}.png"), frame.image)
    for index in (0, 5, 10):
        source = tree / "testing" / "frames" / "01_0001" / f"{index:03d}.jpg"
        assert (out / f"01/test/01_0001/{index:06d}.jpg").read_bytes() == source.read_bytes()


def test_with_a_quality_the_frames_of_videos_are_jpegs_and_smaller(tree: Path, tmp_path: Path) -> None:
    for quality in (95, 10):
        build(tree, tmp_path / str(quality), BuildJob(quality=quality))
    fine, coarse = (tmp_path / quality / "01/train/01_001/000005.jpg" for quality in ("95", "10"))
    with Image.open(fine) as image:
        assert image.format == "JPEG"
    assert read_code(read_image(fine)) == 5
    assert coarse.stat().st_size < fine.stat().st_size
    source = tree / "testing" / "frames" / "01_0001" / "005.jpg"
    assert (tmp_path / "10/01/test/01_0001/000005.jpg").read_bytes() == source.read_bytes()


def test_frames_are_counted_by_video_and_by_scene(tree: Path, tmp_path: Path) -> None:
    printed = build(tree, tmp_path / "mstc")
    rows = {row.video: (row.frames, row.kept, row.anomalous) for row in read_videos(tmp_path / "mstc")}
    # 11 frames: 0 5 10, anomalous from 5; 16 frames: 0 5 10 15, anomalous from 8
    assert rows == {
        "01_001": (12, 3, 0),
        "01_002": (5, 1, 0),
        "02_001": (11, 3, 0),
        "01_0001": (11, 3, 2),
        "01_0002": (16, 4, 2),
    }
    table = [line.replace("│", " ").split() for line in printed.splitlines()]
    assert [line for line in table if line[:1] in (["01"], ["02"], ["all"])] == [
        ["01", "4", "7", "4"],
        ["02", "3", "0", "0"],
        ["all", "7", "7", "4"],
    ]


@pytest.mark.parametrize("job", FORMS)
def test_the_manifest_leads_to_every_frame(tree: Path, tmp_path: Path, job: BuildJob) -> None:
    out = tmp_path / "mstc"
    build(tree, out, job)
    rows = manifest(out)
    assert len(rows) == 14
    for row in rows:
        index, file = int(row["index"]), out / row["file"]
        anomalous = row["split"] == "test" and campus.labels(TEST[row["video"]])[index]
        assert row["label"] == str(int(anomalous))
        assert row["video"].startswith(row["scene"])
        if file.suffix == ".avi":
            with VideoReader(file) as reader:
                assert [read_code(frame.image) for frame in reader if frame.index == index] == [index]
        else:
            assert read_code(read_image(file)) == index


def test_an_index_copies_nothing(tree: Path, tmp_path: Path) -> None:
    build(tree, tmp_path / "mstc", BuildJob(index_only=True))
    assert contents(tmp_path / "mstc").keys() == {"manifest.csv", "videos.csv", "mstc.json"}


def test_an_index_holds_where_it_and_its_source_are_moved_together(tree: Path, tmp_path: Path) -> None:
    build(tree, tmp_path / "here" / "mstc", BuildJob(index_only=True))
    (tmp_path / "there").mkdir()
    for name in ("campus", "here"):
        (tmp_path / name).rename(tmp_path / "there" / name)
    moved = tmp_path / "there" / "here" / "mstc"
    assert all((moved / row["file"]).is_file() for row in manifest(moved))
    assert len(mstc(moved)) == 2


@pytest.mark.parametrize("job", FORMS)
def test_nothing_that_is_written_depends_on_the_run(tree: Path, tmp_path: Path, job: BuildJob) -> None:
    build(tree, tmp_path / "one", job)
    build(tree, tmp_path / "other", BuildJob(index_only=job.index_only, workers=3))
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


@pytest.mark.parametrize("job", FORMS)
def test_what_is_complete_is_not_done_again(
    tree: Path, tmp_path: Path, job: BuildJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "mstc"
    build(tree, out, job)
    before = contents(out)
    monkeypatch.setattr(pipeline, "write_video", lambda video, job: pytest.fail(f"{video.clip.name} is done again"))
    assert f"{VIDEOS} of {VIDEOS} videos are complete already" in build(tree, out, job)
    assert contents(out) == before


@pytest.mark.parametrize("job", FORMS)
def test_an_interrupted_build_goes_on_where_it_was(
    tree: Path, tmp_path: Path, job: BuildJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tmp_path / "mstc", tmp_path / "whole"
    build(tree, whole, job)
    real, built = pipeline.write_video, []

    def stops_at_the_third(video: MstcVideo, job: BuildJob) -> VideoRow:
        if len(built) == 2:
            raise KeyboardInterrupt
        built.append(video.clip.name)
        return real(video, job)

    monkeypatch.setattr(pipeline, "write_video", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        build(tree, out, job)
    monkeypatch.setattr(pipeline, "write_video", real)
    with pytest.raises(UserError, match="never finished"):
        mstc(out)
    assert f"2 of {VIDEOS} videos are complete already" in build(tree, out, job)
    assert contents(out) == contents(whole)


def test_a_video_that_was_left_half_written_is_done_again(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "mstc"
    build(tree, out)
    whole = contents(out)
    train = out / "01" / "train"
    (train / "01_001").rename(train / ".01_001.partial")
    (train / ".01_001.partial" / "000005.png").write_bytes(b"half")
    (out / "01" / "test" / "01_0001" / "000005.jpg").unlink()
    (out / "01" / "pixel_mask" / "01_0002.npy").write_bytes(b"")
    assert f"{VIDEOS - 3} of {VIDEOS} videos are complete already" in build(tree, out)
    assert contents(out) == whole


@pytest.mark.parametrize("job", FORMS)
def test_a_clip_that_has_changed_is_done_again(tree: Path, tmp_path: Path, job: BuildJob) -> None:
    out = tmp_path / "mstc"
    build(tree, out, job)
    write_campus(tree, {"01_002": 7}, {"01_0001": 16})
    flags = campus.labels(16)
    flags[0] = True
    np.save(tree / "testing" / "test_frame_mask" / "01_0002.npy", flags)
    assert f"{VIDEOS - 3} of {VIDEOS} videos are complete already" in build(tree, out, job)
    build(tree, tmp_path / "fresh", job)
    assert contents(out) == contents(tmp_path / "fresh")


def shorter(path: Path) -> None:
    np.save(path, np.load(path)[:-1])


def damaged(path: Path) -> None:
    overwrite_packets(path, [4])


TESTING, TRAINING = "testing/", "training/videos/"


@pytest.mark.parametrize("job", FORMS)
@pytest.mark.parametrize(
    ("clip", "file", "spoil", "why"),
    [
        ("test 01_0001", TESTING + "test_frame_mask/01_0001.npy", shorter, "has 10 frames, its clip has 11"),
        ("test 01_0001", TESTING + "test_pixel_mask/01_0001.npy", shorter, "has 10 frames, its clip has 11"),
        ("test 01_0001", TESTING + "test_frame_mask/01_0001.npy", Path.unlink, "does not exist"),
        ("test 01_0001", TESTING + "test_pixel_mask/01_0001.npy", Path.unlink, "does not exist"),
        ("test 01_0001", TESTING + "frames/01_0001/007.jpg", Path.unlink, "has 11 frames, its clip has 10"),
        ("test 01_0001", TESTING + "frames/01_0001/005.jpg", cut_short, "005.jpg: not an image that can be read"),
        ("train 01_001", TRAINING + "01_001.avi", cut_short, "ends early"),
        ("train 01_001", TRAINING + "01_001.avi", damaged, "01_001.avi is damaged: 1 packets"),
        ("train 01_001", TRAINING + "01_001.avi", lambda path: path.write_bytes(b"?"), "not a video that can be read"),
    ],
)
def test_a_video_that_cannot_be_trusted_is_left_out_by_name(
    tree: Path, tmp_path: Path, job: BuildJob, clip: str, file: str, spoil: Callable[[Path], object], why: str
) -> None:
    out, name = tmp_path / "mstc", clip.split()[1]
    spoil(tree / file)
    (line,) = (line for line in build(tree, out, job).splitlines() if line.startswith("failed: "))
    assert line.startswith(f"failed: {clip}: ")
    assert why in line
    assert not list(out.rglob(f"*{name}*"))
    assert {row.video for row in read_videos(out)} == {*TRAIN, *TEST} - {name}
    assert {row["video"] for row in manifest(out)} == {*TRAIN, *TEST} - {name}
    facts = read_facts(out)
    assert facts is not None
    assert facts["missing"] == [name]
    with pytest.raises(UserError, match=f"1 of {VIDEOS} videos failed, the reasons are above"):
        build_mstc(tree, out, job, Console(file=io.StringIO()))


def test_a_clip_without_frames_is_left_out_by_name(tree: Path, tmp_path: Path) -> None:
    for frame in (tree / "testing" / "frames" / "01_0001").iterdir():
        frame.unlink()
    np.save(tree / "testing" / "test_frame_mask" / "01_0001.npy", np.zeros(0, bool))
    (line,) = (line for line in build(tree, tmp_path / "mstc").splitlines() if line.startswith("failed: "))
    assert "test 01_0001" in line


@pytest.mark.parametrize("job", FORMS)
def test_a_video_that_failed_is_added_once_it_is_mended(tree: Path, tmp_path: Path, job: BuildJob) -> None:
    out, mask = tmp_path / "mstc", tree / "testing" / "test_frame_mask" / "01_0001.npy"
    build(tree, tmp_path / "whole", job)
    shorter(mask)
    build(tree, out, job)
    np.save(mask, campus.labels(11).astype(np.uint8))
    printed = build(tree, out, job)
    assert f"{VIDEOS - 1} of {VIDEOS} videos are complete already" in printed
    assert "error" not in printed
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("masks", ["test_frame_mask", "test_pixel_mask"])
def test_a_video_that_has_gone_bad_is_taken_out(tree: Path, tmp_path: Path, masks: str) -> None:
    out = tmp_path / "mstc"
    build(tree, out)
    shorter(tree / "testing" / masks / "01_0001.npy")
    assert "failed: test 01_0001" in build(tree, out)
    assert not list(out.rglob("*01_0001*"))


@pytest.mark.parametrize("lost", ["test/01_0001/000005.jpg", "frame_mask/01_0001.npy", "pixel_mask/01_0001.npy"])
def test_what_was_written_is_counted_once_more(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    out, real = tmp_path / "mstc", pipeline.write_video

    def loses_a_file(video: MstcVideo, job: BuildJob) -> VideoRow:
        row = real(video, job)
        if video.clip.name == "01_0001":
            (out / "01" / lost).unlink()
        return row

    monkeypatch.setattr(pipeline, "write_video", loses_a_file)
    assert "failed: test 01_0001: what was written is not what the source holds" in build(tree, out)
    assert not list(out.rglob("*01_0001*"))


def test_an_error_of_the_system_stops_the_build(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(video: MstcVideo, job: BuildJob) -> VideoRow:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pipeline, "write_video", full)
    with pytest.raises(OSError, match="No space left"):
        build(tree, tmp_path / "mstc")


def test_a_folder_of_something_else_is_left_alone(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "photos"
    out.mkdir()
    (out / "holiday.jpg").touch()
    assert "should be new, empty or an mSTC, but it holds holiday.jpg" in build(tree, out)
    assert contents(out) == {"holiday.jpg": b""}


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (BuildJob(quality=90), "was built with images png, not jpeg 90: choose another folder"),
        (BuildJob(index_only=True), "was built with images png, not none: choose another folder"),
    ],
)
def test_a_folder_of_other_settings_is_left_alone(tree: Path, tmp_path: Path, job: BuildJob, message: str) -> None:
    out = tmp_path / "mstc"
    build(tree, out)
    before = contents(out)
    assert message in build(tree, out, job)
    assert contents(out) == before


def test_an_index_has_no_quality(tree: Path, tmp_path: Path) -> None:
    assert "--index-only writes no images" in build(tree, tmp_path / "mstc", BuildJob(index_only=True, quality=90))
    assert not (tmp_path / "mstc").exists()


def test_the_real_tree_has_510_training_and_204_test_frames(tmp_path: Path) -> None:
    out = tmp_path / "mstc"
    build(data.test_data() / "campus", out, BuildJob(index_only=True))
    rows = read_videos(out)
    assert sum(row.kept for row in rows if row.split == "train") == 510
    assert sum(row.kept for row in rows if row.split == "test") == 204
    (scene,) = mstc(out)
    sampled = [clip.truth.labels[::5] for clip in scene.test if clip.truth is not None]
    assert sum(map(len, sampled)) == 204
    assert sum(int(flags.sum()) for flags in sampled) == sum(row.anomalous for row in rows)


def test_the_verb_ends_with_2_where_a_video_failed(command: Command, tree: Path, tmp_path: Path) -> None:
    assert command("build-mstc", tree, tmp_path / "whole").code == 0
    mask = next((tree / "testing" / "test_frame_mask").glob("*.npy"))
    np.save(mask, np.load(mask)[:-1])
    outcome = command("build-mstc", tree, tmp_path / "broken")
    assert outcome.code == 2
    assert mask.stem in outcome.out
    assert "Traceback" not in outcome.err
