"""Computes features per user and per compound from the valid rows."""
