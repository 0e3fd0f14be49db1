"""The embedded backbone: a pyramid like any other, with weights that come with the package."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.fft import dctn
from torch.nn import functional as F

from msflow_stream.files import file_hash
from msflow_stream.model import embedded
from msflow_stream.model.pyramid import Pyramid, load_weights
from msflow_stream.types import UserError

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def test_its_stages_are_at_strides_4_8_and_16_with_even_channels() -> None:
    features = Pyramid("embedded", pool="none")(IMAGES)
    assert [tuple(f.shape[1:]) for f in features] == [(48, 16, 24), (48, 8, 12), (48, 4, 6)]
    assert all(channels % 2 == 0 for channels in embedded.CHANNELS)


def test_fewer_stages_are_the_same_features_and_less_work() -> None:
    weights = Pyramid("embedded").backbone.state_dict()
    whole = Pyramid("embedded", weights)
    for stage in (1, 2, 3):
        part = Pyramid("embedded", weights, stages=(stage,))
        assert torch.allclose(part(IMAGES)[0], whole(IMAGES)[stage - 1], atol=1e-5)
    shallow = Pyramid("embedded", weights, stages=(1,))
    assert sum(p.numel() for p in shallow.parameters()) < sum(p.numel() for p in whole.parameters()) / 3


@pytest.mark.parametrize("size", [(33, 50), (47, 64), (90, 91)])
def test_a_picture_of_any_size_has_stages_of_its_size_by_4_8_and_16_rounded_up(size: tuple[int, int]) -> None:
    features = Pyramid("embedded", pool="none")(torch.zeros(1, 3, *size))
    assert [f.shape[2:] for f in features] == [tuple(-(-n // stride) for n in size) for stride in (4, 8, 16)]


def test_stage_3_is_stage_2_of_the_picture_at_half_the_size() -> None:
    half = F.avg_pool2d(IMAGES, 2)
    second, third = (Pyramid("embedded", stages=(stage,), pool="none") for stage in (2, 3))
    assert torch.allclose(third(IMAGES)[0], second(half)[0], atol=1e-5)


def test_what_stands_out_does_not_depend_on_the_contrast_of_the_camera() -> None:
    picture = F.avg_pool2d(torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1)), 3, 1, 1)
    strong, weak = (embedded.Contrast()(4 * gain * (picture - 0.5)) for gain in (2.0, 1.0))
    assert float((strong - weak).abs().mean() / strong.abs().mean()) < 0.3  # without it: 0.5
    assert float(embedded.Contrast()(torch.full((1, 3, 64, 96), 2.0)).std()) < 1e-5


@pytest.mark.parametrize("size", [(64, 96), (33, 50)])
def test_of_an_even_picture_a_part_of_the_brightness_stays_and_more_of_the_colour(size: tuple[int, int]) -> None:
    colour = torch.tensor([1.0, -0.5, 0.1]).view(1, 3, 1, 1)
    expected = embedded.BRIGHTNESS * colour.mean() + embedded.COLOUR * (colour - colour.mean())
    assert torch.allclose(embedded.Contrast()(colour.expand(1, 3, *size)), expected.expand(1, 3, *size), atol=1e-4)


def test_contrast_is_taken_of_overlapping_windows() -> None:
    def around(x: torch.Tensor) -> torch.Tensor:
        means = F.avg_pool2d(x, 12, stride=4, padding=4, count_include_pad=False)
        return F.interpolate(means, scale_factor=4, mode="bilinear", align_corners=False)

    mean = around(IMAGES)
    detail, grey = IMAGES - mean, mean.mean(1, keepdim=True)
    expected = detail / (around(detail.square().mean(1, keepdim=True)).sqrt() + embedded.FAINT)
    expected = expected + embedded.BRIGHTNESS * grey + embedded.COLOUR * (mean - grey)
    assert torch.allclose(embedded.Contrast()(IMAGES), expected, atol=1e-5)


def seen(pixels: torch.Tensor) -> torch.Tensor:
    """What becomes of pictures within 0 and 1."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (embedded.MEAN, embedded.STD))
    return embedded.Pixels()((pixels - mean) / std)


def coefficients(plane: torch.Tensor, orders: list[tuple[int, int]]) -> torch.Tensor:
    """Of the cosine transform of the cells of a picture (8 12): the means for (0, 0), the fine ones raised, N 2 3."""
    cells = plane.double().reshape(2, 4, 3, 4).transpose(1, 2)  # 2 3 4 4
    transform = torch.from_numpy(dctn(cells.numpy(), axes=(2, 3), norm="ortho")) / 4
    return torch.stack([10 * (1 + 1.5 * (i + j)) * transform[..., i, j] for i, j in orders])


