"""The structure of a pytree as JSON, so that a file can describe it and reading runs no code.

Nodes are None, tuples, lists, dicts with names, and named tuples and dataclasses by their classes. Such a
class is looked up among the loaded ones; nothing is imported, and no constructor runs.
"""

import dataclasses
import sys
from typing import Any

import jax

Description = Any
"""JSON: null, 0 for a leaf, or a list of a kind and its children."""


class Unknown(ValueError):
    """A node of a kind that cannot be described, or a text that describes no known node."""


def described(tree: Any) -> Description:
    """Return a description of a tree's structure.

    Raises:
        Unknown: at a node of a kind that cannot be described.
    """
    if type(tree) in (tuple, list):
        return [type(tree).__name__, [described(child) for child in tree]]
    if type(tree) is dict and all(isinstance(name, str) for name in tree):
        return ["dict", {name: described(child) for name, child in tree.items()}]
    if dataclasses.is_dataclass(tree) or _is_named_tuple(type(tree)):
        cls = type(tree)
        children = {name: _told(getattr(tree, name), static) for name, static in _fields(cls).items()}
        return [f"{cls.__module__}:{cls.__qualname__}", children]
    if tree is not None and not jax.tree_util.all_leaves([tree]):
        raise Unknown(f"a node of type {type(tree).__name__}")
    return None if tree is None else 0


def restored(description: Description) -> Any:
    """Return a tree of this structure with all leaves 0.

    Raises:
        Unknown: when the text describes none.
    """
    if description is None or description == 0:
        return description
    try:
        kind, children = description
        if kind in ("tuple", "list"):
            made = [restored(child) for child in children]
            return made if kind == "list" else tuple(made)
        if kind == "dict":
            return {name: restored(child) for name, child in children.items()}
        cls = _class(kind)
        fields = _fields(cls)
        values = {name: children[name] if fields[name] else restored(children[name]) for name in fields}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unknown(str(description)[:80]) from error
    if _is_named_tuple(cls):
        return tuple.__new__(cls, values.values())
    made = object.__new__(cls)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def _told(value: Any, static: bool) -> Description:
    if not static:
        return described(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise Unknown(f"{value!r} is part of a structure")


def _fields(cls: type) -> dict[str, bool]:
    """Return the names of a node's fields, and whether each is part of the structure rather than a child."""
    if _is_named_tuple(cls):
        return dict.fromkeys(cls._fields, False)  # type: ignore[attr-defined]
    return {field.name: not field.metadata.get("pytree_node", True) for field in dataclasses.fields(cls)}


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def _class(kind: str) -> type:
    """Return a class of pytree nodes by the name of its module and its own, if it is loaded."""
    module, _, name = kind.partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type) or not (dataclasses.is_dataclass(found) or _is_named_tuple(found)):
        raise Unknown(kind)
    return found
