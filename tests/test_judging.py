"""Answers compared pair by pair: statistics, files, local scorers, resuming, and one line for bad input."""

import importlib.util
import json
import math
import sys
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from fpo_jax.errors import InputError
from fpo_jax.experiments.cli.judge import JudgeOptions
from fpo_jax.experiments.cli.options import parse
from fpo_jax.experiments.core.unfinished import Unfinished
from fpo_jax.experiments.judging.answer_files import matched
from fpo_jax.experiments.judging.counts import Counts, assess, parse_counts
from fpo_jax.experiments.judging.endpoint import ApiKey, Endpoint, require_url
from fpo_jax.experiments.judging.question import TEMPLATE, fill, understand
from fpo_jax.experiments.judging.settings import settings_of
from fpo_jax.experiments.judging.verdicts import Verdict, read_verdicts
from tests.test_command_line import call

PUBLISHED = {"188:144": 0.014, "140:135": 0.41, "167:138": 0.076}
"""Counts of the paper's three comparisons by a judge, and the p-values that digests of it print."""


def upper_tail(wins, n):
    """P(X ≥ wins) for n fair coins, by whole numbers: coins that fall so, over all that fall."""
    return sum(comb(n, k) for k in range(wins, n + 1)) / 2**n


def tail(wins, n, share):
    """P(X ≥ wins) for n coins with this share of heads."""
    return sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(wins, n + 1))


def test_published_counts(capsys):
    status, out, _ = call(capsys, "judge", "--counts", *PUBLISHED, "--json")
    assert status == 0
    rows = json.loads(out)["comparisons"]
    assert [row["label"] for row in rows] == [*PUBLISHED]
    # by whole numbers: P(X ≥ 188 of 332) = 0.00907, P(X ≥ 140 of 275) = 0.405, P(X ≥ 167 of 305) = 0.0544;
    # with fair coins either side is as likely, so that the two-sided value is twice that
    for row, printed in zip(rows, PUBLISHED.values(), strict=True):
        exact = upper_tail(row["wins"], row["wins"] + row["losses"])
        assert row["p_one_sided"] == pytest.approx(exact, rel=1e-10)
        assert row["p_two_sided"] == pytest.approx(2 * exact, rel=1e-10)
        # what is printed is neither: each lies between the two, also when rounded as it is printed
        digits = len(str(printed)) - 2
        assert round(exact, digits) < printed < round(2 * exact, digits)
    assert [round(row["p_one_sided"], 4) for row in rows] == [0.0091, 0.4047, 0.0544]
    assert [round(row["p_two_sided"], 4) for row in rows] == [0.0181, 0.8094, 0.1087]


def test_what_is_printed_is_no_usual_test_of_the_counts_either():
    counts = [parse_counts(written) for written in PUBLISHED]
    printed = [(p, len(str(p)) - 2) for p in PUBLISHED.values()]

    def normal(counts, ties, correction):
        ahead = counts.wins - counts.losses - correction
        return math.erfc(ahead / math.sqrt(2 * (counts.decided + ties))) / 2

    for one, (p, digits) in zip(counts, printed, strict=True):
        middle = upper_tail(one.wins, one.decided) - comb(one.decided, one.wins) / 2**one.decided / 2  # mid-p
        for sided in (1, 2):
            for other in (normal(one, 0, 0), normal(one, 0, 1), middle):
                assert round(sided * other, digits) != p
    # each tie as half a win: by the normal approximation, and exactly where ties can be halved
    for halves in range(300):
        exact = [binom.sf(c.wins + halves - 1, c.decided + 2 * halves, 0.5) for c in counts]
        near = [normal(c, 2 * halves, 0) for c in counts]
        for found in (exact, near):
            assert any(round(x, d) != p for x, (p, d) in zip(found, printed, strict=True))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 9))
