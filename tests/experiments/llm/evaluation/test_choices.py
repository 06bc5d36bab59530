"""Likelihoods of reference answers against transformers."""

import jax
import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from fpo_jax.experiments.llm import checkpoint as checkpoints
from fpo_jax.experiments.llm.evaluation.choices import Choices
from fpo_jax.experiments.llm.evaluation.truthfulqa import Question, scores
from fpo_jax.experiments.llm.prompts import Tokenizer
from fpo_jax.experiments.llm.sizes import read_config
from fpo_jax.experiments.llm.step import mesh_over

QUESTIONS = [
    Question("Why is a blind spot blind?", ("No data.", "Nobody looked there."), ("It is not.",)),
    Question(
        "Who pays?", ("All.",), tuple(f"The {i} of us." for i in range(9))
    ),  # more than stand in a batch
    Question("And what does the policy do in the end, when all is told?", ("It stays.",), ("Up.", "Down.")),
    # longer than others, and not the last: another program, and rows that are put back in their order
    Question("How long?", ("It is a long way, and longer than any other answer here, by far.",), ("1.",)),
]


@pytest.fixture(scope="module")
def net(checkpoint):
    return checkpoints.load(checkpoint, "float32", mesh_over(jax.devices()[:1]), True, "model")


def reader(checkpoint, chat):
    return Tokenizer(checkpoint, read_config(checkpoint, "model"), chat=chat)


def directly(model, prompt, answer):
    """Σ log π of an answer behind a prompt, with transformers."""
    with torch.no_grad():
        log_p = torch.log_softmax(model(torch.tensor([[*prompt, *answer]])).logits[0].double(), dim=-1)
    places = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
    return sum(float(log_p[place, token]) for place, token in zip(places, answer, strict=True))


@pytest.mark.parametrize("chat", [True, False])
def test_likelihoods_of_reference_answers_are_those_of_transformers(chat, net, checkpoint):
    theirs, tokenizer = LlamaForCausalLM.from_pretrained(checkpoint).eval(), reader(checkpoint, chat)
    prompts = [tokenizer.encode(question.text, 128) for question in QUESTIONS]
    ticks = []
    found = Choices.of(QUESTIONS, prompts, tokenizer).log_likelihoods(net, lambda: ticks.append(1))
    wanted = []
    for question, prompt in zip(QUESTIONS, prompts, strict=True):
        said = [text if chat else f" {text}" for text in question.answers]
        ids = [tokenizer.inner(text, add_special_tokens=False)["input_ids"] for text in said]
        wanted.append(np.array([directly(theirs, prompt.tokens, one) for one in ids]))
    assert [len(one) for one in found] == [3, 10, 3, 2]
    for ours, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, other, atol=1e-3)
    for name, values in scores(found, QUESTIONS).items():
        np.testing.assert_allclose(values, scores(wanted, QUESTIONS)[name], atol=1e-4)
    assert len(ticks) == len(QUESTIONS)
