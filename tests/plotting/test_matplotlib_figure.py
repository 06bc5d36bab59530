"""Charts on paper: every value where it belongs, and no word cut off."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from fpo_jax import plotting
from fpo_jax.plotting import Axis, Bars, Chart, HeatMap, Level, Line, Points, Span

X = np.arange(3)
RISING = np.array([1.0, 2.0, 3.0])


def axes_of(*marks, **axes):
    figure = plotting.figure([[Chart("", marks, **axes)]])
    return figure.axes[0]


def test_heat_map_puts_values_where_they_belong():
    values = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    places = np.array([0.01, 0.1, 1.0]), np.array([1.0, 2.0])
    _, axes = plotting.panels(1, 1)
    heat = HeatMap(*places, values, limits=(0, 5), colours="viridis")
    drawn = plotting.draw(axes[0, 0], Chart("", [heat]))
    x, y = drawn._coordinates[0, :, 0], drawn._coordinates[:, 0, 1]
    # decades meet halfway by ratio; units halfway by difference, and reach as far beyond the ends
    np.testing.assert_allclose(x, 10.0 ** np.array([-2.5, -1.5, -0.5, 0.5]))
    np.testing.assert_allclose(y, [0.5, 1.5, 2.5])
    np.testing.assert_array_equal(drawn.get_array(), values)
    assert (axes[0, 0].get_xscale(), axes[0, 0].get_yscale()) == ("log", "linear")


def test_heat_map_of_one_column_and_of_one_cell():
    _, axes = plotting.panels(1, 2)
    for one, y in zip(axes[0], (np.array([0.0, 1.0]), np.array([3.0])), strict=True):
        heat = HeatMap(np.array([2.0]), y, np.zeros((len(y), 1)), limits=(0, 1), colours="viridis")
        drawn = plotting.draw(one, Chart("", [heat]))
        np.testing.assert_allclose(drawn._coordinates[0, :, 0], [1.5, 2.5])  # a cell is 1 wide
        np.testing.assert_allclose(drawn._coordinates[:, 0, 1], [y[0] - 0.5, *(y + 0.5)])


def test_values_are_written_in_ink_that_is_seen():
    heat = HeatMap(X[:2], X[:2], np.array([[0.1, 0.9]] * 2), (0.0, 1.0), "Blues", written=True)
    written = {text.get_text(): text.get_color() for text in axes_of(heat).texts}
    assert written == {"0.10": "black", "0.90": "white"}


def test_a_line_skips_what_is_undefined():
    values = np.array([1.0, np.nan, 3.0])
    line = Line(X, values, plotting.RLHF, "a", low=values - 1, high=values + 1)
    ax = axes_of(line)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[0, 1], [2, 3]])
    (band,) = ax.collections
    assert band.get_datalim(ax.transData).bounds == (0.0, 0.0, 2.0, 4.0)


def test_levels_come_last_in_a_legend_that_names_each_once():
    level, line = Level(1.0, "best"), Line(X, RISING, plotting.EXACT, "exact")
    chart = Chart("", [level, line])
    (legend,) = plotting.figure([[chart, chart]]).legends
    assert [text.get_text() for text in legend.get_texts()] == ["exact", "best"]
    assert not plotting.figure([[chart]], legend="none").legends


def test_bars_stand_and_lie_where_they_begin():
    upright = axes_of(Bars(X, RISING, plotting.RLHF), Span(0.5, 1.5)).patches
    assert [bar.get_height() for bar in upright[:3]] == [1, 2, 3]
    lying = axes_of(Bars(X, RISING, plotting.RLHF, starts=RISING, written=["a", "", "c"], sideways=True))
    assert [(bar.get_x(), bar.get_width()) for bar in lying.patches] == [(1, 1), (2, 2), (3, 3)]
    assert [text.get_text() for text in lying.texts] == ["a", "", "c"]


def test_points_of_a_dashed_style_are_hollow():
    full, hollow = (axes_of(Points(X, RISING, style)).lines[0] for style in (plotting.RLHF, plotting.NEUTRAL))
    assert full.get_markerfacecolor() == plotting.RLHF.color
    assert hollow.get_markerfacecolor() == "white"


@pytest.mark.parametrize(("largest", "named"), [(0.8, {"0.1", "0.3", "0.8"}), (5.0, {"0.1", "0.5", "5"})])
def test_a_short_logarithmic_axis_has_plain_numbers(largest, named):
    line = Line(np.array([0.1, largest]), RISING[:2], plotting.RLHF)
    ax = axes_of(line, x=Axis(log=True, limits=(0.09, 1.1 * largest)))
    ax.figure.canvas.draw()
    assert named <= {label.get_text() for label in ax.get_xticklabels()}


def test_places_have_names_and_an_axis_can_be_turned_round():
    ax = axes_of(Points(RISING, X, plotting.RLHF), y=Axis(limits=(2.5, -0.5), ticks={0.0: "$a", 1.0: "b"}))
    assert ax.get_ylim() == (2.5, -0.5)
    assert [label.get_text() for label in ax.get_yticklabels()] == [r"\$a", "b"]


def test_no_word_leaves_a_figure_however_long():
    long = "a heading that is much wider than one small panel, and a name in the legend, too; " * 2
    lines = [Line(X, RISING, plotting.RLHF, f"a method with a long name, {i}") for i in range(7)]
    figure = plotting.figure([[Chart(long, lines)]], long)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    words = [figure._suptitle, figure.axes[0].title, *figure.legends[0].get_texts()]
    for word in words:
        box = word.get_window_extent(canvas.get_renderer())
        assert figure.bbox.x0 <= box.x0, word
        assert box.x1 <= figure.bbox.x1, word
