"""The byte-pair tokenizer in the header of a GGUF file, as in Llama 3 and SmolLM2."""

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Vocabulary
from transformers import PreTrainedTokenizerFast

from fpo_jax.errors import InputError
from fpo_jax.experiments.llm.gguf_file import Gguf, whole

WORDS_OF_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CONTROL, ADDED = 3, 4
"""Kinds of tokens that do not come from pairs: marks, and added words."""


def _splits() -> dict[str, Any]:
    """Return the pre-tokenizer with this name in GGUF files."""
    whole_words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    bytes_alone = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    llama = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(WORDS_OF_LLAMA_3), "isolated"), bytes_alone])
    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), whole_words])
    return {"gpt-2": whole_words, "smollm": digits, "llama-bpe": llama}


def write_tokenizer(file: Gguf, folder: Path, what: str) -> None:
    """Write tokenizer.json, tokenizer_config.json and, where the file has one, the chat template.

    Raises:
        InputError: when the file has no tokenizer, or one of another kind.
    """
    told = {
        name.removeprefix("tokenizer.ggml."): value
        for name, value in file.fields.items()
        if name.startswith("tokenizer.ggml.")
    }
    splits = _splits()
    for name, known in {"model": ["gpt2"], "pre": [*splits]}.items():
        if told.get(name) not in known:
            field = f"{what}: tokenizer.ggml.{name} of {file.path.name}"
            raise InputError(field, told.get(name), f"one of {', '.join(known)}")
    with whole(file.path, what):
        inner = _vocabulary(told)
        inner.pre_tokenizer = splits[told["pre"]]
        marks = {
            f"{name}_token": told["tokens"][told[f"{name}_token_id"]]
            for name in ("bos", "eos")
            if told.get(f"{name}_token_id") is not None
        }
        if told.get("add_bos_token", told["pre"] == "llama-bpe"):
            begin = marks["bos_token"]
            inner.post_processor = processors.TemplateProcessing(
                single=f"{begin} $A", special_tokens=[(begin, told["bos_token_id"])]
            )
        fast = PreTrainedTokenizerFast(tokenizer_object=inner, **marks)
        fast.chat_template = file.fields.get("tokenizer.chat_template")
        fast.save_pretrained(folder)


def _vocabulary(told: dict[str, Any]) -> Vocabulary:
    """Return the tokens, the pairs that form them, and the special marks."""
    numbered = {token: number for number, token in enumerate(told["tokens"])}
    pairs = [tuple(pair.split(" ")) for pair in told["merges"]]
    inner = Vocabulary(models.BPE(numbered, pairs, ignore_merges=told["pre"] == "llama-bpe"))
    inner.decoder = decoders.ByteLevel()
    kinds = list(zip(told["tokens"], told.get("token_type", ()), strict=False))
    for kind, special in ((CONTROL, True), (ADDED, False)):
        inner.add_tokens(
            [AddedToken(token, normalized=False, special=special) for token, of in kinds if of == kind]
        )
    if inner.get_vocab_size() != len(told["tokens"]):
        raise ValueError("its tokens are not all different")
    return inner
