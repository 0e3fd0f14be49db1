"""`evaluate` and `fit --scenes-from` on a cluster: the files of one machine, whatever dies meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import cli
from msflow_stream.config.loading import load
from pipelines.cluster.session import connected
from pipelines.evaluate import EvaluateJob, evaluate, settings_file
from pipelines.fit import FitJob
from pipelines.fit_many import fit_many
from tests.support.batch_jobs import differences, node_in_a_fit, write_views, write_walkways
from tests.support.footage import SMALL, small_flags, small_settings
from tests.support.ray_cluster import kill_node, ray_cluster
from tests.support.watching import until

pytestmark = pytest.mark.cluster

PASSES = "fit.passes=12"
LONG = 600.0  # seconds; nodes import PyTorch first, all at once
ENGINE = ("engine.name=torch", "engine.precision=float32")  # which no trial chooses


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with ray_cluster(nodes=3) as cluster:
        yield cluster


def test_an_evaluation_of_which_a_node_is_killed_leaves_the_files_of_one_machine(cluster: Any, tmp_path: Path) -> None:
    root = write_walkways(tmp_path / "campus", ["01", "02", "03"])
    settings = load(settings_file("mstc"), [*SMALL, PASSES, *ENGINE])

    def job(out: str) -> EvaluateJob:
        return EvaluateJob(data="mstc", root=root, out=tmp_path / out, device="cpu")

    evaluate(job("here"), settings)
    killed: list[Any] = []
    killer = Thread(target=_kill_one_in_a_fit, args=(cluster, tmp_path / "there" / "scenes", killed))
    killer.start()
    with connected(cluster.address) as session:
        evaluate(job("there"), settings, runner=session)
    killer.join()
    assert killed
    assert differences(tmp_path / "here", tmp_path / "there") == []


def test_fits_of_which_the_head_is_killed_go_on_when_they_are_begun_again(cluster: Any, tmp_path: Path) -> None:
    root, names = tmp_path / "views", ["door", "gate", "hall", "yard"]
    write_views(root, names)
    fit_many(root, tmp_path / "here", small_settings(PASSES), FitJob(device="cpu"))
    there = tmp_path / "there"
    command = [sys.executable, cli.__file__, "fit", "--scenes-from", root, "--scenes", there, "--device", "cpu"]
    command = [*map(str, command), *small_flags(PASSES), "--cluster"]
    driver = subprocess.Popen([*command, cluster.address], stderr=subprocess.PIPE, text=True)
    until(lambda: any(there.glob(".*.fit/pass-*.sha256")), "no fit came to a pass", LONG, 0.02)
    kill_node(cluster.head_node)
    _, said = driver.communicate()
    assert driver.returncode == 2
    assert "the same command goes on" in " ".join(said.split())
    with ray_cluster(nodes=1, cpus=2) as again:
        assert subprocess.run([*command, again.address], check=False).returncode == 0
    assert differences(tmp_path / "here", there) == []


def _kill_one_in_a_fit(cluster: Any, scenes: Path, killed: list[Any]) -> None:
    killed.append(until(lambda: node_in_a_fit(cluster, scenes), "no node came to a fit", LONG, 0.02))
    kill_node(killed[0])
