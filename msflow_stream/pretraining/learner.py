"""The training of the embedded backbone, step by step; every step depends on the seed, its number and the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from msflow_stream.model.embedded import LEARNT, MEAN, STD, WIDTHS, EmbeddedBackbone
from msflow_stream.pretraining.objective import Heads, Targets, Weights, loss_of
from msflow_stream.pretraining.pictures.fields import FAMILIES
from msflow_stream.pretraining.pictures.scenes import SHAPES
from msflow_stream.pretraining.views import View, draw_view
from msflow_stream.scenes.checkpoints import Checkpoint
from msflow_stream.types import UserError

POWER = 0.5  # of the variance: 1 leaves it as it is, 0 makes all features equally large
SMALLEST = 1e-6  # of the largest variance: smaller ones count as this
OBSERVED = 24  # batches that the projections follow from
STAGES = range(1, len(WIDTHS) + 1)  # of one size of the image
GAIN = 3.0  # of the features: images of one place vary less than all of those that the gain is relative to
Read = Callable[[str, npt.NDArray[np.int64]], npt.NDArray[np.generic]]


@dataclass(slots=True)
class Moments:
    """Sums over places of a stage, from which its projection follows."""

    count: int = 0
    channels: Tensor = field(default_factory=lambda: torch.zeros(()))  # D
    squares: Tensor = field(default_factory=lambda: torch.zeros(()))  # D D

    def add(self, channels: Tensor) -> None:
        """Adds places: P D."""
        x = channels.double()
        self.count += len(x)
        self.channels, self.squares = self.channels + x.sum(0), self.squares + x.mT @ x


def observe(model: EmbeddedBackbone, images: Tensor, moments: list[Moments]) -> None:
    """Adds what the stages of `model` see in normalised images."""
    x = model.stem(images)
    for stage, sums in zip(model.stages, moments, strict=True):
        x = stage(x)
        sums.add(x.permute(0, 2, 3, 1).flatten(0, 2))


def project(model: EmbeddedBackbone, moments: list[Moments], gain: float, rng: torch.Generator) -> None:
    """Gives `model` the projections that follow from the moments.

    The strongest principal components of a stage's channels become its features, their variance to the power `POWER`:
    what is large in an image stays larger than details and noise, and a flow need not stretch the small ones by much.
    A random rotation then makes the channels alike, which the flows split in halves.

    Args:
        gain: root mean square of the features.
    """
    for projection, sums in zip(model.projections, moments, strict=True):
        convolution, norm = projection[0], projection[1]  # type: ignore[index]
        mean = sums.channels / sums.count
        covariance = sums.squares / sums.count - mean[:, None] * mean
        size = convolution.out_channels
        variances, directions = torch.linalg.eigh(covariance)  # ascending
        variances = variances[-size:].clamp(min=SMALLEST * float(variances[-1]))
        scales = variances ** ((POWER - 1) / 2)
        matrix = scales[:, None] * directions[:, -size:].mT  # C D
        matrix /= (matrix @ covariance @ matrix.mT).diagonal().mean().sqrt()
        turn, _ = torch.linalg.qr(torch.randn(size, size, generator=rng, dtype=matrix.dtype))
        _set(convolution, norm, turn @ matrix, mean, gain)


def _set(convolution: nn.Conv2d, norm: nn.BatchNorm2d, matrix: Tensor, mean: Tensor, gain: float) -> None:
    """Makes convolution and norm compute `gain * matrix @ (x - mean)`."""
    with torch.no_grad():
        convolution.weight.copy_(matrix[:, :, None, None])
        norm.weight.fill_(gain)
        norm.bias.zero_()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(matrix @ mean)
    norm.running_var.fill_(1 - norm.eps)


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings that the weights follow from, beside the scenes."""

    steps: int = 2100
    batch: int = 32  # scenes, each seen twice
    side: int = 64  # of a view, in pixels
    learning_rate: float = 3e-3
    warmup: int = 100  # steps
    cooldown: float = 0.3  # last share of the steps, over which the learning rate falls to nothing
    weight_decay: float = 0.05
    clip: float = 5.0  # gradient norm
    seed: int = 0
    weights: Weights = field(default_factory=Weights)


