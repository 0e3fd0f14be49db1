"""Jobs whose units are done elsewhere, in any order and each twice, leave the files that they leave here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from msflow_stream.config.loading import load
from msflow_stream.types import UserError
from pipelines.ablate import AblateJob, ablate
from pipelines.build_mstc import build_mstc
from pipelines.build_mstc_video import BuildJob
from pipelines.calibrate import CalibrateJob, calibrate
from pipelines.evaluate import EvaluateJob, evaluate, settings_file
from pipelines.fit import FitJob
from pipelines.fit_many import fit_many
from pipelines.units import Failed, OnDone, Share, Unit
from tests.pipelines.conftest import Workplace
from tests.support.batch_jobs import differences, write_views
from tests.support.campus import write_campus
from tests.support.footage import SMALL, small_settings
from tests.support.stills import write_mvtec

cloudpickle = pytest.importorskip("ray.cloudpickle")
QUICK = [*SMALL, "fit.passes=1", "fit.holdout=0", "engine.name=torch", "engine.precision=float32"]


class Elsewhere:
    """A runner like a cluster: the last unit first, each sent as bytes, and done twice as if a node had died."""

    def __init__(self, stops_after: int | None = None) -> None:
        self._left = stops_after

    def share(self, device: str, gpu: float = 1) -> Share:
        return Share("cpu", 1, 0)

    def run(self, units: Iterable[Unit], on_done: OnDone, title: str = "") -> None:
        for unit in reversed(list(units)):
            if self._left == 0:
                raise UserError("the cluster is gone")
            answers = [self._answer(unit) for _ in range(2)]
            on_done(unit, answers[-1])
            self._left = None if self._left is None else self._left - 1

    def _answer(self, unit: Unit) -> Any:
        call, args, warm = cloudpickle.loads(cloudpickle.dumps((unit.call, unit.args, unit.warm)))
        try:
            made = [] if warm is None else [warm.make(*warm.args)]
            return cloudpickle.loads(cloudpickle.dumps(call(*made, *args)))
        except (UserError, OSError, RuntimeError) as error:
            return Failed(str(error))


def test_fits(tmp_path: Path) -> None:
    views = write_views(tmp_path / "views", ["gate", "yard"], 2)
    (views / "broken").mkdir()
    (views / "broken" / "bad.mp4").write_bytes(b"no video")
    for out, runner in (("here", None), ("there", Elsewhere())):
        with pytest.raises(UserError, match="1 of 3 scenes failed"):
            fit_many(views, tmp_path / out, small_settings("fit.passes=1"), FitJob(device="cpu"), runner)
    assert differences(tmp_path / "here", tmp_path / "there") == []


def test_an_evaluation_with_two_seeds(tmp_path: Path) -> None:
    root, settings = (
        write_mvtec(tmp_path / "mvtec", ("plate", "sheet"), fit=4, test=2),
        load(settings_file("mvtec"), QUICK),
    )

    def job(out: str) -> EvaluateJob:
        return EvaluateJob(data="mvtec", root=root, out=tmp_path / out, seeds=2, device="cpu")

    evaluate(job("here"), settings)
    with pytest.raises(UserError, match="the cluster is gone"):
        evaluate(job("there"), settings, runner=Elsewhere(stops_after=2))
    evaluate(job("there"), settings, runner=Elsewhere())
    assert differences(tmp_path / "here", tmp_path / "there") == []


def test_a_table_of_two_classes(tmp_path: Path) -> None:
    root, settings = (
        write_mvtec(tmp_path / "mvtec", ("plate", "sheet"), fit=3, test=2),
        load(settings_file("mvtec"), QUICK),
    )

    def job(out: str) -> AblateJob:
        return AblateJob(table="fusion", data="mvtec", root=root, out=tmp_path / out, device="cpu")

    ablate(job("here"), settings)
    with pytest.raises(UserError, match="the cluster is gone"):
        ablate(job("there"), settings, runner=Elsewhere(stops_after=1))
    ablate(job("there"), settings, runner=Elsewhere())
    assert differences(tmp_path / "here", tmp_path / "there") == []


def test_mstc(tmp_path: Path) -> None:
    tree = write_campus(tmp_path / "campus", {"01_001": 12, "02_001": 6}, {"01_0001": 11})
    build_mstc(tree, tmp_path / "here", BuildJob(workers=1))
    with pytest.raises(UserError, match="the cluster is gone"):
        build_mstc(tree, tmp_path / "there", BuildJob(workers=1), runner=Elsewhere(stops_after=2))
    build_mstc(tree, tmp_path / "there", BuildJob(workers=1), runner=Elsewhere())
    assert differences(tmp_path / "here", tmp_path / "there") == []


def test_a_calibration_which_goes_on_with_the_sources_that_are_left(workplace: Workplace, tmp_path: Path) -> None:
    normal = [str(workplace.folder / "normal.mp4"), str(workplace.clips / "first.mp4")]
    job = CalibrateJob(rate=1, normal=normal, device="cpu")
    for out in ("here", "there"):
        shutil.copytree(workplace.scenes / "gate", tmp_path / out / "gate")
    here = calibrate(tmp_path / "here" / "gate", job)
    with pytest.raises(UserError, match="the cluster is gone"):
        calibrate(tmp_path / "there" / "gate", job, runner=Elsewhere(stops_after=1))
    kept = list((tmp_path / "there" / ".gate.normal").iterdir())
    assert len(kept) == 1
    there = calibrate(tmp_path / "there" / "gate", job, runner=Elsewhere())
    assert there.calibration.model_dump(exclude={"basis": {"created"}}) == here.calibration.model_dump(
        exclude={"basis": {"created"}}
    )
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["gate"]


def test_a_calibration_of_which_a_source_fails_leaves_the_scene_as_it_was(workplace: Workplace, tmp_path: Path) -> None:
    shutil.copytree(workplace.scenes / "gate", tmp_path / "gate")
    before = json.loads((tmp_path / "gate" / "scene.json").read_text())
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    job = CalibrateJob(rate=1, normal=[str(workplace.folder / "normal.mp4"), str(tmp_path / "bad.mp4")], device="cpu")
    with pytest.raises(UserError, match="1 of 2 sources failed"):
        calibrate(tmp_path / "gate", job, runner=Elsewhere())
    assert json.loads((tmp_path / "gate" / "scene.json").read_text()) == before
