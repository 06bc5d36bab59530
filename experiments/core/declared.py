"""Settings of a command: each is declared once, as a field, by `fpo_jax.hyperparameters`."""

import contextlib
import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from fpo_jax.errors import InputError, require_known
from fpo_jax.hyperparameters import REQUIRED, allowed_values, declared, require_allowed


@dataclasses.dataclass(frozen=True)
class Declared:
    """Settings that check themselves on construction, by the declarations of their fields."""

    def __post_init__(self) -> None:
        require_allowed(self)

    @classmethod
    def known(cls) -> dict[str, dataclasses.Field]:
        """Return the declaration of each setting, by its name."""
        return {field.name: field for field in declared(cls)}

    @classmethod
    def of(cls, wishes: Mapping[str, Any]) -> Self:
        """Return settings from a user's values by name; None counts as not given.

        Raises:
            InputError: names what is unknown (with the nearest known name), missing or out of range.
        """
        known = cls.known()
        given = {name: value for name, value in wishes.items() if value is not None}
        for name in given:
            require_known("setting", name, known)
        for name, field in known.items():
            if field.default is REQUIRED and name not in given:
                raise InputError(name, "nothing", allowed_values(field))
        return cls(**{name: as_written(known[name], value) for name, value in given.items()})

    def repeated(self, command: str) -> str:
        """Return a command with an option for every setting that differs from its default."""
        values = {name: (getattr(self, name), field.default) for name, field in self.known().items()}
        changed = {name: value for name, (value, default) in values.items() if value != default}
        return " ".join([command, *(option(*each, word=True) for each in changed.items())])

    def as_dict(self) -> dict[str, Any]:
        """Return all settings as one flat dictionary, the contents of `config.json`."""
        values = {name: getattr(self, name) for name in self.known()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def as_written(field: dataclasses.Field, value: Any) -> Any:
    """Convert a user's value; its range is checked elsewhere.

    An integer may be given for a real number, as in `weight=1`, a path for its name, and a file for its text
    if the field allows text.

    Raises:
        InputError: when a file cannot be read.
    """
    kind, read = field.metadata["kind"], field.metadata.get("read")
    if kind is tuple and isinstance(value, list | tuple):
        return tuple(str(one) if isinstance(one, Path) else one for one in value)
    if isinstance(value, str) and read:
        return read(value)
    is_integer = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1023
    return str(value) if isinstance(value, Path) else float(value) if kind is float and is_integer else value


def option(name: str, value: Any, word: bool = False) -> str:
    """Return a setting as the user types it; with `word`, flags are typed as True and False."""
    spelled = name.replace("_", "-")
    if isinstance(value, bool) and not word:
        return f"--{spelled}" if value else f"--no-{spelled}"
    values = value if isinstance(value, tuple) else (value,)
    return " ".join([f"--{spelled}", *(shlex.quote(str(one)) for one in values)])


@contextlib.contextmanager
def standing_in(config: Path | None) -> Iterator[None]:
    """Add the file's name to errors about settings in it, and say how to fix them."""
    try:
        yield
    except InputError as error:
        if config is None:
            raise
        allowed = f"{error.allowed}; correct or delete it in {config}"
        raise InputError(error.field, error.value, allowed) from error
