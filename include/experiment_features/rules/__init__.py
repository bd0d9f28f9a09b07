"""Typed rows become the valid ones, and an issue for every fault."""
