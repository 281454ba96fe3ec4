"""Where a training step's time goes."""

from __future__ import annotations

import numpy as np

from raybench.record.schema import (
    Phases,
    Quartiles,
)

LOOK_S = 1.0
"""Seconds after which the passes that look where the time goes end, once they have a few steps."""
LOOK_STEPS = (5, 50)
"""Fewest and most steps of those passes."""
PHASES = tuple(Phases.model_fields)


def _quartiles(values: list[float]) -> Quartiles:
    p25, p50, p75 = np.percentile(values, [25, 50, 75]).tolist()
    return Quartiles(p25=p25, p50=p50, p75=p75)
