"""The tables of docs/licenses.md: `make licences` writes them below the words that a person wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from packaging.requirements import Requirement

from msflow_stream import __version__
from release.required import ELSEWHERE, REPOSITORY, WITH_TOOLS, Required, required, wanted

PAGE = REPOSITORY / "docs" / "licenses.md"
MARK = "<!-- From here on by `make licences`. -->\n"
UPLOT = REPOSITORY / "msflow_stream" / "web" / "static" / "vendor" / "uPlot.js"
# What only an extra of `ELSEWHERE` asks for: the licence that the package index states, and the home page.
UNSEEN = {
    "onnxruntime-gpu": ("MIT", "https://onnxruntime.ai"),
    "tensorrt": ("LicenseRef-NVIDIA-Proprietary", "https://developer.nvidia.com/tensorrt"),
}


def uplot_version() -> str:
    """Returns the version of uPlot that the wheel holds, as its own first lines say."""
    found = re.search(r"uPlot \(v([0-9.]+)\)", UPLOT.read_text(encoding="utf-8")[:1000])
    if found is None:
        raise ValueError(f"{UPLOT} does not begin with its version")
    return found[1]


def tables() -> str:
    """Returns what stands below the mark: the wheel's own content, and what is required with it."""
    every = required().values()
    to_run = [one for one in every if one.to_run]
    parts = {
        "In the wheel": _table(
            "what | version | licence",
            [
                f"msflow-stream | {__version__} | Apache-2.0",
                f"[uPlot](https://github.com/leeoniya/uPlot) | {uplot_version()} | MIT",
            ],
        ),
        "Required to run": _distributions(one for one in to_run if one.pinned),
        "Required by PyTorch's package for Linux, for NVIDIA's cards": _distributions(
            one for one in to_run if not one.pinned
        ),
        "Required where there is TensorRT": _table(
            "distribution | asked for | licence", (row for extra in ELSEWHERE for row in _unseen(wanted()[extra]))
        ),
        "Required to build, to document and to test": _distributions(one for one in every if not one.to_run),
    }
    return "\n".join(f"## {title}\n\n{table}" for title, table in parts.items())


def write_page() -> None:
    """Writes the tables into the page; what stands above the mark stays."""
    words, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(f"{words}{mark}\n{tables()}", encoding="utf-8")


def _distributions(every: Iterable[Required]) -> str:
    return _table("distribution | version | licence | for", map(_row, every))


def _row(one: Required) -> str:
    name = f"[{one.name}]({one.home})" if one.home else one.name
    extras = sorted(one.extras - set(WITH_TOOLS) or one.extras)
    return f"{name} | {one.version} | {one.licence} | {'all' if '' in extras else ', '.join(extras)}"


def _unseen(requirements: Iterable[str]) -> Iterator[str]:
    for one in map(Requirement, requirements):
        if one.name in UNSEEN:
            licence, home = UNSEEN[one.name]
            yield f"[{one.name}]({home}) | `{one.specifier}` | {licence}"


def _table(head: str, rows: Iterable[str]) -> str:
    return "".join(f"| {row} |\n" for row in (head, " | ".join("---" for _ in head.split(" | ")), *rows))


if __name__ == "__main__":
    write_page()
