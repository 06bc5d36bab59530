"""Settings that are declared as fields: filled in, refused, written down."""

import dataclasses
from pathlib import Path

import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.declared import Declared, option, standing_in
from fpo_jax.hyperparameters import REQUIRED, choice, count, flag, real, several, text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tea(Declared):
    pot: str = text(REQUIRED, "which pot", naming="a pot")
    leaves: str = choice("green", "which leaves", ("green", "black"))
    cups: int = count(2, "how many cups", high=6)
    minutes: float | str | None = real(None, "how long it draws", low=0.0, open=True, options=("long",))
    guests: tuple[str, ...] = several((), "who comes")
    extras: tuple[str, ...] = several(("milk",), "what stands beside it", ("milk", "sugar"))
    hot: bool = flag(True, "whether it is drunk hot")


def test_wishes_are_filled_in_and_written_down():
    tea = Tea.of({"pot": Path("round"), "minutes": 3, "guests": ["a", Path("b")], "cups": None})
    assert tea == Tea(pot="round", minutes=3.0, guests=("a", "b"))
    assert isinstance(tea.minutes, float)
    assert tea.as_dict()["guests"] == ["a", "b"]
    assert Tea.of(tea.as_dict()) == tea
    assert Tea.of({"pot": "round", "minutes": "long"}).minutes == "long"


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"pot": None}, "pot = nothing: must be a pot"),
        ({"pot": ""}, "pot = nothing: must be a pot"),
        ({"cup": 3}, "setting = cup: must be one of pot, .* \\(nearest: cups\\)"),
        ({"leaves": "blak"}, "leaves = blak: must be one of green, black \\(nearest: black\\)"),
        ({"leaves": ["green"]}, "leaves = .*: must be one of green, black$"),
        ({"cups": 7}, "cups = 7: must be an integer >= 1 and <= 6$"),
        ({"cups": True}, "cups = True: must be an integer >= 1 and <= 6$"),
        ({"cups": 2.0}, "cups = 2.0: must be an integer"),
        ({"minutes": 0}, "minutes = 0.0: must be a finite number > 0, or long$"),
        ({"minutes": "lang"}, "minutes = lang: must be .* \\(nearest: long\\)"),
        ({"guests": "a"}, "guests = a: must be a list of text$"),
        ({"guests": [3]}, "guests = 3: must be a list of text$"),
        ({"extras": []}, "extras = nothing: must be a list of one or more of milk, sugar$"),
        ({"extras": ["milk", "sugr"]}, "extras = sugr: must be .* \\(nearest: sugar\\)"),
        ({"hot": 1}, "hot = 1: must be true or false$"),
    ],
)
def test_what_cannot_be_used_is_named(wrong, complaint):
    with pytest.raises(InputError, match=f"^{complaint}"):
        Tea.of({"pot": "round"} | wrong)
    with (
        pytest.raises(InputError, match=r"; correct or delete it in tea\.json$"),
        standing_in(Path("tea.json")),
    ):
        Tea.of({"pot": "round"} | wrong)


def test_a_setting_is_typed_as_an_option():
    assert option("new_pot", "a pot") == "--new-pot 'a pot'"
    assert option("guests", ("a", "b c")) == "--guests a 'b c'"
    assert (option("hot", False), option("hot", False, word=True)) == ("--no-hot", "--hot False")