class Learner:
    """The backbone in training, its heads and its optimiser.

    Args:
        recipe: all settings.
        read: gives copies of `images`, `textures` or `shapes` of scenes by number, as `Bank.read`.
        scenes: number of scenes.
    """

    def __init__(self, recipe: Recipe, read: Read, scenes: int, device: torch.device) -> None:
        self.recipe, self.read, self.scenes, self.device = recipe, read, scenes, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.model = EmbeddedBackbone()
            self.heads = Heads(LEARNT[: len(WIDTHS)], len(FAMILIES), SHAPES)
        for module in self.model.modules():
            if isinstance(module, nn.Conv2d) and module.padding != (0, 0):
                module.padding_mode = "reflect"  # as in the pyramid
        self.model.to(self.device).to(memory_format=torch.channels_last)
        self.heads.to(self.device)
        self.parameters = [*self.model.parameters(), *self.heads.parameters()]
        decaying = [p for p in self.parameters if p.dim() > 1]
        rest = [p for p in self.parameters if p.dim() <= 1]
        groups = [{"params": decaying, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
        self.done = 0

    def step(self) -> dict[str, float]:
        """Does the next step; returns the parts of its loss."""
        recipe = self.recipe
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * rate_factor(self.done, recipe)
        view, truth, rng = self.batch(self.done)
        images = normalised(torch.cat((view.seen, view.again))).contiguous(memory_format=torch.channels_last)
        features = self.model.train().learnt(images, STAGES)
        loss, parts = loss_of(features, self.heads, view, truth, recipe.weights, rng)
        if not torch.isfinite(loss):
            raise UserError(f"the loss is not finite in step {self.done + 1}: take a lower learning rate")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, recipe.clip)
        self.optimizer.step()
        self.done += 1
        return {"loss": float(loss.detach()), **parts}

    def finished(self) -> EmbeddedBackbone:
        """Returns the backbone as it is to be used: in eval mode, its projections those of `projection.project`."""
        model = copy.deepcopy(self.model).eval()
        moments = [Moments() for _ in STAGES]
        with torch.inference_mode():
            for number in range(self.recipe.steps, self.recipe.steps + OBSERVED):
                view, _, _ = self.batch(number)
                observe(model, normalised(view.seen).contiguous(memory_format=torch.channels_last), moments)
        project(model, moments, GAIN, torch.Generator().manual_seed(self.recipe.seed))
        return model

    def batch(self, number: int) -> tuple[View, Targets, torch.Generator]:
        """Returns the views and the truth of step `number`, and the generator for the rest of its chance."""
        chance = np.random.default_rng((self.recipe.seed, 2, number))
        scenes = chance.integers(self.scenes, size=self.recipe.batch)
        rng = torch.Generator().manual_seed(int(chance.integers(2**62)))
        images = torch.from_numpy(self.read("images", scenes)).permute(0, 3, 1, 2).float().div(255)  # B 3 S S
        view = View(*(part.to(self.device) for part in draw_view(images, self.recipe.side, rng)))
        family = self.read("textures", scenes).astype(np.int64) % len(FAMILIES)
        labels = (torch.from_numpy(x.astype(np.int64)) for x in (family, self.read("shapes", scenes)))
        return view, Targets(*(label.to(self.device) for label in labels)), rng

    def state(self) -> Checkpoint:
        """Returns all that the next step needs."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"heads.{name}": value for name, value in self.heads.state_dict().items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
        return Checkpoint(tensors, {"recipe": asdict(self.recipe), "done": self.done})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes on from a checkpoint; with another number of steps if that changes nothing in those that are done.

        Raises:
            UserError: it is one of another recipe.
        """
        done, then = int(checkpoint.record["done"]), checkpoint.record["recipe"]
        before = replace(self.recipe, steps=then["steps"])
        if then != asdict(before):
            raise UserError("the unfinished training had another recipe: give that, or another folder")
        if any(rate_factor(n, before) != rate_factor(n, self.recipe) for n in range(done)):
            raise UserError(f"after {done} steps it is too late to change their number: it was {before.steps}")
        tensors = checkpoint.tensors
        self.model.load_state_dict(_under("model.", tensors))
        self.heads.load_state_dict(_under("heads.", tensors))
        ordered = [p for group in self.optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Any]] = {}
        for name, value in _under("optimizer.", tensors).items():
            number, key = name.split(".", 1)
            like = ordered[int(number)] if value.dim() else value  # its memory format: the fused step needs it
            state.setdefault(int(number), {})[key] = torch.empty_like(like).copy_(value)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.done = done


def normalised(images: Tensor) -> Tensor:
    """Returns images within 0 and 1 as the backbone takes them."""
    mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (MEAN, STD))
    return (images - mean) / std


def rate_factor(number: int, recipe: Recipe) -> float:
    """Returns the factor of the learning rate in step `number`: it rises, stays, and falls, each along a line."""
    falling = recipe.cooldown * recipe.steps
    return min(1.0, (number + 1) / recipe.warmup, (recipe.steps - number) / max(1.0, falling))


def _under(prefix: str, tensors: Any) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
