"""Loads features into PostgreSQL in one transaction; keeps the run ledger and the schema."""
