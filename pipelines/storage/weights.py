"""Files of weights, as every machine can find them."""

from __future__ import annotations

from pathlib import Path

from msflow_stream.config.settings import Settings
from msflow_stream.model.pyramid import Pyramid
from msflow_stream.scenes.scene import Scene

from .copies import local_copy
from .urls import Spec, is_url

INSTALLED = ("pretrained", "random")


def weights_at(settings: Settings) -> Spec | None:
    """Returns where a backbone's file of weights is, for every machine; None if the settings name none."""
    text = settings.model.weights
    if text in INSTALLED:
        return None
    return text if is_url(text) else Path(text).expanduser().resolve()


def with_weights_at(settings: Settings) -> Settings:
    """Returns the settings with what they call the backbone's file in words that every machine understands."""
    weights = weights_at(settings)
    return settings if weights is None else _with(settings, weights)


def pyramid_at(settings: Settings, weights: Spec | None) -> Pyramid | None:
    """Returns the pyramid of these settings with the weights of a file, whatever the settings call it; None for none.

    Raises:
        UserError: no such file, or not one of these weights.
    """
    if weights is None:
        return None
    with local_copy(weights) as path:
        return Scene.new("shared", _with(settings, path)).pyramid


def _with(settings: Settings, weights: Spec) -> Settings:
    model = settings.model.model_copy(update={"weights": str(weights)})
    return settings.model_copy(update={"model": model})
