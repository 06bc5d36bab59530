"""`python -m fpo_jax`: the command line, as `fpo-jax`."""

from fpo_jax.experiments.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
