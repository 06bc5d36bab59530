"""Equilibria of each objective, instance by instance: where runs end, what that is worth, whether it stays."""
