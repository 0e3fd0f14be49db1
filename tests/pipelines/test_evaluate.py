"""`evaluate` and `ablate` on the command line, on small trees of stills and of video."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import cli
from msflow_stream.config.loading import load
from msflow_stream.datasets import DATASETS
from msflow_stream.datasets.synthetic import Violation
from msflow_stream.evaluation.cases import find_units
from msflow_stream.evaluation.summary import summarise
from msflow_stream.types import APPEARANCE_KINDS, SCORE_KINDS, UserError
from pipelines.ablate import TABLES
from pipelines.evaluate import settings_file
from tests.support.command import Command
from tests.support.footage import small_flags, write_clip
from tests.support.stills import write_mvtec

# Lanczos: of whole images, so that a video and the images that are made of it become the same.
FLAGS = small_flags("fit.passes=3", "fit.learning_rate=2e-3", "fit.holdout=0", "input.resize=lanczos")
QUICK = small_flags("fit.passes=1", "fit.holdout=0")


def results(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "results.json").read_text())
    return content


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mvtec(tmp_path_factory.mktemp("mvtec"), ("plate", "sheet"))


@pytest.fixture(scope="module")
def evaluated(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of both classes; for reading."""
    out = tmp_path_factory.mktemp("evaluated")
    run("evaluate", "mvtec", "--root", plates, "--out", out, *FLAGS)
    return out


@pytest.fixture
def out(evaluated: Path, tmp_path: Path) -> Path:
    """A copy of these results."""
    return Path(shutil.copytree(evaluated, tmp_path / "out"))


