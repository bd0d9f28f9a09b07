"""Features go to PostgreSQL in one transaction; the run ledger, and the schema."""