def test_exact_tests_and_interval(wins, losses, ties):
    row, swapped = assess("", Counts(wins, losses, ties)), assess("", Counts(losses, wins, ties))
    n = wins + losses
    if n == 0:
        assert row["win_rate"] is row["p_two_sided"] is row["p_one_sided"] is None
        assert row["win_rate_ties_half"] == (0.5 if ties else None)
        return
    assert row["p_one_sided"] == pytest.approx(upper_tail(wins, n))
    assert row["p_two_sided"] == pytest.approx(min(1, 2 * upper_tail(max(wins, losses), n)))
    assert row["p_two_sided"] == pytest.approx(swapped["p_two_sided"])
    assert row["win_rate_ties_half"] == pytest.approx(1 - swapped["win_rate_ties_half"])
    # Clopper and Pearson: at either end the tail beyond what was seen has probability (1 − 0.95) / 2
    low, high = row["win_rate_ci95"]
    assert (low == 0.0) if wins == 0 else tail(wins, n, low) == pytest.approx(0.025, rel=1e-6)
    assert (high == 1.0) if losses == 0 else 1 - tail(wins + 1, n, high) == pytest.approx(0.025, rel=1e-6)


def test_counts_are_written_also_where_nothing_was_decided(capsys, tmp_path):
    status, out, _ = call(capsys, "judge", "--counts", "0:0:2", "3:1", "--out", tmp_path / "counts")
    assert status == 0
    head, first, second, _ = out.splitlines()
    assert head.split()[-4:] == ["p", "one-sided", "p", "two-sided"]
    assert first.split() == ["0:0:2", "0", "0", "2", "0", "–", "–", "0.500", "–", "–"]
    # P(X ≥ 3 of 4) = (4 + 1) / 16
    assert second.split()[-3:] == ["0.750", "0.3125", "0.6250"]
    rows = json.loads((tmp_path / "counts" / "summary.json").read_text(encoding="utf-8"))["comparisons"]
    assert rows[0]["p_two_sided"] is None
    assert "2 comparisons" in (tmp_path / "counts" / "report.html").read_text(encoding="utf-8")


def test_counts_are_read_with_their_ties():
    assert parse_counts("3:2:7") == (3, 2, 7, 0)
    for written in ("3", "3:-2", "3:2:1:0", "a:b", "3:2.0", ""):
        with pytest.raises(InputError, match="WINS:LOSSES"):
            parse_counts(written)


def test_replies_are_read():
    meant = {
        "A": "first",
        " **b**.\n": "second",
        "C": "tie",
        "Tie": "tie",
        "<think>[[A]] or B?</think>\nB": "second",
        "The second is shorter. [[B]]": "second",
        "[[A]], yes: [[A]]": "first",
    }
    assert {reply: understand(reply) for reply in meant} == meant
    for reply in ("", "A or B", "[[A]] [[B]]", "D", "Answer 1", "I cannot judge."):
        assert understand(reply) is None, reply


def test_braces_in_answers_stay_as_they_are():
    asked = fill(TEMPLATE, "say {first}", "{second}", "{}%s{prompt}")
    assert asked.count("{second}") == asked.count("{}%s{prompt}") == 1
    assert asked.index("say {first}") < asked.index("{second}") < asked.index("{}%s{prompt}")


def test_the_coin_is_fair_and_stays():
    sides = ["".join(Endpoint("", "", ApiKey(), "", seed=s).first(i) for i in range(400)) for s in (0, 0, 1)]
    assert sides[0] == sides[1] != sides[2]
    # 400 fair coins: 200 heads, standard deviation 10
    assert all(150 < side.count("a") < 250 for side in sides)


def test_a_key_hides(monkeypatch):
    monkeypatch.setenv("A_KEY", "  sk-a'b/c \n")
    key = ApiKey.from_environment("A_KEY")
    assert key.secret == "sk-a'b/c"
    for said in ("Bearer sk-a'b/c!", "sk-a%27b%2Fc", json.dumps({"k": "sk-a'b/c"}), "sk-a\\'b/c"):
        assert "sk-a" not in key.hidden_in(said)
    assert ApiKey.from_environment("").hidden_in("nothing to hide") == "nothing to hide"
    assert "sk-a" not in f"{key} {key!r}"


