"""An evaluation: load the base model and the adapters, let them answer and read, and summarise."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.files import provenance
from fpo_jax.experiments.core.progress import Progress
from fpo_jax.experiments.core.result_folder import require_writable
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.llm import adapter, checkpoint
from fpo_jax.experiments.llm.asked import Asked, Ways
from fpo_jax.experiments.llm.evaluation import summary
from fpo_jax.experiments.llm.evaluation.choices import Choices
from fpo_jax.experiments.llm.evaluation.policies import BASE, Policy, read_policies
from fpo_jax.experiments.llm.evaluation.repetition import NGRAM, repetition
from fpo_jax.experiments.llm.evaluation.settings import QUESTIONS, EvaluateSettings
from fpo_jax.experiments.llm.evaluation.summary import Measured
from fpo_jax.experiments.llm.evaluation.truthfulqa import Question, read_questions, scores
from fpo_jax.experiments.llm.generation import Samples, Sampling
from fpo_jax.experiments.llm.located import located
from fpo_jax.experiments.llm.model import Lora, Net, fresh_adapter
from fpo_jax.experiments.llm.oracle import Told
from fpo_jax.experiments.llm.prompts import Prompt, Tokenizer, prompt_file, read_prompts, say_cut
from fpo_jax.experiments.llm.sizes import read_config
from fpo_jax.experiments.llm.step import mesh_over
from fpo_jax.numerics.keys import named_key

BATCH = 10
"""A batch of answers takes about as long as this many questions; used for the time left."""


def evaluate(settings: EvaluateSettings, out: Path | None) -> tuple[dict[str, Any], str]:
    """Measure a base model and policies, write the folder if given, and return the report and its tables.

    Raises:
        InputError: when something cannot be used; nothing is written then.
    """
    if out is not None:
        require_writable(out)
    policies = read_policies(settings.runs)
    _say_other_models(settings.model, policies)
    there = [] if settings.truthfulqa is None else read_questions(Path(settings.truthfulqa))
    questions = [there[i] for i in _chosen(len(there), settings.questions, settings.seed)]
    texts = _unseen(settings, policies, there)
    folder = located(settings.model)
    config = read_config(folder, "model")
    tokenizer = Tokenizer(folder, config, chat=settings.chat)
    with in_precision("float32"):
        key = jax.random.key(settings.seed)
        loaded = [adapter.load(policy.adapter, config) for policy in policies]
        base = checkpoint.load(folder, settings.precision, mesh_over(jax.devices()[:1]), True, "model")
        lora = loaded[0][1] if loaded else Lora()
        # the base model with an adapter that changes nothing, so that it shares its programs with the runs
        untouched = base.adapted(fresh_adapter(config, lora, named_key(key, "adapter")), lora)
        nets = [untouched, *(base.adapted(*one) for one in loaded)]
        prompts = _encoded([*texts], tokenizer, settings.prompt_limit)
        asked = Asked.of(prompts, named_key(key, "answers"))
        choices = None
        if questions:
            told = _encoded([question.text for question in questions], tokenizer, settings.prompt_limit)
            choices = Choices.of(questions, told, tokenizer)
        measured = _measured(settings, policies, nets, base, tokenizer, asked, texts, questions, choices)
    found = summary.report(measured) | provenance(
        settings.command(), settings.precision, ("transformers", "tokenizers", "safetensors")
    )
    if out is not None:
        from fpo_jax.experiments.llm.evaluation import files  # matplotlib is slow to import

        files.write(out, settings, measured, found)
    return found, summary.show(found, summary.LEGEND.format(tokens=settings.tokens, n=NGRAM))


def _measured(
    settings: EvaluateSettings,
    policies: Sequence[Policy],
    nets: Sequence[Net],
    base: Net,
    tokenizer: Tokenizer,
    asked: Asked,
    texts: Sequence[str],
    questions: Sequence[Question],
    choices: Choices | None,
) -> Measured:
    """Let every model answer and read, and report progress."""
    ends, tokens = tokenizer.ends, settings.tokens
    both: Ways = ((Sampling(tokens, ends, 0.0), 1), (Sampling(tokens, ends), settings.drawn))
    how = Sampling.of(settings, ends)
    names = [BASE, *(policy.name for policy in policies)]
    answering = 2 * BATCH * asked.batches
    multiple, greedy, drawn = [], [], []
    with Progress(jobs=len(nets) + 1) as progress:
        for name, net in zip(names, nets, strict=True):
            done = _Counter(progress, name, len(questions) + answering)
            if choices is not None:
                told = done.of("reads TruthfulQA", 1)
                multiple.append(scores(choices.log_likelihoods(net, told), questions))
            said = asked.answer(net, both, done.of("answers", BATCH))
            read = asked.under(base, said, ends, done.of("its answers are read", BATCH))
            greedy.append((said[0], read[0]))
            drawn.append((said[1], read[1]))
            progress.end()
        done = _Counter(progress, "candidates", answering)
        said = asked.answer(nets[0], ((how, settings.candidates),), done.of("drawn", BATCH))
        (read_candidates,) = asked.under(base, said, ends, done.of("read", BATCH))
    values = {name: np.stack([one[name] for one in multiple]) for name in (multiple[0] if multiple else ())}
    values |= _of_answers(greedy, drawn, ends)
    answers = [[tokenizer.response(row) for row in np.asarray(one.tokens[:, 0])] for one, _ in greedy]
    raw = {
        "utility": read_candidates.utility,
        "repetition": _repetitions(said[0], read_candidates, ends),
        "length": read_candidates.length,
    }
    candidates = {name: np.asarray(of, float) for name, of in raw.items()}
    lengths = np.array([read.length.mean() for _, read in drawn])
    return Measured(policies, values, lengths, candidates, texts, answers)


def _of_answers(
    greedy: Sequence[tuple[Samples, Told]], drawn: Sequence[tuple[Samples, Told]], ends: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Return the measures of answers, [model, prompt] each.

    KL(π_θ ‖ π_ref) is the mean of log π_θ − log π_ref over answers from π_θ at temperature 1 with all tokens.
    It is in nats for each answer, and unbiased for answers that are cut at the maximum of tokens.
    """
    first = greedy[0][0].tokens
    return {
        "identical": np.stack(
            [np.all(said.tokens == first, axis=(1, 2)).astype(float) for said, _ in greedy]
        ),
        "utility": np.stack([read.utility[:, 0].astype(float) for _, read in greedy]),
        "kl": np.stack(
            [(said.log_probability - read.log_likelihood).astype(float).mean(1) for said, read in drawn]
        ),
        "length": np.stack([read.length[:, 0].astype(float) for _, read in greedy]),
        "repetition": np.stack([_repetitions(said, read, ends)[:, 0] for said, read in greedy]),
    }


