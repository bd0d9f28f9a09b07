"""How many random cases a test checks."""

import os


def cases(count: int) -> int:
    """So many in CI; a quarter of them elsewhere, where somebody waits. scripts/search.sh has more."""
    return count if os.environ.get("CI") == "true" else max(1, count // 4)
