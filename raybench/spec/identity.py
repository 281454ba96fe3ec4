"""What tells one trial from another."""

from __future__ import annotations

import hashlib
import json
from typing import Any

NOT_IDENTITY = ("repeat", "seed")
"""Fields in which independent repeats of the same measurement may differ."""


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]