def test_addresses():
    assert require_url("http://localhost:8000/v1/") == "http://localhost:8000/v1"
    for url in (
        "https://me:secret@host/v1",
        "https://host/v1?key=secret",
        "https://secret@host",
        "http://h#secret",
    ):
        with pytest.raises(InputError, match="not shown") as refused:
            require_url(url)
        assert "secret" not in str(refused.value)
    for url in ("localhost:8000", "ftp://host", "http://", "http://host:port"):
        with pytest.raises(InputError, match="an address such as"):
            require_url(url)


def write_answers(path, responses, prompts=None):
    lines = [
        json.dumps(
            {"prompt": f"prompt {i}" if prompts is None else prompts[i], "response": said, "score": 0.5}
        )
        for i, said in enumerate(responses)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with two files of six answers, and a module with scorers beside them.

    By length B wins pairs 0 and 2, A wins pairs 1, 4 and 5; in pair 3 both say the same.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "scorers", raising=False)
    write_answers(tmp_path / "a.jsonl", ["x", "xxxx", "x", "same", "xxx", "xxxxxxx"])
    write_answers(tmp_path / "b.jsonl", ["yy", "y", "yyyyy", "same", "y", "yyyy"])
    (tmp_path / "scorers.py").write_text(
        "import pathlib\n"
        "seen, kept = [], []\n"
        "def length(prompt, response):\n"
        "    seen.append(prompt)\n"
        "    return len(response)\n"
        "def faulty(prompt, response):\n"
        "    return {'prompt 1': float('nan'), 'prompt 4': None}.get(prompt, len(response))\n"
        "def interrupted(prompt, response):\n"
        "    if prompt == 'prompt 4':\n"
        "        kept.append(pathlib.Path('result.partial/verdicts.jsonl').read_text())\n"
        "        raise KeyboardInterrupt\n"
        "    return length(prompt, response)\n"
        "number = 3\n",
        encoding="utf-8",
    )
    return tmp_path


@pytest.fixture
def numbers_alone(monkeypatch):
    """Leave the figure and the page out, which take longer than all else and are read elsewhere."""
    monkeypatch.setattr("fpo_jax.experiments.judging.files.draw", lambda rows: {})
    monkeypatch.setattr("fpo_jax.experiments.report.page.write", lambda *_: None)


SCORED = ["judge", "a.jsonl", "b.jsonl", "--scorer"]


