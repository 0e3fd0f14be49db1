"""Views of scenes: where a camera looks, what is delivered, and edges as targets."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from msflow_stream.pretraining.objective import DIRECTIONS, EDGES, edges
from msflow_stream.pretraining.views import _blurred, centres, draw_view, project

SCENES = F.interpolate(torch.rand(6, 3, 9, 9, generator=torch.Generator().manual_seed(0)), (96, 96), mode="bilinear")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_view_depends_on_its_chance_alone() -> None:
    first, again, other = draw_view(SCENES, 64, rng(1)), draw_view(SCENES, 64, rng(1)), draw_view(SCENES, 64, rng(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.seen, other.seen)


def test_two_deliveries_show_the_same_with_other_faults() -> None:
    view = draw_view(SCENES, 64, rng())
    for picture in (view.seen, view.again, view.clean):
        assert picture.shape == (6, 3, 64, 64)
        assert picture.min() >= 0
        assert picture.max() <= 1
    assert not torch.equal(view.seen, view.again)
    same = (view.seen - view.again).abs().mean()
    others = (view.seen - view.again.roll(1, 0)).abs().mean()
    assert same < 0.6 * others


def test_half_of_the_pictures_are_blurred_each_colour_by_itself() -> None:
    pictures = torch.rand(64, 3, 32, 32, generator=rng()) * torch.tensor([1.0, 1.0, 0.0]).view(3, 1, 1)
    blurred = _blurred(pictures, rng())
    left = blurred[:, :2].std((2, 3)) / pictures[:, :2].std((2, 3))  # of the detail
    assert 0.3 < float((left[:, 0] < 0.99).float().mean()) < 0.7
    assert float(left.min()) < 0.4
    assert torch.allclose(left[:, 0], left[:, 1], atol=0.1), "both colours alike"
    assert float(blurred[:, 2].abs().max()) == 0, "no colour runs into another"
    assert torch.allclose(_blurred(torch.full((8, 3, 32, 32), 0.3), rng()), torch.tensor(0.3))


def test_a_point_of_a_view_is_found_in_its_scene() -> None:
    """A ramp tells where one is: in a picture whose value is its x, the view shows the x that `where` gives."""
    ramp = ((torch.arange(96) + 0.5) / 96).expand(8, 3, 96, 96)
    view = draw_view(ramp, 64, rng(3))
    x = project(view.where, centres(64, 64).flatten(0, 1).expand(8, -1, -1))[..., 0]
    inside = (x.abs() < 0.95) & (view.clean.mean(1).flatten(1) > 0.05) & (view.clean.mean(1).flatten(1) < 0.95)
    for number in range(8):
        found = view.clean[number].mean(0).flatten()[inside[number]]
        if len(found) > 50:  # light changes gain and offset, so only what is linear is left
            assert float(torch.corrcoef(torch.stack((found, x[number][inside[number]])))[0, 1]) > 0.999


def test_centres_are_those_of_cells() -> None:
    assert centres(2, 4)[:, :, 0].tolist() == [[-0.75, -0.25, 0.25, 0.75]] * 2
    assert centres(2, 4)[:, 0, 1].tolist() == [-0.5, 0.5]


@pytest.mark.parametrize("direction", range(DIRECTIONS))
def test_edges_tell_the_direction_of_a_grating(direction: int) -> None:
    angle = torch.tensor(direction * torch.pi / DIRECTIONS)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    grating = 0.5 + 0.4 * torch.sin(0.7 * (x * torch.cos(angle) + y * torch.sin(angle)))
    found = edges(grating.expand(1, 3, 64, 64), (16, 16))
    assert found.shape == (1, EDGES, 16, 16)
    assert int(found[0, 1 : 1 + DIRECTIONS, 8, 8].argmax()) == direction


def test_edges_of_a_plain_picture_have_no_direction() -> None:
    found = edges(torch.full((1, 3, 32, 32), 0.4), (4, 4))
    assert torch.allclose(found[:, 1 : 1 + DIRECTIONS], torch.full((1, DIRECTIONS, 4, 4), -1.0))
    assert bool((found[:, 0] < -1).all())
