"""The capacity plan: what so many cameras need, from the figures of one node."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from msflow_stream.types import UserError

DAY = 86_400.0
ROUNDING = 1e-9  # of a camera: 0.5 x 16 / 0.32 is 25
FORMULA = """\
cores of a camera   = decode_cores + fps x score_core_s + rest_cores
cameras of a node   = the least of
  processor           load x cores / cores of a camera
  scorer              load x gpus x frames_per_s / fps       (without a GPU: load x frames_per_s / fps)
  memory              (memory_share x memory_bytes - process_bytes) / (camera_bytes + scenes_per_camera x scene_bytes)
  GPU memory          the same with gpu_memory_bytes, gpu_process_bytes and gpu_scene_bytes, for each GPU
  network             load x link_bits_per_s / stream_bits_per_s
nodes               = cameras / cameras of a node, rounded up, + spare_nodes
memory              = nodes x process_bytes + cameras x (camera_bytes + scenes_per_camera x scene_bytes)
network             = cameras x stream_bits_per_s
disk per day        = cameras x (quiet_bytes_per_day + events_per_day x event_bytes + recorded_bytes_per_day)"""


class Figure(BaseModel):
    """A number that the plan is made from.

    Attributes:
        value: the number.
        measured: whether it was measured; otherwise it was assumed.
        how: the way it was measured, or why it was assumed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float = Field(ge=0, allow_inf_nan=False)
    measured: bool
    how: str = ""


def measured(value: float, how: str) -> Figure:
    """Returns a measured figure; what noise has made negative is none."""
    return Figure(value=max(0.0, value), measured=True, how=how)


def assumed(value: float, how: str) -> Figure:
    """Returns an assumed figure."""
    return Figure(value=value, measured=False, how=how)


