"""Options of a command: parsed by tyro, with complaints of one line."""

import contextlib
import io
import re
import sys
from collections.abc import Sequence
from typing import Any

import tyro

PROGRAM = "fpo-jax"


def parse(kind: Any, arguments: Sequence[str], command: str, **options: Any) -> Any:
    """Parse arguments with tyro, and turn its boxed complaints into the one line that we promise."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind,
                args=list(arguments),
                prog=f"{PROGRAM} {command}",
                config=(tyro.conf.OmitArgPrefixes,),
                **options,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        boxed = [re.sub(r"[│╭╮╰╯─]", "", line).strip() for line in complaint.getvalue().splitlines()]
        said = [line for line in boxed[1:] if line and not line.startswith("For full helptext")]
        allowed = f"as in `{PROGRAM} {command} --help`"
        raise SystemExit(complain(f"{' '.join(' '.join(said).split())}; {allowed}")) from None


def complain(message: str) -> int:
    """Write one line to standard error, and return the exit status of input that cannot be used."""
    sys.stderr.write(f"{PROGRAM}: error: {message}\n")
    return 2
