"""Sphinx's settings: `make docs` builds docs/build/html, and any warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import generated_pages  # noqa: E402

import msflow_stream  # noqa: E402

project = "msflow-stream"
author = "the msflow-stream contributors"
release = version = msflow_stream.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["build"]
html_theme = "furo"
html_title = f"msflow-stream {release}"
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_use_ivar = True
autodoc_default_options = {"members": True}
suppress_warnings = ["misc.highlighting_failure"]  # of a drawing that GitHub draws
linkcheck_ignore = [r"http://127\.0\.0\.1.*", r"https://192\.0\.2\..*"]

generated_pages.write_pages(HERE / "reference")
