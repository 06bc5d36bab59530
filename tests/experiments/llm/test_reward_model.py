"""A reward model in a folder as a judge, against the sequence classifier of `transformers`."""

import json
import shutil

import chex
import jax
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer, LlamaForSequenceClassification

from fpo_jax.errors import InputError
from fpo_jax.experiments.llm.reward_model import _reward, load_reward
from tests.experiments.llm.conftest import END
from tests.helpers import call

PROMPT = "Which of the two answers better, and how would one know?"
SAID = [
    (PROMPT, "The second."),
    (PROMPT, ""),
    ("Why?", "Nobody knows; " * 12),  # another bucket than that of the first
    ("Why?", "Because it is\u2028so."),
]


def classified(folder, pairs):
    """Scores by `transformers`: the chat with the token that ends it, one at a time, without padding."""
    classifier = LlamaForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    # it passes over padding from the end; this checkpoint pads with the token that ends a response
    classifier.config.pad_token_id = None
    tokenizer, scores = AutoTokenizer.from_pretrained(folder), []
    for prompt, response in pairs:
        turn = [{"role": "user", "content": prompt}]
        chat = tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
        tokens = tokenizer(chat, add_special_tokens=False)["input_ids"]
        tokens += tokenizer(response + END, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            scores.append(float(classifier(torch.as_tensor([tokens])).logits[0, 0]))
    return scores


@pytest.fixture(scope="module")
def score(reward_model):
    return load_reward(reward_model)


def test_scores_are_those_of_a_sequence_classifier(reward_model, score, monkeypatch):
    wanted = classified(reward_model, SAID)
    assert max(wanted) - min(wanted) > 0.1  # scores that could differ
    # prompts in buckets of 64 and 32, responses of 32 and 64: three programs for four pairs at most
    counted = jax.jit(chex.assert_max_traces(_reward.__wrapped__, n=3))
    monkeypatch.setattr("fpo_jax.experiments.llm.reward_model._reward", counted)
    assert [score(*pair) for pair in SAID] == pytest.approx(wanted, abs=1e-4)


def edited(reward_model, folder, change):
    shutil.copytree(reward_model, folder)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_a_head_with_a_bias_adds_it(reward_model, score, tmp_path):
    def add(tensors):
        tensors["score.bias"] = tensors["score.weight"][0, :1] * 0 + 2.5

    biased = load_reward(edited(reward_model, tmp_path / "biased", add))
    assert biased(*SAID[0]) - score(*SAID[0]) == pytest.approx(2.5, abs=1e-5)


def test_folders_that_are_no_reward_model(checkpoint, reward_model, tmp_path):
    with pytest.raises(InputError, match=r"a reward model: a checkpoint with score\.weight"):
        load_reward(checkpoint)
    headless = edited(reward_model, tmp_path / "headless", lambda tensors: tensors.pop("score.weight"))
    with pytest.raises(InputError, match=r"a reward model: a checkpoint with score\.weight"):
        load_reward(headless)
    with pytest.raises(InputError, match=r"it has no config\.json"):
        load_reward(tmp_path)


def test_the_command_judges_by_a_folder(checkpoint, reward_model, score, tmp_path, capsys):
    answers = {"a": [said for _, said in SAID], "b": ["The first."] * len(SAID)}
    for name, responses in answers.items():
        rows = zip(SAID, responses, strict=True)
        lines = [json.dumps({"prompt": pair[0], "response": said}, ensure_ascii=False) for pair, said in rows]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ["judge", tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--json", "--scorer"]
    status, out, _ = call(capsys, *words, reward_model, "--out", tmp_path / "result")
    assert status == 0
    (row,) = json.loads(out)["comparisons"]
    wanted = classified(reward_model, [*SAID, *[(prompt, "The first.") for prompt, _ in SAID]])
    pairs = [*zip(wanted[:4], wanted[4:], strict=True)]
    wins = sum(a > b for a, b in pairs)
    assert (row["wins"], row["losses"], row["ties"], row["errors"]) == (wins, 4 - wins, 0, 0)
    kept = [
        json.loads(line)
        for line in (tmp_path / "result" / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    for verdict, both in zip(kept, pairs, strict=True):
        assert verdict["scores"] == pytest.approx(both, abs=1e-4)
    capsys.readouterr()  # what transformers said
    status, out, err = call(capsys, *words, checkpoint, "--out", tmp_path / "other")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert f"scorer = {checkpoint}: must be a reward model: a checkpoint with score.weight" in err
    assert not (tmp_path / "other").exists()
