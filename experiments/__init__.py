"""Experiments: one file, one claim, one set of figures; and the command line that runs them."""
