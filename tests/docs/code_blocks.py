"""The code that stands in README and in the pages of the documentation: commands, YAML and Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.data import REPOSITORY

PAGES = (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md")))
FENCE = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(msflow-stream [^`]+)`")
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")
PROGRAMS = ("msflow-stream", "make", "pip", "uv", "docker", "ray", "cp", "python", "python3", "kubectl")


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of code on a page.

    Attributes:
        page: of which it is a part.
        line: at which it begins, from 1.
        language: `sh` for commands, otherwise what its fence says.
        text: what it says.
    """

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def fenced(page: Path) -> Iterator[Block]:
    """Yields the blocks between fences."""
    text = page.read_text()
    for found in FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, found.start()) + 2, found["language"].strip(), found["text"])


def commands(page: Path) -> Iterator[Block]:
    """Yields the commands: lines, indented or between fences, that begin with a program, and those within text."""
    inside = {
        block.line + at for block in fenced(page) if block.language == "sh" for at in range(block.text.count("\n"))
    }
    for number, line in enumerate(page.read_text().splitlines(), 1):
        words = line.split()
        while words and ASSIGNMENT.fullmatch(words[0]):
            words.pop(0)
        if (line.startswith("    ") or number in inside) and words and words[0] in PROGRAMS:
            yield Block(page, number, "sh", without_comment(line))
        for inline in INLINE.findall(line):
            yield Block(page, number, "sh", inline)


def without_comment(line: str) -> str:
    """Returns a command without what stands behind it."""
    return re.split(r"\s+# ", line.strip())[0].strip()
