"""A scene: one camera view's fitted MSFlow, how its pixels are prepared, and what is normal for its scores."""

from __future__ import annotations

import json
import logging
import math
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from msflow_stream.config.settings import ModelSettings, ScoreSettings, Settings
from msflow_stream.files import file_hash
from msflow_stream.model.aggregate import Maps, anomaly_maps, top_k_mean, watched
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.pyramid import Pyramid, load_weights
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scenes.exchange import scene_changing, scene_identity
from msflow_stream.scenes.folder import FORMAT, RECORD, WEIGHTS, read_record, stored_settings
from msflow_stream.scenes.joint import Joint
from msflow_stream.scenes.motion import MotionMeasure, MotionModel, TaughtMotion
from msflow_stream.scenes.preparation import prepare, with_normalisation
from msflow_stream.types import Pixels, Scores, UserError, Why

log = logging.getLogger(__name__)

USUAL_MOTION = "motion.usual"  # in the file of weights, as are those of what was taught
TAUGHT_MOTION = ("motion.taught_usual", "motion.taught_sizes")
INCOMPLETE = "{} is not a complete scene ({}); fit it again"
GONE = "embedded"  # a backbone of the first versions


class Measures(NamedTuple):
    """The scores of a batch (B each, in the order of APPEARANCE_KINDS) and the map (float16 B h w), on the CPU."""

    score: Tensor
    surprise: Tensor
    surprise_mean: Tensor
    map: Tensor

    def scores(self) -> list[Scores]:
        """Returns the scores of each image."""
        return [Scores(*values) for values in zip(*(one.tolist() for one in self[:-1]), strict=True)]


class Judgement(NamedTuple):
    """The scores of a frame, the map that localises (float16 H W), and the parts of the joint score."""

    scores: Scores
    map: npt.NDArray[np.float16]
    why: Why | None


