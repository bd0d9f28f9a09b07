"""A load says what it left: a hash, so that changes by hand are noticed, and its issues by rule."""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Adds the columns; what earlier loads left is not known."""
    driver: Any = op.get_bind().connection.driver_connection
    driver.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
