"""Scenes and scores as a notebook shows them: HTML that stands alone, with every text escaped."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from html import escape

import cv2
import numpy as np

from msflow_stream.scenes.scene import Scene
from msflow_stream.types import FrameScore

CURVE = (240, 60)  # pixels, width and height of a loss curve
WIDTH = 320  # pixels of a heat map


def scene_html(scene: Scene) -> str:
    """Returns what a scene is: its backbone, what it was fitted on, its thresholds, and the loss of every pass."""
    fitted, calibration = scene.record, scene.calibration
    height, width = scene.settings.input.size
    facts = {
        "backbone": f"{scene.settings.model.backbone}, {height}x{width}",
        "frames": f"{fitted.get('frames', '–')} fitted, {fitted.get('held_out_frames', '–')} held out",
        "passes": str(fitted.get("passes", "–")),
        "device": str(scene.device),
    }
    if calibration is not None:
        facts |= {f"threshold of {kind}": f"{value:.3f}" for kind, value in calibration.thresholds.items()}
    return _page(f"scene {scene.name}", facts, _curve(fitted.get("loss") or ()))


def score_html(score: FrameScore) -> str:
    """Returns the scores of a frame beside its heat map."""
    facts = {kind: "–" if math.isnan(value) else f"{value:.3f}" for kind, value in score.scores._asdict().items()}
    if score.why is not None:
        facts["says most"] = score.why.trigger
    return _page(f"{score.source}, frame {score.index}, {score.time:.2f} s", facts, _heat(score))


def _page(title: str, facts: Mapping[str, str], drawing: str) -> str:
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return f"<table><caption>{escape(title)}</caption>{rows}</table>{drawing}"


def _curve(losses: Sequence[float]) -> str:
    """The loss of every pass as a line, or nothing without two passes."""
    if len(losses) < 2 or not all(map(math.isfinite, losses)):
        return ""
    width, height = CURVE
    low, high = min(losses), max(losses)
    points = " ".join(
        f"{at * width / (len(losses) - 1):.1f},{height * (1 - (loss - low) / max(high - low, 1e-12)):.1f}"
        for at, loss in enumerate(losses)
    )
    line = f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="2"/>'
    label = f"loss of {len(losses)} passes, {losses[0]:.3f} to {losses[-1]:.3f}"
    return f'<svg role="img" aria-label="{label}" width="{width}" height="{height}">{line}</svg>'


def _heat(score: FrameScore) -> str:
    """The map as an image, from its least to its largest value."""
    heat = np.nan_to_num(score.map.astype(np.float32))
    low, high = float(heat.min()), float(heat.max())
    grey = np.asarray(255 * (heat - low) / max(high - low, 1e-12), np.uint8)
    coloured = cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)
    _, png = cv2.imencode(".png", coloured)
    data = base64.b64encode(png.tobytes()).decode()
    return f'<img alt="heat map, {low:.2f} to {high:.2f}" width="{WIDTH}" src="data:image/png;base64,{data}"/>'
