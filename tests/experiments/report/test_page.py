"""`report.html`, in a real browser: it asks the network for nothing, and does what a reader expects of it."""

import json
import re
import shutil
from contextlib import contextmanager
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from fpo_jax.experiments.cli.main import main
from fpo_jax.experiments.core.files import provenance
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.report import charts, page
from fpo_jax.experiments.report.parts import Section, View, numbers
from fpo_jax.experiments.runs.execution import execute
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.runs.history import run_again, shown_iterations
from fpo_jax.plotting import Axis, Chart, Style

SMALL = {"environment": "bandit", "ordinary": 3, "planted": 2, "steps": 12, "record": "outcome"}
METHODS = {"RLHF": SMALL | {"objective": "myopic"}, "relaxed 0.3": SMALL | {"objective": "relaxed"}}
KINDS = ("run", "reproduce", "sweep")
COMPARISON, SWEEP = 1, 2  # where the sections of these stand on the page of all
GROUND = "getComputedStyle(document.body).backgroundColor"
LIGHT = "rgb(255, 255, 255)"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def save_nothing(picture, folder, name):
    Image.new("RGBA", (2, 2), "red").save(folder / f"{name}.png")
    return f"{name}.png"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """One page of each kind, by kind, and one of all their sections, which saves the browser some time."""
    out = tmp_path_factory.mktemp("report")
    options = [f"--{name}={value}" for name, value in SMALL.items() if name != "environment"]
    experiment = Experiment("small", "RLHF *collapses* <here>.", METHODS, lambda results: {})
    # weights so far apart that eight iterations tell them apart in the few digits of a page
    grids = ["--grid=weight=0.1,3", "--grid=rm_lr=0.002,0.02", "--grid=dimension=4"]
    sections, write = [], page.write

    def write_and_keep(path, title, intro, own, *rest):
        sections.extend(section._replace(pictures=()) for section in own)
        write(path, title, intro, own, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fpo_jax.experiments.cli.claims.discover", lambda: {"small": experiment})
        patch.setattr("fpo_jax.plotting.files.save", save_nothing)  # drawing takes longer than all else here
        patch.setattr(page, "write", write_and_keep)
        assert main(["run", "bandit", "--seeds=3", *options, f"--out={out / 'run'}"]) == 0
        assert main(["reproduce", "--seeds=3", f"--out={out / 'reproduce'}"]) == 0
        wishes = ["--objective=myopic,relaxed", *grids, "--steps=8", "--seeds=3"]
        assert main(["sweep", "linear", *wishes, f"--out={out / 'sweep'}"]) == 0
    write(out / "all.html", "all", "", sections, provenance("none", "float64"))
    return {kind: out / kind / "report.html" for kind in KINDS} | {"all": out / "all.html"}


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the PATH")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as tools:
        opened = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def opened(browser, path, **options):
    """Open a page; at last, that it asked for nothing besides itself and complained of nothing."""
    asked, said = [], []
    tab = browser.new_page(**options)
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(path.as_uri())
    tab.wait_for_selector(".panel .main-svg")
    yield tab
    tab.close()
    assert [address for address in asked if address != "data:,"] == [path.as_uri()]
    assert said == []


@pytest.fixture(scope="module")
def tab(browser, pages):
    with opened(browser, pages["all"], viewport={"width": 1280, "height": 900}, color_scheme="light") as tab:
        yield tab


class Addresses(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("src", "href", "srcset", "action")]


def test_pages_refer_to_nothing_outside_and_are_listed(pages):
    for kind in KINDS:
        path = pages[kind]
        text = path.read_text(encoding="utf-8")
        reader = Addresses()
        reader.feed(text)
        assert reader.found
        assert all(address.startswith(("data:", "#")) for address in reader.found), kind
        assert not re.search(r"@import|url\(", text.split("</style>")[0])
        assert "default-src 'none'" in text  # the browser itself refuses what we might have missed
        assert len(text) < 3e6
        assert (
            "report.html" in json.loads((path.parent / ".fpo-jax.json").read_text(encoding="utf-8"))["files"]
        )
    assert "RLHF <em>collapses</em> &lt;here&gt;" in pages["reproduce"].read_text(encoding="utf-8")
    run = re.sub("</?span>", "", pages["run"].read_text(encoding="utf-8"))
    command = json.loads((pages["run"].parent / "summary.json").read_text(encoding="utf-8"))["command"]
    for shown in (
        command,
        "price τ of KL(π ‖ uniform)",
        "jaxlib",
        "data:image/png;base64,",
    ):
        assert shown in run


class Scripts(HTMLParser):
    """Collects what stands in the scripts of a page, by their names."""

    def __init__(self):
        super().__init__()
        self.within, self.found = None, []

    def handle_starttag(self, tag, attributes):
        if tag == "script":
            self.within = dict(attributes).get("id")
            self.found.append([self.within, ""])

    def handle_endtag(self, tag):
        self.within = self.within if tag != "script" else None

    def handle_data(self, text):
        if self.within:
            self.found[-1][1] += text


@pytest.mark.parametrize("name", ["</script><script>alert(1)</script>", "<!--<script>", "</SCRIPT >x"])
def test_a_name_in_the_data_of_a_page_ends_no_script(name, tmp_path):
    view = View({name: Style("#000000")}, [Chart(name, [], Axis(name))])
    section = Section(name, "", view=view)
    page.write(tmp_path / "page.html", name, "", [section], provenance(f"run {name}", "float64"))
    reader = Scripts()
    reader.feed((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert [script for script, _ in reader.found] == ["data", "plotly", None]
    (drawn,) = json.loads(reader.found[0][1])
    assert [*drawn["methods"]] == [name]
    assert drawn["charts"][0]["title"] == name


def test_in_all_sizes_and_lights(tab):
    for width, scheme in ((360, "dark"), (1280, "light")):
        tab.set_viewport_size({"width": width, "height": 900})
        tab.emulate_media(color_scheme=scheme)
        tab.wait_for_selector(f"html[data-theme={scheme}]")  # with the next frame
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert (tab.evaluate(GROUND) == LIGHT) == (scheme == "light")
        ink = tab.evaluate("document.querySelector('.plot').layout.font.color")
        assert (ink == "#1c1e21") == (scheme == "light")  # charts follow
    tab.click("#theme")  # whatever the system says
    assert tab.evaluate(GROUND) != LIGHT
    tab.click("#theme")
    assert tab.evaluate(GROUND) == LIGHT


def drawn(tab, section, card, what):
    """Wait until the cards of a section are drawn, and return something of each of their plots."""
    cards = tab.locator(f"#section-{section} .{card}")
    for number in range(cards.count()):
        cards.nth(number).scroll_into_view_if_needed()
        cards.nth(number).locator(".main-svg").first.wait_for()
    return tab.evaluate(
        f"[...document.querySelectorAll('#section-{section} .{card} .plot')].map((plot) => {what})"
    )


def test_what_a_reader_does(tab):
    lines = "plot.data.filter((one) => one.hovertemplate).map((one) => one.name)"
    assert drawn(tab, COMPARISON, "chart", lines) == [["RLHF", "relaxed 0.3"]] * 6

    # the legend switches a method off in every chart and panel, and on again
    panels = tab.locator(f"#section-{COMPARISON} .panel")
    button = tab.locator(f"#section-{COMPARISON} .legend button", has_text="RLHF")
    button.click()
    assert drawn(tab, COMPARISON, "chart", lines) == [["relaxed 0.3"]] * 6
    assert [panels.nth(i).is_visible() for i in range(2)] == [False, True]
    button.click()
    assert drawn(tab, COMPARISON, "chart", lines) == [["RLHF", "relaxed 0.3"]] * 6

    # the slider begins at the end, and shows at its start the uniform policy over five arms
    output, slider = (tab.locator(f"#section-{COMPARISON} {name}") for name in ("output", ".player input"))
    end = drawn(tab, COMPARISON, "panel", "plot.data[0].y")
    assert output.inner_text() == "iteration 12"
    slider.press("Home")
    assert output.inner_text() == "iteration 0"
    start = drawn(tab, COMPARISON, "panel", "plot.data[0].y")
    np.testing.assert_allclose(start, 0.2)
    assert np.abs(np.subtract(end, start)).max() > 0.05
    slider.press("ArrowRight")
    assert output.inner_text() == "iteration 1"
    colours = drawn(tab, COMPARISON, "panel", "plot.data[0].marker.color")[0]
    assert [colour == colours[-1] for colour in colours] == [False] * 3 + [True] * 2  # planted arms come last

    # playing goes on by itself, to the end
    tab.click(f"#section-{COMPARISON} .play")
    tab.wait_for_selector(f"#section-{COMPARISON} output:text-is('iteration 12')")
    assert tab.get_attribute(f"#section-{COMPARISON} .play", "aria-label") == "play"

    # pointing at a curve tells mean and band of every method
    tab.locator(f"#section-{COMPARISON} .chart .nsewdrag").first.hover()
    told = tab.wait_for_selector(".hoverlayer .legend").text_content()
    for label in METHODS:
        assert re.search(rf"{label}: [\d.]+\s+[\d.]+ – [\d.]+", told)


def test_a_sweep_plays_over_its_grid(tab):
    myopic, relaxed = drawn(tab, SWEEP, "panel", "plot.data[0].z")
    for row in myopic:  # a method without a weight
        assert row[0] == row[1]
    assert relaxed[0][0] != relaxed[0][1]
    tab.locator(f"#section-{SWEEP} .player input").press("Home")
    start = drawn(tab, SWEEP, "panel", "plot.data[0].z")
    assert np.ptp(start) == 0  # all begin alike
    kinds = drawn(tab, SWEEP, "chart", "plot.data[plot.data.length - 1].type")
    assert kinds == ["scatter"] * 3 + ["heatmap"] * 6  # curves of few cells; three maps of two methods


def test_a_sweep_has_one_row_for_each_cell_that_was_run(pages):
    rows = re.findall(r"<tr>\s*<td>(myopic|relaxed)</td>", pages["sweep"].read_text(encoding="utf-8"))
    assert (
        rows == ["myopic"] * 2 + ["relaxed"] * 4
    )  # two rates of the reward model; two weights, if it has one


@pytest.mark.slow
def test_every_kind_of_page_in_every_size_and_light(browser, pages):
    for kind in KINDS:
        for width in (360, 1280):
            for scheme in ("light", "dark"):
                options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
                with opened(browser, pages[kind], **options) as tab:
                    assert tab.evaluate("document.documentElement.scrollWidth") <= width
                    assert (tab.evaluate(GROUND) == LIGHT) == (scheme == "light")


@pytest.mark.slow
def test_states_are_the_same_kept_or_run_again():
    result = execute(resolve(METHODS["RLHF"] | {"seeds": 3, "seed": 5}), keep_states=True)
    again = run_again(result.settings, 5)
    np.testing.assert_allclose(result.kept.theta, again.theta, rtol=1e-10, atol=1e-12)


def test_snapshots_are_the_policy():
    snapshots = execute(resolve(METHODS["RLHF"] | {"seeds": 3, "seed": 5}), keep_states=True).snapshots
    assert (snapshots.iterations == shown_iterations(12)).all()
    np.testing.assert_allclose(snapshots.weights.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(snapshots.weights @ snapshots.utility, snapshots.true_utility, rtol=1e-12)
    assert snapshots.blind_spot.tolist() == [0, 0, 0, 1, 1]


def test_numbers_of_a_page():
    assert numbers(np.array([[1.23456, np.nan], [np.inf, -1e-9]])) == [[1.235, None], [None, -1e-9]]
    # lightness 0.95 − 0.7 l: black becomes a pale grey, white a dark one
    assert charts.on_dark("#000000") == "#F2F2F2"
    assert charts.on_dark("#FFFFFF") == "#404040"
