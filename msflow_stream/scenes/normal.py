"""What is normal for a fitted scene: its motion, its joint score, and the scores of its normal frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from msflow_stream.scenes.feature_cache import feature_cache
from msflow_stream.scenes.features import NormalFeatures, extract
from msflow_stream.scenes.joint import Joint, Logistic
from msflow_stream.scenes.motion import MotionFit, MotionMeasure, MotionModel
from msflow_stream.scenes.scene import Measures, Scene
from msflow_stream.scenes.thresholds import NormalScore, NormalStatistics, event_times
from msflow_stream.series import batched
from msflow_stream.types import Frame, Scores

ENOUGH = 30  # frames that were held out, to tell what is normal by them alone
MOST = 0.99  # of the normal frames move no more than what counts as the most that is normal
TOP = 0.03  # of the pixels of a map are its largest
BATCH = 8
MeasureFeatures = Callable[[list[Tensor]], Measures]  # features (B C_l H_l W_l) of a batch to its scores


def learn_normal(scene: Scene, footage: NormalFeatures, measure: MeasureFeatures) -> NormalStatistics:
    """Gives a scene its motion and its joint score, and returns the scores of the held-out frames with their maps.

    Where none are held out it is all frames; the joint score takes all where fewer than ENOUGH are.

    Args:
        scene: with a fitted flow.
        footage: normal frames.
        measure: scores batches of features: a scene's own modules, or a scorer.
    """
    scene.motion = normal_motion(footage)
    return learn_joint(scene, footage, measure)


def learn_joint(
    scene: Scene, footage: NormalFeatures, measure: MeasureFeatures, motion: Logistic | None = None
) -> NormalStatistics:
    """Gives a scene that knows its motion its joint score; returns scores as `learn_normal` does.

    Args:
        scene, footage, measure: as there.
        motion: what normal motion is in the joint score, where that is known; learnt if None.
    """
    scene.joint = None  # maps are those of single images until it is there
    held_out = footage.held_out or footage.fitted
    telling = held_out if len(held_out) >= ENOUGH else list(range(len(footage.frames)))
    normal, scores, warmth = NormalStatistics(), list[Scores](), list[float]()
    # The networks run once: maps are kept until all of them have told what is normal.
    with footage.cache.beside(torch.float16) as maps:
        for part in batched(telling, BATCH):
            measures = measure(footage.cache.batch(part))
            maps.add([measures.map[:, None]])
            warmth += [warmest(heat) for heat in measures.map.numpy()]
            scores += [
                scene.judge(one, heat, _motion(scene, footage, position)).scores
                for position, one, heat in zip(part, measures.scores(), measures.map.numpy(), strict=True)
            ]
        scene.joint = Joint.of(scores, warmth)
        if scene.joint is not None and motion is not None:
            scene.joint = scene.joint.model_copy(update={"motion": motion})
        places = {position: place for place, position in enumerate(telling)}
        for position in held_out:
            place = places[position]
            heat = maps.batch([place])[0][0, 0].half().numpy()
            answer = scene.judge(scores[place], heat, _motion(scene, footage, position))
            normal.add(NormalScore(*footage.frames[position], answer.scores), answer.map)
    return normal


def warmest(heat: npt.NDArray[np.float16]) -> float:
    """Returns the mean of the largest values of a map (H W), or one at least."""
    values = heat.astype(np.float32).ravel()
    count = max(1, int(TOP * len(values)))
    return float(np.partition(values, -count)[-count:].mean())


def learn_from(scene: Scene, frames: Iterable[Frame]) -> None:
    """Gives a scene its motion, its joint score and its calibration by frames alone, as if they were its footage."""
    with feature_cache(scene.settings.fit, device=scene.device) as cache:
        *_, footage = extract(scene, [frames], cache, 0.0)
        normal = learn_normal(scene, footage, scene.measure_features)
    scene.calibration = normal.calibration(*event_times(scene.settings), fitted=True)


def normal_motion(footage: NormalFeatures) -> MotionModel | None:
    """Returns the motion of the frames that may be fitted on; None where no frame tells what moved."""
    fit = MotionFit()
    for position in footage.fitted:
        if position in footage.motion:
            fit.add(footage.motion[position])
    if not fit.frames:
        return None
    model = fit.model()
    peaks = [float(model.measure(field).map.max()) for field in footage.motion.values()]
    return MotionModel(model.usual, max(float(np.quantile(peaks, MOST)), 1.0))


def _motion(scene: Scene, footage: NormalFeatures, position: int) -> MotionMeasure | None:
    field = footage.motion.get(position)
    return None if scene.motion is None or field is None else scene.motion.measure(field)
