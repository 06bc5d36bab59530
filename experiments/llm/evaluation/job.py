"""An evaluation: load the base model and the adapters, let them answer and read, and summarise."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.files import provenance
from fpo_jax.experiments.core.parts import Arrays, continued, folder_of
from fpo_jax.experiments.core.progress import Tell
from fpo_jax.experiments.core.result_folder import require_writable
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.llm import adapter, checkpoint
from fpo_jax.experiments.llm.asked import Asked, Ways
from fpo_jax.experiments.llm.evaluation import summary
from fpo_jax.experiments.llm.evaluation.choices import Choices
from fpo_jax.experiments.llm.evaluation.kept import Piece, all_of, digest, made, remove
from fpo_jax.experiments.llm.evaluation.policies import BASE, Policy, read_policies
from fpo_jax.experiments.llm.evaluation.repetition import NGRAM, repetition
from fpo_jax.experiments.llm.evaluation.settings import QUESTIONS, EvaluateSettings
from fpo_jax.experiments.llm.evaluation.summary import Measured
from fpo_jax.experiments.llm.evaluation.truthfulqa import Question, read_questions, scores
from fpo_jax.experiments.llm.generation import Samples, Sampling
from fpo_jax.experiments.llm.located import located
from fpo_jax.experiments.llm.model import Lora, Net, fresh_adapter
from fpo_jax.experiments.llm.model_folder import digest as model_digest
from fpo_jax.experiments.llm.oracle import Told
from fpo_jax.experiments.llm.prompts import Prompt, Tokenizer, prompt_file, read_prompts, say_cut
from fpo_jax.experiments.llm.sizes import read_config
from fpo_jax.experiments.llm.step import mesh_over
from fpo_jax.numerics.keys import named_key

CANDIDATES = "candidates"
"""The name of the base model's work on candidates."""
BATCH = 10
"""A batch of answers takes about as long as this many questions; used for the time left."""


def evaluate(
    settings: EvaluateSettings, out: Path | None, parts: Path | None = None
) -> tuple[dict[str, Any], str]:
    """Measure a base model and policies, write the folder if given, and return the report and its tables.

    Args:
        settings: of the evaluation.
        out: folder to write, or None.
        parts: folder that keeps the measurements of each model; by default OUT.parts, until all are there.

    Raises:
        InputError: when something cannot be used; no result is written then.
    """
    if out is not None:
        require_writable(out)
    kept = folder_of(out, parts)
    policies = read_policies(settings.runs)
    _say_other_models(settings.model, policies)
    there = [] if settings.truthfulqa is None else read_questions(Path(settings.truthfulqa))
    questions = [there[i] for i in _chosen(len(there), settings.questions, settings.seed)]
    texts = _unseen(settings, policies, there)
    folder = located(settings.model)
    config = read_config(folder, "model")
    tokenizer = Tokenizer(folder, config, chat=settings.chat)
    with in_precision("float32"), continued(kept), made(kept):
        key = jax.random.key(settings.seed)
        loaded = [adapter.load(policy.adapter, config) for policy in policies]
        base = checkpoint.load(folder, settings.precision, mesh_over(jax.devices()[:1]), True, "model")
        lora = loaded[0][1] if loaded else Lora()
        # the base model with an adapter that changes nothing, so that it shares its programs with the runs
        untouched = base.adapted(fresh_adapter(config, lora, named_key(key, "adapter")), lora)
        prompts = _encoded(texts, tokenizer, settings.prompt_limit)
        asked = Asked.of(prompts, named_key(key, "answers"))
        choices = None
        if questions:
            told = _encoded([question.text for question in questions], tokenizer, settings.prompt_limit)
            choices = Choices.of(questions, told, tokenizer)
        measuring = _Measuring(settings, base, tokenizer.ends, asked, questions, choices)
        alike = measuring.asked_of_all(model_digest(folder, "model"), texts)
        pieces = [
            measuring.of_model(BASE, untouched, alike, None),
            *(
                measuring.of_model(policy.name, base.adapted(*one), alike, one)
                for policy, one in zip(policies, loaded, strict=True)
            ),
            measuring.of_candidates(untouched, alike),
        ]
        *models, candidates = all_of(pieces, kept, settings.command(), settings.precision)
        measured = _measured(policies, models, candidates, texts, tokenizer)
        report = summary.report(measured) | provenance(
            settings.command(), settings.precision, ("transformers", "tokenizers", "safetensors")
        )
        if out is not None:
            from fpo_jax.experiments.llm.evaluation import files  # matplotlib is slow to import

            files.write(out, settings, measured, report)
        if kept is not None and parts is None:
            remove(pieces, kept)
    return report, summary.show(report, summary.LEGEND.format(tokens=settings.tokens, n=NGRAM))