def test_pixels_of_an_even_cell_are_its_brightness_and_its_two_colours() -> None:
    red, green, blue = 0.9, 0.2, 0.3
    found = seen(torch.tensor([red, green, blue]).view(1, 3, 1, 1).expand(1, 3, 4, 4)).flatten()
    expected = torch.zeros(16)
    expected[0] = 10 * ((red + green + blue) / 3 - 0.5)
    expected[8], expected[12] = 10 * (red - green), 10 * ((red + green) / 2 - blue)
    assert torch.allclose(found, expected, atol=1e-5)


def test_pixels_of_a_grey_picture_are_all_of_its_cosine_transform_the_fine_part_raised() -> None:
    grey = torch.rand(1, 1, 8, 12, generator=torch.Generator().manual_seed(2))
    expected = coefficients(grey[0, 0], list(product(range(4), repeat=2)))
    expected[0] -= 5
    found = seen(grey.expand(-1, 3, -1, -1))[0].double()  # 16 2 3
    assert torch.allclose(expected.sort(0).values, found.sort(0).values, atol=1e-4)


def test_pixels_of_a_coloured_picture_are_coarse_brightness_and_coarse_colours() -> None:
    red, green, blue = picture = torch.rand(3, 8, 12, generator=torch.Generator().manual_seed(3))
    found = seen(picture[None])[0].double()
    coarse = coefficients((red + green + blue) / 3, [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1)])
    coarse[0] -= 5
    assert torch.allclose(found[:8].sort(0).values, coarse.sort(0).values, atol=1e-4)
    square = [(0, 0), (0, 1), (1, 0), (1, 1)]
    colours = torch.cat([coefficients(plane, square) for plane in (red - green, (red + green) / 2 - blue)])
    assert torch.allclose(found[8:], colours, atol=0.05)  # of the fine brightness next to nothing is left


@pytest.mark.parametrize("part", [embedded.Contrast(), embedded.Pixels()])
def test_the_last_rows_and_columns_of_a_picture_of_any_size_are_repeated(part: torch.nn.Module) -> None:
    whole = F.pad(IMAGES[..., :33, :50], (0, 2, 0, 3), mode="replicate")
    height, width = (33, 50) if isinstance(part, embedded.Contrast) else (9, 13)
    assert torch.equal(part(IMAGES[..., :33, :50]), part(whole)[..., :height, :width])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_differs_little_from_its_surroundings_is_not_lost_in_lower_precision(dtype: torch.dtype) -> None:
    wall = 2 + 0.02 * torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(4))
    for part in (embedded.Contrast(), embedded.Pixels()):
        expected = part(wall)
        with torch.autocast("cpu", dtype):
            assert torch.equal(part(wall), expected)


def test_it_pads_by_reflection() -> None:
    stem = Pyramid("embedded").backbone.stem[0]  # type: ignore[index, union-attr]
    padded = F.pad(IMAGES, (1, 1, 1, 1), mode="reflect")
    assert torch.allclose(stem(IMAGES), F.conv2d(padded, stem.weight, stride=2), atol=1e-5)


def test_random_weights_keep_the_size_of_signals() -> None:
    for features in Pyramid("embedded", seed=3, pool="none")(IMAGES):
        assert 0.1 < float(features.std()) < 10


def test_what_it_lacks_is_said() -> None:
    with pytest.raises(UserError, match=r"embedded has no stage 4: it has \[1, 2, 3\]"):
        Pyramid("embedded", stages=(3, 4))
    with pytest.raises(UserError, match=r"not those of embedded: stem\.0\.weight should be .* found nothing"):
        Pyramid("embedded", {})


def test_weights_of_a_file_are_taken_as_float32(tmp_path: Path) -> None:
    state = Pyramid("embedded", seed=5).backbone.state_dict()
    kept = {k: v.half().contiguous() for k, v in state.items() if not k.endswith("num_batches_tracked")}
    save_file(kept, tmp_path / "w.safetensors")
    pyramid = Pyramid("embedded", load_weights("embedded", str(tmp_path / "w.safetensors")))
    assert all(value.dtype in (torch.float32, torch.int64) for value in pyramid.state_dict().values())
    expected = Pyramid("embedded", {k: v.float() for k, v in kept.items()})(IMAGES)
    assert all(torch.equal(a, b) for a, b in zip(pyramid(IMAGES), expected, strict=True))


def test_the_packaged_weights_are_small_whole_and_what_pretrained_means() -> None:
    assert embedded.FILE.stat().st_size <= 8e6
    assert f'"sha256": "{file_hash(embedded.FILE)}"' in embedded.RECORD.read_text(encoding="utf-8")
    assert all(value.dtype == torch.float16 for value in load_file(embedded.FILE).values())
    pretrained = Pyramid("embedded", load_weights("embedded", "pretrained"))(IMAGES)
    drawn = Pyramid("embedded", load_weights("embedded", "random"))(IMAGES)
    assert all(torch.isfinite(f).all() for f in pretrained)
    assert not torch.allclose(pretrained[0], drawn[0])


def test_a_package_without_weights_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, "FILE", tmp_path / "gone.safetensors")
    with pytest.raises(UserError, match="install the package again"):
        load_weights("embedded", "pretrained")
