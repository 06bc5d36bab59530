"""Sweeps over methods and hyperparameters, and claims based on them."""
