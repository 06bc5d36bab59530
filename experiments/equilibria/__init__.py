"""Equilibria of each objective, instance by instance: where runs end, and whether they stay."""
