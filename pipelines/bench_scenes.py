"""Scenes with random weights, for benchmarks: they score as fast as fitted ones."""

from __future__ import annotations

from collections.abc import Sequence

from msflow_stream.config.loading import load, override
from msflow_stream.config.settings import Settings
from msflow_stream.scenes.scene import Scene
from msflow_stream.types import UserError


def random_settings(overrides: Sequence[str] = ()) -> Settings:
    """The default settings with these changes, and with random weights where others would have to be downloaded."""
    settings = load(None, overrides)
    return override(settings, ["model.weights=random"]) if settings.model.weights == "pretrained" else settings


def random_scene(backbone: str, size: tuple[int, int], overrides: Sequence[str] = ()) -> Scene:
    """A scene of that backbone and input size (height, width).

    Raises:
        UserError: an override of either of them.
    """
    for setting, option in (("model.backbone", "--backbone"), ("input.size", "--input-size")):
        if any(one.partition("=")[0].strip() == setting for one in overrides):
            raise UserError(f"{setting} is set by {option} here")
    given = (f"model.backbone={backbone}", "model.weights=random", f"input.size={list(size)}")
    return Scene.new(backbone, load(None, [*given, *overrides]))
