"""Compares the cost of the pipeline with other ways to do the same: see run.sh."""
