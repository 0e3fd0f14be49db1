from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msflow_stream.datasets.images import load_image, load_mask
from msflow_stream.datasets.mtd import mtd
from msflow_stream.types import UserError
from tests.support import data

FREE = 10


def draw(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 3)).save(path)


def tiles(root: Path) -> Path:
    for number in range(FREE):
        draw(root / "MT_Free" / "Imgs" / f"exp1_{number}.jpg", root / "MT_Free" / "Imgs" / f"exp1_{number}.png")
    for kind, stems in (("Uneven", "ab"), ("Blowhole", "c")):
        for stem in stems:
            draw(root / f"MT_{kind}" / "Imgs" / f"{stem}.jpg", root / f"MT_{kind}" / "Imgs" / f"{stem}.png")
    return root


def test_kinds_are_the_folders_and_masks_are_no_images(tmp_path: Path) -> None:
    (found,) = mtd(tiles(tmp_path))
    assert found.name == "magnetic_tile"
    anomalous = [still for still in found.test if still.anomalous]
    assert [(still.kind, still.name) for still in anomalous] == [
        ("blowhole", "MT_Blowhole/Imgs/c.jpg"),
        ("uneven", "MT_Uneven/Imgs/a.jpg"),
        ("uneven", "MT_Uneven/Imgs/b.jpg"),
    ]
    assert [still.mask for still in anomalous] == [still.path.with_suffix(".png") for still in anomalous]
    assert all(still.mask is None for still in found.fit + found.test if not still.anomalous)
    assert {still.path.suffix for still in found.fit + found.test} == {".jpg"}
    assert list(found.test) == sorted(found.test, key=lambda still: (still.kind, still.name))


@pytest.mark.parametrize(("share", "seed"), [(0.8, 0), (0.8, 1), (0.5, 7), (0.25, 0)])
def test_the_first_of_the_permuted_free_tiles_are_to_fit(tmp_path: Path, share: float, seed: int) -> None:
    (found,) = mtd(tiles(tmp_path), fit_share=share, seed=seed)
    names = np.array([f"MT_Free/Imgs/exp1_{number}.jpg" for number in range(FREE)])
    permuted = np.random.default_rng(seed).permutation(names)
    fit = {0.8: 8, 0.5: 5, 0.25: 2}[share]  # round(2.5) is 2
    assert [still.name for still in found.fit] == sorted(permuted[:fit])
    assert [still.name for still in found.test if not still.anomalous] == sorted(permuted[fit:])


def test_a_seed_gives_the_same_split_again_and_another_seed_another(tmp_path: Path) -> None:
    tiles(tmp_path)
    assert mtd(tmp_path, seed=3) == mtd(tmp_path, seed=3)
    assert len({mtd(tmp_path, seed=seed)[0].fit for seed in range(5)}) > 1


def test_a_defect_without_a_mask_is_told(tmp_path: Path) -> None:
    (tiles(tmp_path) / "MT_Uneven" / "Imgs" / "b.png").unlink()
    (found,) = mtd(tmp_path)
    assert [still.name for still in found.missing_masks] == ["MT_Uneven/Imgs/b.jpg"]


def test_clutter_is_no_tile(tmp_path: Path) -> None:
    before = mtd(tiles(tmp_path))
    (tmp_path / "MT_Free" / "Imgs" / "Thumbs.db").touch()
    (tmp_path / "README.md").touch()
    draw(tmp_path / "MT_Free" / "Imgs" / "._exp1_0.jpg", tmp_path / "pictures" / "a.jpg")
    assert mtd(tmp_path) == before


@pytest.mark.parametrize("share", [-1, 0, 0.04, 0.96, 1, 2])
def test_a_share_that_leaves_no_tile_to_fit_or_to_test_is_an_error(tmp_path: Path, share: float) -> None:
    with pytest.raises(UserError, match=rf"a share of {share} of 10 free tiles leaves none"):
        mtd(tiles(tmp_path), fit_share=share)


def test_another_tree_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "MT_Blowhole").mkdir()
    with pytest.raises(UserError, match=r"expected MT_Free/Imgs/\*\.jpg .*; found MT_Blowhole/$") as error:
        mtd(tmp_path)
    assert "\n" not in str(error.value)
    draw(tmp_path / "MT_Free" / "a.jpg")
    with pytest.raises(
        UserError, match=r"MT_Free/Imgs: no such folder; expected images .*; found a\.jpg in .*MT_Free$"
    ):
        mtd(tmp_path)


def test_the_real_tiles_are_all_found_and_every_defect_is_marked() -> None:
    (found,) = mtd(data.test_data() / "magnetic_tile")
    assert len(found.fit) == 320
    kinds = Counter(still.kind for still in found.test)
    assert set(kinds) == {"good", "blowhole", "break", "crack", "fray", "uneven"}
    assert kinds["good"] == 80
    assert kinds.total() - kinds["good"] == 196
    assert found.has_masks
    assert not {still.path for still in found.fit} & {still.path for still in found.test}
    for still in [still for still in found.test if still.anomalous][::20]:
        assert still.mask is not None
        image = load_image(still.path)
        marked = load_mask(still.mask, image.shape[:2]).mean()
        assert 0 < marked < 1
