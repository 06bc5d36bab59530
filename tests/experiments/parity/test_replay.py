"""Replays of recordings: every setting is taken from the file, and what cannot be replayed is refused."""

import json

import numpy as np
import pytest

from fpo_jax.experiments.bench.numpy_oracle import LinearOracle, NeuralOracle, random_network
from tests.helpers import call


def save(path, settings, arrays, changes):
    """Write a recording with some settings or arrays changed, or left out where the change is None."""
    changed_settings = {k: v for k, v in changes.items() if k not in (*arrays, "hyperparameters")}
    settings = {k: v for k, v in (settings | changed_settings).items() if v is not None}
    arrays = {"hyperparameters": json.dumps(settings), **arrays}
    arrays |= {k: v for k, v in changes.items() if k in arrays}
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def linear_recording(path, objective="relaxed", weight=0.25, **changes):
    """A recording made by the oracle, with settings unlike the published ones."""
    dimension, signal, steps = 9, 2, 40
    settings = {
        "environment": "linear",
        "arm": {"myopic": "rlhf"}.get(objective, objective),
        "seed": 3,
        "dimension": dimension,
        "signal_dimension": signal,
        "steps": steps,
        "rm_lr": 0.01,
        "rm_weight_decay": 1e-3,
        "policy_lr": 0.03,
        "action_cost": 0.15,
        "weight": 0.0 if objective == "myopic" else weight,
        "utility_scale": 8.0,
        "utility_rate": 0.2,
        "ideal_signal": 1.5,
        "true_weight_signal": 1.2,
        "gradient": "forward difference",
        "difference_step": 0.02,
        "utility_detached": False,
        "error_detached": False,
        "precision": "f64",
    }
    oracle = LinearOracle(
        objective,
        weight,
        "forward difference",
        difference_step=0.02,
        utility_scale=8.0,
        utility_rate=0.2,
        ideal_signal=1.5,
        signal_dimension=signal,
        action_cost=0.15,
        policy_lr=0.03,
        rm_lr=0.01,
        weight_decay=1e-3,
    )
    weights = 1.2 * (np.arange(dimension) < signal) + 0.1 * np.random.default_rng(3).normal(size=dimension)
    outcome = oracle.run(weights, steps)
    arrays = {
        "init_weights": weights,
        "expected_utility": outcome["true_utility"],
        "expected_signal": outcome["signal_norm"],
        "expected_noise": outcome["noise_norm"],
    }
    return save(path, settings, arrays, changes)


@pytest.mark.parametrize("objective", ["myopic", "relaxed", "practical"])
def test_parity_reads_every_setting_from_the_file(objective, capsys, tmp_path):
    path = linear_recording(tmp_path / "made.npz", objective)
    status, out, _ = call(capsys, "parity", path, "--tolerance", "1e-11")
    assert status == 0
    assert out.count("\n") == 1
    assert "made.npz  ok" in out


def test_parity_fails_beyond_the_tolerance(capsys, tmp_path):
    good = linear_recording(tmp_path / "good.npz")
    bad = linear_recording(tmp_path / "bad.npz", policy_lr=0.031)
    status, out, _ = call(capsys, "parity", good, bad)
    assert status == 1
    assert out.splitlines()[0].startswith("good.npz  ok")
    assert out.splitlines()[1].startswith("bad.npz  FAILED")
    assert "first 0.01 off at entry" in out.splitlines()[1]


BAD_RECORDINGS = {
    "missing setting": ({"rm_lr": None}, "rm_lr = missing"),
    "unknown setting": ({"momentum": 0.9}, "momentum = 0.9: must be a setting that this replay knows"),
    "setting of another type": ({"steps": "many"}, "steps = many: must be of type int"),
    "unknown arm": ({"arm": "hybrid"}, "arm = hybrid: must be one of rlhf, relaxed, practical"),
    "unknown environment": ({"environment": "linaer"}, "nearest: linear"),
    "negative rate": ({"rm_lr": -1.0}, "bad.npz: rm_lr = -1.0"),
    "missing array": ({"expected_noise": None}, "expected_noise = missing"),
    "misshapen array": ({"expected_noise": np.zeros(3)}, "of shape [41]"),
    "misshapen weights": ({"init_weights": np.zeros((3, 3))}, "of shape [9]"),
    "not numbers": ({"init_weights": np.full(9, "a")}, "made of real numbers"),
    "complex": ({"init_weights": np.zeros(9, complex)}, "made of real numbers"),
    "not finite": ({"expected_signal": np.full(41, np.nan)}, "must be finite"),
    "detached difference": ({"utility_detached": True}, "bad.npz: utility = detached"),
    "hyperparameters not JSON": ({"hyperparameters": "{"}, "a JSON object"),
    "no hyperparameters": ({"hyperparameters": None}, "hyperparameters = missing"),
}


