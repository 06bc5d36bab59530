"""What fuzz tests feed to readers: arbitrary JSON, and right inputs with a mutation."""

import copy
import functools

from hypothesis import HealthCheck, settings
from hypothesis import strategies as some

from fpo_jax.errors import InputError

ODD_TEXT = some.one_of(
    some.text(max_size=20),
    some.sampled_from(["", "../x", "/etc/passwd", "a/b", "\0", "\x1b[2J", "\n", "nan", "1e999", "a" * 5000, "0:1:3"]),
)
NUMBERS = some.one_of(
    some.integers(-3, 300),
    some.integers(),
    some.sampled_from([2**31 - 1, 2**31, 2**63, 10**12, 10**30, 10**400, -1, 0, True, False]),
    some.floats(allow_nan=True, allow_infinity=True),
)
LEAVES = some.one_of(some.none(), some.booleans(), NUMBERS, ODD_TEXT)
VALUES = some.recursive(
    LEAVES,
    lambda inner: some.one_of(
        some.lists(inner, max_size=4), some.dictionaries(ODD_TEXT, inner, max_size=4)
    ),
    max_leaves=8,
)
"""What stands in a JSON document, and what Python takes for it besides."""


def mutated(right):
    """Right settings, some of which are dropped, replaced, or joined by others; or anything else."""

    def apply(changes, more, dropped):
        made = copy.deepcopy(right)
        for name in dropped:
            made.pop(name, None)
        return {**made, **dict(changes), **more}

    names = some.sampled_from(sorted(right))
    changes = some.lists(some.tuples(names, VALUES), max_size=3)
    more = some.one_of(some.just({}), some.dictionaries(ODD_TEXT, VALUES, max_size=2))
    return some.builds(apply, changes, more, some.lists(names, max_size=1))


def damaged(content):
    """Bytes of a right file: some flipped, some cut, some put in."""

    def apply(flips, cut, place, extra):
        made = bytearray(content)
        for where, value in flips:
            made[where % len(made)] = value
        made[place % len(made) : place % len(made)] = extra
        return bytes(made[: cut % (len(made) + 1)] if cut is not None else made)

    where = some.integers(0, 10**6)
    flips = some.lists(some.tuples(where, some.integers(0, 255)), max_size=4)
    cut = some.one_of(some.none(), some.none(), where)
    return some.builds(apply, flips, cut, where, some.one_of(some.just(b""), some.binary(max_size=9)))


def one_line(read):
    """Return what a reader returns, or None where it refuses in one line; whatever else it raises, fails."""
    try:
        return read()
    except InputError as error:
        said = str(error)
        assert "\n" not in said
        assert len(said) < 3000
        assert all(sign.isprintable() or "\udc80" <= sign <= "\udcff" for sign in said), ascii(said)
        return None


def thousands(count=10_000):
    """Settings of a test that tries so many inputs, the same in every run."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return functools.partial(
        settings, deadline=None, derandomize=True, database=None, suppress_health_check=checks
    )(max_examples=count)