@pytest.fixture(scope="module")
def topk(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of K for one class; for reading."""
    out = tmp_path_factory.mktemp("topk")
    run("ablate", "--table", "topk", "--data", "mvtec", "--root", plates, "--classes", "plate", "--out", out, *FLAGS)
    return out


def run(*arguments: object) -> None:
    """Runs a command that works, outside of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["msflow-stream", *map(str, arguments)])
        with suppress(SystemExit):
            cli.main()


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ShanghaiTech tree of one scene: two videos to fit on, and a clip of frames."""
    import av

    root = tmp_path_factory.mktemp("campus")
    (root / "training" / "videos").mkdir(parents=True)
    for name, traffic in (("01_001", 0), ("01_002", 1)):
        clip = write_clip(root, name, 3, traffic=traffic)
        clip.rename(root / "training" / "videos" / clip.name)
    clip = write_clip(root, "01_0003", 3, [Violation("cart", 1, 2.5)], traffic=2)
    frames = root / "testing" / "frames" / "01_0003"
    frames.mkdir(parents=True)
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            frame.to_image().save(frames / f"{number:03}.png")
    for ours, theirs in (("labels", "test_frame_mask"), ("masks", "test_pixel_mask")):
        (root / "testing" / theirs).mkdir()
        (root / ours / "01_0003.npy").rename(root / "testing" / theirs / "01_0003.npy")
    return root


def test_stills_are_evaluated_class_by_class(evaluated: Path) -> None:
    summary = results(evaluated)
    assert list(summary["classes"]) == ["plate", "sheet"]
    for name, metrics in summary["classes"].items():
        with (evaluated / "classes" / f"{name}-9826" / "scores.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        labels = [int(row["anomalous"]) for row in rows]
        assert (len(rows), sum(labels)) == (10, 5)
        for kind in ("paper", "surprise", "surprise_mean"):
            expected = roc_auc_score(labels, [float(row[kind]) for row in rows])
            assert metrics[f"image_auroc_{kind}"] == pytest.approx(expected)
        assert metrics["image_auroc_surprise"] > 0.9  # bright scratches are easy
        assert metrics["pixel_auroc"] > 0.9
        assert 0 < metrics["aupro"] <= 1
    means = [summary["classes"][name]["aupro"] for name in ("plate", "sheet")]
    assert summary["mean"]["aupro"] == pytest.approx(np.mean(means))
    assert summary["published"] == {}  # the paper's figures are means over fifteen classes
    with (evaluated / "results.csv").open(newline="") as file:
        assert [row["class"] for row in csv.DictReader(file)] == ["plate", "sheet", "mean"]


def test_the_report_stands_on_its_own(evaluated: Path) -> None:
    html = (evaluated / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert len(sources) >= 1 + 3 * 4
    assert all(source.startswith("data:image/") for source in sources)
    assert "test/scratch/" in html
    assert "&#34;backbone&#34;: &#34;test_resnet&#34;" in html or '"backbone": "test_resnet"' in html


def test_an_evaluation_goes_on_where_it_stopped(command: Command, plates: Path, out: Path) -> None:
    arguments = ["evaluate", "mvtec", "--root", plates, "--out", out, *FLAGS]
    first = results(out)["classes"]
    (out / "results.json").unlink()
    shutil.rmtree(out / "classes" / "sheet-9826")
    outcome = command(*arguments)
    assert outcome.out.count("evaluated already") == 1
    assert results(out)["classes"] == first
    outcome = command(*arguments, "--set", "fit.passes=2")
    assert outcome.code == 2
    assert "fit.passes was 3, is 2" in outcome.err


def test_results_of_one_data_set_are_not_taken_for_those_of_another(
    command: Command, plates: Path, out: Path, topk: Path, tmp_path: Path
) -> None:
    other = write_mvtec(tmp_path / "other", ("plate",))
    outcome = command("evaluate", "mvtec", "--root", other, "--out", out, *FLAGS)
    assert outcome.code == 2
    assert "holds results of something else (root was" in outcome.err
    outcome = command(
        "ablate", "--table", "topk", "--data", "mvtec", "--out", topk, *FLAGS, "--classes", "plate", "--root", other
    )
    assert outcome.code == 2
    assert "of other data" in outcome.err


def test_a_class_that_was_evaluated_earlier_stays_in_the_results(command: Command, plates: Path, out: Path) -> None:
    (out / "results.json").unlink()
    assert command("evaluate", "mvtec", "--root", plates, "--out", out, *FLAGS, "--classes", " sheet ").code == 0
    assert list(results(out)["classes"]) == ["plate", "sheet"]


def test_a_damaged_result_fails_its_class_only(command: Command, plates: Path, out: Path) -> None:
    arguments = ["evaluate", "mvtec", "--root", plates, "--out", out, *FLAGS]
    (out / "classes" / "plate-9826" / "result.json").write_text("{")
    outcome = command(*arguments)
    assert outcome.code == 2
    assert "is damaged: remove it" in outcome.out
    assert list(results(out)["classes"]) == ["sheet"]
    assert command(*arguments, "--classes", "sheet").code == 2  # the other one is still damaged
    assert list(results(out)["classes"]) == ["sheet"]
    assert "is damaged" in results(out)["failed"]["plate"]


def test_an_ablation_of_one_class_is_not_the_mean_of_what_was_done_before(
    command: Command, plates: Path, topk: Path, tmp_path: Path
) -> None:
    arguments = ["ablate", "--table", "topk", "--data", "mvtec", "--root", plates, *FLAGS, "--classes", "plate"]

    def rows(said: str) -> list[str]:
        return [line for line in said.splitlines() if "%" in line]

    alone = command(*arguments, "--out", topk).out
    assert len(rows(alone)) >= 10
    out = Path(shutil.copytree(topk, tmp_path / "topk"))
    content = json.loads((out / "topk.json").read_text())
    for variant in content["results"].values():
        variant["sheet"] = dict.fromkeys(variant["plate"], 0.0)
    (out / "topk.json").write_text(json.dumps(content))
    assert rows(command(*arguments, "--out", out).out) == rows(alone)


def test_the_paper_s_exception_is_kept() -> None:
    settings = load(settings_file("mvtec"))
    class_settings = DATASETS["mvtec"].class_settings
    assert class_settings("transistor", settings).input.size == (256, 256)
    assert class_settings("bottle", settings).input.size == (512, 512)
    smaller = load(settings_file("mvtec"), ["input.size=[128,128]"])
    assert class_settings("transistor", smaller).input.size == (128, 128)


def test_a_class_that_fails_does_not_stop_the_others(command: Command, plates: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(plates, root)
    (root / "plate" / "train" / "good" / "003.png").write_bytes(b"no image")
    outcome = command("evaluate", "mvtec", "--root", root, "--out", tmp_path / "out", *QUICK)
    assert outcome.code == 2
    assert "1 of 2 failed: plate" in outcome.err
    assert "003.png" in outcome.out
    summary = results(tmp_path / "out")
    assert list(summary["classes"]) == ["sheet"]
    assert "003.png" in summary["failed"]["plate"]


def test_seeds_give_a_mean_and_a_spread(command: Command, plates: Path, out: Path) -> None:
    arguments = ["--root", plates, "--out", out, "--classes", "plate", "--seeds", 2]
    assert command("evaluate", "mvtec", *arguments, *FLAGS).code == 0
    summary = results(out)
    values = [
        json.loads((out / "classes" / f"plate-{seed}" / "result.json").read_text())["metrics"]["aupro"]
        for seed in (9826, 9827)
    ]
    assert summary["seeds"] == [9826, 9827]
    assert summary["classes"]["plate"]["aupro"] == pytest.approx(np.mean(values))
    assert summary["spread over seeds"]["plate"]["aupro"] == pytest.approx(np.std(values, ddof=1))
    assert summary["spread of the mean"]["aupro"] == pytest.approx(np.std(values, ddof=1))  # of a single class


def test_masks_that_are_missing_leave_the_metrics_of_whole_images(
    command: Command, plates: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(plates, root)
    next((root / "plate" / "ground_truth" / "scratch").iterdir()).unlink()
    outcome = command("evaluate", "mvtec", "--root", root, "--out", tmp_path / "out", "--classes", "plate", *QUICK)
    assert outcome.code == 0, outcome.err
    metrics = results(tmp_path / "out")["classes"]["plate"]
    assert "image_auroc_paper" in metrics
    assert "pixel_auroc" not in metrics
    assert "no metrics of pixels" in outcome.out
    assert "no masks for all of them" in (tmp_path / "out" / "report.html").read_text()


def test_video_is_evaluated_scene_by_scene(command: Command, campus: Path, tmp_path: Path) -> None:
    out = tmp_path / "direct"
    outcome = command("evaluate", "mstc", "--root", campus, "--out", out, *FLAGS)
    assert outcome.code == 0, outcome.err
    metrics = results(out)["classes"]["01"]
    with (out / "classes" / "01-9826" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(0, 75, 5))
    labels = [int(row["anomalous"]) for row in rows]
    expected = roc_auc_score(labels, [float(row["surprise"]) for row in rows])
    assert metrics["frame_auroc_micro_surprise"] == pytest.approx(expected)
    assert {"rbdc", "tbdc", "aupro", "pixel_auroc", "frame_auroc_macro_paper_smoothed"} <= metrics.keys()

    assert "events" in outcome.out
    report = (out / "report.html").read_text()
    assert "<h3>Events</h3>" in report
    assert "<h3>frame_auroc_literature</h3>" in report
    assert "(sigma 3 frames)" in " ".join(outcome.out.split())
    shutil.copytree(out / "scenes", tmp_path / "all" / "scenes")  # fitted already
    outcome = command("evaluate", "mstc", "--root", campus, "--out", tmp_path / "all", *FLAGS, "--frames", "all")
    assert "all frames, each with its newest score" in outcome.out
    truth = np.load(campus / "testing" / "test_frame_mask" / "01_0003.npy")
    held = np.repeat([float(row["surprise"]) for row in rows], 5)[: len(truth)]
    found = results(tmp_path / "all")["classes"]["01"]["frame_auroc_micro_surprise"]
    assert found == pytest.approx(roc_auc_score(truth, held))

    assert command("build-mstc", campus, tmp_path / "mstc").code == 0
    assert command("evaluate", "mstc", "--root", tmp_path / "mstc", "--out", tmp_path / "built", *FLAGS).code == 0
    built = results(tmp_path / "built")["classes"]["01"]
    of_all_frames = {key for key in metrics if key.startswith("frame_auroc_literature_")}
    assert len(of_all_frames) == len(SCORE_KINDS)
    of_images = [key for key in metrics if key not in of_all_frames and key.endswith(APPEARANCE_KINDS)]
    assert of_images
    for key in of_images:  # what moved between sampled frames is not known
        assert built[key] == pytest.approx(metrics[key], abs=1e-6)  # PNG keeps the frames as they were decoded


def test_events_are_those_of_score_beside_the_labels_of_the_sampled_frames(
    command: Command, campus: Path, tmp_path: Path
) -> None:
    out, score = tmp_path / "out", ["--set", "score.kind=paper", "--set", "score.threshold=-1000"]
    score += ["--set", "event.triggers=[paper]"]
    assert command("evaluate", "mstc", "--root", campus, "--out", out, *FLAGS, *score).code == 0
    summary = results(out)
    events = json.loads((out / "classes" / "01-9826" / "result.json").read_text())["events"]
    labels = np.load(campus / "testing" / "test_frame_mask" / "01_0003.npy")
    found = [int(index) for index in np.flatnonzero(labels[::5]) * 5]
    assert events["clips"]["01_0003"]["labelled"] == [pytest.approx([found[0] / 25, (found[-1] + 5) / 25])]
    assert events["pooled"]["hours"] == pytest.approx(3 / 3600)
    (event,) = events["clips"]["01_0003"]["found"]
    clip = campus / "testing" / "frames" / "01_0003"
    scored = ["score", clip, "--scene", "01-9826", "--scenes", out / "scenes", "--out", tmp_path / "run", *score]
    assert command(*scored, "--no-overlay").code == 0
    (same,) = json.loads((tmp_path / "run" / "01_0003" / "events.json").read_text())
    assert (event["start"], event["end"]) == pytest.approx((same["start"], same["end"]))
    assert event["told"] == pytest.approx(0.4)  # the least duration
    metrics = summary["classes"]["01"]
    assert (metrics["event_precision"], metrics["event_recall"], metrics["event_time_to_detection"]) == (1, 1, 0)
    assert metrics["event_alarms_per_hour"] == pytest.approx(1200)
    assert metrics["event_false_alarms_per_hour"] == 0
    assert summary["events"]["01"]["events"] == 1
    assert "paper above -1000 (as given)" in summary["events"]["01"]["of"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mvtek", "--root", "ROOT"], "no data set 'mvtek'"),
        (["mvtec", "--root", "nowhere"], "no folder nowhere"),
        (["mvtec", "--root", "ROOT", "--classes", "bottle"], "no class bottle; there are plate, sheet"),
        (["mstc", "--root", "ROOT"], "training"),
        (["ped1", "--root", "ROOT"], "expected UCSDped1 in it"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, command: Command, plates: Path, tmp_path: Path
) -> None:
    given = [str(plates) if argument == "ROOT" else argument for argument in arguments]
    outcome = command("evaluate", *given, "--out", tmp_path / "out", *FLAGS)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_every_data_set_has_settings() -> None:
    for data in ("mvtec", "visa", "mtd", "mstc", "ped2", "avenue", "folder"):
        settings = load(settings_file(data))
        assert settings.fit.holdout == 0
    assert load(settings_file("mvtec")).fit.passes == 100


def test_published_results_stand_beside_whole_data_sets_only() -> None:
    result = {"metrics": {"pixel_auroc": 0.9}, "seed": 1, "frames fitted": 1, "cases": 1, "anomalous": 1, "masks": True}
    twelve = {f"{number:02}": [result] for number in range(12)}
    assert summarise("mstc", load(), twelve, {})["published"]
    assert not summarise("mstc", load(), {"01": [result]}, {})["published"]


def test_a_topk_table_needs_one_fit_and_follows_the_scores(
    command: Command, plates: Path, topk: Path, evaluated: Path
) -> None:
    table = json.loads((topk / "topk.json").read_text())["results"]
    assert list(table) == [f"{k} %" for k in range(1, 11)]
    means = {values["plate"]["image_auroc_surprise_mean"] for values in table.values()}
    assert len(means) == 1  # the same flow: its mean does not know K
    assert table["3 %"]["plate"] == pytest.approx(results(evaluated)["classes"]["plate"], abs=1e-5)
    arguments = ["--data", "mvtec", "--root", plates, "--classes", "plate", "--out", topk]
    outcome = command("ablate", "--table", "topk", *arguments, *FLAGS)
    assert outcome.code == 0, outcome.err
    assert json.loads((topk / "topk.json").read_text())["results"] == table


@pytest.mark.parametrize(("table", "rows"), [("fusion", 2), ("norm", 3), ("aggregation", 2), ("pooling", 8)])
def test_an_ablation_has_a_row_for_every_variant(table: str, rows: int, command: Command, tmp_path: Path) -> None:
    root = write_mvtec(tmp_path / "mvtec", fit=3, test=2)
    arguments = ["--data", "mvtec", "--root", root, "--classes", "plate", "--out", tmp_path / "new" / "folder"]
    outcome = command("ablate", "--table", table, *arguments, *QUICK)
    assert outcome.code == 0, outcome.err
    found = json.loads((tmp_path / "new" / "folder" / f"{table}.json").read_text())["results"]
    assert len(found) == rows
    assert len({json.dumps(values) for values in found.values()}) == rows  # each variant changes something


def test_the_settings_of_every_variant_are_valid() -> None:
    from pipelines.ablate import _settings

    for variants in TABLES.values():
        for variant in variants:
            _settings(load(None, ["model.weights=random"]), variant)
    changed = _settings(load(None, ["model.weights=w/{backbone}.safetensors"]), TABLES["backbone"][0])
    assert changed.model.weights == "w/resnet18.safetensors"


def test_an_unknown_table_names_the_known() -> None:
    from pipelines.ablate import AblateJob, ablate

    with pytest.raises(UserError, match="there are stages, pooling"):
        ablate(AblateJob(table="speed", data="mvtec", root=Path(), out=Path()), load())


def test_a_scene_without_normal_clips_is_left_out(campus: Path) -> None:
    assert [subject.name for subject in find_units("mstc", campus)] == ["01"]
