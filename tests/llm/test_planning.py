"""What a dry run says of full-size Llama-3.2-1B, against counts by hand from its published sizes."""

import json
import re

import pytest

from experiments.__main__ import main
from tests.llm.conftest import ROOT

D, V, LAYERS, KV, HIDDEN = 2048, 128_256, 16, 8 * 64, 8192
LAYER = 2 * D * D + 2 * D * KV + 3 * D * HIDDEN  # multiplied by every token, without the norms
ADAPTER = LAYERS * 16 * ((D + D) + (D + KV))  # rank 16 on q_proj and v_proj
P, T, N = 512, 32, 8
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
    assert report["adapter_parameters"] == ADAPTER == 1_703_936
    assert "base 1,235,814,400, adapter 1,703,936" in text


def test_operations(said):
    """2 · parameters · tokens, and 4 · keys · width for each token's attention in each layer.

    What XLA counts besides, sums and exponentials, is below 1 %.
    """
    counted = {part["part"]: part["operations"] for part in said[0]["operations"]}

    def forward(tokens, logits, adapter=0):
        attention = 4 * PLACES * D * LAYERS * tokens
        return 2 * (LAYERS * LAYER + adapter) * tokens + 2 * V * D * logits + attention

    wanted = {
        "prompts, read by both models": forward(P, 0, ADAPTER) + forward(P, 0),
        "candidates": forward(N * (T - 1), N * (T - 1), ADAPTER),
        "reference response": forward(T - 1, T - 1),
        "a candidate under the reference": forward(T, T),
        "prompt": forward(P, 0),
        "candidates and reference response": forward((N + 1) * T, 0),
    }
    for part, operations in wanted.items():
        assert counted[part] == pytest.approx(operations, rel=0.01), part
    # Backwards once more through every product with frozen weights, twice through attention's.
    update = 2 * forward(P + T, T, ADAPTER) + 4 * PLACES * D * LAYERS * (P + T)
    assert counted["winner, forwards and backwards"] == pytest.approx(update, rel=0.05)
    assert said[0]["operations_per_step"] == pytest.approx(sum(counted.values()))


def test_memory(said):
    """Weights in 2 bytes; adapter, its two moments and its gathered gradients in 4 each; keys and values."""
    held = said[0]["bytes_per_device"]
    assert held["frozen weights"] == 2 * 1_235_814_400
    assert held["adapter and its optimiser"] == pytest.approx(4 * 4 * ADAPTER, rel=1e-5)
    keys = 2 * LAYERS * PLACES * KV * 2  # of one response
    assert held["keys and values while generating"] == pytest.approx((N + 2) * keys, rel=1e-3)
    assert held["logits while generating, float32"] == 4 * N * V


def test_penalties_cost_next_to_nothing(said):
    """Inner products of features: some n · d operations beside 7e12."""
    shares = said[0]["overhead_of_modes"]
    assert shares["rlhf"] == 0
    assert all(0 < shares[mode] < 1e-6 for mode in ("practical", "relaxed", "proximal"))


def test_the_documentation_shows_what_is_printed(said):
    page = (ROOT / "docs" / "llm.md").read_text()
    assert re.search(r"```text\n(llama-3.2-1b, by shapes.*?)```", page, re.S).group(1) == said[1]


def test_it_says_what_to_download(said):
    assert "meta-llama/Llama-3.2-1B-Instruct" in said[1]
    assert "fpo-jax llm --model ./llama-3.2-1b" in said[1]
