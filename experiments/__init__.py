"""Claims: one file, one claim, one set of figures; and a folder for each kind of work."""

if __name__ != "fpo_jax.experiments":  # a second copy, from the folder of the checkout
    raise ModuleNotFoundError(f"{__name__} is now fpo_jax.experiments", name=__name__)
