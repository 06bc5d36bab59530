"""A user's own environments: `--env FILE.py` runs the file and registers its environment.

A file of settings may also name such a file. It is refused until the user repeats `--env`, since results from
somebody else must not run code on their own.
"""

import contextlib
import hashlib
import inspect
import re
import shlex
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.errors import InputError
from fpo_jax.types import Recipe

HELP = "FILE.py or FILE.py:CLASS with your own environment, as written by `fpo-jax new-env`"
NEEDED = ("name", "recipe", "draw")
"""The attributes of an environment class."""

_given: dict[str, str] = {}
"""The values of `--env`, by the name of the environment in the file."""


def load_environment(given: str) -> str:
    """Run a user's file, register its environment, and return its name.

    The file's folder comes last in the search for modules that it imports. The file is read anew each time.

    Args:
        given: FILE.py with one environment, or FILE.py:CLASS to choose one of several.

    Raises:
        InputError: says what is wrong with the file and in which line, or that the name is taken.
    """
    file, chosen = _parted(given)
    module = _run(given, file)
    environment = _only(given, chosen, module)
    name = environment.name
    if name in ENVIRONMENTS and name not in _given:
        raise InputError(
            f"env {given}: {environment.__name__}.name", name, "another name: this one is already taken"
        )
    ENVIRONMENTS[name] = environment
    _given[name] = given
    return name


def require_same(environment: str, loaded: str | None) -> None:
    """Check that an environment named together with `--env` is the one in its file."""
    if loaded is not None and environment != loaded:
        raise InputError("environment", environment, f"{loaded}, as in --env {_given[loaded]}, or omitted")


def origin(environment: str) -> dict[str, str]:
    """Return {"env": the value of `--env`} for a user's own environment, else {}."""
    return {"env": _given[environment]} if environment in _given else {}


def digest(environment: str | None, name: str) -> dict[str, str]:
    """Return {name: digest of the file} for a user's own environment, else {}."""
    if environment not in _given:
        return {}
    file, _ = _parted(_given[environment])
    return {name: hashlib.sha256(file.read_bytes()).hexdigest()}


def env_options(environment: str) -> list[str]:
    """Return the words of a command that name the file of a user's own environment, else []."""
    return [f"--env {shlex.quote(file)}" for file in origin(environment).values()]


def without_origin(wishes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without `env`, after its file is loaded.

    Raises:
        InputError: when it is not, since a file of settings alone must not run code.
    """
    file = wishes.get("env")
    if file is not None and wishes.get("environment") not in _given:
        again = f"--env {shlex.quote(str(file))}"
        raise InputError("env", file, f"given again, as {again}: settings alone must not run code")
    return {name: value for name, value in wishes.items() if name != "env"}


def _parted(given: str) -> tuple[Path, str | None]:
    parts = re.fullmatch(r"(.*\.py)(?::(\w+))?", given)
    if parts is None:
        raise InputError("env", given, "FILE.py, or FILE.py:CLASS")
    return Path(parts[1]).expanduser().resolve(), parts[2]


def _run(given: str, file: Path) -> ModuleType:
    """Run a file as a module from its source, so that no older compiled version is used."""
    module = ModuleType(f"env_{file.stem}")
    module.__file__ = str(file)
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    sys.modules[module.__name__] = module
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where results are not
            exec(compile(file.read_bytes(), str(file), "exec"), vars(module))
    except OSError as error:
        if error.filename != str(file):
            raise _broken(given, file, error) from error
        raise InputError("env", given, f"a file that can be read ({error.strerror})") from error
    except (Exception, SystemExit) as error:
        raise _broken(given, file, error) from error
    return module


def _broken(given: str, file: Path, error: BaseException) -> InputError:
    """Return an error with the line of the file where something went wrong."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        line, message = error.lineno, error.msg
    else:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in reversed(frames) if frame.filename == str(file)), None)
        message = str(error)
    where = "" if line is None else f"line {line}: "
    what = " ".join(f"{type(error).__name__}: {message}".split())
    return InputError("env", given, f"a file that Python can run ({where}{what})")


def _only(given: str, chosen: str | None, module: ModuleType) -> Any:
    """Return the only environment of a module, or the chosen one."""
    classes = [
        cls for _, cls in inspect.getmembers(module, inspect.isclass) if cls.__module__ == module.__name__
    ]
    if chosen is not None:
        classes = [cls for cls in classes if cls.__name__ == chosen]
        if not classes:
            raise InputError("env", given, f"FILE.py:CLASS with a class of this file; it has no {chosen}")
    lacking = {cls: [name for name in NEEDED if not hasattr(cls, name)] for cls in classes}
    found = [cls for cls, missing in lacking.items() if not missing]
    if len(found) > 1:
        names = " and ".join(cls.__name__ for cls in found)
        allowed = f"a file with one environment, or FILE.py:CLASS to choose one of {names}"
        raise InputError("env", given, allowed)
    if not found:
        nearly = min(
            (cls for cls in classes if len(lacking[cls]) < len(NEEDED)),
            key=lambda c: len(lacking[c]),
            default=None,
        )
        missing = "" if nearly is None else f"; {nearly.__name__} has no {' and no '.join(lacking[nearly])}"
        raise InputError(
            "env", given, f"a file with an environment: a class with name, recipe and draw{missing}"
        )
    (environment,) = found
    _check(given, environment)
    return environment


def _check(given: str, environment: Any) -> None:
    cls = environment.__name__
    if not hasattr(environment, "__dataclass_fields__"):
        raise InputError(f"env {given}: {cls}", "a plain class", "decorated with flax.struct.dataclass")
    if inspect.isabstract(environment):
        missing = ", ".join(sorted(environment.__abstractmethods__))
        raise InputError(f"env {given}: {cls}", f"without {missing}", "complete, with these methods")
    if not (isinstance(environment.name, str) and re.fullmatch(r"\w[\w-]*", environment.name)):
        raise InputError(f"env {given}: {cls}.name", environment.name, "a word")
    if not isinstance(environment.recipe, Recipe):
        shown = type(environment.recipe).__name__
        raise InputError(f"env {given}: {cls}.recipe", shown, "a fpo_jax.types.Recipe")
