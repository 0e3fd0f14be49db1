"""A synthetic fixed camera over a walkway: what the demo shows, and footage with exact labels where there is none.

Everything follows from seeds, and frame i from (seeds, violations, i) alone, so any frame can be made on its own.
The ground is a plane in metres: u runs along the walkway, v across it, away from the camera.
"""

from msflow_stream.datasets.synthetic.scene import VISIBLE_SHARE, LabelledFrame, SyntheticScene
from msflow_stream.datasets.synthetic.traffic import Kind, Violation, default_violations

__all__ = ["VISIBLE_SHARE", "Kind", "LabelledFrame", "SyntheticScene", "Violation", "default_violations"]
