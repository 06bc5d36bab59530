"""Settings of a judging, and one line for bad input."""

import json

import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.cli.judge import judge_options
from fpo_jax.experiments.cli.options import asked_settings, parse
from fpo_jax.experiments.judging.settings import JudgeSettings, settings_of
from tests.helpers import SCORED, call


def test_a_zero_beside_an_earlier_configuration_counts(folder, capsys, numbers_alone):
    call(capsys, *SCORED, "scorers:length", "--tie-margin", "2", "--out", "result")
    again = ["judge", "--config", "result/config.json", "--scorer", "scorers:length", "--json"]
    # with the margin of 2 that was written, and without: differences of length −1, 3, −4, 0, 2, 3
    for wish, wanted in (([], (2, 1, 3)), (["--tie-margin", "0"], (3, 2, 1))):
        _, out, _ = call(capsys, *again, *wish)
        (row,) = json.loads(out)["comparisons"]
        assert (row["wins"], row["losses"], row["ties"]) == wanted
    earlier = {"endpoint": "http://h/v1", "judge_model": "m", "answers": ["a.jsonl", "b.jsonl"]}
    earlier |= {"temperature": 0.7, "seed": 5, "both_orders": True}
    (folder / "config.json").write_text(json.dumps(earlier), encoding="utf-8")

    def settled(*wishes):
        words = ["--config", "config.json", "--out", "other", "--endpoint", "http://h/v1", *wishes]
        words += ["--key-variable", ""]
        given = parse(judge_options(), words, "judge")
        return settings_of(asked_settings(given, JudgeSettings), given).as_dict()

    assert {name: settled()[name] for name in earlier} == earlier
    zero = settled("--temperature", "0", "--seed", "0", "--no-both-orders")
    assert (zero["temperature"], zero["seed"], zero["both_orders"]) == (0.0, 0, False)
    assert settled("--both-orders")["both_orders"] is True


