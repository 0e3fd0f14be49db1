"""FrEIA's invertible blocks, imported without scipy.stats, which takes longer than all the rest of them.

FrEIA draws rotations with it; the flows here have permutations. Who does want a rotation gets it, and waits then.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

STATISTICS = "scipy.stats"


class _Rotations:
    """As scipy.stats.special_ortho_group, which is imported when it is used."""

    @staticmethod
    def rvs(*arguments: Any, **options: Any) -> Any:
        from scipy.stats import special_ortho_group

        return special_ortho_group.rvs(*arguments, **options)


if STATISTICS in sys.modules:
    from FrEIA.framework import SequenceINN
    from FrEIA.modules import AllInOneBlock
else:
    sys.modules[STATISTICS] = stand_in = ModuleType(STATISTICS)
    stand_in.special_ortho_group = _Rotations  # type: ignore[attr-defined]
    try:
        from FrEIA.framework import SequenceINN
        from FrEIA.modules import AllInOneBlock
    finally:
        del sys.modules[STATISTICS]

__all__ = ["AllInOneBlock", "SequenceINN"]
