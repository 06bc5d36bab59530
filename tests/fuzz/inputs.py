"""Inputs of any kind, and what a complaint must be."""

import copy
import json

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from fpo_jax.errors import InputError

FUZZED = settings(
    max_examples=10_000,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.filter_too_much,
        HealthCheck.large_base_example,
    ],
)
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=12),
    st.sampled_from(
        ["", "\0", "\ud800", "\x1b[2J", "\u2028", "x" * 300, "A", "C", "tie", "[[A]]", "first", "win"]
    ),
)
"""Texts, halves of surrogate pairs and control characters among them."""
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 9),
        st.floats(),
        TEXT,
        st.sampled_from([10**400, -(2**64), 1e308]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
"""Values that Python writes as JSON, NaN among them."""
DEEP = st.sampled_from([63, 64, 65, 66, 900, 5000]).flatmap(
    lambda n: st.sampled_from([b"[" * n, b"[" * n + b"]" * n, b'{"a":' * n + b"1" + b"}" * n])
)


@st.composite
def damaged(draw, whole):
    """Bytes of something whole: flipped, cut, with something put in, or as they are."""
    content = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(content)))
        match draw(st.integers(0, 3)):
            case 0 if at < len(content):
                content[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del content[at:]
            case 2:
                content[at:at] = draw(st.binary(max_size=4) | DEEP)
            case _:
                content[at:at] = draw(
                    st.sampled_from([b"NaN", b"1e999", b"9" * 5000, b"\\ud800", b"\xed\xa0\x80"])
                )
    return bytes(content)


ODD = st.one_of(
    JSON,
    st.integers(),
    st.sampled_from([2**31 - 1, 2**31, 2**63, 10**12]),
    st.sampled_from(["../x", "/etc/passwd", "a/b", "nan", "1e999", "x" * 5000, "0:1:3", "1,2"]),
)
"""Values that a setting, a size or a name may have."""


def mutated(right):
    """An object, some of whose fields are dropped or replaced, or joined by others."""

    def apply(changes, more, dropped):
        made = {name: value for name, value in copy.deepcopy(right).items() if name not in dropped}
        return {**made, **dict(changes), **more}

    names = st.sampled_from(sorted(right))
    changes = st.lists(st.tuples(names, ODD), max_size=3)
    more = st.one_of(st.just({}), st.dictionaries(TEXT, ODD, max_size=2))
    return st.builds(apply, changes, more, st.lists(names, max_size=1))


def is_one_line(complaint):
    """Say whether a complaint is one line that can be shown."""
    said = str(complaint)
    whole = isinstance(complaint, InputError) and len(said) < 3000
    return whole and all(one.isprintable() or "\udc80" <= one <= "\udcff" for one in said)


def tried(read, *arguments):
    """Return what is read, or None after a complaint of one line; no other exception is one."""
    try:
        return read(*arguments)
    except InputError as error:
        complaint = error
    assert is_one_line(complaint), repr(complaint)
    return None


def as_json(value):
    """Return a value as the bytes of a JSON file, with what is no JSON in it, too."""
    return json.dumps(value).encode()
