"""Scenes made from formulas: their classes, their labels, and the bank they are kept in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from msflow_stream.pretraining.pictures.bank import Bank, BankPlan, make
from msflow_stream.pretraining.pictures.fields import FAMILIES, field
from msflow_stream.pretraining.pictures.scenes import SHAPES, Composer, swatches
from msflow_stream.pretraining.pictures.shapes import KINDS, outline
from msflow_stream.types import UserError

PLAN = BankPlan(scenes=10, size=48, shard=4, textures=20, pieces=2)


@pytest.mark.parametrize("number", range(2 * len(FAMILIES)))
def test_a_texture_has_a_range_and_two_pieces_of_it_differ(number: int) -> None:
    first, again, other = (field(number, np.random.default_rng(seed), 64) for seed in (1, 1, 2))
    assert first.shape == (64, 64)
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1
    assert first.std() > 0.02


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_a_shape_lies_in_the_middle_and_has_about_its_size(kind: int) -> None:
    covered = sum(outline(kind, np.random.default_rng(seed), 100, 50).astype(float) / 255 for seed in range(40)) / 40
    y, x = np.nonzero(covered > 0.01)
    assert abs(float(x.mean()) - 50) < 8
    assert abs(float(y.mean()) - 50) < 8
    assert 25 < x.max() - x.min() <= 99
    assert 0.01 < float(covered.mean()) < 0.5


def test_labels_lie_on_what_they_name() -> None:
    composer = Composer(swatches(64, 0, 20, 2))
    edges_at_labels, edges_elsewhere = [], []
    for number in range(40):
        scene = composer.scene(np.random.default_rng(number))
        assert scene.image.shape == (64, 64, 3)
        assert scene.texture.shape == scene.shape.shape == (32, 32)
        assert scene.texture.max() < 20
        assert scene.shape.max() < SHAPES
        change = np.abs(np.diff(scene.image[::2, ::2].astype(float).mean(2), axis=1))
        border = np.diff(scene.shape.astype(int), axis=1) != 0
        edges_at_labels.append(change[border])
        edges_elsewhere.append(change[~border])
    assert np.concatenate(edges_at_labels).mean() > 2 * np.concatenate(edges_elsewhere).mean()


def test_a_scene_depends_on_its_chance_alone() -> None:
    composer = Composer(swatches(48, 0, 20, 2))
    first, again, other = (composer.scene(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)


def test_a_bank_is_the_same_whoever_makes_it_and_is_finished_after_a_kill(tmp_path: Path) -> None:
    assert sorted(make(tmp_path / "one", PLAN, workers=1)) == [2, 4, 4]
    assert sum(make(tmp_path / "two", PLAN, workers=2)) == 10
    (tmp_path / "two" / "shapes-0001.npy").unlink()  # as if killed before the shard was whole
    assert list(make(tmp_path / "two", PLAN, workers=1)) == [4]
    one, two = Bank(tmp_path / "one"), Bank(tmp_path / "two")
    for name in ("images", "textures", "shapes"):
        assert np.array_equal(one.read(name, np.arange(10)), two.read(name, np.arange(10)))
    assert list(make(tmp_path / "two", PLAN, workers=1)) == []


def test_scenes_are_taken_by_number_across_files(tmp_path: Path) -> None:
    list(make(tmp_path, PLAN, workers=1))
    bank = Bank(tmp_path)
    whole = bank.read("images", np.arange(10))
    assert whole.shape == (10, 48, 48, 3)
    assert np.array_equal(bank.read("images", np.array([9, 0, 4])), whole[[9, 0, 4]])


def test_another_bank_is_not_written_over(tmp_path: Path) -> None:
    list(make(tmp_path, PLAN, workers=1))
    with pytest.raises(UserError, match="bank of other settings"):
        list(make(tmp_path, BankPlan(scenes=12, size=48, shard=4, textures=20, pieces=2), workers=1))
    with pytest.raises(UserError, match="no bank"):
        Bank(tmp_path / "nothing")
