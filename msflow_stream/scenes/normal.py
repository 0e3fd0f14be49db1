"""What is normal for a fitted scene: its motion, its joint score, and the scores of its normal frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from msflow_stream.config.settings import Settings
from msflow_stream.scenes.features import NormalFeatures, extract, feature_cache
from msflow_stream.scenes.joint import Joint
from msflow_stream.scenes.motion import MotionFit, MotionMeasure, MotionModel
from msflow_stream.scenes.scene import Measures, Scene
from msflow_stream.scenes.thresholds import NormalScore, NormalStatistics
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
    scene.motion, scene.joint = normal_motion(footage), None  # maps are those of single images until it is there
    held_out = footage.held_out or footage.fitted
    telling = held_out if len(held_out) >= ENOUGH else list(range(len(footage.frames)))
    measured = [(scores, warmest(heat)) for _, scores, heat in _measured(scene, footage, telling, measure)]
    scene.joint = Joint.of(*zip(*measured, strict=True))
    normal = NormalStatistics()
    for position, judged, heat in _measured(scene, footage, held_out, measure):
        normal.add(NormalScore(*footage.frames[position], judged), heat)
    return normal


def warmest(heat: npt.NDArray[np.float16]) -> float:
    """Returns the mean of the largest values of a map (H W), or one at least."""
    values = heat.astype(np.float32).ravel()
    count = max(1, int(TOP * len(values)))
    return float(np.partition(values, -count)[-count:].mean())


def event_times(settings: Settings) -> tuple[float, float]:
    """Returns the seconds that scores are smoothed over, and that they must be above a threshold to be an event."""
    return settings.score.smoothing, settings.event.min_duration


def learn_from(scene: Scene, frames: Iterable[Frame]) -> None:
    """Gives a scene its motion, its joint score and its calibration by frames alone, as if they were its footage."""
    with feature_cache(scene.settings.fit) as cache:
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


def _measured(
    scene: Scene, footage: NormalFeatures, positions: Sequence[int], measure: MeasureFeatures
) -> Iterator[tuple[int, Scores, npt.NDArray[np.float16]]]:
    """Yields position, scores and map of frames, judged as the scene does by now."""
    for part in batched(positions, BATCH):
        measures = measure(footage.cache.batch(part))
        for position, scores, heat in zip(part, measures.scores(), measures.map.numpy(), strict=True):
            answer = scene.judge(scores, heat, _motion(scene, footage, position))
            yield position, answer.scores, answer.map


def _motion(scene: Scene, footage: NormalFeatures, position: int) -> MotionMeasure | None:
    field = footage.motion.get(position)
    return None if scene.motion is None or field is None else scene.motion.measure(field)
