"""`bench metrics`: the figures are there, and the ways that are compared compute the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy.stats import norm

from pipelines.bench import metrics as bench
from pipelines.bench.machine import peak_memory


def test_bench_metrics_prints_and_saves_three_ways_and_the_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = 2 * bench.MAP_PIXELS + 1000
    results = bench.bench_metrics(masks=5, size=64, pixels=pixels, thresholds=1000, out=tmp_path / "figures.json")
    printed = capsys.readouterr().out
    assert [result["way"] for result in results] == [bench.USUAL, bench.REGIONS_ONCE, bench.STREAMING]
    assert all(result["seconds"] > 0 and result["way"] in printed for result in results)
    usual, once, streaming = (result["aupro"] for result in results)
    assert usual == once
    assert streaming == pytest.approx(usual, abs=0.005)  # the loop misses most values between its thresholds
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["aupro"] == results
    assert figures["pixel_auroc"]["pixels"] == pixels
    assert figures["pixel_auroc"]["auroc"] == pytest.approx(norm.cdf(0.5**0.5), abs=0.005)
    assert 2**20 < figures["pixel_auroc"]["peak_bytes"] < 2**30


def test_the_peak_of_memory_counts_what_was_freed_again() -> None:
    before = peak_memory()
    block = bytearray(before + 2**26)
    block[:: 2**12] = b"x" * len(block[:: 2**12])  # touched, page by page
    del block
    assert peak_memory() >= before + 2**26
