"""Claims and the kinds of work: a file here holds one claim with its figures, a folder one kind of work."""

if __name__ != "fpo_jax.experiments":  # a second copy, from the folder of the checkout
    raise ModuleNotFoundError(f"{__name__} is now fpo_jax.experiments", name=__name__)