def _repetitions(said: Samples, read: Told, ends: tuple[int, ...]) -> np.ndarray:
    """Return the repetition of each answer, without the token that ends it."""

    def one(tokens: np.ndarray, length: int) -> float:
        return repetition([int(token) for token in tokens[:length] if token not in ends])

    pairs = zip(np.asarray(said.tokens), np.asarray(read.length), strict=True)
    return np.array([[one(*each) for each in zip(*pair, strict=True)] for pair in pairs])


class _Counter:
    """Counts the finished work on one model, in units of one question."""

    def __init__(self, progress: Progress, model: str, units: int):
        self.progress, self.units, self.behind = progress, units, 0
        progress.begin(model)

    def of(self, what: str, each: int) -> Callable[[], None]:
        """Return a function to call after each part of a piece of work."""
        self.progress.tell(what, self.behind / self.units)

        def done() -> None:
            self.behind += each
            self.progress.tell(what, self.behind / self.units)

        return done


def _unseen(
    settings: EvaluateSettings, policies: Sequence[Policy], questions: Sequence[Question]
) -> list[str]:
    """Return the chosen prompts, in the order of the file, without those that a run was trained on."""
    if settings.prompts == QUESTIONS:
        texts = list(dict.fromkeys(question.text for question in questions))
    else:
        texts = list(dict.fromkeys(read_prompts(prompt_file(settings.prompts))))
    seen = frozenset[str]().union(*(policy.prompts for policy in policies))
    left = [text for text in texts if text not in seen]
    if not left:
        allowed = f"a file with prompts that no run was trained on, but runs were trained on all {len(texts)}"
        raise InputError("prompts", settings.prompts, allowed)
    if len(left) < len(texts):
        sys.stderr.write(
            f"{len(texts) - len(left)} of {len(texts)} prompts are left out: runs have seen them\n"
        )
    return [left[i] for i in _chosen(len(left), settings.unseen, settings.seed)]


def _chosen(there: int, number: int, seed: int) -> list[int]:
    """Return the chosen numbers in order, from the seed alone; all of them if there are no more."""
    return sorted(np.random.default_rng(seed).permutation(there)[:number].tolist())


def _encoded(texts: Sequence[str], tokenizer: Tokenizer, limit: int) -> list[Prompt]:
    prompts = [tokenizer.encode(text, limit) for text in texts]
    say_cut(prompts, limit)
    return prompts


def _say_other_models(model: str, policies: Sequence[Policy]) -> None:
    """Print a note if a run names another model than the measured one, since sizes alone rarely differ."""
    for policy in policies:
        theirs = policy.settings.get("model", model)
        if theirs != model:
            sys.stderr.write(f"{policy.name} was trained on {theirs}, and is measured on {model}\n")
