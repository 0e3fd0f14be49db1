"""The training of the embedded backbone: it learns, from its seed alone, and goes on where it was stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from msflow_stream.model.embedded import LEARNT
from msflow_stream.pretraining.learner import (
    GAIN,
    STAGES,
    Learner,
    Moments,
    Recipe,
    normalised,
    observe,
    project,
    rate_factor,
)
from msflow_stream.pretraining.objective import Weights, twins
from msflow_stream.pretraining.pictures.fields import FAMILIES
from msflow_stream.pretraining.pictures.scenes import Composer, swatches
from msflow_stream.scenes.checkpoints import FileCheckpoints
from msflow_stream.types import UserError

RECIPE = Recipe(steps=30, batch=4, side=64, warmup=3)
CPU = torch.device("cpu")
COMPOSER = Composer(swatches(80, 0, 20, 2))
SCENES = [COMPOSER.scene(np.random.default_rng(n)) for n in range(16)]
BANK = {
    "images": np.stack([s.image for s in SCENES]),
    "textures": np.stack([s.texture for s in SCENES]),
    "shapes": np.stack([s.shape for s in SCENES]),
}


def learner(recipe: Recipe = RECIPE) -> Learner:
    return Learner(recipe, lambda name, numbers: BANK[name][numbers], 16, CPU)


def test_it_learns_what_a_place_looks_like() -> None:
    student = learner()
    losses = [student.step() for _ in range(30)]
    for name in losses[0]:
        if name.startswith(("loss", "clean", "edges")):  # to be the same in two deliveries takes longer
            first, last = (np.mean([loss[name] for loss in part]) for part in (losses[:4], losses[-4:]))
            assert last < first, name


def test_a_part_of_the_loss_is_there_if_it_has_a_weight() -> None:
    parts = learner(replace(RECIPE, weights=Weights(1, 0, 2, 0, 3, 4))).step()
    assert list(parts) == [
        "loss",
        *(f"{name} {stage}" for stage in STAGES for name in ["clean", "around", "texture", "shape"]),
    ]
    assert parts["texture 1"] == pytest.approx(3 * np.log(len(FAMILIES)), rel=0.3)  # nothing is known yet
    assert parts["loss"] == pytest.approx((sum(parts.values()) - parts["loss"]) / len(STAGES))


def test_a_training_that_was_stopped_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, first = learner(), learner()
    for _ in range(6):
        whole.step()
    for _ in range(3):
        first.step()
    store = FileCheckpoints(tmp_path)
    store.save(3, first.state())
    second = learner()
    newest = store.newest()
    assert newest is not None
    second.restore(newest)
    for _ in range(3):
        second.step()
    for one, other in zip(whole.parameters, second.parameters, strict=True):
        assert torch.equal(one, other)
    assert all(torch.equal(a, b) for a, b in zip(whole.model.buffers(), second.model.buffers(), strict=True))


def test_the_number_of_steps_may_change_until_the_learning_rate_falls() -> None:
    student = learner()
    for _ in range(4):
        student.step()
    longer = learner(replace(RECIPE, steps=40))
    longer.restore(student.state())
    assert longer.done == 4
    with pytest.raises(UserError, match="too late"):
        learner(replace(RECIPE, steps=4)).restore(student.state())
    with pytest.raises(UserError, match="another recipe"):
        learner(replace(RECIPE, seed=1)).restore(student.state())


def test_the_learning_rate_rises_stays_and_falls() -> None:
    recipe = Recipe(steps=100, warmup=10, cooldown=0.2)
    rates = [rate_factor(n, recipe) for n in range(100)]
    assert rates[:10] == pytest.approx(np.linspace(0.1, 1, 10))
    assert set(rates[10:80]) == {1.0}
    assert rates[80:] == pytest.approx(np.linspace(1, 0.05, 20))


def test_features_in_use_are_alike_in_size_and_tell_what_a_place_looks_like() -> None:
    student = learner()
    for _ in range(10):
        student.step()
    before = {name: value.clone() for name, value in student.model.state_dict().items()}
    model = student.finished()
    assert all(torch.equal(before[name], value) for name, value in student.model.state_dict().items())
    assert not model.training
    view, _, _ = student.batch(0)
    with torch.inference_mode():
        stages = model.learnt(normalised(view.seen), STAGES)
    for features, channels in zip(stages, LEARNT, strict=False):
        flat = features.permute(0, 2, 3, 1).reshape(-1, channels)
        assert float(flat.std(0).square().mean().sqrt()) == pytest.approx(GAIN, rel=0.5)
        spectrum = torch.linalg.eigvalsh(torch.cov(flat.mT)).flip(0)
        assert float(spectrum[: channels // 4].sum() / spectrum.sum()) > 0.4, "large things should stay larger"
        grey = torch.nn.functional.adaptive_avg_pool2d(view.clean.mean(1), features.shape[2:]).flatten()
        known = torch.linalg.lstsq(torch.cat((flat, torch.ones(len(flat), 1)), 1), grey[:, None]).solution
        left = grey - (torch.cat((flat, torch.ones(len(flat), 1)), 1) @ known)[:, 0]
        assert float(left.var() / grey.var()) < 0.5


def test_a_projection_takes_the_root_of_the_variance_of_what_a_stage_sees() -> None:
    student = learner()
    student.step()
    model = student.model.eval()
    images = normalised(student.batch(1)[0].seen)
    moments = [Moments() for _ in STAGES]
    with torch.inference_mode():
        observe(model, images, moments)
        project(model, moments, 2.0, torch.Generator().manual_seed(0))
        stage = model.stem(images)
        for number, features in enumerate(model.learnt(images, STAGES)):
            stage = model.stages[number](stage)
            own, of_features = (_spectrum(x) for x in (stage, features))
            wanted = own[: len(of_features)].clamp(min=0).sqrt()
            assert of_features == pytest.approx((4.0 * len(wanted) * wanted / wanted.sum()).numpy(), rel=0.02, abs=0.02)


def _spectrum(features: torch.Tensor) -> torch.Tensor:
    """Variances along the principal components of the channels of B C H W, the largest first."""
    return torch.linalg.eigvalsh(torch.cov(features.permute(1, 0, 2, 3).flatten(1).double())).flip(0)


def test_twins_agree_best_when_channels_are_equal_and_independent() -> None:
    x = torch.randn(64, 36, 8, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(64, 36, 8, generator=torch.Generator().manual_seed(1))
    perfect, noisy, repeated = twins(x, x), twins(x, x + noise), twins(*[x[..., :1].expand_as(x)] * 2)
    assert perfect < 0.01
    assert noisy > 0.05
    assert repeated > 0.5
