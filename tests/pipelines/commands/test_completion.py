"""Shell completion, as docs/install.md has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.data import REPOSITORY

PROGRAM = f"""\
#!{sys.executable}
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
import cli
cli.main()
"""
ASKED = """\
eval "$(msflow-stream --show-completion)"
ask() {
    COMP_WORDS=(msflow-stream "$@"); COMP_CWORD=$#
    _msflow_stream_completion msflow-stream
    echo "${COMPREPLY[@]}"
}
ask ev
ask events list --f
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_verbs_and_options(tmp_path: Path) -> None:
    program = tmp_path / "msflow-stream"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONSAFEPATH": "1"}
    done = subprocess.run(["bash", "-c", ASKED], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout.splitlines(), done.stderr) == (["events evaluate", "--format"], "")
