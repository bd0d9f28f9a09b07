"""Which parts a run was computed from, with which code, and what came of it; issues that hold."""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Widens the ledger, gives issues a life of their own, and compounds a history."""
    driver: Any = op.get_bind().connection.driver_connection
    driver.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