class NodeFigures(BaseModel):
    """The figures of a node, and of the cameras that it watches.

    Attributes:
        cores, memory_bytes, gpus, gpu_memory_bytes: what the node has; the last of each GPU.
        frames_per_s: frames that the scorer (of one GPU, or of all cores) sustains.
        score_core_s: seconds of a core for each scored frame.
        decode_cores: cores that decoding a camera keeps busy: all its frames, whatever is scored.
        rest_cores: likewise for everything else: motion, outputs, the program itself.
        process_bytes, camera_bytes, scene_bytes: memory of the process, and of each camera and scene in it.
        gpu_process_bytes, gpu_scene_bytes: likewise of a GPU.
        stream_bits_per_s: what a camera sends.
        quiet_bytes_per_day: what is written of a camera on which nothing happens.
        event_bytes: what is written of an event, its evidence included.
        recorded_bytes_per_day: overlay videos, where they are recorded.
        scenes_per_camera: 1 where each has one of its own, more with a schedule, less where they share.
        events_per_day: of a camera.
        load, memory_share: shares of processor, scorer and network, and of memory, that are to be in use.
        link_bits_per_s: of the node's network.
        spare_nodes: that may fail.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cores: Figure
    memory_bytes: Figure
    frames_per_s: Figure
    score_core_s: Figure
    decode_cores: Figure
    rest_cores: Figure
    process_bytes: Figure
    camera_bytes: Figure
    scene_bytes: Figure
    stream_bits_per_s: Figure
    quiet_bytes_per_day: Figure
    event_bytes: Figure
    recorded_bytes_per_day: Figure = assumed(0, "nothing is recorded")
    gpus: Figure = assumed(0, "it scores on the CPU")
    gpu_memory_bytes: Figure = assumed(0, "it scores on the CPU")
    gpu_process_bytes: Figure = assumed(0, "it scores on the CPU")
    gpu_scene_bytes: Figure = assumed(0, "it scores on the CPU")
    scenes_per_camera: Figure = assumed(1, "a scene for each camera")
    events_per_day: Figure = assumed(20, "a guess: look at your own")
    load: Figure = assumed(0.7, "room for the cameras of a node that fails, and for the day's peaks")
    memory_share: Figure = assumed(0.8, "room for the system and for scenes that are loaded anew")
    link_bits_per_s: Figure = assumed(1e9, "gigabit Ethernet")
    spare_nodes: Figure = assumed(1, "one node may fail")

    def cores_of_a_camera(self, fps: float) -> float:
        """Returns the number of cores that a camera keeps busy."""
        return self.decode_cores.value + fps * self.score_core_s.value + self.rest_cores.value


@dataclass(frozen=True, slots=True)
class CapacityRow:
    """What a number of cameras needs.

    Attributes:
        per_node: cameras that a node watches, and `limit`, what does not let it watch more.
        nodes: with those to spare.
        memory_bytes: of all processes.
        disk_bytes_per_day: of all cameras.
    """

    cameras: int
    per_node: int
    limit: str
    nodes: int
    gpus: int
    memory_bytes: float
    network_bits_per_s: float
    disk_bytes_per_day: float


def limits(figures: NodeFigures, fps: float) -> dict[str, float]:
    """Returns the number of cameras that a node can watch, by what limits it."""
    f, load, gpus = figures, figures.load.value, figures.gpus.value
    scenes = f.scenes_per_camera.value
    found = {
        "processor": _ratio(load * f.cores.value, f.cores_of_a_camera(fps)),
        "scorer": _ratio(load * (gpus or 1) * f.frames_per_s.value, fps),
        "memory": _ratio(
            f.memory_share.value * f.memory_bytes.value - f.process_bytes.value,
            f.camera_bytes.value + scenes * f.scene_bytes.value,
        ),
        "network": _ratio(load * f.link_bits_per_s.value, f.stream_bits_per_s.value),
    }
    if gpus:
        free = f.memory_share.value * f.gpu_memory_bytes.value - f.gpu_process_bytes.value
        found["GPU memory"] = gpus * _ratio(free, scenes * f.gpu_scene_bytes.value)
    return found


def plan(figures: NodeFigures, fps: float, cameras: Sequence[int]) -> list[CapacityRow]:
    """Returns what each of these numbers of cameras needs.

    Raises:
        UserError: a node cannot watch even one camera.
    """
    found = limits(figures, fps)
    limit = min(found, key=found.__getitem__)
    per_node = 0 if found[limit] == -math.inf else math.floor(found[limit] + ROUNDING)
    if per_node < 1:
        raise UserError(f"such a node cannot watch even one camera at {fps:g} frames/s: its limit is the {limit}")
    return [_row(figures, count, per_node, limit) for count in cameras]


def _row(figures: NodeFigures, cameras: int, per_node: int, limit: str) -> CapacityRow:
    f = figures
    nodes = -(-cameras // per_node) + round(f.spare_nodes.value)
    of_a_camera = f.camera_bytes.value + f.scenes_per_camera.value * f.scene_bytes.value
    written = f.quiet_bytes_per_day.value + f.events_per_day.value * f.event_bytes.value
    return CapacityRow(
        cameras=cameras,
        per_node=per_node,
        limit=limit,
        nodes=nodes,
        gpus=nodes * round(f.gpus.value),
        memory_bytes=nodes * f.process_bytes.value + cameras * of_a_camera,
        network_bits_per_s=cameras * f.stream_bits_per_s.value,
        disk_bytes_per_day=cameras * (written + f.recorded_bytes_per_day.value),
    )


def _ratio(has: float, needs: float) -> float:
    """Returns how often `needs` goes into what there is; a need of nothing is no limit."""
    if has < 0:
        return -math.inf
    return has / needs if needs > 0 else math.inf


def read_figures(path: Path) -> NodeFigures:
    """Returns the figures in a JSON file, as the bench writes it, or of the figures alone.

    Raises:
        UserError: it cannot be read, or lacks something.
    """
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, Mapping) and "figures" in values:
            values = values["figures"]
        return NodeFigures.model_validate(values)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {place or 'the file'}: {first['msg'].lower()}") from None
    except ValueError:
        raise UserError(f"{path} is no JSON file; `bench capacity --json` writes one") from None
