"""The command line: `fpo-jax COMMAND …`, also `python -m fpo_jax COMMAND …`.

Results go to standard output, everything else to standard error. Exit status: 0 for success; 1 when a check
failed, there was nothing to report or standard output cannot be written; 2 for invalid input; 130 when
interrupted.
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence

from fpo_jax.experiments.cli.bench import bench_command
from fpo_jax.experiments.cli.completion import completion_command
from fpo_jax.experiments.cli.decompose import decompose_command
from fpo_jax.experiments.cli.equilibria import equilibria_command
from fpo_jax.experiments.cli.evaluate import evaluate_command
from fpo_jax.experiments.cli.fetch import fetch_command
from fpo_jax.experiments.cli.judge import judge_command
from fpo_jax.experiments.cli.listing import list_command
from fpo_jax.experiments.cli.llm import answer_command, llm_command
from fpo_jax.experiments.cli.new_env import new_env_command
from fpo_jax.experiments.cli.options import PROGRAM, complain
from fpo_jax.experiments.cli.parity import parity_command
from fpo_jax.experiments.cli.reproduce import reproduce_command
from fpo_jax.experiments.cli.run import run_command
from fpo_jax.experiments.cli.streams import Unwritten, forgiving
from fpo_jax.experiments.cli.sweep import sweep_command
from fpo_jax.experiments.cli.without_jax import without_jax
from fpo_jax.experiments.core.wording import folded

COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "list": list_command,
    "run": run_command,
    "sweep": sweep_command,
    "decompose": decompose_command,
    "equilibria": equilibria_command,
    "parity": parity_command,
    "reproduce": reproduce_command,
    "judge": judge_command,
    "bench": bench_command,
    "llm": llm_command,
    "answer": answer_command,
    "evaluate": evaluate_command,
    "fetch": fetch_command,
    "new-env": new_env_command,
    "completion": completion_command,
}
AT_ONCE = ("list", "completion")
"""Commands that answer without JAX."""
LARGE = ("llm", "answer", "evaluate")
"""Commands with large arrays and long runs, which keep the compiler's defaults."""
OUT_OF_MEMORY = (
    "memory = used up: must be enough for all that is computed at once: ask for fewer seeds, a smaller "
    "--width, fewer entries or smaller sizes; nothing was written"
)
"""The last resort, for when an estimate of memory was too low."""
BY_ENVIRONMENT = ("run", "decompose", "equilibria")
"""Commands whose options, and so their help, depend on the environment."""


def version() -> str:
    """Return what `fpo-jax --version` prints: our version, and those that affect results most."""
    import importlib.metadata
    import platform

    with without_jax():
        import fpo_jax

        ours = fpo_jax.__version__
    beneath = [f"{name} {importlib.metadata.version(name)}" for name in ("jax", "jaxlib")]
    return f"{PROGRAM} {ours} ({', '.join([*beneath, f'Python {platform.python_version()}'])})"


def usage() -> str:
    """Return what `fpo-jax --help` prints."""
    known = [folded(f"  {name:12s} {(f.__doc__ or '').splitlines()[0]}", 15) for name, f in COMMANDS.items()]
    more = f"`{PROGRAM} COMMAND --help` shows the options of a command, `{PROGRAM} --version` all versions."
    return "\n".join([f"usage: {PROGRAM} COMMAND [options]", "", *known, "", folded(more, 0)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    try:
        with forgiving():
            return _main(arguments)
    except Unwritten as unwritten:
        if not isinstance(unwritten.reason, BrokenPipeError):  # whose reader, such as `head`, has had enough
            with forgiving():
                sys.stderr.write(f"{PROGRAM}: error: standard output: {unwritten.reason.strerror}\n")
        return 1


def _main(arguments: Sequence[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        print(version())
        return 0
    name, *options = arguments
    if name not in COMMANDS:
        with without_jax():
            from fpo_jax.errors import suggestion

            return complain(
                f"command = {name}: must be one of {', '.join(COMMANDS)}{suggestion(name, COMMANDS)}"
            )
    try:
        if name not in AT_ONCE and not ({"-h", "--help"} & {*options} and name not in BY_ENVIRONMENT):
            _prepare(name)
        return COMMANDS[name](options)
    except KeyboardInterrupt as error:
        sys.stderr.write(f"{PROGRAM}: interrupted; {str(error) or 'nothing was written'}\n")
        return 130
    except ImportError as error:
        if error.name != "jax":
            raise
        return complain(str(error))
    except MemoryError:
        return complain(OUT_OF_MEMORY)
    except OSError as error:
        from fpo_jax.errors import visible

        if error.strerror is None:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        return complain(visible(f"{where}{error.strerror}"))
    except FloatingPointError as error:  # as JAX_DEBUG_NANS asks for
        error.add_note(
            "A metric that is undefined, such as a cosine with zero, is NaN; --record outcome has none."
        )
        raise
    except (AssertionError, RuntimeError, ValueError) as error:
        from fpo_jax.errors import InputError
        from fpo_jax.experiments.core.devices import GPU_HINT, backend
        from fpo_jax.experiments.runs.result import Diverged

        if isinstance(error, InputError):
            return complain(str(error))
        if isinstance(error, Diverged):
            sys.stderr.write(f"{PROGRAM}: error: {error}\n")
            return 1
        if "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error):
            return complain(OUT_OF_MEMORY)
        named = os.environ.get("JAX_PLATFORMS")
        if named and backend() is None:
            return complain(f"JAX_PLATFORMS = {named}: must be what JAX finds here ({GPU_HINT}), or not set")
        raise


def _prepare(command: str) -> None:
    """Configure JAX before it is imported and before it looks for devices."""
    # For every program from the cache XLA logs, as an error of 3000 letters, that the compiler had
    # preferences that are not features of a processor. Real errors are raised anyway.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("matplotlib").addFilter(_is_no_prelude)
    from fpo_jax.experiments.core.devices import (
        check_flags,
        collect_rarely,
        keep_compiled,
        suit_compiler,
        use_every_core,
    )
    from fpo_jax.internals import setting

    check_flags()
    if command not in LARGE:
        suit_compiler()
    collect_rarely()
    one_by_one = ("jax_disable_jit", "jax_debug_nans")  # these run operations one by one, not as programs
    if not any(map(setting, one_by_one)):
        use_every_core()
        keep_compiled()


def _is_no_prelude(record: logging.LogRecord) -> bool:
    """Drop matplotlib's first message about a home that cannot be written; the next one says what it does."""
    return not record.getMessage().startswith("mkdir -p failed")
