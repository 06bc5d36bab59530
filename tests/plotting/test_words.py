"""The room that words take."""

from fpo_jax.plotting.words import fitted, legend_columns, width_of


def test_words_are_folded_until_they_fit():
    words = "one two three four five six seven"
    assert fitted(words, 9.0, 1000.0) == words
    folded = fitted(words, 9.0, 80.0)
    assert folded.replace("\n", " ") == words
    assert width_of(folded, 9.0) <= 80.0 < width_of(words, 9.0)
    assert fitted("one\n\ntwo", 9.0, 80.0) == "one\n\ntwo"  # lines stay lines


def test_columns_of_a_legend_fit_and_are_even():
    labels = ["a"] * 7
    assert legend_columns(labels, 8.0, 1000.0) == 7
    column = width_of("a", 8.0) + 4.8 * 8.0
    assert legend_columns(labels, 8.0, 6.5 * column) == 4  # six fit, and seven in two rows need four
    assert legend_columns(["a very long name of a method"], 8.0, 1.0) == 1
