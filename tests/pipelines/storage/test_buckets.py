"""Batch jobs from and to a server of object storage: the files of a folder, and the same command goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.storage.publishing import fetch
from tests.support.batch_jobs import differences, write_views
from tests.support.campus import write_campus
from tests.support.command import Command
from tests.support.footage import small_flags
from tests.support.object_storage import BUCKET, object_storage
from tests.support.stills import write_mvtec

QUICK = small_flags("fit.passes=1")
AT = f"s3://{BUCKET}"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with object_storage(tmp_path_factory.mktemp("cache")) as files:
        yield files


def test_scenes_are_fitted_and_calibrated_from_and_to_a_bucket(command: Command, bucket: Any, tmp_path: Path) -> None:
    views = write_views(tmp_path / "views", ["gate", "yard"], 2)
    bucket.put(str(views), f"{BUCKET}/views", recursive=True)
    here = tmp_path / "scenes"
    assert command("fit", "--scenes-from", views, "--scenes", here, *QUICK).code == 0
    fitting = ["fit", "--scenes-from", f"{AT}/views", "--scenes", f"{AT}/scenes", *QUICK]
    outcome = command(*fitting)
    assert outcome.code == 0, outcome.err
    for name in ("gate", "yard"):
        assert fetch(f"{AT}/scenes/{name}", tmp_path / "back" / name, "scene.json")
        assert differences(here / name, tmp_path / "back" / name) == []
    again = command(*fitting, "--resume")
    assert again.code == 0
    assert again.out.count("complete already") >= 2

    normal = ["--false-alarms-per-hour", "1", "--normal"]
    assert command("calibrate", "gate", "--scenes", here, *normal, views / "yard" / "normal.mp4").code == 0
    outcome = command("calibrate", "gate", "--scenes", f"{AT}/scenes", *normal, f"{AT}/views/yard/normal.mp4")
    assert outcome.code == 0, outcome.err
    record = json.loads(bucket.cat(f"{BUCKET}/scenes/gate/scene.json"))
    expected = json.loads((here / "gate" / "scene.json").read_text())
    assert record["calibration"]["thresholds"] == expected["calibration"]["thresholds"]


def test_an_evaluation_in_a_bucket_goes_on_where_it_stopped(command: Command, bucket: Any, tmp_path: Path) -> None:
    plates = write_mvtec(tmp_path / "mvtec", ("plate", "sheet"), fit=4, test=2)
    bucket.put(str(plates), f"{BUCKET}/mvtec", recursive=True)
    arguments = ["evaluate", "mvtec", "--root", f"{AT}/mvtec", "--out", f"{AT}/runs/mvtec", *QUICK]
    assert command(*arguments).code == 0
    first = json.loads(bucket.cat(f"{BUCKET}/runs/mvtec/results.json"))
    assert list(first["classes"]) == ["plate", "sheet"]
    assert bucket.exists(f"{BUCKET}/runs/mvtec/report.html")
    bucket.rm(f"{BUCKET}/runs/mvtec/classes/sheet-9826/result.json")  # as if it had been killed before that
    outcome = command(*arguments)
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("evaluated already") == 1
    assert json.loads(bucket.cat(f"{BUCKET}/runs/mvtec/results.json"))["classes"] == first["classes"]


def test_a_table_in_a_bucket_goes_on_where_it_stopped(command: Command, bucket: Any, tmp_path: Path) -> None:
    plates = write_mvtec(tmp_path / "plates", ("plate",), fit=3, test=2)
    bucket.put(str(plates), f"{BUCKET}/plates", recursive=True)
    arguments = ["ablate", "--table", "topk", "--data", "mvtec", "--root", f"{AT}/plates", "--out", f"{AT}/tables"]
    assert command(*arguments, *QUICK).code == 0
    table = f"{BUCKET}/tables/topk.json"
    whole = json.loads(bucket.cat(table))
    part = {name: values for name, values in whole["results"].items() if name != "3 %"}
    bucket.pipe(table, json.dumps(whole | {"results": part}).encode())
    assert command(*arguments, *QUICK).code == 0
    assert json.loads(bucket.cat(table)) == whole


def test_msct_is_built_from_and_to_a_bucket(command: Command, bucket: Any, tmp_path: Path) -> None:
    tree = write_campus(tmp_path / "campus", {"01_001": 12}, {"01_0001": 11})
    bucket.put(str(tree), f"{BUCKET}/campus", recursive=True)
    assert command("build-mstc", tree, tmp_path / "here").code == 0
    outcome = command("build-mstc", f"{AT}/campus", f"{AT}/mstc")
    assert outcome.code == 0, outcome.err
    assert fetch(f"{AT}/mstc", tmp_path / "there", "mstc.json")
    assert differences(tmp_path / "here", tmp_path / "there") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "mvtec", "--root", "s3://nowhere-at-all/x", "--out", "out"], "nowhere-at-all"),
        (["evaluate", "mvtec", "--root", "s3://key:hush-hush@footage/x", "--out", "out"], "do not belong in a URL"),
        (["calibrate", "gate", "--scenes", "s3://footage/no-scenes", "--normal", "s3://footage/x"], "no scene 'gate'"),
        (["fit", "--scenes-from", "s3://footage/empty", "--scenes", "s3://footage/scenes2"], "nothing is there"),
    ],
)
def test_a_mistake_is_one_line_without_credentials(
    command: Command, bucket: Any, arguments: list[str], message: str
) -> None:
    outcome = command(*arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert "hush" not in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_weights_come_from_a_bucket(command: Command, bucket: Any, tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    from tests.support.footage import write_clip

    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), tmp_path / "w.safetensors")
    bucket.put(str(tmp_path / "w.safetensors"), f"{BUCKET}/w.safetensors")
    clip = write_clip(tmp_path, "normal", 2)
    fitting = ["fit", clip, "--scene", "gate", *QUICK, "--set"]
    places = {"file": f"{tmp_path}/w.safetensors", "bucket": f"{AT}/w.safetensors"}
    for name, place in places.items():
        outcome = command(*fitting, f"model.weights={place}", "--scenes", tmp_path / "scenes" / name)
        assert outcome.code == 0, outcome.err
    one, other = (tmp_path / "scenes" / name / "gate" for name in places)
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert json.loads((other / "scene.json").read_text())["settings"]["model"]["weights"] == f"{AT}/w.safetensors"
    shutil.rmtree(tmp_path / "scenes")
