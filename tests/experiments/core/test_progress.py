"""Progress: lines in a log, a bar on a terminal."""

import json
import sys

from fpo_jax.experiments.core import progress
from fpo_jax.experiments.core.progress import Progress
from tests.helpers import LONG_RUN, call


def test_progress_is_plain_lines_in_a_log_and_a_bar_on_a_terminal(capsys, monkeypatch):
    def go():
        with Progress() as shown:
            shown.tell("compiling")
            shown.tell("running")
            for share in (0.25, 0.5, 0.75):
                shown.tell("running", share)

    monkeypatch.setattr(progress, "LINE_EVERY", 60.0)
    go()
    assert capsys.readouterr().err == "compiling …\nrunning …\n"
    monkeypatch.setattr(progress, "LINE_EVERY", -1.0)
    go()
    assert "running: 75 % done, 00:00 left\n" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    go()
    shown = capsys.readouterr().err
    assert "\rrunning:  75%|" in shown
    assert "\n" not in shown


def test_a_run_says_what_it_compiles_and_keeps_standard_output_clean(capsys):
    status, out, err = call(capsys, *LONG_RUN, "--json")
    assert status == 0
    assert json.loads(out)["steps"] == 200
    said = [line for line in err.splitlines() if line.endswith("…")]
    assert said == [
        "200 iterations, 3 seeds; float64, without the steering term (outcome) …",
        "compiling how runs begin …",
        "compiling the iterations of myopic …",
        "running myopic …",
    ]
