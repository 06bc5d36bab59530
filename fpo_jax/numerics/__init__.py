"""Numerical methods behind plain functions: linear systems, roots, networks, keys, schedules, differences."""