def test_a_scorer_decides(folder, capsys):
    status, out, err = call(capsys, *SCORED, "scorers:length", "--out", "result", "--json")
    assert status == 0
    report = json.loads(out)
    (row,) = report["comparisons"]
    assert (row["wins"], row["losses"], row["ties"], row["errors"]) == (3, 2, 1, 0)
    assert row["win_rate"] == 3 / 5
    assert row["win_rate_ties_half"] == 3.5 / 6
    assert row["p_one_sided"] == pytest.approx((10 + 5 + 1) / 32)  # three, four or five heads of five coins
    assert report["identical"] == 1
    assert report["position"] is None
    assert "1 of the ties are identical" in err
    written = {path.name for path in (folder / "result").iterdir()}
    assert written == {
        ".fpo-jax.json",
        "config.json",
        "summary.json",
        "verdicts.jsonl",
        "outcome.png",
        "outcome.pdf",
        "report.html",
    }
    assert not (folder / "result.partial").exists()
    assert json.loads((folder / "result" / "summary.json").read_text(encoding="utf-8")) == report
    kept = [
        json.loads(line)
        for line in (folder / "result" / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [verdict["pair"] for verdict in kept] == [0, 1, 2, 3, 4, 5]
    assert [verdict["outcome"] for verdict in kept] == ["loss", "win", "loss", "tie", "win", "win"]
    assert kept[0]["scores"] == [1, 2]
    # the settings that were written run again
    status, again, _ = call(capsys, "judge", "--config", "result/config.json", "--json")
    assert json.loads(again)["comparisons"] == report["comparisons"]


def test_scores_within_the_margin_tie(folder, capsys):
    # differences of length: −1, 3, −4, 0, 2, 3
    _, out, _ = call(capsys, *SCORED, "scorers:length", "--tie-margin", "2", "--json")
    (row,) = json.loads(out)["comparisons"]
    assert (row["wins"], row["losses"], row["ties"]) == (2, 1, 3)


def test_a_zero_beside_an_earlier_configuration_counts(folder, capsys, numbers_alone):
    call(capsys, *SCORED, "scorers:length", "--tie-margin", "2", "--out", "result")
    again = ["judge", "--config", "result/config.json", "--json"]
    # with the margin of 2 that was written, and without: differences of length −1, 3, −4, 0, 2, 3
    for wish, wanted in (([], (2, 1, 3)), (["--tie-margin", "0"], (3, 2, 1))):
        _, out, _ = call(capsys, *again, *wish)
        (row,) = json.loads(out)["comparisons"]
        assert (row["wins"], row["losses"], row["ties"]) == wanted
    earlier = {"endpoint": "http://h/v1", "judge_model": "m", "answers": ["a.jsonl", "b.jsonl"]}
    earlier |= {"temperature": 0.7, "seed": 5, "both_orders": True}
    (folder / "config.json").write_text(json.dumps(earlier), encoding="utf-8")

    def settled(*wishes):
        words = ["--config", "config.json", "--out", "other", *wishes]
        return settings_of(parse(JudgeOptions, words, "judge"))

    assert {name: settled()[name] for name in earlier} == earlier
    zero = settled("--temperature", "0", "--seed", "0", "--no-both-orders")
    assert (zero["temperature"], zero["seed"], zero["both_orders"]) == (0.0, 0, False)
    assert settled("--both-orders")["both_orders"] is True


def test_errors_are_counted_apart_and_asked_again(folder, capsys, numbers_alone):
    status, out, err = call(capsys, *SCORED, "scorers:faulty", "--out", "result", "--json")
    assert status == 0
    (row,) = json.loads(out)["comparisons"]
    # pair 1 has no finite score and pair 4 none at all: two of A's wins by length are gone, and nothing else
    assert (row["wins"], row["losses"], row["ties"], row["errors"]) == (1, 2, 1, 2)
    assert "2 pairs could not be judged" in err
    kept = [
        json.loads(line)
        for line in (folder / "result" / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert "nan" in kept[1]["reason"]
    assert "TypeError" in kept[4]["reason"]
    sys.modules["scorers"].faulty = sys.modules["scorers"].length
    again = [*SCORED, "scorers:faulty", "--out", "result", "--json", "--resume"]
    status, out, _ = call(capsys, *again)
    (row,) = json.loads(out)["comparisons"]
    assert (row["wins"], row["losses"], row["ties"], row["errors"]) == (3, 2, 1, 0)
    assert {*sys.modules["scorers"].seen} == {"prompt 1", "prompt 4"}
    assert not (folder / "result.partial").exists()


def test_interrupted_and_resumed(folder, capsys, numbers_alone):
    wishes = [*SCORED, "scorers:interrupted", "--out", "result"]
    status, out, err = call(capsys, *wishes)
    assert (status, out) == (130, "")
    assert (
        "go on with `fpo-jax judge a.jsonl b.jsonl --scorer scorers:interrupted --out result --resume`" in err
    )
    assert not (folder / "result").exists()
    partial = folder / "result.partial" / "verdicts.jsonl"
    assert [*read_verdicts(partial, 6)] == [3, 0, 1, 2]  # identical answers first
    assert "".join(sys.modules["scorers"].kept).count('"outcome"') == 4  # each as soon as it was there
    status, _, err = call(capsys, *wishes)
    assert status == 2
    assert "resumed with --resume, or result.partial removed first" in err
    status, _, err = call(capsys, *wishes, "--resume", "--tie-margin", "1")
    assert status == 2
    assert "tie_margin = 1.0: must be 0.0, as in what is to be resumed" in err
    assert "go on with" not in err  # not with this
    b = (folder / "b.jsonl").read_text(encoding="utf-8")
    (folder / "b.jsonl").write_text(b.replace("yy", "yyy"), encoding="utf-8")
    status, _, err = call(capsys, *wishes, "--resume")
    assert status == 2
    assert "its contents differ" in err
    (folder / "b.jsonl").write_text(b, encoding="utf-8")
    with partial.open("a", encoding="utf-8") as file:
        file.write('{"pair": 4, "outc')  # cut short: no verdict
    scorers = sys.modules["scorers"]
    scorers.interrupted = scorers.length
    scorers.seen.clear()
    status, out, _ = call(capsys, *wishes, "--resume", "--json")
    assert status == 0
    (row,) = json.loads(out)["comparisons"]
    assert (row["wins"], row["losses"], row["ties"], row["errors"]) == (3, 2, 1, 0)
    assert {*scorers.seen} == {"prompt 4", "prompt 5"}
    assert not partial.parent.exists()


def test_a_judge_that_only_fails_is_given_up(folder, capsys):
    (folder / "broken.py").write_text(
        "def score(prompt, response):\n    raise OSError('no disk\\nno score')\n", encoding="utf-8"
    )
    for options, said in ((["--give-up", "2"], "2 errors in a row, the last"), ([], "nothing but errors, 4")):
        for name, response in (("a", "x"), ("b", "y")):
            write_answers(folder / f"{name}.jsonl", [*[response] * 4, "the same"])
        before = {*folder.iterdir()}
        status, out, err = call(capsys, *SCORED, "broken:score", "--out", "result", *options)
        assert (status, out) == (2, "")
        (line,) = [line for line in err.splitlines() if line.strip() and "pair/s" not in line]
        assert said in line
        assert "OSError: no disk no score" in line
        assert {*folder.iterdir()} - {folder / "__pycache__"} == before - {folder / "__pycache__"}


def test_a_full_disk_keeps_what_is_judged(folder, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fpo_jax.experiments.judging.files.draw", full)
    status, out, err = call(capsys, *SCORED, "scorers:length", "--out", "result")
    assert (status, out) == (2, "")
    assert "No space left on device" in err
    assert "verdicts are kept: go on with `fpo-jax judge" in err
    assert len(read_verdicts(folder / "result.partial" / "verdicts.jsonl", 6)) == 6
    assert not (folder / "result").exists()


def test_one_at_a_time(folder, capsys):
    with Unfinished(folder / "result", "judging").locked():
        status, _, err = call(capsys, *SCORED, "scorers:length", "--out", "result")
    assert status == 2
    assert "another judging is writing it" in err


ASKED = ["--endpoint", "http://127.0.0.1:9/v1", "--judge-model", "m", "--out", "result"]
FILES = ["judge", "a.jsonl", "b.jsonl"]
BAD = {
    "nobody judges": (FILES, "judge = nothing", "one of --endpoint"),
    "two judge": ([*FILES, *ASKED, "--scorer", "scorers:length"], "endpoint and scorer", "one of"),
    "no files": (["judge", *ASKED], "answers = nothing", "two files"),
    "one file": (["judge", "a.jsonl", "--scorer", "scorers:length"], "answers = a.jsonl", "two files"),
    "files and counts": ([*FILES, "--counts", "3:2"], "answers = a.jsonl b.jsonl", "left out"),
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


def test_an_endpoint_needs_the_extra(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    status, _, err = call(capsys, *FILES, *ASKED, "--key-variable", "")
    assert status == 2
    assert err.endswith("an endpoint needs the extra llm: in a clone, pip install '.[llm]'\n")
    assert err.count("\n") == 1
    assert not (folder / "result.partial").exists()


def test_a_reward_model_in_a_folder_is_read_by_the_extra(folder, capsys, monkeypatch):
    """What it reads is in tests/llm/test_scorer.py."""
    (folder / "model").mkdir()
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "tunix" else found(name, *a)
    )
    status, out, err = call(capsys, *SCORED, "model", "--out", "result")
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("fpo-jax: error: scorer = model: ")
    assert "a folder needs the extra llm: in a clone, pip install '.[llm]' (" in line
    assert "tunix" in line
    assert importlib.util.find_spec("fpo_jax.experiments.llm.reward_model") is not None  # for which it is
    assert not (folder / "result.partial").exists()


def test_files_that_do_not_match(folder):
    a, c = folder / "a.jsonl", folder / "c.jsonl"
    mismatches = {
        "no answer of a dict": ("[1]\n", "line 1: must be a JSON object with"),
        "no response": ('{"prompt": "prompt 0"}\n', "line 1: must be a JSON object with"),
        "no text": ('{"prompt": "prompt 0", "response": 3}\n', "line 1: .*both of them text"),
        "cut short": (
            '{"prompt": "prompt 0", "response": "x"}\n{"prom',
            'line 2: must be one JSON object, and it is {"prom$',
        ),
        "empty": ("\n", "it holds none"),
        "fewer": ('\n{"prompt": "prompt 0", "response": "x"}\n', "as many as .*: 6, and it has 1"),
        "another prompt": (
            a.read_text(encoding="utf-8").replace("prompt 3", "prompt 4"),
            "the first that differs: line 4",
        ),
    }
    for content, said in mismatches.values():
        c.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=said):
            matched(a, c)
    c.write_bytes(b'{"prompt": "\xff"}')
    with pytest.raises(InputError, match="not UTF-8"):
        matched(a, c)
    c.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(InputError, match="line 1: must be one JSON object"):
        matched(a, c)
    # a byte-order mark, Windows line ends and empty lines do no harm
    c.write_bytes(b"\xef\xbb\xbf" + a.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert [pair.a for pair in matched(a, c)] == [pair.b for pair in matched(a, c)]


def test_a_line_ends_where_json_says(tmp_path):
    """U+2028, U+2029 and U+0085, which end lines of text, stand in JSON texts as they are."""
    said = "one\u2028two\u2029three\u0085four"
    rows = [{"prompt": said, "response": said}, {"prompt": "next", "response": "one"}]
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    assert "\u2028" in path.read_text(encoding="utf-8")
    assert matched(path, path) == [(said, said, said), ("next", "one", "one")]


def test_configurations_of_others_are_refused(folder, capsys):
    contents = {
        '{"scorers": "x"}': "nearest: scorer",
        '{"answers": 3, "scorer": "scorers:length"}': "answers = 3",
        '{"scorer": "scorers:length", "answers": ["a.jsonl", "b.jsonl"], "seed": -1}': "seed = -1",
    }
    for content, complaint in contents.items():
        (folder / "config.json").write_text(content, encoding="utf-8")
        status, _, err = call(capsys, "judge", "--config", "config.json")
        assert status == 2
        assert complaint in err
        assert err.count("\n") == 1


def test_verdicts_are_lines(tmp_path):
    verdict = Verdict(2, "win", "", {"scores": [1.0, 0.5]})
    (tmp_path / "v.jsonl").write_text(
        Verdict(2, "error", "why").line() + verdict.line() + "nonsense\n[3]\n", encoding="utf-8"
    )
    assert read_verdicts(tmp_path / "v.jsonl", 3) == {2: verdict}
    assert read_verdicts(tmp_path / "v.jsonl", 2) == {}  # beyond the pairs that there are
