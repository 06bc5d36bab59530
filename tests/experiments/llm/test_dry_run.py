"""What a dry run says of full-size Llama-3.2-1B, against counts by hand from its published sizes."""

import json
import re

import pytest

from fpo_jax.experiments.cli.main import main
from tests.helpers import ROOT

D, V, LAYERS, KV, HIDDEN = 2048, 128_256, 16, 8 * 64, 8192
LAYER = 2 * D * D + 2 * D * KV + 3 * D * HIDDEN  # multiplied by every token, without the norms
ADAPTER = LAYERS * 16 * 2 * ((D + D) + (D + KV))  # rank 16 on q_proj and o_proj, k_proj and v_proj
P, T, N = 128, 32, 8
PLACES = P + T  # keys of prompt and response, of which those still to come are masked


@pytest.fixture(scope="module")
def said(request):
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        import contextlib
        import io

        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            words = ["llm", "--dry-run", "--model", "llama-3.2-1b", "--devices", "1", "--json"]
            assert main(words) == 0
    return json.loads(out.getvalue()), err.getvalue()


def test_parameters(said):
    report, text = said
    assert report["parameters"] == V * D + LAYERS * (LAYER + 2 * D) + D == 1_235_814_400
    assert report["adapter_parameters"] == ADAPTER == 3_407_872
    assert "base 1,235,814,400, adapter 3,407,872" in text
    assert report["head_parameters"] == D + 1


def test_operations(said):
    """2 · parameters · tokens, and 4 · keys · width for each token's attention in each layer.

    What XLA counts besides, sums and exponentials, is below 1 %.
    """
    counted = {part["part"]: part["operations"] for part in said[0]["operations"]}

    def forward(tokens, logits, adapter=0, places=PLACES):
        attention = 4 * places * D * LAYERS * tokens
        return 2 * (LAYERS * LAYER + adapter) * tokens + 2 * V * D * logits + attention

    wanted = {
        "prompts, read by both models": forward(P, 0, ADAPTER) + forward(P, 0),
        "candidates": forward(N * (T - 1), N * (T - 1), ADAPTER),
        "reference response": forward(T - 1, T - 1),
        "prompt and candidates under the reference": forward(N * T, N * T) + 2 * V * D * P,
        # behind the one token that begins every text
        "candidates and reference response, alone": forward((N + 1) * (T + 1), 0, places=T + 1),
    }
    for part, operations in wanted.items():
        assert counted[part] == pytest.approx(operations, rel=0.01), part
    # Backwards once more through every product with frozen weights, twice through attention's.
    update = 2 * forward(P + T, P + T, ADAPTER) + 4 * PLACES * D * LAYERS * (P + T)
    assert counted["winner, forwards and backwards"] == pytest.approx(update, rel=0.05)
    assert said[0]["operations_per_step"] == pytest.approx(sum(counted.values()))


def test_memory(said):
    """Weights in 2 bytes; adapter, its two moments and its gathered gradients in 4 each; keys and values."""
    held = said[0]["bytes_per_device"]
    assert held["frozen weights"] == 2 * 1_235_814_400
    assert held["adapter and its optimiser"] == pytest.approx(4 * 4 * ADAPTER, rel=1e-5)
    assert held["copies of weights while generating"] == 2 * LAYERS * (LAYER + 2 * D)  # the head is tied
    keys = 2 * LAYERS * PLACES * KV * 2  # of one response
    assert held["keys and values while generating"] == pytest.approx(4 * (N + 2) * keys, rel=1e-3)
    assert held["logits while generating, float32"] == 4 * 4 * N * V  # to four prompts at once
    assert held["logits under the reference, float32"] == 4 * 4 * N * T * V


def test_penalties_cost_next_to_nothing(said):
    """Inner products of features: some n · d operations beside 4e12."""
    shares = said[0]["overhead_of_modes"]
    assert shares["rlhf"] == 0
    assert all(0 < shares[mode] < 1e-6 for mode in ("practical", "relaxed", "proximal"))


def test_other_models_that_reward_are_counted(checkpoint, reward_model, tmp_path, capsys):
    """Their weights, in 2 bytes, without lm_head; their reading: above 2 · weights of layers · tokens."""
    words = ["llm", "--dry-run", "--json", "--model", str(checkpoint), "--devices", "1"]
    words += ["--prompt-limit", "16", "--candidates", "2", "--tokens", "4", "--least-tokens", "0"]
    words += ["--reward-reads", "both"]
    reports = []
    for more in (["--oracle", "copy"], ["--reward-model", str(reward_model), "--oracle", str(checkpoint)]):
        assert main([*words, *more]) == 0
        reports.append(json.loads(capsys.readouterr().out))
    alone, besides = reports
    # Width 32; in a layer 4 queries, 2 keys and 2 values of 16, 3 products of 160, 2 norms.
    layer = 32 * 16 * (4 + 2 + 2 + 4) + 3 * 32 * 160
    weights = 512 * 32 + 2 * (layer + 2 * 32) + 32
    held = besides["bytes_per_device"]
    assert held["frozen weights, reward model"] == 2 * weights
    assert (
        held["frozen weights, oracle"]
        == held["frozen weights"]
        == alone["bytes_per_device"]["frozen weights"]
    )
    assert besides["head_parameters"] == 32
    counted = [
        {p["part"]: p["operations"] for p in one["operations"] if p["phase"] == "features"} for one in reports
    ]
    for part, operations in counted[0].items():
        assert counted[1][f"{part}, oracle"] == operations  # it has the model's sizes
    assert counted[1]["prompt, reward model"] > 2 * 2 * layer * 16
    assert counted[1]["prompt, reward model"] < counted[1]["prompt, oracle"]
    assert set(counted[1]) == {f"{part}, {who}" for part in counted[0] for who in ("reward model", "oracle")}
    assert besides["operations_per_step"] == sum(part["operations"] for part in besides["operations"])
    assert main([*words, "--oracle", "llama-3.2-1b"]) == 2
    assert "oracle = llama-3.2-1b: must be one with the model's 512 tokens" in capsys.readouterr().err
    assert main([*words, "--oracle", str(tmp_path / "none")]) == 2
    assert "oracle = " in capsys.readouterr().err


def test_the_documentation_shows_what_is_printed(said):
    page = (ROOT / "docs" / "reference" / "llm.md").read_text(encoding="utf-8")
    assert re.search(r"```text\n(llama-3.2-1b, by shapes.*?)```", page, re.S).group(1) == said[1]


def test_it_says_what_to_download(said):
    assert "meta-llama/Llama-3.2-1B-Instruct" in said[1]
    assert "fpo-jax llm --model ./llama-3.2-1b" in said[1]
