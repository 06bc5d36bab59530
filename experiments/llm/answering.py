"""Answers of a checkpoint, with or without an adapter, for comparison by a judge."""

import json
import os
import sys
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.json_files import json_lines
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.core.unfinished import put
from fpo_jax.experiments.llm import adapter, checkpoint
from fpo_jax.experiments.llm.asked import Asked
from fpo_jax.experiments.llm.generation import Sampling
from fpo_jax.experiments.llm.located import located
from fpo_jax.experiments.llm.prompts import Tokenizer, prompt_file, read_prompts, say_cut
from fpo_jax.experiments.llm.settings import AnswerSettings
from fpo_jax.experiments.llm.sizes import read_config
from fpo_jax.experiments.llm.step import mesh_over


def answer(settings: AnswerSettings, out: Path) -> int:
    """Answer every prompt once, and write {"prompt", "response"} one a line, in the order of the prompts.

    Raises:
        InputError: when something cannot be used; then nothing is written.
    """
    if out.is_dir() or not out.parent.is_dir():
        raise InputError("out", out, "a file in an existing folder")
    if os.path.lexists(out) and not _are_answers(out):
        raise InputError("out", out, "an unused name, or the name of earlier answers to replace")
    folder = located(settings.model)
    config = read_config(folder, "model")
    texts = read_prompts(prompt_file(settings.prompts))
    tokenizer = Tokenizer(folder, config, chat=settings.chat)
    prompts = [tokenizer.encode(text, settings.prompt_limit) for text in texts]
    with in_precision("float32"):
        loaded = None if settings.adapter is None else adapter.load(Path(settings.adapter), config)
        net = checkpoint.load(folder, settings.precision, mesh_over(jax.devices()[:1]), True, "model")
        if loaded is not None:
            net = net.adapted(*loaded)
        say_cut(prompts, settings.prompt_limit)
        how = Sampling.of(settings, tokenizer.ends)
        asked = Asked.of(prompts, jax.random.key(settings.seed))
        with tqdm(total=len(prompts), unit="prompt", file=sys.stderr) as bar:
            (said,) = asked.answer(net, ((how, 1),), lambda: bar.update(min(asked.width, bar.total - bar.n)))
    lines = [
        json.dumps({"prompt": prompt.text, "response": tokenizer.response(tokens)}, ensure_ascii=False)
        for prompt, tokens in zip(prompts, np.asarray(said.tokens)[:, 0], strict=True)
    ]
    try:
        put(out, lambda aside: aside.write_text("\n".join(lines) + "\n", encoding="utf-8"))
    except OSError as error:
        raise InputError("out", out, f"a file that can be written ({error.strerror})") from error
    return len(lines)


def _are_answers(path: Path) -> bool:
    """Say whether this is a plain file with nothing but answers from `answer`."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        found = [{*line.fields} == {"prompt", "response"} for line in json_lines(path, "out")]
    except InputError:
        return False
    return bool(found) and all(found)
