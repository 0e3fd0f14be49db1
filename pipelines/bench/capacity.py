"""`bench capacity`: the figures of one node, measured or from a file, and what many cameras need."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from msflow_stream.config.settings import Settings
from msflow_stream.files import write_json
from msflow_stream.machine import choose_device

from ..terminal.progress import print_markdown
from .capacity_measure import NodeMeasurement, measure_node
from .capacity_plan import FORMULA, CapacityRow, NodeFigures, limits, plan, read_figures
from .machine import machine_facts, machine_line
from .stages import footage_folder

USUAL = (10, 100, 1_000, 10_000)  # cameras
COLUMNS = ["cameras", "of a node", "limit", "nodes", "GPUs", "memory", "network", "disk a day"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityJob:
    """The request to `bench capacity`.

    Attributes:
        cameras: a number of cameras that is shown beside the usual ones.
        measurement: how this node is measured.
        figures: a JSON file that has the figures of a node; None: this one is measured.
        out: a JSON file for figures and plan.
    """

    cameras: int
    measurement: NodeMeasurement
    figures: Path | None = None
    out: Path | None = None


def bench_capacity(settings: Settings, job: CapacityJob) -> list[CapacityRow]:
    """Measures this node unless figures are given, prints them and the plan, and writes JSON.

    Raises:
        UserError: figures that cannot be used, or a node that cannot watch even one camera.
    """
    facts = None
    if job.figures is not None:
        figures, where = read_figures(job.figures), f"from {job.figures.name}"
    else:
        facts = machine_facts(choose_device(job.measurement.device))
        where = machine_line(facts)
        with tempfile.TemporaryDirectory(prefix="capacity-") as name:
            figures = measure_node(settings, job.measurement, Path(name), footage_folder())
    fps = job.measurement.fps
    record = {"machine": facts, "fps": fps, "figures": figures.model_dump()}
    _print_figures(figures, where)
    if job.out is not None:  # whatever the plan says: figures take minutes
        write_json(job.out, record)
    rows = plan(figures, fps, sorted({*USUAL, job.cameras}))
    _print_plan(rows, figures, fps)
    if job.out is not None:
        write_json(job.out, {**record, "plan": [asdict(row) for row in rows]})
    return rows


def _print_figures(figures: NodeFigures, where: str) -> None:
    rows = []
    for name in NodeFigures.model_fields:
        figure = getattr(figures, name)
        rows.append([name, shown(name, figure.value), "measured" if figure.measured else "assumed", figure.how])
    print_markdown(f"figures of a node ({where})", ["", "value", "", "how"], rows)


def _print_plan(rows: Sequence[CapacityRow], figures: NodeFigures, fps: float) -> None:
    cells = [
        [
            f"{row.cameras:,}",
            str(row.per_node),
            row.limit,
            str(row.nodes),
            str(row.gpus),
            amount(row.memory_bytes, "B"),
            amount(row.network_bits_per_s, "bit/s"),
            amount(row.disk_bytes_per_day, "B"),
        ]
        for row in rows
    ]
    found = sorted(limits(figures, fps).items(), key=lambda item: item[1])
    ends = ", ".join(f"{name} {count:,.0f}" for name, count in found if count < 1e6)
    spare = round(figures.spare_nodes.value)
    notes = [f"Cameras that each part of a node would allow: {ends}. {spare} of the nodes is to spare.", FORMULA]
    print_markdown(f"what cameras need at {fps:g} frames/s", COLUMNS, cells, notes)


def shown(name: str, value: float) -> str:
    """Returns a figure with its unit, which its name tells."""
    if name.endswith(("_bytes", "_bytes_per_day")):
        return amount(value, "B")
    if name.endswith("bits_per_s"):
        return amount(value, "bit/s")
    if name.endswith("core_s"):
        return f"{1000 * value:.2f} ms"
    return f"{value:.4g}"


def amount(value: float, unit: str) -> str:
    """Returns a number in powers of a thousand.

    >>> [amount(n, "B") for n in (0, 999, 1_500_000, 2.5e13)]
    ['0 B', '999 B', '1.5 MB', '25 TB']
    """
    for prefix in ("", "k", "M", "G", "T", "P"):
        if value < 999.5 or prefix == "P":
            return f"{value:.3g} {prefix}{unit}"
        value /= 1000
    raise AssertionError("the last prefix takes everything")
