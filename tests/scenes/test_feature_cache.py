from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from msflow_stream.config.settings import FitSettings
from msflow_stream.machine import usable_memory
from msflow_stream.scenes.feature_cache import DeviceCache, FeatureCache, feature_cache
from tests.support.fake_gpu import CUDA, FakeGpu

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


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=6),
    st.sampled_from([NEVER, AT_ONCE, 3 * FRAME_BYTES, 7 * FRAME_BYTES]),
    st.sampled_from([torch.float32, torch.float16]),
    st.data(),
)
def test_a_cache_on_the_device_gives_back_what_one_in_memory_does(
    batches: list[int], limit: int, dtype: torch.dtype, data: st.DataObject
) -> None:
    whole, count = features(sum(batches)), 0
    with FeatureCache(dtype) as expected, DeviceCache(torch.device("cpu"), FeatureCache(dtype), limit) as cache:
        for size in batches:
            for one in (cache, expected):
                one.add(part(whole, count, count + size))
            count += size
            positions = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=8))
            if data.draw(st.booleans()):
                cache.prefetch(positions)
            found = cache.batch(positions)
            assert same(found, expected.batch(positions))
            assert all(one.is_contiguous(memory_format=torch.channels_last) for one in found)
            assert (len(cache), cache.bytes, cache.sizes) == (len(expected), expected.bytes, expected.sizes)
            assert cache.on_device == (cache.bytes <= limit)


def test_a_cache_on_the_device_keeps_copies_both_ways() -> None:
    whole = features(3)
    with DeviceCache(torch.device("cpu"), FeatureCache(), NEVER) as cache:
        given = [scale.clone() for scale in whole]
        cache.add(given)
        for scale in (*given, *cache.batch([0, 1, 2])):
            scale.zero_()
        assert same(cache.batch([0, 1, 2]), whole)


def test_what_no_longer_fits_the_device_and_the_memory_goes_to_disk(tmp_path: Path) -> None:
    whole = features(9)
    host = FeatureCache(memory_limit=4 * FRAME_BYTES, folder=tmp_path)
    with DeviceCache(torch.device("cpu"), host, 2 * FRAME_BYTES) as cache:
        for start in range(0, 9, 2):
            cache.add(part(whole, start, start + 2))
            assert (cache.on_device, host.on_disk) == (start < 2, start >= 4)
        assert same(cache.batch(range(9)), whole)


def test_batches_that_nobody_asked_for_do_not_pile_up() -> None:
    with DeviceCache(torch.device("cpu"), FeatureCache(), AT_ONCE) as cache:
        cache.add(features(9))
        for position in range(9):
            cache.prefetch([position])
        assert len(cache._uploads) == 2


def test_a_gpu_gives_half_of_its_free_memory_unless_told_to_give_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msflow_stream.scenes.feature_cache.free_memory", lambda device: 6 * 2**30)
    for asked, room, memory in ((None, 3 * 2**30, usable_memory() // 4), (1, 2**30, 2**30), (5, 3 * 2**30, 5 * 2**30)):
        cache = feature_cache(FitSettings(cache_memory=asked), device=torch.device("cuda:1"))
        assert isinstance(cache, DeviceCache)
        assert (cache.device, cache.memory_limit, cache.host.memory_limit) == (torch.device("cuda:1"), room, memory)
    assert isinstance(feature_cache(FitSettings(), device=torch.device("cpu")), FeatureCache)


def test_features_on_a_gpu_come_back_there_without_waiting() -> None:
    with FakeGpu() as gpu, DeviceCache(CUDA, FeatureCache(torch.float16), NEVER) as cache:
        cache.add([torch.empty(5, *shape, device=CUDA) for shape in SHAPES])
        found = cache.batch([3, 0, 3])
        assert [(one.device, one.dtype, one.shape) for one in found] == [
            (CUDA, torch.float32, (3, *shape)) for shape in SHAPES
        ]
        assert (gpu.synchronisations, gpu.uploads, gpu.downloads) == ([], [], [])
