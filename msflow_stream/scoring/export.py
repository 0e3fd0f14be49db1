"""A scene as one network that scores on its own, and the files it goes to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from msflow_stream.files import replaced
from msflow_stream.model.fused import FusedModel
from msflow_stream.model.fused.resize import Preparation
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engines.base import missing
from msflow_stream.scoring.engines.onnx_engine import to_onnx
from msflow_stream.scoring.engines.openvino_engine import save_openvino, shared_core
from msflow_stream.types import APPEARANCE_KINDS

Target = Literal["onnx", "openvino", "torch"]
INPUT, OUTPUTS = "frames", ("score", *APPEARANCE_KINDS[1:], "map")
SUFFIXES: dict[Target, str] = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}


class Standalone(nn.Module):
    """A scene as one network: frames (uint8 B h w 3, RGB) to three scores (float32 B) and the map (float32 B H W).

    Preparation, networks and aggregation are as the scene's settings say.

    Args:
        scene: it stays as it is.
        frame_size: h and w of the frames; those of the scene's input if None.
    """

    def __init__(self, scene: Scene, frame_size: tuple[int, int] | None = None) -> None:
        super().__init__()
        given, score = scene.settings.input, scene.settings.score
        self.preparation = Preparation(frame_size or given.size, given.size, given.resize, *given.normalisation)
        self.model = FusedModel(scene.pyramid, scene.flow, given.size, score.top_k, score.aggregation, score.alignment)
        self.example = torch.zeros(2, *(frame_size or given.size), 3, dtype=torch.uint8)
        self.eval()

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Returns the scores of the frames, kind by kind, and the map."""
        measures = self.model(self.preparation(frames))
        return (*measures[:-1], measures.map.float())


def write_onnx(model: Standalone, path: Path) -> None:
    """Writes the network as ONNX."""
    with replaced(path) as partial:
        partial.write_bytes(to_onnx(model, [model.example], [INPUT], OUTPUTS))


def write_openvino(model: Standalone, path: Path) -> None:
    """Writes the network as OpenVINO's .xml, with a .bin beside it.

    Raises:
        UserError: OpenVINO is not installed.
    """
    try:
        core = shared_core()
    except ImportError:
        raise missing("openvino", "openvino") from None
    made = core.read_model(to_onnx(model, [model.example], [INPUT], OUTPUTS))
    save_openvino(made, path)


def write_torch(model: Standalone, path: Path) -> None:
    """Writes the network as an exported program of PyTorch."""
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad():
        program = torch.export.export(model, (model.example,), dynamic_shapes=({0: batch},))
    with replaced(path) as partial:
        torch.export.save(program, partial)


WRITERS: dict[Target, Callable[[Standalone, Path], None]] = {
    "onnx": write_onnx,
    "openvino": write_openvino,
    "torch": write_torch,
}
