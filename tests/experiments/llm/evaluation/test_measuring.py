"""Likelihoods of reference answers against transformers; batches of answers against single ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from fpo_jax.experiments.llm import answering
from fpo_jax.experiments.llm import checkpoint as checkpoints
from fpo_jax.experiments.llm.evaluation.measuring import AT_ONCE, Asked, Choices
from fpo_jax.experiments.llm.evaluation.truthfulqa import Question, scores
from fpo_jax.experiments.llm.generation import Sampling
from fpo_jax.experiments.llm.oracle import likelihood_utility
from fpo_jax.experiments.llm.prompts import Tokenizer, pad_to_bucket
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


def test_prompts_in_batches_are_answered_as_one_by_one(net, checkpoint):
    """One prompt more than stands in a batch: the last batch is filled up, and what fills it is dropped."""
    tokenizer = reader(checkpoint, True)
    texts = [f"What is {'so ' * (i % 4)}number {i}?" for i in range(AT_ONCE + 1)]
    prompts = [tokenizer.encode(text, 128) for text in texts]
    greedy, free = Sampling(6, tokenizer.ends, 0.0), Sampling(6, tokenizer.ends)
    asked = Asked.of(prompts, jax.random.key(3))
    said = asked.answer(net, ((greedy, 1), (free, 2)), lambda: None)
    read = asked.under(net, said, tokenizer.ends, lambda: None)
    assert said[0].tokens.shape == (len(texts), 1, 6)
    assert said[1].tokens.shape == (len(texts), 2, 6)
    assert len({tuple(row) for row in said[1].tokens.reshape(-1, 6)}) == 2 * len(texts)  # keys differ
    alike = jax.jit(likelihood_utility, static_argnames="ends")
    for place in (0, 5, AT_ONCE):
        row, length = pad_to_bucket(prompts[place].tokens, 128), jnp.int32(len(prompts[place].tokens))
        alone = answering._say(net, row, length, jax.random.key(0), greedy)
        np.testing.assert_array_equal(said[0].tokens[place, 0], alone)
        (told,) = alike(net, row, length, (jnp.asarray(said[1].tokens[place]),), ends=tokenizer.ends)
        np.testing.assert_allclose(read[1].utility[place], told.utility, atol=1e-4)
    # the model that drew them finds them as likely as it found them while it drew
    np.testing.assert_allclose(read[1].log_likelihood, said[1].log_probability, atol=1e-4)
