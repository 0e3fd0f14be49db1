"""Footage: features of every frame in order, the last part of each source held out, and a digest of which they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch

from msflow_stream.config.settings import FitSettings
from msflow_stream.machine import usable_memory
from msflow_stream.scenes.feature_cache import FeatureCache, feature_cache
from msflow_stream.scenes.features import BATCH, NormalFeatures, extract
from msflow_stream.scenes.scene import Scene
from msflow_stream.types import Frame
from tests.support.footage import frames, small_settings

Sources = list[Iterable[Frame]]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene.new("gate", small_settings())


def extracted(scene: Scene, sources: Iterable[Iterable[Frame]], holdout: float = 0.1) -> NormalFeatures:
    *_, footage = extract(scene, sources, FeatureCache(), holdout)
    return footage


def two_sources() -> Sources:
    return [frames(6, source="a"), frames(4, source="b")]


def test_every_frame_has_the_features_of_its_own_picture(scene: Scene) -> None:
    footage = extracted(scene, [frames(BATCH + 3, source="a"), frames(2, traffic=1, source="b")])
    expected = [*frames(BATCH + 3, source="a"), *frames(2, traffic=1, source="b")]
    assert footage.frames == [(frame.source, frame.index, frame.time) for frame in expected]
    for position, frame in enumerate(expected):
        own = scene.pyramid(scene.prepare(frame.image)[None])
        for found, features in zip(footage.cache.batch([position]), own, strict=True):
            assert torch.allclose(found, features, rtol=1e-4, atol=1e-5)


def test_the_footage_grows_batch_by_batch_and_no_batch_spans_two_sources(scene: Scene) -> None:
    sources = [frames(2 * BATCH + 1, source="a"), frames(3, source="b")]
    grown = [
        (len(footage.frames), len(footage.cache)) for footage in extract(scene, sources, FeatureCache(), holdout=0.1)
    ]
    assert grown == [(n, n) for n in (BATCH, 2 * BATCH, 2 * BATCH + 1, 2 * BATCH + 4)]


def test_a_source_is_not_asked_for_before_the_one_before_it_is_read(scene: Scene) -> None:
    events = []

    def source(name: str) -> Iterable[Frame]:
        events.append(f"{name} begins")
        yield from frames(2, source=name)
        events.append(f"{name} ends")

    extracted(scene, (source(name) for name in "ab"))
    assert events == ["a begins", "a ends", "b begins", "b ends"]


@pytest.mark.parametrize(
    ("count", "holdout", "expected"),
    [(1, 0.5, []), (2, 0.5, [1]), (3, 0.5, [2]), (9, 0.1, []), (10, 0.1, [9]), (19, 0.1, [18]), (20, 0.1, [18, 19])],
)
def test_the_held_out_part_of_a_source_is_rounded_down(
    scene: Scene, count: int, holdout: float, expected: list[int]
) -> None:
    footage = extracted(scene, [frames(count)], holdout)
    assert footage.held_out == expected
    assert footage.fitted == [position for position in range(count) if position not in expected]


def test_sources_of_few_frames_are_fitted_whole_however_many_they_are(scene: Scene) -> None:
    footage = extracted(scene, [frames(4, source=str(number)) for number in range(5)])
    assert len(footage.frames) == 20  # a tenth of which would be two
    assert footage.held_out == []
    assert footage.fitted == list(range(20))


def test_without_holdout_all_frames_are_fitted(scene: Scene) -> None:
    assert extracted(scene, [frames(20)], holdout=0.0).held_out == []


def test_a_source_without_frames_changes_nothing(scene: Scene) -> None:
    without, with_empty = extracted(scene, two_sources(), 0.5), extracted(scene, [[], *two_sources(), []], 0.5)
    assert with_empty.held_out == without.held_out == [3, 4, 5, 8, 9]
    assert with_empty.sources == without.sources == {"a": 6, "b": 4}
    assert with_empty.digest == without.digest


def test_the_same_sources_sampled_alike_have_the_same_digest_whatever_is_held_out(scene: Scene) -> None:
    assert extracted(scene, two_sources()).digest == extracted(scene, two_sources(), holdout=0.5).digest


def test_the_digest_is_not_of_pixels(scene: Scene) -> None:
    one, other = extracted(scene, [frames(4)]), extracted(scene, [frames(4, traffic=1)])
    assert not torch.equal(one.cache.batch([3])[0], other.cache.batch([3])[0])
    assert one.digest == other.digest


@pytest.mark.parametrize(
    "change",
    [
        lambda: [frames(6, source="a")],
        lambda: [frames(6, source="a"), frames(4, source="c")],
        lambda: [frames(4, source="b"), frames(6, source="a")],
        lambda: [frames(6, source="a"), frames(3, source="b")],
        lambda: [frames(5, source="a"), frames(5, source="b")],
        lambda: [frames(6, every=4, source="a"), frames(4, source="b")],
        lambda: [frames(6, source="a"), (Frame("b", f.index, f.pts, f.time + 1e-3, None, f.image) for f in frames(4))],
    ],
    ids=["one less", "another name", "another order", "shorter", "moved", "sampled closer", "other times"],
)
def test_other_frames_have_another_digest(scene: Scene, change: Callable[[], Sources]) -> None:
    assert extracted(scene, change()).digest != extracted(scene, two_sources()).digest


def test_the_cache_is_as_the_settings_ask() -> None:
    default = feature_cache(FitSettings())
    assert (default.dtype, default.memory_limit) == (torch.float32, usable_memory() // 4)
    asked = feature_cache(FitSettings(cache_dtype="float16", cache_memory=0.5))
    assert (asked.dtype, asked.memory_limit) == (torch.float16, 2**29)
