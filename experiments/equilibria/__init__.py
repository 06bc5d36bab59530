"""Equilibria of each objective on each instance: where runs end, and whether they stay there."""
