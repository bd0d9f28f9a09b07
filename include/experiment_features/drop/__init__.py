"""Where a drop may lie, and what it has."""
