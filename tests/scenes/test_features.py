from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from msflow_stream.machine import usable_memory
from msflow_stream.scenes.features import FeatureCache

SHAPES = [(3, 4, 6), (5, 2, 3)]  # C H W of two scales
NEVER, AT_ONCE = 10**9, 0  # memory limits
FRAME_BYTES = 4 * sum(c * h * w for c, h, w in SHAPES)


def features(frames: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(frames, *shape, generator=generator) for shape in SHAPES]


def part(whole: list[Tensor], start: int, end: int) -> list[Tensor]:
    return [scale[start:end] for scale in whole]


def same(found: list[Tensor], expected: list[Tensor]) -> bool:
    assert all(scale.dtype == torch.float32 for scale in found)
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=6),
    st.sampled_from([NEVER, AT_ONCE, 3 * FRAME_BYTES, 7 * FRAME_BYTES]),
    st.sampled_from([torch.float32, torch.float16]),
    st.data(),
)
def test_the_cache_gives_back_the_same_features_from_memory_and_from_disk_in_any_order(
    batches: list[int], limit: int, dtype: torch.dtype, data: st.DataObject
) -> None:
    whole = features(sum(batches))
    stored = [scale.to(dtype).float() for scale in whole]
    with FeatureCache(dtype, limit) as cache:
        count = 0
        for size in batches:
            cache.add(part(whole, count, count + size))
            count += size
            positions = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=8))
            assert same(cache.batch(positions), [scale[positions] for scale in stored])  # also between two appends
            assert len(cache) == count
            assert cache.on_disk == (cache.bytes > limit)


@pytest.mark.parametrize("limit", [NEVER, AT_ONCE])
def test_float16_rounds_and_float32_does_not(limit: int) -> None:
    whole = features(8)
    with FeatureCache(torch.float32, limit) as exact, FeatureCache(torch.float16, limit) as half:
        exact.add(whole)
        half.add(whole)
        assert same(exact.batch(range(8)), whole)
        for found, expected in zip(half.batch(range(8)), whole, strict=True):
            assert not torch.equal(found, expected)
            assert torch.allclose(found, expected, rtol=2**-11, atol=2**-25)  # half a unit in the last place
        assert half.bytes * 2 == exact.bytes == 8 * FRAME_BYTES


def test_appending_after_the_spill_goes_on_after_what_was_read(tmp_path: Path) -> None:
    whole = features(9)
    with FeatureCache(memory_limit=2 * FRAME_BYTES, folder=tmp_path) as cache:
        cache.add(part(whole, 0, 2))
        assert not cache.on_disk
        cache.add(part(whole, 2, 4))
        assert cache.on_disk
        assert same(cache.batch([3, 0]), [scale[[3, 0]] for scale in whole])
        cache.add(part(whole, 4, 9))
        assert same(cache.batch(range(9)), whole)


@pytest.mark.parametrize("limit", [NEVER, AT_ONCE])
def test_the_cache_keeps_copies_both_ways(limit: int) -> None:
    whole = features(3)
    with FeatureCache(memory_limit=limit) as cache:
        given = [scale.clone() for scale in whole]
        cache.add(given)
        for scale in (*given, *cache.batch([0, 1, 2])):
            scale.zero_()
        assert same(cache.batch([0, 1, 2]), whole)


@pytest.mark.skipif(sys.platform != "linux", reason="files without a name are Linux's")
def test_the_files_of_the_cache_have_no_name(tmp_path: Path) -> None:
    with FeatureCache(memory_limit=AT_ONCE, folder=tmp_path) as cache:
        cache.add(features(3))
        assert cache.on_disk
        assert list(tmp_path.iterdir()) == []
        links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        ours = [link for link in links if link.is_relative_to(tmp_path)]
        assert len(ours) == len(SHAPES)
        assert all(link.name.endswith("(deleted)") for link in ours)


def test_a_closed_cache_leaves_no_file_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208  a Path would open one more
    with FeatureCache(memory_limit=AT_ONCE, folder=tmp_path) as cache:
        cache.add(features(3))
        assert len(os.listdir("/dev/fd")) == before + len(SHAPES)  # noqa: PTH208
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208
    assert list(tmp_path.iterdir()) == []


def test_the_memory_limit_is_a_quarter_of_the_machine_unless_given() -> None:
    assert FeatureCache().memory_limit == usable_memory() // 4
    assert FeatureCache(memory_limit=5).memory_limit == 5
