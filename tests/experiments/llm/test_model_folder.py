"""The folder of a model that somebody else made: what is loaded lies in it, is checked, and is digested."""

import json
import os
import shutil
import time

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fpo_jax.errors import InputError
from fpo_jax.experiments.llm import adapter, model_folder
from fpo_jax.experiments.llm import checkpoint as checkpoints
from fpo_jax.experiments.llm.model_folder import INDEX, WEIGHTS, digest, inside, shards
from fpo_jax.experiments.llm.prompts import Tokenizer
from fpo_jax.experiments.llm.sizes import read_config
from tests.experiments.llm.conftest import refused


@pytest.fixture
def copy(checkpoint, tmp_path):
    return shutil.copytree(checkpoint, tmp_path / "copy")


def change(path, **fields):
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(stored | fields), encoding="utf-8")


def test_code_of_a_folder_is_neither_run_nor_asked_for(copy, prompts, capsys, monkeypatch, tmp_path):
    ran = tmp_path / "ran"
    (copy / "mine.py").write_text(
        f"import pathlib\npathlib.Path({str(ran)!r}).touch()\nclass Mine: pass\n", encoding="utf-8"
    )
    change(
        copy / "tokenizer_config.json",
        tokenizer_class="Mine",
        auto_map={"AutoTokenizer": ["mine.Mine", None]},
    )
    change(copy / "config.json", auto_map={"AutoConfig": "mine.Mine"}, model_type="llama")
    asked = []
    monkeypatch.setattr("builtins.input", lambda *_: asked.append(1) or "y")
    refused(capsys, ["llm", "--model", copy, "--prompts", prompts, "--out", tmp_path / "out"])
    assert not asked
    assert not ran.exists()


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "sub/one.safetensors", "..", ""])
def test_weights_that_an_index_names_elsewhere_are_refused(name, copy, tmp_path):
    (copy / "sub").mkdir()
    for place in (tmp_path / "outside.safetensors", copy / "sub" / "one.safetensors"):
        shutil.copy(copy / WEIGHTS, place)
    change(copy / INDEX, weight_map={"model.norm.weight": name})
    with pytest.raises(InputError, match=r"model = .*: must be a folder that contains its files, not"):
        shards(copy, "model")
    with pytest.raises(InputError, match="a folder that contains its files"):
        digest(copy, "model")


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "tokenizer.json"])
def test_a_link_that_leads_out_of_the_folder_is_refused(name, copy, tmp_path, prompts, capsys):
    (copy / name).rename(tmp_path / "elsewhere")
    (copy / name).symlink_to(tmp_path / "elsewhere")
    said = refused(capsys, ["llm", "--model", copy, "--prompts", prompts, "--out", tmp_path / "out"])
    assert f"{name} is a link that leads out of it" in said


def test_links_within_a_folder_and_to_the_blobs_of_a_cache_are_followed(copy, tmp_path):
    (copy / WEIGHTS).rename(copy / "odd name")
    (copy / WEIGHTS).symlink_to("odd name")
    assert shards(copy, "model") == [(copy / "odd name").resolve()]
    snapshot, blobs = tmp_path / "hub" / "snapshots" / "abc", tmp_path / "hub" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    shutil.copy(copy / "odd name", blobs / "123")
    (snapshot / WEIGHTS).symlink_to("../../blobs/123")
    assert shards(snapshot, "model") == [(blobs / "123").resolve()]
    (snapshot / "config.json").symlink_to("config.json")
    with pytest.raises(InputError, match="model = "):
        inside(snapshot, "config.json", "model")


def net(folder):
    import jax

    from fpo_jax.experiments.llm.step import mesh_over

    return checkpoints.load(folder, "float32", mesh_over(jax.devices()[:1]), True, "model")


def test_what_the_index_names_is_loaded_and_digested_and_nothing_else(copy):
    import jax

    whole, before = net(copy), digest(copy, "model")
    stored = load_file(copy / WEIGHTS)
    save_file({name: np.zeros_like(values) for name, values in stored.items()}, copy / "z.safetensors")
    (copy / "notes.json").write_text("[]", encoding="utf-8")
    assert digest(copy, "model") == before
    again = net(copy)
    for one, other in zip(jax.tree.leaves(whole.frozen), jax.tree.leaves(again.frozen), strict=True):
        np.testing.assert_array_equal(one, other)
    (copy / WEIGHTS).rename(copy / "weights.bin")  # as odd a name as an index may give
    change(copy / INDEX, weight_map=dict.fromkeys(stored, "weights.bin"))
    named = digest(copy, "model")
    for one, other in zip(jax.tree.leaves(whole.frozen), jax.tree.leaves(net(copy).frozen), strict=True):
        np.testing.assert_array_equal(one, other)
    save_file({name: values + 1 for name, values in stored.items()}, copy / "weights.bin")
    assert digest(copy, "model") != named


