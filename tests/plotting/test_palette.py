"""The table of styles."""

import pytest

from fpo_jax import plotting


def test_methods_have_their_colours():
    styles = plotting.styles({"RLHF": "myopic", "k = 1": "exact", "k = 5": "exact", "own": "cautious"})
    assert styles["RLHF"] == plotting.RLHF
    assert styles["k = 1"].color == styles["k = 5"].color == plotting.EXACT.color
    assert len(set(styles.values())) == 4


def test_lines_of_similar_colours_differ_in_their_dashes():
    """Green and teal, and the blues: without dashes nobody tells them apart where they cross."""
    names = ("exact", "relaxed", "practical", "proximal", "leverage", "own", "another", "third")
    styles = plotting.styles({name: name for name in names})
    assert len({style.color for style in styles.values()}) == len(names)
    for alike in (("exact", "relaxed", "practical"), ("proximal", "own"), ("exact", "leverage")):
        assert len({styles[name].dashes for name in alike}) == len(alike)


@pytest.mark.parametrize("style", [plotting.RLHF, plotting.NEUTRAL])
def test_variants_begin_with_the_style_and_differ_in_shade_and_dashes(style):
    variants = plotting.variants(style, 8)
    assert variants[0] == style
    assert len({variant.color for variant in variants}) == 8
    assert len({variant.dashes for variant in variants}) == 8
    assert plotting.variants(style, 1) == [style]


def test_twenty_routes_have_styles_of_their_own():
    assert len(set(plotting.ladder_styles([str(i) for i in range(20)]).values())) == 20
