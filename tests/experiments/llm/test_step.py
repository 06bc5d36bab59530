"""One step of the loop beside an eager one, written with torch from the published description.

The eager step knows nothing of ours but the candidates, the head, the adapter and the weight: it reads,
scores, ranks and differentiates with torch and transformers, one response at a time, unpadded, uncached.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from scipy.optimize import brentq
from transformers import LlamaForCausalLM

from fpo_jax.errors import InputError
from fpo_jax.experiments.llm import adapter as files
from fpo_jax.experiments.llm import pipeline as pipelines
from fpo_jax.experiments.llm import step as steps
from fpo_jax.experiments.llm.generation import log_likelihood, read_prompt
from fpo_jax.experiments.llm.learning import policy_loss
from fpo_jax.experiments.llm.pipeline import prepare
from fpo_jax.experiments.llm.prompts import pad_to_bucket
from fpo_jax.experiments.llm.scoring import Candidates, Curvature, scores
from fpo_jax.experiments.llm.settings import MODES, TrainSettings

WEIGHT, ALPHA, RANK = 0.1, 32.0, 4
LOSS = jax.jit(policy_loss, static_argnames="training")


class Adapted(torch.nn.Module):
    """W x + α/r · B A x."""

    def __init__(self, inner, a, b):
        super().__init__()
        self.inner = inner
        self.a, self.b = (torch.nn.Parameter(torch.as_tensor(matrix)) for matrix in (a, b))

    def forward(self, x):
        return self.inner(x) + ALPHA / RANK * (x @ self.a.T @ self.b.T)


class Eager(NamedTuple):
    scores: np.ndarray
    utilities: np.ndarray
    head: np.ndarray
    adapter: dict[str, np.ndarray]


def eager_step(mode, folder, prompt, candidates, reference, begins, head, adapter, metric):
    """The published step on given candidates: lists of tokens, each up to the one that ends it."""
    base, policy = (LlamaForCausalLM.from_pretrained(folder).eval() for _ in range(2))
    for model in (base, policy):
        model.requires_grad_(False)
    for name, a in adapter.items():
        if name.endswith(".lora_A.weight"):
            place = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            parent, _, child = place.rpartition(".")
            inner = policy.get_submodule(place)
            b = adapter[name.replace("lora_A", "lora_B")]
            setattr(policy.get_submodule(parent), child, Adapted(inner, a, b))

    def utility(answer):
        ids = torch.tensor([[*prompt, *answer]])
        return torch.clip(5 - base(ids, labels=ids).loss, -15, 5)

    def encoded(answer):
        ids = torch.tensor([[*begins, *answer]])
        return base.model(ids).last_hidden_state[0, -1]

    linear = torch.nn.Linear(len(head) - 1, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.as_tensor(head[None, :-1]))
        linear.bias.copy_(torch.as_tensor(head[-1:]))
    h, h_ref = torch.stack([encoded(answer) for answer in candidates]), encoded(reference)
    u, u_ref = torch.stack([utility(answer) for answer in candidates]), utility(reference)
    rewards, margins = linear(h)[:, 0], linear(h)[:, 0] - linear(h_ref)[0]
    preferred = torch.sigmoid(u - u_ref)

    def gradient(h):  # of r by the head: its features and a 1
        return torch.cat([h, torch.ones(1)])

    differences = [gradient(one) - gradient(h_ref) for one in h]
    pushed = [torch.linalg.solve(metric, gap) for gap in differences] if mode == "leverage" else differences
    influence = torch.stack([gradient(one) @ gap for one, gap in zip(h, pushed, strict=True)])
    if mode == "proximal":
        size = [WEIGHT * float(gap @ gap) for gap in differences]
        step = zip(margins.tolist(), size, preferred.tolist(), strict=True)
        margin = [
            brentq(lambda x, m=m, s=s, p=p: x + s * (1 / (1 + np.exp(-x)) - p) - m, -300, 300)
            for m, s, p in step
        ]
        residual = torch.sigmoid(torch.tensor(margin)) - preferred
    else:
        zero, one = torch.zeros(len(h)), torch.ones(len(h))
        residual = {"rlhf": zero, "practical": one, "leverage": one}.get(
            mode, torch.sigmoid(margins) - preferred
        )
    ranked = rewards - WEIGHT * residual * influence
    winner = int(ranked.argmax())
    loss = torch.nn.functional.binary_cross_entropy_with_logits(margins[winner], preferred[winner])
    loss.backward()
    ids = torch.tensor([[*prompt, *candidates[winner]]])
    policy(ids, labels=ids).loss.backward()
    gradients = {}
    for name, parameter in policy.named_parameters():
        if parameter.grad is not None:
            place, _, kind = name.rpartition(".")
            gradients[f"base_model.model.{place}.lora_{kind.upper()}.weight"] = parameter.grad.numpy()
    on_head = np.append(linear.weight.grad[0].numpy(), linear.bias.grad.numpy())
    return Eager(ranked.detach().numpy(), u.numpy(), on_head, gradients)


def moved(pipeline):
    """The state in which the adapter changes what the policy says: B is not 0."""

    def leaf(path, x):
        turned = 0.05 * jnp.cos(jnp.arange(x.size, dtype=jnp.float32)).reshape(x.shape)
        return x + turned if path[-1].key == "b" else x

    adapter = jax.tree_util.tree_map_with_path(leaf, pipeline.start.adapter)
    return pipeline.start._replace(adapter=adapter)


def published(given, **more):
    """The published settings, but for sizes; gradients gather over two steps, so that they can be seen."""
    settings = TrainSettings.of(given | {"new_head": False, "lora_dropout": 0.0, "tokens": 8} | more)
    pipeline = prepare(settings)
    prompt = pipeline.prompts[0].tokens
    row, length = pad_to_bucket(prompt, settings.prompt_limit), jnp.int32(len(prompt))
    return pipeline, prompt, row, length


def drawn(pipeline, state, row, length, ended=False):
    """What generation and features give, and the policy; one candidate may end early, another be empty."""
    policy = pipeline.base.adapted(state.adapter, pipeline.training.lora)
    asked, key = (row[None], length[None]), jax.random.key(3)[None]
    said = steps.generate(pipeline.drawing, policy, pipeline.base, *asked, key)
    if ended:
        end, how = pipeline.tokenizer.ends[0], pipeline.drawing.sampling
        said = said._replace(candidates=said.candidates.at[0, 1, 5].set(end).at[0, 2, 0].set(end))
        read = read_prompt(pipeline.base, row, length, how.tokens)
        again, _ = log_likelihood(pipeline.base, read, said.candidates[0], how.ends)
        likely = said.under_reference._replace(candidates=again[None])
        said = said._replace(under_reference=likely)
    models, heads = (pipeline.reward_model, pipeline.oracle), (state.head, pipeline.oracle_head)
    seen = steps.features(pipeline.drawing, *models, *asked, said, *heads)
    return policy, *jax.tree.map(lambda leaf: leaf[0], (said, seen))


def spoken(row, ends):
    """The tokens of a response, up to the one that ends it."""
    stop = next((i + 1 for i, token in enumerate(row) if int(token) in ends), len(row))
    return [int(token) for token in row[:stop]]


@pytest.mark.parametrize("mode", MODES)
def test_a_step_is_the_eager_one(mode, given, tmp_path):
    pipeline, prompt, row, length = published(given, mode=mode, weight=WEIGHT)
    state, ends = moved(pipeline), pipeline.tokenizer.ends
    policy, said, both_features = drawn(pipeline, state, row, length, ended=True)
    candidates = [spoken(tokens, ends) for tokens in np.asarray(said.candidates)]
    reference = spoken(np.asarray(said.reference)[0], ends)
    files.save(tmp_path / "adapter", state.adapter, pipeline.base.config, pipeline.training.lora, "base")
    stored = load_file(tmp_path / "adapter" / files.WEIGHTS)
    head, begins = np.array(state.head), [pipeline.tokenizer.inner.bos_token_id]
    metric, factor = torch.eye(len(head)), None
    if mode == "leverage":  # as after five pairs: H = total / 5, and δ = 1 is added
        total = np.random.default_rng(0).normal(size=(len(head), 5)).astype(np.float32)
        state = state._replace(curvature=Curvature(jnp.asarray(total @ total.T), jnp.float32(5)))
        metric, factor = metric + torch.as_tensor(total @ total.T / 5), state.curvature.factored(1.0)
    wanted = eager_step(mode, given["model"], prompt, candidates, reference, begins, head, stored, metric)

    game = Candidates(*both_features, pipeline.oracle_head)
    np.testing.assert_allclose(jax.vmap(game.utility)(game.drawn), wanted.utilities, atol=1e-4)
    ours = scores(game, state.head, mode, WEIGHT, factor)
    np.testing.assert_allclose(ours, wanted.scores, atol=1e-4, rtol=1e-4)
    told = (row, length, said, both_features, jnp.float32(WEIGHT), jax.random.key(4))
    after, metrics = steps.update(pipeline.training, policy, state, pipeline.oracle_head, *told)
    assert int(metrics["winner"]) == np.argmax(wanted.scores)
    np.testing.assert_array_equal(after.head, state.head)  # gradients gather over two steps
    np.testing.assert_allclose(after.head_optimiser.acc_grads, wanted.head, atol=1e-3, rtol=1e-3)
    gathered = after.adapter_optimiser.acc_grads
    files.save(tmp_path / "gradients", gathered, pipeline.base.config, pipeline.training.lora, "base")
    found = load_file(tmp_path / "gradients" / files.WEIGHTS)
    assert {*found} == {*wanted.adapter}
    assert len(found) == 2 * 4 * 2  # A and B of four projections in two layers
    for name, gradient in wanted.adapter.items():
        assert np.abs(gradient).max() > 1e-3
        np.testing.assert_allclose(found[name], gradient, atol=1e-3 * np.abs(gradient).max(), err_msg=name)


def test_dropout_is_on_in_the_update_and_nowhere_else(given):
    """With half of what goes into the adapter dropped, the same is said and scored, to the bit.

    The adapter changes what is said, so that dropout anywhere before the update would be seen.
    """
    seen = []
    for dropout in (0.0, 0.5):
        pipeline, _, row, length = published(given, mode="relaxed", lora_dropout=dropout)
        state = moved(pipeline)
        policy, said, both_features = drawn(pipeline, state, row, length)
        game = Candidates(*both_features, pipeline.oracle_head)
        ranked = scores(game, state.head, "relaxed", WEIGHT)
        told = (policy, state.adapter, row, length, said.candidates[:1])
        losses = [float(LOSS(pipeline.training, *told, jax.random.key(i))) for i in range(2)]
        seen.append((said, game, ranked, losses))
    plain, dropped = seen
    jax.tree.map(np.testing.assert_array_equal, plain[:3], dropped[:3])
    assert plain[3][0] == plain[3][1]
    # each draw of the mask gives another loss
    assert len({round(loss, 4) for loss in (*plain[3][:1], *dropped[3])}) == 3
    still = pipeline.base.adapted(pipeline.start.adapter, pipeline.training.lora)
    asked = (row[None], length[None], jax.random.key(3)[None])
    without = steps.generate(pipeline.drawing, still, pipeline.base, *asked)
    assert not np.array_equal(without.candidates[0], said.candidates)


def test_the_loss_is_over_prompt_and_answer_or_over_the_answer(given):
    """(|x| − 1 + |y|) · both = (sum over x) + |y| · answer; the sum over x is the same for two answers."""
    sums = []
    for index in (0, 1):
        pipeline, prompt, row, length = published(given, mode="rlhf")
        state = moved(pipeline)
        policy, said, _ = drawn(pipeline, state, row, length)
        chosen, training = said.candidates[index][None], pipeline.training
        number = len(spoken(np.asarray(chosen)[0], pipeline.tokenizer.ends))
        told = (policy, state.adapter, row, length, chosen, jax.random.key(0))
        both = LOSS(training, *told)
        answer = LOSS(dataclasses.replace(training, loss_over="answer"), *told)
        assert float(answer) == pytest.approx(-float(said.log_probability[index]) / number, abs=1e-4)
        sums.append((len(prompt) - 1 + number) * float(both) - number * float(answer))
    assert sums[0] == pytest.approx(sums[1], rel=1e-4)
    assert sums[0] > 1


def test_no_response_ends_before_its_least_number_of_tokens(given):
    """Under weights that say any token as likely as any other, where one token in five ends a response.

    Of 64 responses without a least number, none would end within 5 tokens with probability 0.8^320 = 1e-31.
    """
    pipeline, _, row, length = published(given, mode="rlhf")
    flat = dataclasses.replace(pipeline.base, frozen=jax.tree.map(jnp.zeros_like, pipeline.base.frozen))
    ends = tuple(range(100))  # of 512
    how = pipeline.drawing.sampling._replace(ends=ends, least=5, top_p=1.0)
    drawing = dataclasses.replace(pipeline.drawing, candidates=64, sampling=how)
    said = steps.generate(drawing, flat, flat, row[None], length[None], jax.random.key(0)[None])
    lengths = np.array([len(spoken(tokens, ends)) for tokens in np.asarray(said.candidates[0])])
    assert lengths.min() == 6  # the sixth may
    # π as it is, whatever is forbidden: each token has probability 1/512
    np.testing.assert_allclose(said.log_probability[0], -np.log(512) * lengths, rtol=1e-4)
    assert float(said.kl[0]) == pytest.approx(0, abs=1e-3)


def test_an_oracle_without_a_number_ends_in_one_line(given, monkeypatch):
    pipeline, *_ = published(given, mode="rlhf")
    end = pipeline.tokenizer.ends[0]

    def broken(*arguments):
        drawn, other = steps.features(*arguments)
        return drawn._replace(oracle=drawn.oracle.at[:, 2].set(jnp.nan)), other

    def silent(*arguments):
        said = steps.generate(*arguments)
        return said._replace(candidates=said.candidates.at[:, 2].set(0).at[:, 2, 0].set(end))

    monkeypatch.setattr(pipelines, "features", broken)
    with pytest.raises(InputError, match="oracle = likelihood: must be one that gives every"):
        pipeline.step(pipeline.start, 0)
    monkeypatch.setattr(pipelines, "generate", silent)
    with pytest.raises(InputError, match="an empty answer gets nan at step 0"):
        pipeline.step(pipeline.start, 0)