def test_a_tensor_that_stands_in_two_files_is_refused(copy):
    shutil.copy(copy / WEIGHTS, copy / "b.safetensors")
    change(copy / INDEX, weight_map={"a": WEIGHTS, "b": "b.safetensors"})
    with pytest.raises(InputError, match="is in two of its files"):
        net(copy)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_hidden_layers", 10**9),
        ("vocab_size", 10**12),
        ("hidden_size", 2**40),
        ("rope_theta", 10**400),
        ("rms_norm_eps", 10**400),
        ("head_dim", 10**12),
        ("bos_token_id", [1]),
        ("eos_token_id", "x"),
        ("eos_token_id", [{}]),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_sizes_without_measure_end_in_one_line(field, value, dry, copy, prompts, capsys, tmp_path):
    if dry and "token_id" in field:
        return  # a dry run reads no tokenizer
    stored = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    stored.pop("rope_parameters" if field == "rope_theta" else "", None)
    (copy / "config.json").write_text(json.dumps(stored | {field: value}), encoding="utf-8")
    (copy / "generation_config.json").unlink(missing_ok=True)
    command = [
        "llm",
        "--model",
        copy,
        "--prompts",
        prompts,
        *(["--dry-run"] if dry else ["--out", tmp_path / "o"]),
    ]
    began = time.monotonic()
    assert field in refused(capsys, command)
    assert time.monotonic() - began < 5


def test_weights_that_do_not_fit_are_not_loaded(copy, monkeypatch):
    monkeypatch.setattr(checkpoints, "usable_bytes", lambda devices: 1000.0)
    with pytest.raises(
        InputError, match=r"smaller: its weights take .* GB in memory, and 1e-06 GB can be used"
    ):
        net(copy)


TEMPLATES = {
    "no end": (
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "ends within",
    ),
    "much": ("{% for i in range(99999) %}{{ 'many words ' * 10 }}{% endfor %}", "characters of"),
    "a long range": ("{% for i in range(10 ** 9) %}{% endfor %}", "Range too big"),
    "the sandbox": ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__'"),
    "no template": ("{% if %}", "chat template"),
    "a complaint": ("{{ raise_exception('no') }}", "chat template can be read (no)"),
}


@pytest.mark.parametrize("case", TEMPLATES)
def test_chat_templates_are_bounded(case, copy, monkeypatch):
    template, said = TEMPLATES[case]
    (copy / "chat_template.jinja").write_text(template, encoding="utf-8")
    change(copy / "tokenizer_config.json", chat_template=template)
    monkeypatch.setattr("fpo_jax.experiments.llm.prompts.MOST_SECONDS", 1.0)
    tokenizer = Tokenizer(copy, read_config(copy, "model"))
    with pytest.raises(InputError) as error:
        tokenizer.render("hello")
    assert said in str(error.value)


def test_a_tokenizer_that_is_damaged_or_huge_ends_in_one_line(copy, monkeypatch):
    whole = (copy / "tokenizer.json").read_bytes()
    for damaged in (
        whole[:-9],
        b"{}",
        b"[" * 100_000,
        b'{"model": {"type": "BPE", "vocab": {"a": 99999999999}}}',
    ):
        (copy / "tokenizer.json").write_bytes(damaged)
        with pytest.raises(InputError, match="one whose tokenizer can be read"):
            Tokenizer(copy, read_config(copy, "model"))
    (copy / "tokenizer.json").write_bytes(whole)
    monkeypatch.setattr(model_folder, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match=r"one whose tokenizer.json has at most"):
        Tokenizer(copy, read_config(copy, "model"))


@pytest.mark.parametrize(("field", "value"), [("r", 10**9), ("lora_alpha", 10**400), ("r", True)])
def test_an_adapter_without_measure(field, value, copy, tmp_path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    base = {"peft_type": "LORA", "target_modules": ["q_proj"], "r": 2, "lora_alpha": 4}
    (folder / adapter.CONFIG).write_text(json.dumps(base | {field: value}), encoding="utf-8")
    with pytest.raises(InputError, match=f"adapter: {field} in {adapter.CONFIG}"):
        adapter.load(folder, read_config(copy, "model"))


def test_weights_of_an_adapter_lie_in_its_folder(copy, tmp_path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    base = {"peft_type": "LORA", "target_modules": ["q_proj"], "r": 2, "lora_alpha": 4}
    (folder / adapter.CONFIG).write_text(json.dumps(base), encoding="utf-8")
    os.symlink(copy / WEIGHTS, folder / adapter.WEIGHTS)
    with pytest.raises(InputError, match="a link that leads out of it"):
        adapter.load(folder, read_config(copy, "model"))
