"""Benchmarks: what everything costs on this machine."""
