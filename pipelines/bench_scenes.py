"""Scenes with random weights, for benchmarks: they score as fast as fitted ones."""

from __future__ import annotations

from collections.abc import Sequence

from msflow_stream.config import Settings, load, override
from msflow_stream.scene import Scene


def random_settings(overrides: Sequence[str] = ()) -> Settings:
    """The default settings with these changes, and with random weights where others would have to be downloaded."""
    settings = load(None, overrides)
    return override(settings, ["model.weights=random"]) if settings.model.weights == "pretrained" else settings


def random_scene(backbone: str, size: tuple[int, int], overrides: Sequence[str] = ()) -> Scene:
    """A scene of that backbone and input size (height, width)."""
    given = (f"model.backbone={backbone}", "model.weights=random", f"input.size={list(size)}")
    return Scene.new(backbone, load(None, [*given, *overrides]))
