"""`score` and `overlay` on the command line: what is written, what is printed, what is refused."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sys
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import av
import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score

import cli
from msflow_stream.evaluation.metrics.ranking import auroc
from msflow_stream.video.writing.encoders import ENCODERS, obstacle
from tests.pipelines.conftest import Workplace
from tests.support.command import Command, Outcome
from tests.support.footage import RATE, SIZE, write_clip
from tests.support.videos import cut_short, overwrite_packets, write_video

FILES = {"scores.csv", "overlay.mp4", "timeline.png", "events.json", "run.json"}


@pytest.fixture
def score(command: Command, workplace: Workplace, tmp_path: Path):  # type: ignore[no-untyped-def]
    def run(*arguments: object) -> Outcome:
        return command("score", *arguments, "--scene", "gate", "--scenes", workplace.scenes, "--out", tmp_path / "run")

    return run


@dataclass(frozen=True, slots=True)
class Run:
    """A run over both clips with all outputs and labels, for tests that only read it."""

    folder: Path
    printed: str


@pytest.fixture(scope="module")
def evaluated(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    labels = ["--labels", workplace.clips / "labels", "--masks", workplace.clips / "masks", "--save-maps"]
    arguments = [workplace.clips, *labels, "--scene", "gate", "--scenes", workplace.scenes, "--out", folder]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.setattr(sys, "argv", ["msflow-stream", "score", *map(str, arguments)])
        patch.setenv("COLUMNS", "200")
        with suppress(SystemExit):
            cli.main()
    return Run(folder, printed.getvalue())


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "scores.csv").open() as file:
        return [{key: float(value or -1) for key, value in row.items()} for row in csv.DictReader(file)]


def frame_count(path: Path) -> tuple[int, float]:
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.duration is not None
        assert stream.time_base is not None
        return sum(1 for _ in container.decode(stream)), float(stream.duration * stream.time_base)


def test_one_folder_per_source_holds_all_outputs(evaluated: Run) -> None:
    assert sorted(path.name for path in evaluated.folder.iterdir()) == ["evaluation.json", "first", "second"]
    for name in ("first", "second"):
        folder = evaluated.folder / name
        assert {path.name for path in folder.iterdir()} - {"events"} == FILES | {"maps.safetensors"}
        assert [row["index"] for row in rows(folder)] == list(range(0, 75, 5))
        assert [row["time"] for row in rows(folder)] == pytest.approx([i / 5 for i in range(15)])
        assert frame_count(folder / "overlay.mp4") == (75, pytest.approx(3, abs=0.04))
        record = json.loads((folder / "run.json").read_text())
        assert (record["frames"], record["decoder"]) == (75, "cpu")


def test_alarms_and_events_follow_from_the_scores(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert score(workplace.clips / "first.mp4", "--set", "score.kind=surprise").code == 0
    table = rows(tmp_path / "run" / "first")
    assert all(row["alarm"] == (row["smoothed"] > row["threshold"]) for row in table)
    assert any(row["alarm"] for row in table), "a cart is no walker"
    events = json.loads((tmp_path / "run" / "first" / "events.json").read_text())
    for event in events:
        assert event["triggers"] == ["surprise"]
        inside = [row for row in table if event["start"] <= row["time"] <= event["end"]]
        assert max(row["smoothed"] for row in inside) == pytest.approx(event["peak_score"], rel=1e-5)


def test_auroc_is_scikit_learn_s_over_the_scores_written(evaluated: Run, workplace: Workplace) -> None:
    labels, masks = workplace.clips / "labels", workplace.clips / "masks"
    result = json.loads((evaluated.folder / "evaluation.json").read_text())
    truth, scores, pixels, values = [], [], [], []
    for name in ("first", "second"):
        table = rows(evaluated.folder / name)
        flags = np.load(labels / f"{name}.npy")[::5]
        mine = [row["score"] for row in table]
        assert result["clips"][name]["paper"] == pytest.approx(roc_auc_score(flags, mine), abs=1e-6)
        truth += flags.tolist()
        scores += mine
        maps = load_file(evaluated.folder / name / "maps.safetensors")
        assert maps["index"].tolist() == list(range(0, 75, 5))
        assert maps["maps"].shape == (15, 64, 96)
        pixels.append(np.load(masks / f"{name}.npy")[::5].ravel())  # the masks have the input's size
        values.append(maps["maps"].ravel())
    assert result["pooled"]["paper"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-6)
    assert result["pooled"]["pixel"] == pytest.approx(auroc(np.concatenate(pixels), np.concatenate(values)), abs=1e-6)
    assert f"{result['pooled']['paper']:.3f}" in evaluated.printed


def test_all_frames_count_when_asked(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    labels = workplace.clips / "labels" / "first.npy"
    assert score(workplace.clips / "first.mp4", "--labels", labels, "--frames", "all", "--no-overlay").code == 0
    result = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    held = np.repeat([row["score"] for row in rows(tmp_path / "run" / "first")], 5)
    assert result["pooled"]["paper"] == pytest.approx(roc_auc_score(np.load(labels), held), abs=1e-6)


def test_without_overlay_and_maps_the_scores_are_the_same(  # type: ignore[no-untyped-def]
    score, evaluated: Run, workplace: Workplace, tmp_path: Path
) -> None:
    assert score(workplace.clips / "first.mp4", "--no-overlay").code == 0
    assert rows(tmp_path / "run" / "first") == rows(evaluated.folder / "first")
    assert {path.name for path in (tmp_path / "run" / "first").iterdir()} == FILES - {"overlay.mp4"}


def test_the_overlay_keeps_sound_odd_sizes_and_uneven_timing(score, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pts = [0, 3, 4, 9, 12, 13, 20, 24, 25, 31, 40, 41]
    from fractions import Fraction

    write_video(tmp_path / "odd.mkv", 12, (63, 47), codec="ffv1", pts=pts, time_base=Fraction(1, 50), audio=True)
    outcome = score(tmp_path / "odd.mkv", "--every", 2)
    assert outcome.code == 0, outcome.err
    with av.open(tmp_path / "run" / "odd" / "overlay.mp4") as overlay:
        assert len(overlay.streams.audio) == 1
        times = [frame.time for frame in overlay.decode(video=0)]
    assert times == pytest.approx([p / 50 for p in pts], abs=1e-3)
    assert [row["index"] for row in rows(tmp_path / "run" / "odd")] == [0, 2, 4, 6, 8, 10]


def test_limits_stop_early(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert score(workplace.clips / "first.mp4", "--max-frames", 12).code == 0
    assert [row["index"] for row in rows(tmp_path / "run" / "first")] == [0, 5, 10]
    assert frame_count(tmp_path / "run" / "first" / "overlay.mp4")[0] == 12
    assert score(workplace.clips / "first.mp4", "--duration", 1, "--overwrite").code == 0
    assert rows(tmp_path / "run" / "first")[-1]["time"] == pytest.approx(0.8)


def test_a_corrupt_middle_is_decoded_on_and_counted(score, tmp_path: Path, workplace: Workplace) -> None:  # type: ignore[no-untyped-def]
    video = write_video(tmp_path / "damaged.avi", 60, SIZE, codec="mjpeg", pix_fmt="yuvj420p", rate=RATE)
    overwrite_packets(video, [21, 22])
    outcome = score(video)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("WARNING") == 1, "one warning for the whole file"
    assert json.loads((tmp_path / "run" / "damaged" / "run.json").read_text())["damaged_packets"] == 2
    assert rows(tmp_path / "run" / "damaged")[-1]["index"] == 55


def test_redrawing_gives_the_same_overlay_without_the_model(  # type: ignore[no-untyped-def]
    score, workplace: Workplace, command: Command, tmp_path: Path
) -> None:
    assert score(workplace.clips / "first.mp4", "--save-maps", "--set", "score.kind=paper").code == 0
    path = tmp_path / "run" / "first" / "overlay.mp4"
    original = path.read_bytes()
    path.unlink()
    outcome = command("overlay", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert decoded(path) == decoded_bytes(original, tmp_path)
    assert command("overlay", tmp_path / "run" / "first", "--colormap", "turbo", "--alpha", 0.9).code == 0
    assert decoded(path) != decoded_bytes(original, tmp_path)


def decoded(path: Path) -> list[bytes]:
    with av.open(path) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


def decoded_bytes(content: bytes, folder: Path) -> list[bytes]:
    (folder / "original.mp4").write_bytes(content)
    return decoded(folder / "original.mp4")


def test_the_encoder_is_chosen_by_name_or_by_trial(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    lacking = [name for name, choice in ENCODERS.items() if obstacle(choice) is not None]
    for name in lacking:
        outcome = score(workplace.clips / "first.mp4", "--encoder", name)
        assert (outcome.code, "does not work here" in outcome.err, outcome.err.count("\n")) == (2, True, 1)
    assert score(workplace.clips / "first.mp4", "--encoder", "auto", "--max-frames", 12).code == 0
    assert frame_count(tmp_path / "run" / "first" / "overlay.mp4")[0] == 12


def test_redrawing_says_what_is_missing(score, command: Command, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    video = tmp_path / "moved.mp4"
    video.write_bytes((workplace.clips / "first.mp4").read_bytes())
    assert score(video, "--no-overlay").code == 0
    video.rename(tmp_path / "elsewhere.mp4")
    outcome = command("overlay", tmp_path / "run")
    assert (outcome.code, "--source" in outcome.err) == (2, True)
    outcome = command("overlay", tmp_path / "run", "--source", tmp_path / "elsewhere.mp4")
    assert outcome.code == 0, outcome.err
    assert "without heat map" in outcome.out
    assert command("overlay", tmp_path).code == 2


def test_mistakes_are_one_line_with_exit_code_2_and_leave_nothing(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    cut = cut_short(write_video(tmp_path / "cut.mp4", 30))
    short = tmp_path / "short.npy"
    np.save(short, np.zeros(74, np.uint8))
    clip = workplace.clips / "first.mp4"
    for arguments, message in [
        (("missing.mp4",), "missing.mp4"),
        ((text,), "text.mp4"),
        ((cut,), "index"),
        ((clip, "--labels", short), "74 frames, its clip has 75"),
        ((clip, "--labels", tmp_path / "nowhere"), "nowhere"),
        ((workplace.clips, "--labels", short), "several clips"),
        ((clip, "--set", "fit.passes=3"), "fixed when the scene was fitted"),
        ((clip, "--image-rate", "fast"), "--image-rate"),
    ]:
        outcome = score(*arguments)
        assert (outcome.code, message in outcome.err, "Traceback" in outcome.err) == (2, True, False), outcome.err
        assert outcome.err.count("\n") == 1, outcome.err
        assert not list((tmp_path / "run").glob("*")), "nothing half-written"


def test_an_existing_folder_is_left_alone(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "run" / "second").mkdir(parents=True)
    outcome = score(workplace.clips)
    assert outcome.code == 2
    assert "second exists already" in outcome.err
    assert not (tmp_path / "run" / "first").exists(), "checked before anything is scored"


def test_an_unknown_scene_names_those_that_exist(command: Command, workplace: Workplace, tmp_path: Path) -> None:
    outcome = command("score", "x.mp4", "--scene", "gat", "--scenes", workplace.scenes, "--out", tmp_path / "run")
    assert (outcome.code, "there: gate" in outcome.err) == (2, True)


def test_an_error_after_the_first_scores_keeps_them(score, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from PIL import Image

    from tests.support.footage import frames

    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, frame in enumerate(frames(20, every=1)):
        Image.fromarray(frame.image).save(folder / f"{number:02}.png")
    (folder / "15.png").write_bytes(b"broken")
    outcome = score(folder, "--every", 1, "--set", "score.batch=4")
    assert outcome.code == 2
    assert "15.png" in outcome.err
    assert [row["index"] for row in rows(tmp_path / "run" / "pictures.partial")] == list(range(15))


def test_clips_without_one_kind_of_label_have_no_auroc(score, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    clip = write_clip(tmp_path, "quiet", 1)
    outcome = score(clip, "--labels", tmp_path / "labels")
    assert outcome.code == 0, outcome.err
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["pooled"]["paper"] is None


def test_ctrl_c_keeps_what_was_scored(score, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    video = write_video(tmp_path / "long.mp4", 1500, SIZE, rate=RATE)
    scores = tmp_path / "run" / "long.partial" / "scores.csv"
    over = Event()

    def interrupt() -> None:
        while not over.wait(0.005):
            if scores.exists() and scores.read_text().count("\n") > 3:
                os.kill(os.getpid(), signal.SIGINT)
                return

    thread = Thread(target=interrupt)
    thread.start()
    try:
        outcome = score(video)
    finally:
        over.set()
        thread.join()
    assert outcome.code == 130, outcome.err
    folder = tmp_path / "run" / "long"
    record = json.loads((folder / "run.json").read_text())
    assert record["interrupted"]
    assert len(rows(folder)) == record["scored_frames"] < 300
    assert frame_count(folder / "overlay.mp4")[0] == record["frames"]


def test_when_an_event_begins_can_be_set(  # type: ignore[no-untyped-def]
    score, evaluated: Run, workplace: Workplace, tmp_path: Path
) -> None:
    assert score(workplace.clips / "first.mp4", "--set", "event.min_duration=60").code == 0
    events = tmp_path / "run" / "first" / "events.json"
    assert json.loads(events.read_text()) == []
    assert json.loads((evaluated.folder / "first" / "events.json").read_text()) != []
