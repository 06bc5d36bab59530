"""Sweeps over methods and hyperparameters, and claims that are made of them."""