class _Measuring(NamedTuple):
    """What is alike for all models: the base model, what they are asked, and how they answer."""

    settings: EvaluateSettings
    base: Net
    ends: tuple[int, ...]
    asked: Asked
    questions: Sequence[Question]
    choices: Choices | None

    def asked_of_all(self, model: str, texts: Sequence[str]) -> dict[str, Any]:
        """Return what every piece depends on; `model` is a digest of the base model."""
        names = ("precision", "tokens", "prompt_limit", "chat", "seed")
        return {
            **{name: getattr(self.settings, name) for name in names},
            "model": model,
            "prompts": digest([*texts]),
            "arrays": [*Samples._fields, *Told._fields, f"repetition of {NGRAM}-grams"],
        }

    def of_model(self, name: str, net: Net, alike: Mapping[str, Any], own: Any) -> Piece:
        """Return the measurements of a model; `own` is its adapter as it was loaded, None for the base."""
        greedy, free = (Sampling(self.settings.tokens, self.ends, temperature) for temperature in (0.0, 1.0))
        ways = ((greedy, 1), (free, self.settings.drawn))

        def compute(tell: Tell) -> Arrays:
            done = _Counter(tell, len(self.questions) + self._answering)
            found: Arrays = {}
            if self.choices is not None:
                told = self.choices.log_likelihoods(net, done.of("reads TruthfulQA", 1))
                found |= scores(told, self.questions)
            return found | self._answers(net, ways, ("greedy", "drawn"), done)

        weights, lora = own or (None, None)
        more = {
            "drawn": self.settings.drawn,
            "questions": digest(self.questions),
            "adapter": [digest(np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(weights)],
            "lora": str(lora),
        }
        return Piece(name, "base" if own is None else "adapter", {**alike, **more}, compute)

    def of_candidates(self, net: Net, alike: Mapping[str, Any]) -> Piece:
        """Return the measurements of the base model's candidates."""
        ways = ((Sampling.of(self.settings, self.ends), self.settings.candidates),)

        def compute(tell: Tell) -> Arrays:
            return self._answers(net, ways, (CANDIDATES,), _Counter(tell, self._answering))

        names = ("candidates", "temperature", "top_p", "least_tokens")
        more = {name: getattr(self.settings, name) for name in names}
        return Piece(CANDIDATES, CANDIDATES, {**alike, **more}, compute)

    @property
    def _answering(self) -> int:
        return 2 * BATCH * self.asked.batches

    def _answers(self, net: Net, ways: Ways, names: Sequence[str], done: "_Counter") -> Arrays:
        """Return answers of each kind, and how the base model reads them, [prompt, answer, …] each."""
        said = self.asked.answer(net, ways, done.of("answers", BATCH))
        read = self.asked.under(self.base, said, self.ends, done.of("the answers are read", BATCH))
        found: Arrays = {}
        for way, drawn, told in zip(names, said, read, strict=True):
            both = {**drawn._asdict(), **told._asdict(), "repetition": _repetitions(drawn, told, self.ends)}
            found |= {f"{way}_{name}": np.asarray(of) for name, of in both.items()}
        return found


def _measured(
    policies: Sequence[Policy],
    models: Sequence[Arrays],
    candidates: Arrays,
    texts: Sequence[str],
    tokenizer: Tokenizer,
) -> Measured:
    """Return the measures, [model, prompt] each.

    KL(π_θ ‖ π_ref) is the mean of log π_θ − log π_ref over answers from π_θ at temperature 1 with all tokens.
    It is in nats for each answer, and unbiased for answers that are cut at the maximum of tokens.
    """

    def each(name: str) -> np.ndarray:
        return np.stack([one[name] for one in models]).astype(float)

    greedy = each("greedy_tokens")
    log_ratio = each("drawn_log_probability") - each("drawn_log_likelihood")
    values: Arrays = {name: each(name) for name in ("mc1", "mc2") if name in models[0]}
    values |= {
        "identical": np.all(greedy == greedy[0], axis=(2, 3)).astype(float),
        "utility": each("greedy_utility")[:, :, 0],
        "drawn_utility": each("drawn_utility").mean(axis=2),
        "kl": log_ratio.mean(axis=2),
        "length": each("greedy_length")[:, :, 0],
        "repetition": each("greedy_repetition")[:, :, 0],
    }
    of_candidates = {
        name: candidates[f"{CANDIDATES}_{name}"].astype(float) for name in ("utility", "repetition", "length")
    }
    answers = [[tokenizer.response(row) for row in one["greedy_tokens"][:, 0]] for one in models]
    lengths = each("drawn_length").mean(axis=(1, 2))
    return Measured(policies, values, lengths, of_candidates, texts, answers)


def _repetitions(said: Samples, read: Told, ends: tuple[int, ...]) -> np.ndarray:
    """Return the repetition of each answer, without the token that ends it."""

    def one(tokens: np.ndarray, length: int) -> float:
        return repetition([int(token) for token in tokens[:length] if token not in ends])

    pairs = zip(np.asarray(said.tokens), np.asarray(read.length), strict=True)
    return np.array([[one(*each) for each in zip(*pair, strict=True)] for pair in pairs])


class _Counter:
    """Counts the finished work on one model, in units of one question."""

    def __init__(self, tell: Tell, units: int):
        self.tell, self.units, self.behind = tell, units, 0

    def of(self, what: str, each: int) -> Callable[[], None]:
        """Return a function to call after each part of a piece of work."""
        self.tell(what, self.behind / self.units)

        def done() -> None:
            self.behind += each
            self.tell(what, self.behind / self.units)

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
