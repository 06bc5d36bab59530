"""Experiments: one file, one claim, one set of figures; and the command line that runs them."""

import sys

# Before anything is imported that an older Python cannot read.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.stderr.write("fpo-jax: error: Python = {}.{}: must be 3.11 or newer\n".format(*sys.version_info))
    raise SystemExit(2)
