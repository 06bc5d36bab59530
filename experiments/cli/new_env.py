"""`fpo-jax new-env`: write a commented template of an environment."""

import importlib.resources
import importlib.util
import keyword
import re
import shlex
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Annotated

import tyro

from fpo_jax.experiments.cli.options import options, parse

TEMPLATE = "environment.py.template"
LONGEST = 64
"""Maximum letters of a name."""
NAMING = "a free name in lower case that Python takes for a variable, such as my_env"


@options
class NewEnvOptions:
    """What a user asks of a new environment."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ""
    """name of the environment, in lower case, such as my_env"""
    out: Path | None = None
    """folder for NAME.py; the working directory, or envs/ in a clone of fpo_jax, when not given"""


def new_env_command(arguments: Sequence[str]) -> int:
    """Write a commented template of an environment that runs as it is, and print the next steps."""
    given: NewEnvOptions = parse(NewEnvOptions, arguments, "new-env", description=new_env_command.__doc__)
    path = write_template(given.name, given.out)
    sys.stderr.write(next_steps(given.name, path))
    print(path)
    return 0


def write_template(name: str, out: Path | None = None) -> Path:
    """Write NAME.py into a folder, and return its path.

    By default that is the working directory; in a clone of this project it is `envs/`, where it is found.

    Raises:
        InputError: when the name is invalid or taken, or the folder cannot be written. No file is replaced.
    """
    from fpo_jax import envs
    from fpo_jax.errors import InputError

    _check_spelling(name)
    here = Path("envs") if _is_found(Path("envs")) else Path()
    folder = here if out is None else out
    path = folder / f"{name}.py"
    if name in envs.ENVIRONMENTS or path.exists():
        raise InputError("name", name, f"{NAMING}; this name is already taken")
    module = importlib.util.find_spec(name)
    if module is not None and module.origin is not None:  # a folder has none
        raise InputError(
            "name", name, f"{NAMING}; Python has a module of this name, which the file would hide"
        )
    names = {"name": name, "cls": class_name(name), "title": name.replace("_", " ").strip().capitalize()}
    text = Template(_template()).substitute(names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
            except OSError:
                path.unlink()
                raise
    except OSError as error:
        raise InputError("out", folder, f"a folder that can be written ({error.strerror})") from error
    return path


def _check_spelling(name: str) -> None:
    from fpo_jax.errors import InputError

    spelt = name.isidentifier() and name == name.lower() and not name.startswith("_")
    as_read = unicodedata.normalize("NFKC", name)  # by Python
    if not spelt or name != as_read or keyword.iskeyword(name):
        raise InputError("name", name or "nothing", NAMING)
    if len(name) > LONGEST:
        raise InputError("name", name, f"{NAMING}, with at most {LONGEST} letters")


def class_name(name: str) -> str:
    """Return a class name, my_env -> MyEnv, that differs from every word in the template."""
    cls = "".join(word.capitalize() for word in name.split("_"))
    return f"{cls}Environment" if re.search(rf"\b{cls}\b", _template()) else cls


def next_steps(name: str, path: Path) -> str:
    """Return how to run, check and change the new file."""
    file, cls = shlex.quote(str(path)), class_name(name)
    found = _is_found(path.parent)
    run = f"fpo-jax run {name if found else f'--env {file}'} --objective exact --seeds 8"
    place = "" if found or path.parent == Path() else f"cd {shlex.quote(str(path.parent))}; "
    module = f"fpo_jax.envs.{name}" if found else name
    check = f"from {module} import {cls}; from fpo_jax.testing.checks import check_game; check_game({cls}())"
    python = f"{place}{shlex.quote(sys.executable)} -c {shlex.quote(check)}"
    return f"run it    {run}\ncheck it  {python}\nedit it   {path}: every method says what it is to return\n"


def _is_found(folder: Path) -> bool:
    """Say whether a folder is that of the environments, whose files are found automatically."""

    from fpo_jax import envs

    return folder.resolve() == Path(envs.__path__[0]).resolve()


def _template() -> str:
    return importlib.resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
