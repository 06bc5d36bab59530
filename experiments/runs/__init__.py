"""Runs of one environment over seeds, and claims that compare methods on the same seeds."""
