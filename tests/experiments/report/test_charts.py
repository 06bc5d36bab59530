"""Charts on a page say what those on paper say."""

import json

import numpy as np
import pytest

from fpo_jax import plotting
from fpo_jax.experiments.report import charts
from fpo_jax.experiments.report.charts import as_data
from fpo_jax.plotting import Axis, Bars, Chart, HeatMap, Level, Line, Points, Span

METHODS = {"RLHF": plotting.RLHF, "exact": plotting.EXACT}
X = np.arange(5000)


def test_a_line_is_thinned_and_keeps_its_ends():
    line = Line(X, X / 7.0, plotting.RLHF, "RLHF", low=X / 8.0, high=X / 6.0)
    data = as_data(Chart("", [line], Axis("iteration")), METHODS)
    (drawn,) = data["marks"]
    assert len(data["x"]) == len(drawn["y"]) == len(drawn["low"]) <= charts.MOST_POINTS
    assert (data["x"][0], data["x"][-1]) == (0, 4999)  # iterations stay whole numbers
    assert (drawn["y"][-1], drawn["method"]) == (714.1, "RLHF")


def test_lines_at_the_same_places_are_read_together():
    line, level = Line(X[:3], X[:3], plotting.RLHF, "RLHF"), Level(1.0, "best")
    other = Line(X[:4], X[:4], plotting.EXACT, "exact")
    stairs = Line(X[:3], X[:3], plotting.EXACT, "exact", stairs=True)
    assert as_data(Chart("", [line, line, level]), METHODS)["x"] == [0, 1, 2]
    assert "x" not in as_data(Chart("", [line, other]), METHODS)
    assert "x" not in as_data(Chart("", [stairs]), METHODS)


def test_marks_belong_to_the_method_they_name():
    cell = Line(X[:3], X[:3], plotting.EXACT, "exact, k = 1", method="exact")
    mine = Points(X[:3], X[:3], plotting.EXACT, "exact")
    marks = [cell, mine, Level(1.0, "best"), Span(0.0, 1.0), Bars(X[:2], X[:2], plotting.RLHF, "wins")]
    data = as_data(Chart("", marks), METHODS)
    assert [mark.get("method") for mark in data["marks"]] == ["exact", "exact", None, None, None]
    assert as_data(Chart("", marks, method="exact"), METHODS)["method"] == "exact"
    assert "method" not in as_data(Chart("", marks, method="a claim's name"), METHODS)
    json.dumps(data, allow_nan=False)


def test_a_map_has_the_colours_of_the_figure():
    values = np.array([[0.0, np.nan], [1.0, 2.0]])
    heat = HeatMap(np.array([0.1, 1.0]), np.array([1.0, 2.0]), values, (0.0, 2.0), "magma_r", "collapse")
    data = as_data(Chart("RLHF", [heat], Axis("weight"), Axis("α"), method="RLHF"), METHODS)
    assert data["z"] == [[0.0, None], [1.0, 2.0]]
    assert (data["title"], data["axes"], data["method"]) == ("RLHF: collapse", ["α", "weight"], "RLHF")
    assert data["ticks"] == [["1", "2"], ["0.1", "1"]]
    assert data["colours"][0] == (0.0, "#fcfdbf")  # pale where nothing collapses
    assert data["colours"][-1] == (1.0, "#000004")
    with pytest.raises(TypeError):
        charts._drawn(heat)


def test_axes_keep_their_names_and_ends():
    axis = Axis("share", log=True, limits=(1.0, None), ticks={1.0: "one"})
    drawn = as_data(Chart("", [Level(1.0)], axis), {})["x_axis"]
    assert drawn == {"title": "share", "log": True, "limits": [1.0, None], "places": [1.0], "names": ["one"]}


def test_the_name_of_a_file_is_no_link_in_a_chart():
    """Plotly takes <a href=…> in a label for a link."""
    axis = Axis("", ticks={0.0: '<a href="https://elsewhere">A & B</a>'})
    data = as_data(Chart("", [Points(X[:1], X[:1], plotting.EXACT)], axis), METHODS)
    assert data["x_axis"]["names"] == ['&lt;a href="https://elsewhere"&gt;A &amp; B&lt;/a&gt;']