@pytest.mark.parametrize("case", BAD_RECORDINGS)
def test_bad_recordings(case, capsys, tmp_path):
    changes, complaint = BAD_RECORDINGS[case]
    status, out, err = call(capsys, "parity", linear_recording(tmp_path / "bad.npz", **changes))
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    assert complaint in err


def test_truncated_recording(capsys, tmp_path):
    path = linear_recording(tmp_path / "cut.npz")
    path.write_bytes(path.read_bytes()[:500])
    status, _, err = call(capsys, "parity", path)
    assert status == 2
    assert err.count("\n") == 1


def neural_recording(path, objective="relaxed", **changes):
    """A recording made by the oracle, with settings unlike the published ones; 23 steps, so 3 actions."""
    steps, inner, draws, widths = 23, 2, 3, (4, 5, 3, 1)
    rng = np.random.default_rng(8)
    weights, biases = random_network(rng, widths, 0.5)
    noise = rng.normal(size=(steps, inner, widths[0])), rng.normal(size=(steps, draws, widths[0]))
    weight = 0.0 if objective == "myopic" else 0.02
    settings = {
        "environment": "neural",
        "arm": {"myopic": "rlhf"}.get(objective, objective),
        "seed": 3,
        "dimension": widths[0],
        "signal_dimension": 2,
        "outer_steps": steps,
        "inner_steps": inner,
        "action_cost": 0.05,
        "sigma_initial": 0.3,
        "sigma_final": 0.05,
        "policy_lr_initial": 0.1,
        "policy_lr_final": 0.02,
        "decay_power": 3.0,
        "gradient_clip": 0.7,
        "rm_optimizer": "adam with L2 weight decay added to the gradient",
        "rm_lr": 0.01,
        "rm_weight_decay": 0.002,
        "rm_hidden": list(widths[1:-1]),
        "rm_activation": "softplus",
        "buffer_size": 7,
        "responses_per_step": draws,
        "weight": weight,
        "utility_scale": 5.0,
        "utility_rate": 0.3,
        "ideal": [1.5, 1.5, 0.0, 0.0],
        "utility_detached": True,
        "error_detached": False,
        "precision": "f64",
    }
    oracle = NeuralOracle(
        objective,
        weight=weight,
        steps=steps,
        sigma=(0.3, 0.05),
        policy_lr=(0.1, 0.02),
        power=3.0,
        clip=0.7,
        action_cost=0.05,
        utility_scale=5.0,
        utility_rate=0.3,
        ideal=(1.5, 1.5, 0.0, 0.0),
        rm_lr=0.01,
        weight_decay=0.002,
        buffer_size=7,
    )
    outcome = oracle.run(weights, biases, *noise)
    arrays = {
        "policy_noise": noise[0],
        "data_noise": noise[1],
        **{f"init_layer{i}_weight": w for i, w in enumerate(weights)},
        **{f"init_layer{i}_bias": b for i, b in enumerate(biases)},
        "expected_utility": outcome["true_utility"],
        "expected_proxy": outcome["proxy_reward"],
        "expected_noise": outcome["noise_norm"],
        "expected_theta": outcome["theta"][::10],
    }
    return save(path, settings, arrays, changes)


@pytest.mark.parametrize("objective", ["myopic", "relaxed", "practical"])
def test_neural_recordings_are_replayed(objective, capsys, tmp_path):
    path = neural_recording(tmp_path / "made.npz", objective)
    status, out, _ = call(capsys, "parity", path, "--tolerance", "1e-10")
    assert status == 0, out
    assert "made.npz  ok" in out


BAD_NEURAL = {
    "other architecture": (
        {"rm_hidden": [5, 4]},
        "init_layer1_weight = array of shape [3, 5]: must be of",
    ),
    "missing layer": ({"init_layer2_bias": None}, "init_layer2_bias = missing"),
    "no widths": ({"rm_hidden": ["x"]}, "bad.npz: rm_hidden = x"),
    "buffer smaller than a batch": (
        {"buffer_size": 2},
        "bad.npz: buffer_size = 2: must be an integer >=",
    ),
    "another optimiser": ({"rm_optimizer": "sgd"}, "rm_optimizer = sgd: must be one of adam with L2"),
    "another peak": (
        {"ideal": [1.5, 1.0, 0.0, 0.0]},
        "ideal = [1.5, 1.0, 0.0, 0.0]: must be 2 equal",
    ),
    "noise of another length": ({"policy_noise": np.zeros((3, 2, 4))}, "of shape [23, 2, 4]"),
    "negative noise": ({"sigma_final": -0.1}, "bad.npz: sigma_final = -0.1"),
}


@pytest.mark.parametrize("case", BAD_NEURAL)
def test_bad_neural_recordings(case, capsys, tmp_path):
    changes, complaint = BAD_NEURAL[case]
    status, out, err = call(capsys, "parity", neural_recording(tmp_path / "bad.npz", **changes))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert complaint in err
