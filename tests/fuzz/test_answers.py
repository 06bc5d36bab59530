"""What a judging reads before it asks: answers, counts, templates, addresses and configurations of others."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpo_jax.experiments.judging.access import require_url
from fpo_jax.experiments.judging.answer_files import read_answers
from fpo_jax.experiments.judging.counts import Counts, assess, parse_counts
from fpo_jax.experiments.judging.question import FIELDS, fill, load_template
from fpo_jax.experiments.judging.settings import JudgeSettings, settings_of
from tests.fuzz.inputs import DEEP, FUZZED, JSON, TEXT, as_json, damaged, tried

pytestmark = pytest.mark.slow
ANSWER = st.builds(
    lambda prompt, response, name, value: as_json({"prompt": prompt, "response": response, name: value}),
    TEXT,
    TEXT,
    st.sampled_from(["prompt", "response", "more"]),
    JSON,
)
LINES = st.lists(st.one_of(ANSWER, damaged(ANSWER), JSON.map(as_json), st.just(b" ")), max_size=3)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "file"


@FUZZED
@given(st.one_of(LINES.map(b"\n".join), LINES.map(b"\r\n".join), st.binary(), DEEP))
def test_any_file_of_answers(path, content):
    path.write_bytes(content)
    answers = tried(read_answers, path)
    if answers is None:
        return
    assert 0 < len(answers) <= content.count(b"\n") + 1
    json.dumps(answers, ensure_ascii=False).encode()


@FUZZED
@given(st.text() | st.from_regex(r"[0-9]{0,20}(:[0-9]{0,20}){0,4}\n?", fullmatch=True) | TEXT)
def test_any_counts(written):
    counts = tried(parse_counts, written)
    if counts is None:
        return
    assert ":".join(str(int(part)) for part in written.split(":")) in (
        f"{counts.wins}:{counts.losses}",
        f"{counts.wins}:{counts.losses}:{counts.ties}",
    )
    small = Counts(*(min(number, 1000) for number in counts))
    row = assess(written, small)
    assert row["win_rate"] is None or 0.0 <= row["win_rate"] <= 1.0


TEMPLATE = st.lists(st.sampled_from([*FIELDS, "{mark}", "{", "}", "{}", "%s"]) | TEXT, max_size=8).map(
    lambda parts: "".join(parts).encode(errors="surrogatepass")
)


@FUZZED
@given(TEMPLATE | damaged(TEMPLATE) | st.binary(), TEXT, TEXT)
def test_any_template(path, content, prompt, answer):
    path.write_bytes(content)
    template = tried(load_template, path)
    if template is None:
        return
    asked = fill(template, prompt, answer, "b")
    assert prompt in asked
    assert answer in asked
    assert asked == fill(template, prompt, answer, "b")


URL = st.lists(
    st.sampled_from(
        ["http", "https", "ftp", "://", ":", "//", "/", "@", "?", "#", "[", "]", "::1", "h", "80", "99999"]
    )
    | TEXT,
    max_size=9,
).map("".join)


@FUZZED
@given(URL | URL.map("http://{}".format) | st.text())
def test_any_address(url):
    kept = tried(require_url, url)
    if kept is None:
        return
    assert kept.lower().startswith(("http://", "https://"))
    assert kept.isprintable()
    assert not {*kept} & {*"@?# "}


SETTINGS = [
    *JudgeSettings.known(),
    "answers_sha256",
    "template_sha256",
    "scorers",
    "env",
    "key_variable",
    "grid",
]
PLAUSIBLE = {
    "answers": ["a.jsonl", "b.jsonl"],
    "endpoint": "https://elsewhere/v1",
    "judge_model": "m",
    "scorer": "timeit:timeit",
    "counts": ["3:2"],
    "temperature": "server",
    "max_tokens": 5,
}
CONFIG = st.builds(
    lambda names, more: {name: PLAUSIBLE[name] for name in names} | more,
    st.sets(st.sampled_from([*PLAUSIBLE])),
    st.dictionaries(st.sampled_from(SETTINGS), JSON, max_size=2),
).map(as_json)
ASKED = st.sampled_from(
    [
        {},
        {},
        {"scorer": "mine:score"},
        {"endpoint": "http://localhost/v1", "judge_model": "m"},
        {"counts": ("3:2",)},
    ]
)


@FUZZED
@given(
    CONFIG | damaged(CONFIG) | JSON.map(as_json) | DEEP | st.binary(),
    ASKED,
    st.none() | st.sampled_from(["", "KEY"]),
)
def test_any_configuration(path, content, asked, variable):
    """Nothing runs or is sent that was not typed."""
    path.write_bytes(content)
    given_words = SimpleNamespace(config=path, out=path.parent / "out", resume=False, key_variable=variable)
    found = tried(settings_of, asked, given_words)
    if found is None:
        return
    assert found.scorer == asked.get("scorer") or (path.parent / found.scorer).is_dir()
    assert found.endpoint is None or (found.endpoint == asked.get("endpoint"))
