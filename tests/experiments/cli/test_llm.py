"""What of the language-model pipeline needs no extra: settings, options, and saying what is missing."""

import importlib.util
import re
import shlex

import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments import llm
from fpo_jax.experiments.cli.llm import answer_options, llm_options
from fpo_jax.experiments.cli.main import main
from fpo_jax.experiments.cli.options import asked_settings, parse
from fpo_jax.experiments.llm.settings import TrainSettings
from tests.helpers import ROOT

TOLD = ["--model", "m", "--prompts", "p"]


@pytest.mark.parametrize(
    "words",
    [
        ["llm", *TOLD],
        ["llm", "--dry-run", "--model", "m"],
        ["answer", *TOLD, "--out", "a"],
        ["evaluate", "--model", "m"],
        ["fetch", "smollm2-135m"],
    ],
)
def test_without_the_extra_one_line_says_how_to_get_it(words, monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name in llm.PACKAGES else found(name, *a)
    )
    assert main(words) == 2
    wanted = f"fpo-jax: error: {words[0]} needs the extra llm: in a clone, pip install '.[llm]'"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(wanted)


def test_only_the_pipeline_imports_the_extra():
    imports = re.compile(rf"^\s*(?:from|import) (?:{'|'.join(llm.PACKAGES)}|torch)\b", re.M)
    sources = [p for folder in ("fpo_jax", "envs", "experiments") for p in (ROOT / folder).rglob("*.py")]
    importing = {path.parent for path in sources if imports.search(path.read_text(encoding="utf-8"))}
    assert importing == {ROOT / "experiments" / "llm"}
    assert not imports.search((ROOT / "experiments" / "llm" / "__init__.py").read_text(encoding="utf-8"))
    assert not imports.search((ROOT / "experiments" / "llm" / "settings.py").read_text(encoding="utf-8"))


def test_defaults_are_the_published_settings():
    settings = TrainSettings.of({"model": "m", "prompts": "p"})
    assert (settings.weight, settings.candidates, settings.lora_rank, settings.lora_alpha) == (10, 8, 16, 32)
    assert (settings.policy_lr, settings.head_lr, settings.accumulation) == (2e-5, 5e-5, 4)
    assert (settings.tokens, settings.steps) == (32, 500)


def test_no_file_of_prompts_is_needed():
    assert TrainSettings.of({"model": "m"}).prompts == "included"
    assert llm.AnswerSettings.of({"model": "m"}).prompts == "included"


def test_a_command_repeats_its_settings():
    changed = {"mode": "proximal", "lora_modules": ["o_proj", "k_proj"], "chat": False, "weight": 1}
    changed |= {"model": "a folder", "devices": 2, "policy_lr": 1e-3, "oracle": "o"}
    settings = TrainSettings.of({"prompts": "p", **changed})
    assert TrainSettings.of(settings.as_dict()) == settings
    words = shlex.split(settings.command())
    assert words[:2] == ["fpo-jax", "llm"]
    given = parse(llm_options(), words[2:], "llm")
    assert asked_settings(parse(llm_options(), ["--lora-modules"], "llm"), TrainSettings) == {
        "lora_modules": ()
    }
    assert TrainSettings.of(asked_settings(given, TrainSettings)) == settings


def test_every_option_is_in_one_panel_of_the_help(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit, match="0"):
        main(["llm", "--help"])
    shown = capsys.readouterr().out
    panels = llm_options()
    assert [title for title in panels if f" {title} options " in shown] == [*panels]
    names = [option.name for options in panels.values() for option in options]
    assert len(names) == len({*names})
    assert {*names} >= {*TrainSettings.known()}
    for name in names:
        assert f"--{name.replace('_', '-')} " in shown or f"--{name.replace('_', '-')}," in shown
    assert [*panels][:2] == [*answer_options()][:2]  # the same names in the help of `fpo-jax answer`
    last = {"out", "resume", "dry_run", "config", "json", "device", "precision", "random"}
    assert {option.name for option in panels["output and devices"]} == {
        *last,
        "placement",
        "devices",
        "every",
    }


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        ({"lora_modules": ["q_pro"]}, r"lora_modules = q_pro: .*nearest: q_proj"),
        ({"oracle": 3}, "oracle = 3: must be likelihood, copy or a folder"),
        ({"mode": "relxed"}, r"mode = relxed: .*nearest: relaxed"),
        ({"steps": 0}, "steps = 0: must be an integer >= 1"),
        ({"steps": 1.5}, "steps = 1.5: must be an integer >= 1"),
        ({"weight": -1}, "weight = -1.0: must be a finite number >= 0"),
        ({"policy_lr": float("nan")}, "policy_lr = nan"),
        ({"top_p": 0}, "top_p = 0.0: must be a finite number >= 1e-06 and <= 1"),
        ({"lora_modules": []}, "lora_modules = nothing"),
        ({"candidate": 2}, r"setting = candidate: .*nearest: candidates"),
        ({"model": None}, "model = nothing: must be a folder"),
        ({"devices": 0}, "devices = 0: must be an integer >= 1"),
    ],
)
def test_settings_that_cannot_be_used(wrong, wanted):
    with pytest.raises(InputError, match=wanted):
        TrainSettings.of({"model": "m", "prompts": "p"} | wrong)
