"""The fit: passes of MSFlow over the cached features of normal frames, from any completed pass on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msflow_stream.config.loading import differences
from msflow_stream.config.settings import FitSettings, Precision, Settings
from msflow_stream.machine import choose_device, has_bf16
from msflow_stream.model.fused.likelihood import FusedLikelihood
from msflow_stream.model.msflow import negative_log_likelihood
from msflow_stream.scenes.checkpoints import Checkpoint, CheckpointStore, MemoryCheckpoints
from msflow_stream.scenes.feature_cache import feature_cache
from msflow_stream.scenes.features import NormalFeatures, extract
from msflow_stream.scenes.gradients import BatchGradients, Likelihood, PlainLikelihood, can_fuse, can_split
from msflow_stream.scenes.losses import Pass
from msflow_stream.scenes.normal import learn_normal
from msflow_stream.scenes.parts import Workers
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.steps import DivergenceError, Steps
from msflow_stream.scenes.thresholds import event_times
from msflow_stream.series import batched
from msflow_stream.types import Frame, UserError

log = logging.getLogger(__name__)

DECAY = 0.33  # of the learning rate at each milestone
WARMUP_START = 0.1  # of the learning rate
SLOWEST = 1 / 64  # of the learning rate: where rewinding gives up
EVALUATION_BATCH = 8
OPTIMIZER = "optimizer."  # before the names of its tensors in a checkpoint


class FlowFit:
    """The passes of a fit. They survive whatever stops it: the flow is always that of a completed pass.

    Args:
        scene: its flow is changed in place.
        footage: from `extract`.
        checkpoints: where completed passes are kept; in memory if None.
        plain: computes every batch as a whole, with the flow as it is and torch's own threads: the reference.

    Attributes:
        passes: the completed ones.

    Raises:
        UserError: no frames to fit on.
    """

    def __init__(
        self,
        scene: Scene,
        footage: NormalFeatures,
        checkpoints: CheckpointStore | None = None,
        plain: bool = False,
    ) -> None:
        if not footage.fitted:
            raise UserError("no frames to fit on: the sources hold too few")
        self.scene, self.footage = scene, footage
        self.settings = scene.settings.fit
        self.passes: list[Pass] = []
        self._checkpoints = checkpoints or MemoryCheckpoints()
        self._slowdown = 1.0  # of the learning rate, by rewinds
        dtype = autocast_dtype(self.settings.precision, scene.device)
        self._steps = Steps([p for p in scene.flow.parameters() if p.requires_grad], self.settings.clip, dtype)
        kind = scene.settings.model, scene.device, dtype
        likelihood: Likelihood = PlainLikelihood(scene.flow, dtype)
        if can_fuse(*kind) and not plain:
            likelihood = FusedLikelihood(scene.flow, footage.cache.sizes)
        split = can_split(*kind) and not plain
        self._workers = Workers(scene.device if split else None)
        self._gradients = BatchGradients(likelihood, self._batch, self._workers, split)

    def resume(self) -> None:
        """Goes on from the newest checkpoint, if there is one.

        Raises:
            UserError: it belongs to a fit with other settings or other footage.
        """
        checkpoint = self._checkpoints.newest()
        if checkpoint is None:
            return
        then = checkpoint.record["identity"]
        changed = differences(then["settings"], self._identity["settings"])
        if changed:
            raise UserError(f"the unfinished fit had other settings ({'; '.join(changed)}): give those, or start again")
        if then["footage"] != self._identity["footage"]:
            raise UserError(
                f"the unfinished fit had other footage ({then['frames']} frames, now {self._identity['frames']}, "
                "or other sources or times): give the same sources, or start again"
            )
        self._restore(checkpoint)

    def run(self, on_batch: Callable[[int], None] = lambda frames: None) -> Iterator[Pass]:
        """Yields after each of the passes that are left; whoever stops early keeps those that are complete.

        Args:
            on_batch: called with the number of frames of every batch.

        Raises:
            UserError: a loss or gradient that is not finite, and rewinding is not asked for or does not help.
        """
        if not self.passes:
            self._keep()
        while len(self.passes) < self.settings.passes:
            try:
                done = self._one_pass(len(self.passes), on_batch)
            except DivergenceError as error:
                self._rewind(str(error))
                continue
            except BaseException:
                self._go_back()
                raise
            self.passes.append(done)
            self._keep()
            yield done

    def _one_pass(self, number: int, on_batch: Callable[[int], None]) -> Pass:
        """One pass over the fitted frames, in the order of pass `number` (from 0)."""
        started = time.monotonic()
        rate = self.settings.learning_rate * self._slowdown * learning_rate_factor(number, self.settings)
        losses, values = self._steps.begin(number + 1, rate), 0
        self.scene.flow.train()
        with self._workers.running():
            for positions in self._announced(_shuffled(self.footage.fitted, self.settings, number)):
                self._steps.forget()
                loss, values = self._gradients.of(positions, self._steps.scaler.scale)
                losses.add(len(positions), loss, *self._steps.step())
                on_batch(len(positions))
            losses.look()
            held_out = self.held_out_loss()
        mean = losses.total / len(self.footage.fitted) / values
        return Pass(number + 1, mean, held_out, rate, time.monotonic() - started)

    def _batch(self, positions: Sequence[int]) -> list[Tensor]:
        return [f.to(self.scene.device) for f in self.footage.cache.batch(positions)]

    def _announced(self, batches: Iterable[list[int]]) -> Iterator[list[int]]:
        """Yields batches of positions; the cache knows each of them one before."""
        before: list[int] = []
        for positions in batches:
            self.footage.cache.prefetch(positions)
            if before:
                yield before
            before = positions
        if before:
            yield before

    def held_out_loss(self) -> float | None:
        """Returns the loss per feature value of the held-out frames, in float32; None without any."""
        held_out, flow = self.footage.held_out, self.scene.flow.eval()
        if not held_out:
            return None

        def sums(positions: Sequence[int]) -> tuple[Tensor, int]:
            with torch.inference_mode():
                features = self._batch(positions)
                return negative_log_likelihood(*flow(features)).sum(), sum(f.numel() for f in features)

        parts = self._workers.map(sums, self._announced(batched(held_out, EVALUATION_BATCH)))
        losses: list[float] = torch.stack([loss for loss, _ in parts]).tolist()
        return sum(losses) / sum(values for _, values in parts)

    def _rewind(self, error: str) -> None:
        """Back to the last completed pass with half the learning rate, or a UserError."""
        self._go_back()
        last = f"the last good checkpoint is pass {len(self.passes)}" if self.passes else "no pass was completed"
        if self.settings.on_divergence == "stop":
            raise UserError(f"{error}; {last}: go on with a lower fit.learning_rate or fit.on_divergence=rewind")
        if self._slowdown <= SLOWEST:
            raise UserError(f"{error}, at {self._slowdown:g} of the learning rate too; {last}")
        self._slowdown /= 2
        log.warning("%s: back to pass %d with %g of the learning rate", error, len(self.passes), self._slowdown)

    @property
    def _identity(self) -> dict[str, Any]:
        """The settings and footage that a fit must share with the one that it goes on from."""
        may_change = {"learning_rate", "on_divergence", "cache_memory", "keep"}  # the first two: after a divergence
        left_out: dict[str, Any] = {"score": True, "event": True, "scene": True, "fit": may_change}
        settings = self.scene.settings.model_dump(mode="json", exclude=left_out)
        return {"settings": settings, "footage": self.footage.digest, "frames": len(self.footage.frames)}

    def _keep(self) -> None:
        tensors = {f"flow.{name}": value for name, value in self.scene.flow.state_dict().items()}
        states, scaler = self._steps.state()
        tensors |= {f"{OPTIMIZER}{name}": value for name, value in states.items()}
        record = {
            "identity": self._identity,
            "passes": [asdict(done) for done in self.passes],
            "slowdown": self._slowdown,
            "scaler": scaler,
        }
        self._checkpoints.save(len(self.passes), Checkpoint(tensors, record))

    def _go_back(self) -> None:
        checkpoint = self._checkpoints.newest()
        if checkpoint is None:
            raise UserError("no checkpoint can be read: the fit cannot go back")
        slowdown = self._slowdown
        self._restore(checkpoint)
        self._slowdown = slowdown

    def _restore(self, checkpoint: Checkpoint) -> None:
        flow = self.scene.flow.state_dict()
        flow |= {name: checkpoint.tensors[f"flow.{name}"] for name in flow}
        self.scene.flow.load_state_dict(flow)
        named = {name: value for name, value in checkpoint.tensors.items() if name.startswith(OPTIMIZER)}
        states = {name.removeprefix(OPTIMIZER): value for name, value in named.items()}
        self._steps.restore(states, checkpoint.record["scaler"])
        self._slowdown = checkpoint.record["slowdown"]
        self.passes = [Pass(**done) for done in checkpoint.record["passes"]]


def fit_scene(
    name: str, sources: Iterable[Iterable[Frame]], settings: Settings | None = None, device: str = "cpu"
) -> Scene:
    """Fits a scene on the frames of normal footage, in one call.

    Args:
        name: name of the scene.
        sources: readers, or any iterables of frames that are already sampled.
        settings: all defaults if None.
        device: such as cpu or cuda.

    Raises:
        UserError: sources without frames, weights that cannot be had, a device that this machine lacks.
    """
    scene = Scene.new(name, settings or Settings()).to(choose_device(device))
    with feature_cache(scene.settings.fit, device=scene.device) as cache:
        footage = NormalFeatures(cache)
        for footage in extract(scene, sources, cache, scene.settings.fit.holdout):
            log.debug("%d frames extracted", len(footage.frames))
        for done in FlowFit(scene, footage).run():
            log.info("pass %d: loss %.4f", done.number, done.loss)
        normal = learn_normal(scene, footage, scene.measure_features)
        scene.calibration = normal.calibration(*event_times(scene.settings), fitted=not footage.held_out)
    return scene


def autocast_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Returns the type that the convolutions of a fit are computed in; weights are always float32.

    `auto` is float32 on CPUs, which are slower in bfloat16 unless they have units for matrices; on GPUs it is bfloat16,
    or float16 where they do not compute in that.
    """
    if precision == "auto":
        if device.type == "cpu":
            return torch.float32
        return torch.bfloat16 if has_bf16(device) else torch.float16
    dtype: torch.dtype = getattr(torch, precision)
    return dtype


def learning_rate_factor(number: int, settings: FitSettings) -> float:
    """Returns the factor of the learning rate in pass `number` (from 0).

    The paper's schedule: linear warm-up from 0.1 over the first 12 of 100 passes, x0.33 at 70 and at 90.
    """
    warmup = round(settings.warmup * settings.passes)
    rising = WARMUP_START + (1 - WARMUP_START) * number / warmup if number < warmup else 1.0
    return rising * DECAY ** sum(number >= round(m * settings.passes) for m in settings.milestones)


def _shuffled(positions: Sequence[int], settings: FitSettings, number: int) -> Iterator[list[int]]:
    """Batches in an order that depends on the seed and the pass only, so that a resumed fit sees the same."""
    order = np.random.default_rng((settings.seed, number)).permutation(len(positions))
    for part in batched(order.tolist(), settings.batch):
        yield [positions[i] for i in part]
