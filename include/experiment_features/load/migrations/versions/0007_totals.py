"""The sums from which the next delta computes the totals."""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Widens the ledger."""
    driver: Any = op.get_bind().connection.driver_connection
    driver.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
