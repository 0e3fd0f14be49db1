"""Which engine scores, as the command line asks for it, and where its trials are remembered."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from msflow_stream.config import EngineSettings
from msflow_stream.engines.choosing import EngineChooser
from msflow_stream.engines.scoring import EngineScoring


def cache_folder() -> Path:
    """Where the platform wants programs to keep what they can make again."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "msflow-stream"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "msflow-stream" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "msflow-stream"


def trials() -> Path:
    """The file of trials."""
    return cache_folder() / "engines.json"


def make_scoring(settings: EngineSettings) -> EngineScoring:
    """What scores as the settings say."""
    return EngineScoring(EngineChooser(settings, trials()))
