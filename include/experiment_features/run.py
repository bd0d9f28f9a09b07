"""A run: what is known of it before it begins, and its stages."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

STAGES = ("extract", "validate", "transform", "load")


@dataclass(frozen=True)
class Run:
    """What is known of a run before it begins."""

    run_id: str
    trigger: str
    """scheduled, manual, api, asset, backfill or cli."""

    started_at: datetime
    max_rejected_percent: float = 10
    allow_empty: bool = False
    force: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that decide what a drop becomes; with other ones it is loaded again."""
        return {
            "max_rejected_percent": self.max_rejected_percent,
            "allow_empty": self.allow_empty,
        }
