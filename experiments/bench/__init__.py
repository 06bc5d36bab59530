"""Benchmarks: the cost of everything on this machine."""