ASKED = ["--endpoint", "http://127.0.0.1:9/v1", "--judge-model", "m", "--out", "result"]
FILES = ["judge", "a.jsonl", "b.jsonl"]
BAD = {
    "nobody judges": (FILES, "judge = nothing", "one of --endpoint"),
    "two judge": ([*FILES, *ASKED, "--scorer", "scorers:length"], "endpoint and scorer", "one of"),
    "no files": (["judge", *ASKED], "answers = nothing", "two files"),
    "one file": (["judge", "a.jsonl", "--scorer", "scorers:length"], "answers = a.jsonl", "two files"),
    "files and counts": ([*FILES, "--counts", "3:2"], "answers = a.jsonl b.jsonl", "omitted"),
    "counts": (["judge", "--counts", "3-2"], "counts = 3-2", "WINS:LOSSES"),
    "no such file": (["judge", "a.jsonl", "c.jsonl", "--scorer", "scorers:length"], "c.jsonl", "can be read"),
    "no model": ([*FILES, "--endpoint", "http://h/v1"], "judge_model = nothing", "name of a model"),
    "no folder": ([*FILES, *ASKED[:-2]], "out = nothing", "a folder"),
    "no key": ([*FILES, *ASKED], "key_variable = OPENAI_API_KEY", "set it"),
    "a key as a name": ([*FILES, *ASKED, "--key-variable", "sk-secret"], "(not shown)", "not the key itself"),
    "address": ([*FILES, *ASKED, "--endpoint", "localhost"], "endpoint = localhost", "an address"),
    "margin": ([*SCORED, "scorers:length", "--tie-margin", "-1"], "tie_margin = -1.0", ">= 0"),
    "margin of a model": ([*FILES, *ASKED, "--tie-margin", "1"], "tie_margin = 1.0", "option of --scorer"),
    "orders of a scorer": (
        [*SCORED, "scorers:length", "--both-orders"],
        "both_orders",
        "option of --endpoint",
    ),
    "no margin of a model": ([*FILES, *ASKED, "--tie-margin", "0"], "tie_margin = 0.0", "option of --scorer"),
    "seed of a scorer": ([*SCORED, "scorers:length", "--seed", "0"], "seed = 0", "option of --endpoint"),
    "temperature": ([*FILES, *ASKED, "--temperature", "-1"], "temperature = -1.0", ">= 0"),
    "parallel": ([*FILES, *ASKED, "--parallel", "0"], "parallel = 0", ">= 1"),
    "time": ([*FILES, *ASKED, "--timeout", "nan"], "timeout = nan", "> 0"),
    "tokens": ([*FILES, *ASKED, "--max-tokens", "0"], "max_tokens = 0", ">= 1"),
    "tokens of a scorer": (
        [*SCORED, "scorers:length", "--max-tokens", "9"],
        "max_tokens = 9",
        "of --endpoint",
    ),
    "a folder as a template": ([*FILES, *ASKED, "--template", "."], "template = .", "can be read"),
    "a scorer with a long name": ([*SCORED, "s" * 300], "scorer = sss", "module:function"),
    "no template": ([*FILES, *ASKED, "--template", "none.txt"], "none.txt", "can be read"),
    "half a template": ([*FILES, *ASKED, "--template", "scorers.py"], "scorers.py", "{prompt} is missing"),
    "no such module": ([*SCORED, "nosuch:length"], "scorer = nosuch:length", "No module named"),
    "no such function": ([*SCORED, "scorers:width"], "scorers:width", "no function width"),
    "no function": ([*SCORED, "scorers:number"], "scorers:number", "no function number"),
    "no scorer": ([*SCORED, "scorers"], "scorer = scorers", "module:function"),
    "nothing to resume": ([*SCORED, "scorers:length", "--out", "r", "--resume"], "r.partial", "nothing was"),
    "resume nowhere": ([*SCORED, "scorers:length", "--resume"], "resume = yes", "--out"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(case, folder, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    before = {*folder.iterdir()}
    arguments, named, allowed = BAD[case]
    status, out, err = call(capsys, *arguments)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("fpo-jax: error: ")
    assert named in line
    assert allowed in line
    assert "secret" not in line
    assert {*folder.iterdir()} - {folder / "__pycache__"} == before


def test_configurations_of_others_are_refused(folder, capsys):
    contents = {
        '{"scorers": "x"}': "nearest: scorer",
        '{"answers": 3, "scorer": "scorers:length"}': "answers = 3",
        '{"scorer": "scorers:length", "answers": ["a.jsonl", "b.jsonl"], "seed": -1}': "seed = -1",
        '{"tie_margin": [1.0, 2.0]}': "tie_margin = [1.0, 2.0]: must be a finite number",
        '{"tie_margin": [null, []]}': "tie_margin = [None, []]: must be a finite number",
        f'{{"tie_margin": {10**400}}}': "must be a finite number",
        '{"scorer": "s", "answers": ["a\\u0000b", "b.jsonl"]}': "given again, as --scorer s",
        "[" * 200_000: "config = config.json: must be a readable JSON file",
    }
    for content, complaint in contents.items():
        (folder / "config.json").write_text(content, encoding="utf-8")
        status, _, err = call(capsys, "judge", "--config", "config.json")
        assert status == 2
        assert complaint in err
        assert err.count("\n") == 1


def settled(folder, config, *words):
    """The settings of a configuration, with these words on the command line."""
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    given = parse(judge_options(), ["--config", "config.json", "--out", "other", *words], "judge")
    return settings_of(asked_settings(given, JudgeSettings), given)


def test_a_configuration_runs_no_code(folder, capsys):
    """A function that scores is given again on the command line, as an environment's file is."""
    (folder / "harm.py").write_text(
        "open('harm', 'w').close()\ndef score(p, r): return 0\n", encoding="utf-8"
    )
    config = {"scorer": "harm:score", "answers": ["a.jsonl", "b.jsonl"]}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    status, out, err = call(capsys, "judge", "--config", "config.json")
    assert (status, out) == (2, "")
    again = (
        "scorer = harm:score: must be given again, as --scorer harm:score: settings alone must not run code"
    )
    assert err == f"fpo-jax: error: {again}\n"
    assert not (folder / "harm").exists()
    assert settled(folder, config, "--scorer", "scorers:length").scorer == "scorers:length"
    (folder / "model").mkdir()  # a folder holds numbers
    assert settled(folder, config | {"scorer": "model"}).scorer == "model"


def test_a_configuration_sends_nothing(folder):
    """An endpoint is given again on the command line, and the key that goes there."""
    config = {"endpoint": "https://elsewhere/v1", "judge_model": "m", "answers": ["a.jsonl", "b.jsonl"]}
    both = "given again, as --endpoint https://elsewhere/v1 --key-variable "
    for words, variable in (
        ([], "OPENAI_API_KEY"),
        (["--endpoint", "https://elsewhere/v1"], "OPENAI_API_KEY"),
        (["--key-variable", "MY_KEY"], "MY_KEY"),
        (["--key-variable", "sk-secret"], "OPENAI_API_KEY"),
    ):
        with pytest.raises(InputError, match=both + variable) as refused:
            settled(folder, config, *words)
        assert "secret" not in str(refused.value)
    words = ["--endpoint", "https://elsewhere/v1", "--key-variable", "MY_KEY"]
    assert settled(folder, config, *words).endpoint == "https://elsewhere/v1"
    assert settled(folder, config, *words).max_tokens == 2048
    # who judges instead needs no key, and what was said of the endpoint is gone
    assert settled(folder, config, "--scorer", "scorers:length").judge_model is None
    with pytest.raises(InputError, match="not shown") as refused:
        settled(folder, config | {"endpoint": "https://me:secret@elsewhere"})
    assert "secret" not in str(refused.value)


def test_a_key_is_not_sent_over_http(folder, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    asked = ["--endpoint", "http://h.example/v1", "--judge-model", "m", "--out", "result"]
    status, out, err = call(capsys, *FILES, *asked)
    assert (status, out) == (2, "")
    assert err.startswith("fpo-jax: error: endpoint = http://h.example/v1: must be https")
    assert not (folder / "result.partial").exists()