@dataclass(slots=True)
class Scene:
    """One camera view: all that turns its frames into scores.

    Attributes:
        motion: the motion that is normal; None where the footage showed none, as stills do.
        joint: what turns appearance and motion into one score; None in scenes from before there was one.
        record: what the fit wants remembered (sources, counts, losses, versions): plain JSON values.
    """

    name: str
    settings: Settings
    pyramid: Pyramid
    flow: MSFlow
    calibration: Calibration | None = None
    motion: MotionModel | None = None
    joint: Joint | None = None
    record: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def new(cls, name: str, settings: Settings, pyramid: Pyramid | None = None) -> Scene:
        """Makes a scene before its fit.

        Args:
            name: of the scene.
            settings: all of them.
            pyramid: of the same settings, to share between scenes; made if None.

        Raises:
            UserError: weights that cannot be had, or settings that no model can have.
        """
        settings = with_normalisation(settings)
        model = settings.model
        if pyramid is None:
            pyramid = _pyramid(model, load_weights(model.backbone, model.weights))
            _try(pyramid, settings)
        return cls(name, settings, pyramid, _flow(pyramid.channels, model, settings.fit.seed))

    def _repr_html_(self) -> str:
        """What a notebook shows; only there is what draws it imported."""
        shown: str = import_module("msflow_stream.results.notebook").scene_html(self)
        return shown

    @property
    def device(self) -> torch.device:
        """The device that computes the features; the flow's weights may be elsewhere (see `SceneCache`)."""
        return next(self.pyramid.parameters()).device

    def to(self, device: torch.device | str) -> Scene:
        """Moves the weights and returns this scene."""
        self.pyramid.to(device)
        self.flow.to(device)
        return self

    def prepare(self, pixels: npt.NDArray[np.uint8] | Pixels) -> Tensor:
        """Returns the backbone's input (3 H W), on the CPU, for an image or a decoded frame of any size."""
        return prepare(pixels, self.settings.input)

    def measure(self, images: Tensor, score: ScoreSettings | None = None) -> Measures:
        """Returns the scores of prepared images (B 3 H W)."""
        with torch.inference_mode():
            return self.measure_features(self.pyramid(images.to(self.device)), score)

    def measure_features(self, features: list[Tensor], score: ScoreSettings | None = None) -> Measures:
        """Returns scores from the pyramid's features (B C_l H_l W_l)."""
        return self.measure_maps(self.maps(features, score), score)

    def maps(self, features: list[Tensor], score: ScoreSettings | None = None) -> Maps:
        """Returns all three maps (B H W each, at input size, where the weights are) from the pyramid's features."""
        device = next(self.flow.eval().parameters()).device
        with torch.inference_mode():
            z, _ = self.flow([f.to(device) for f in features])
            return anomaly_maps(z, self.settings.input.size, (score or self.settings.score).alignment)

    def measure_maps(self, maps: Maps, score: ScoreSettings | None = None, area: Tensor | None = None) -> Measures:
        """Returns scores from maps.

        Args:
            maps: B H W each.
            score: the scene's own settings if None.
            area: bool B H W or H W, with at least one pixel of every image. Scores, and the maxima in the map, are
                those of its pixels alone; around them the map is 0. None: all pixels count.
        """
        score = score or self.settings.score
        if area is None:
            return _measures(maps, score)
        images = zip(*maps, area.to(maps.add.device).expand_as(maps.add), strict=True)
        found = [_measures_within(Maps(*one), where, score) for *one, where in images]
        return Measures(*(torch.cat(values) for values in zip(*found, strict=True)))

    def judge(
        self,
        scores: Scores,
        heat: npt.NDArray[np.float16],
        motion: MotionMeasure | None,
        area: npt.NDArray[np.bool_] | None = None,
    ) -> Judgement:
        """Returns the scores and the map of a frame, motion and the joint answer included.

        The map is that of the kind of score that the scene was fitted for, whichever kind is asked for later: what is
        warm in it was calibrated then.

        Args:
            scores: those of its image.
            heat: its map, H W.
            motion: None where there is none.
            area: the pixels that count, H W; around them the map is 0. None: all.
        """
        scores = scores._replace(motion=math.nan if motion is None else motion.score)
        if self.joint is None:
            return Judgement(scores, heat, None)
        why = self.joint.why(scores)
        if motion is not None:
            why = why._replace(moved=motion.moved)
        scores = scores._replace(combined=self.joint.combined(why))
        # Floats from 0 on are in the order of their bits, which numpy compares a hundred times faster.
        row, column = divmod(int(heat.view(np.int16).argmax()), heat.shape[1])
        why = why._replace(x=(column + 0.5) / heat.shape[1], y=(row + 0.5) / heat.shape[0])
        if self.settings.score.kind != "combined":
            return Judgement(scores, heat, why)
        together = self.joint.map(heat, None if motion is None else motion.map)
        if area is not None:
            together[~area] = 0
        return Judgement(scores, torch.from_numpy(together).half().numpy(), why)  # NumPy takes ten times as long

    def save(self, folder: Path, overwrite: bool = False, add: Callable[[Path], None] = lambda folder: None) -> None:
        """Writes the folder in one step: it is there whole or not at all.

        Args:
            folder: of the scene.
            overwrite: whether another scene there may be replaced.
            add: writes further files into the folder it is given.

        Raises:
            UserError: the folder exists and `overwrite` is False.
        """
        if folder.exists() and not overwrite:
            raise UserError(f"{folder} exists already: choose another name or give --overwrite")
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        old = staging.with_name(f"{staging.name}-old")
        try:
            weights = staging / WEIGHTS
            tensors = {f"backbone.{k}": v for k, v in self.pyramid.backbone.state_dict().items()}
            tensors |= {f"flow.{k}": v for k, v in self.flow.state_dict().items()}
            if self.motion is not None:
                tensors[USUAL_MOTION] = torch.from_numpy(self.motion.usual)
                tensors |= dict(zip(TAUGHT_MOTION, map(torch.from_numpy, self.motion.taught or ()), strict=False))
            save_file({name: _stored(value, self.settings.scene.dtype) for name, value in tensors.items()}, weights)
            content = {
                "format": FORMAT,
                "name": self.name,
                "settings": self.settings.model_dump(mode="json"),
                "calibration": self.calibration.model_dump(mode="json") if self.calibration else None,
                "joint": self.joint.model_dump(mode="json") if self.joint else None,
                "most_motion": self.motion.most if self.motion else None,
                "fit": self.record,
                "weights_sha256": file_hash(weights),
            }
            add(staging)
            (staging / RECORD).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            mode = (staging / RECORD).stat().st_mode & 0o777
            weights.chmod(mode)  # safetensors and mkdtemp make things private: a service is another user
            staging.chmod(mode | (mode & 0o444) >> 2)
            with scene_changing(folder):
                if folder.exists():
                    folder.rename(old)
                staging.replace(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Scene:
        """Reads a scene folder; needs no network and no other file.

        Raises:
            UserError: not a scene, a newer format, a backbone that is gone, or weights that are not those of the fit.
        """
        content, tensors = _read(folder)
        try:
            settings = stored_settings(content)
            calibration = Calibration.model_validate(content["calibration"]) if content["calibration"] else None
            joint = Joint.model_validate(content["joint"]) if content.get("joint") else None
        except (KeyError, ValidationError) as error:
            raise UserError(INCOMPLETE.format(folder, type(error).__name__)) from None
        if settings.model.backbone == GONE:
            raise UserError(
                f"{folder} was fitted with the backbone {GONE!r}, which is no more: fit it again with "
                f"`msflow-stream fit NORMAL_FOOTAGE --scene {folder.name} --scenes {folder.parent} --overwrite`"
            )
        pyramid = _pyramid(settings.model, None)
        flow = _flow(pyramid.channels, settings.model, settings.fit.seed)
        try:
            pyramid.backbone.load_state_dict(_below("backbone.", tensors))
            flow.load_state_dict(_below("flow.", tensors))
        except RuntimeError:
            raise UserError(f"{folder} has weights of another architecture than its settings; fit it again") from None
        motion = _motion(tensors, content)
        return cls(content["name"], settings, pyramid, flow, calibration, motion, joint, content["fit"]).to(device)


def _motion(tensors: dict[str, Tensor], content: dict[str, Any]) -> MotionModel | None:
    usual, parts = tensors.get(USUAL_MOTION), [tensors[name] for name in TAUGHT_MOTION if name in tensors]
    if usual is None:
        return None
    # Copies: what is read lies in the file, which could be neither moved nor removed on Windows as long as this lives.
    taught = TaughtMotion(parts[0].float().numpy().copy(), parts[1].numpy().copy()) if parts else None
    return MotionModel(usual.float().numpy().copy(), float(content["most_motion"]), taught)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Returns the record and the weights of one scene, though another may take its place meanwhile.

    Raises:
        UserError: as `Scene.load`.
    """
    while True:
        identity, content = scene_identity(folder), read_record(folder)
        problem, tensors = None, {}
        try:
            if file_hash(folder / WEIGHTS) == content["weights_sha256"]:
                tensors = load_file(folder / WEIGHTS)
            else:
                problem = f"{folder / WEIGHTS} is damaged: its hash is not the one in {RECORD}; fit the scene again"
        except (KeyError, OSError) as error:
            problem = INCOMPLETE.format(folder, type(error).__name__)
        if scene_identity(folder) != identity:
            continue
        if problem is not None:
            raise UserError(problem)
        return content, tensors


def _measures(maps: Maps, score: ScoreSettings) -> Measures:
    values = (
        top_k_mean(maps.mul, score.top_k),
        top_k_mean(maps.surprise, score.top_k),
        maps.surprise.mean((1, 2)),
        getattr(maps, score.aggregation).half(),
    )
    return Measures(*(value.cpu() for value in values))


def _measures_within(maps: Maps, area: Tensor, score: ScoreSettings) -> Measures:
    """Measures of one image (H W each), as a batch of one."""
    found = _measures(watched(maps, area), score)
    heat = torch.zeros(area.shape, dtype=found.map.dtype)
    heat[area.cpu()] = found.map.flatten()
    return found._replace(map=heat[None])


def _pyramid(model: ModelSettings, weights: dict[str, Tensor] | None) -> Pyramid:
    return Pyramid(
        model.backbone, weights, model.stages, model.padding, model.pool, model.pool_kernel, model.weights_seed
    )


def _try(pyramid: Pyramid, settings: Settings) -> None:
    """Tries an input of that size: a UserError now instead of a crash later."""
    try:
        features = pyramid(torch.zeros(1, 3, *settings.input.size))
        if [f.shape[1] for f in features] != pyramid.channels or any(f.dim() != 4 for f in features):
            raise ValueError("its features are not B C H W: it is no CNN")
    except (RuntimeError, AssertionError, ValueError) as error:
        height, width = settings.input.size
        raise UserError(
            f"{settings.model.backbone} with {settings.model.padding} padding cannot be fitted on an input of "
            f"{height}x{width} ({str(error).splitlines()[0]}): change input.size, model.stages or model.padding"
        ) from None


def _flow(channels: list[int], model: ModelSettings, seed: int) -> MSFlow:
    try:
        return MSFlow(channels, model.blocks, model.condition_channels, model.clamp, model.fusion, model.norm, seed)
    except ValueError as error:
        raise UserError(str(error)) from None


def _stored(value: Tensor, dtype: str) -> Tensor:
    value = value.detach().cpu().contiguous()
    if not value.is_floating_point():
        return value
    stored = value.to(getattr(torch, dtype))
    if not torch.equal(stored.isfinite(), value.isfinite()):
        raise UserError(f"weights of the scene are too large for {dtype}: set scene.dtype=float32")
    return stored


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
