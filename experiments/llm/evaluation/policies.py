"""The policies to measure: adapters in folders, described by their runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.json_files import json_lines
from fpo_jax.experiments.core.settings import load
from fpo_jax.experiments.llm.adapter import CONFIG
from fpo_jax.experiments.llm.settings import HOW

BASE = "base"
"""The name of the model without an adapter."""


class Policy(NamedTuple):
    """A policy, before it is loaded.

    Attributes:
        name: its displayed name.
        adapter: the folder of its adapter.
        settings: those of its run; empty if the folder holds only an adapter.
        prompts: its training prompts.
    """

    name: str
    adapter: Path
    settings: Mapping[str, Any]
    prompts: frozenset[str]

    @property
    def mode(self) -> str:
        """The mode of its run, or ""."""
        return str(self.settings.get("mode", ""))

    @property
    def without_seed(self) -> tuple[Any, ...] | None:
        """A key shared by runs that differ only in their seed; None if there is no run."""
        kept = {name: v for name, v in self.settings.items() if name not in ("seed", *HOW)}
        return tuple(sorted((name, str(value)) for name, value in kept.items())) or None


def read_policies(folders: Sequence[str]) -> list[Policy]:
    """Read what folders say of their policies; each gets a unique name.

    Raises:
        InputError: names a folder without an adapter, or one that is given twice.
    """
    found: list[Policy] = []
    for name, folder in zip(_names(folders), folders, strict=True):
        policy = _policy(name, Path(folder))
        if any(policy.adapter.samefile(other.adapter) for other in found):
            raise InputError("runs", folder, "named once")
        found.append(policy)
    return found


def _names(folders: Sequence[str]) -> list[str]:
    """Return the shortest names that tell the folders from each other and from the base model."""
    paths = [Path(folder).resolve() for folder in folders]
    whole = [str(path) for path in paths]
    ways = ([path.name for path in paths], [*folders])
    return next((names for names in ways if len({*names, BASE}) == len(names) + 1), whole)


def _policy(name: str, folder: Path) -> Policy:
    if (folder / CONFIG).is_file():
        return Policy(name, folder, {}, frozenset())
    adapter = folder / "adapter"
    if not (adapter / CONFIG).is_file():
        allowed = f"a folder of `fpo-jax llm`, with adapter/, or of an adapter, with {CONFIG}"
        raise InputError("runs", folder, allowed)
    settings = load(folder / "config.json", "llm")
    said = json_lines(folder / "responses.jsonl", "runs")
    return Policy(name, adapter, settings, frozenset(str(line.fields.get("prompt")) for line in said))
