"""`report.html`, in a real browser: it asks the network for nothing, and does what a reader expects of it."""

import json
import re
import shutil
from base64 import b64encode
from html.parser import HTMLParser

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.comparison import Experiment
from experiments.history import run_again, shown_iterations
from experiments.report.page import on_dark
from experiments.report.parts import numbers
from experiments.running import execute
from experiments.settings import resolve

SMALL = {"environment": "bandit", "ordinary": 3, "planted": 2, "steps": 40, "record": "outcome"}
METHODS = {"RLHF": SMALL | {"objective": "myopic"}, "relaxed 0.3": SMALL | {"objective": "relaxed"}}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def save_nothing(picture, folder, name):
    (folder / f"{name}.png").write_bytes(b"a picture")
    return f"{name}.png"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """One page of each kind, by kind."""
    out = tmp_path_factory.mktemp("report")
    options = [f"--{name}={value}" for name, value in SMALL.items() if name != "environment"]
    experiment = Experiment("small", "RLHF *collapses* <here>.", METHODS, lambda results: {})
    sweep = [
        "--objective=myopic,relaxed",
        "--grid=weight=0.1,0.3",
        "--grid=dimension=4",
        "--steps=6",
        "--seeds=3",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.reproduce.discover", lambda: {"small": experiment})
        patch.setattr(
            "experiments.sweep_figures.draw", lambda dataset: {}
        )  # drawn elsewhere; here they take long
        assert main(["run", "bandit", "--seeds=3", *options, f"--out={out / 'run'}"]) == 0
        assert main(["reproduce", "--seeds=3", f"--out={out / 'reproduce'}"]) == 0
        assert main(["sweep", "linear", *sweep, f"--out={out / 'sweep'}"]) == 0
    return {kind: out / kind / "report.html" for kind in ("run", "reproduce", "sweep")}


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the PATH")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as tools:
        opened = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def tabs(browser, pages):
    """Every page, opened once; at last, that it asked for nothing besides itself and complained of nothing."""
    asked, said, tabs = [], [], {}
    for kind, path in pages.items():
        tab = tabs[kind] = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(path.as_uri())
        tab.wait_for_selector(".panel .main-svg")
    yield tabs
    assert {address for address in asked if address != "data:,"} == {path.as_uri() for path in pages.values()}
    assert said == []


class Addresses(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("src", "href", "srcset", "action")]


def test_pages_refer_to_nothing_outside_and_are_listed(pages):
    for kind, path in pages.items():
        text = path.read_text()
        reader = Addresses()
        reader.feed(text)
        assert reader.found
        assert all(address.startswith(("data:", "#")) for address in reader.found), kind
        assert not re.search(r"@import|url\(", text.split("</style>")[0])
        assert "default-src 'none'" in text  # the browser itself refuses what we might have missed
        assert len(text) < 3e6
        assert "report.html" in json.loads((path.parent / ".fpo-jax.json").read_text())["files"]
    assert "RLHF <em>collapses</em> &lt;here&gt;" in pages["reproduce"].read_text()
    run = pages["run"].read_text()
    command = json.loads((pages["run"].parent / "summary.json").read_text())["command"]
    for shown in (
        command,
        "price τ of KL(π ‖ uniform)",
        "jaxlib",
        f"data:image/png;base64,{b64encode(b'a picture').decode()}",
    ):
        assert shown in run


GROUND = "getComputedStyle(document.body).backgroundColor"
LIGHT = "rgb(255, 255, 255)"


def test_in_all_sizes_and_lights(tabs):
    for tab in tabs.values():
        for width, scheme in ((360, "dark"), (1280, "light")):
            tab.set_viewport_size({"width": width, "height": 900})
            tab.emulate_media(color_scheme=scheme)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert (tab.evaluate(GROUND) == LIGHT) == (scheme == "light")
            text = tab.evaluate("document.querySelector('.plot').layout.font.color")
            assert (text == "#1c1e21") == (scheme == "light")  # charts follow
    tab.click("#theme")  # whatever the system says
    assert tab.evaluate(GROUND) != LIGHT
    tab.click("#theme")
    assert tab.evaluate(GROUND) == LIGHT


def test_what_a_reader_does(tabs):
    tab = tabs["reproduce"]
    tab.locator(".chart").first.scroll_into_view_if_needed()
    tab.wait_for_selector(".chart .main-svg")
    lines = "document.querySelector('.chart .plot').data.filter((t) => t.hovertemplate).map((t) => t.name)"
    assert tab.evaluate(lines) == ["RLHF", "relaxed 0.3"]

    # the legend switches a method off in every chart and panel, and on again
    tab.click(".legend button:has-text('RLHF')")
    assert tab.evaluate(lines) == ["relaxed 0.3"]
    assert [tab.is_visible(f".panel[data-method='{label}']") for label in METHODS] == [False, True]
    tab.click(".legend button:has-text('RLHF')")
    assert tab.evaluate(lines) == ["RLHF", "relaxed 0.3"]

    # the slider begins at the end, and shows at its start the uniform policy over five arms
    bars = "document.querySelector('.panel .plot').data[0].y"
    assert tab.inner_text("output") == "iteration 40"
    end = tab.evaluate(bars)
    tab.focus(".player input")
    tab.keyboard.press("Home")
    assert tab.inner_text("output") == "iteration 0"
    np.testing.assert_allclose(tab.evaluate(bars), 0.2)
    assert np.abs(np.subtract(end, 0.2)).max() > 0.05
    tab.keyboard.press("ArrowRight")
    assert tab.inner_text("output") == "iteration 1"
    marked = tab.evaluate("document.querySelector('.panel .plot').data[0].marker.color")
    assert [colour == marked[-1] for colour in marked] == [False] * 3 + [True] * 2  # planted arms come last

    # playing goes on by itself, to the end
    tab.click(".play")
    tab.wait_for_selector("output:text-is('iteration 40')")
    assert tab.get_attribute(".play", "aria-label") == "play"

    # pointing at a curve tells mean and band of every method
    tab.locator(".chart .plot").first.scroll_into_view_if_needed()
    tab.locator(".chart .plot .nsewdrag").first.hover()
    told = tab.wait_for_selector(".hoverlayer .legend").text_content()
    for label in METHODS:
        assert re.search(rf"{label}: [\d.]+\s+[\d.]+ – [\d.]+", told)


def test_a_sweep_plays_over_its_grid(tabs):
    tab = tabs["sweep"]
    heights = "[...document.querySelectorAll('.panel .plot')].map((plot) => plot.data[0].y)"
    myopic, relaxed = tab.evaluate(heights)
    assert myopic[0] == myopic[1]  # a method without a weight
    assert relaxed[0] < relaxed[1]
    tab.focus(".player input")
    tab.keyboard.press("Home")
    assert len({value for row in tab.evaluate(heights) for value in row}) == 1  # all begin alike


def test_states_are_the_same_kept_or_run_again():
    result = execute(resolve(METHODS["RLHF"] | {"seeds": 3, "seed": 5}))
    assert result.kept is not None
    again = run_again(result.settings, 5)
    np.testing.assert_allclose(result.kept.theta, again.theta, rtol=1e-10, atol=1e-12)
    snapshots = result.snapshots
    assert (snapshots.iterations == shown_iterations(40)).all()
    np.testing.assert_allclose(snapshots.weights.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(snapshots.weights @ snapshots.utility, snapshots.true_utility, rtol=1e-12)
    assert snapshots.blind_spot.tolist() == [0, 0, 0, 1, 1]


def test_numbers_of_a_page():
    assert numbers(np.array([[1.23456, np.nan], [np.inf, -1e-9]])) == [[1.235, None], [None, -1e-9]]
    # lightness 0.95 − 0.7 l: black becomes a pale grey, white a dark one
    assert on_dark("#000000") == "#F2F2F2"
    assert on_dark("#FFFFFF") == "#404040"
