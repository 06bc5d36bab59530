"""A reward model as a scorer, which is read by the extra."""

import importlib.util
import sys

from tests.helpers import SCORED, call


def test_a_reward_model_in_a_folder_is_read_by_the_extra(folder, capsys, monkeypatch):
    """What it reads is in tests/experiments/llm/test_reward_model.py."""
    (folder / "model").mkdir()
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "gguf" else found(name, *a)
    )
    status, out, err = call(capsys, *SCORED, "model", "--out", "result")
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("fpo-jax: error: scorer = model: ")
    assert "a folder needs the extra llm: in a clone, pip install '.[llm]' (" in line
    assert "gguf" in line
    assert importlib.util.find_spec("fpo_jax.experiments.llm.reward_model") is not None  # for which it is
    assert not (folder / "result.partial").exists()


def test_a_file_that_lies_here_stands_in_for_no_module(folder, capsys):
    """The working directory is searched last, so that what was unpacked in it is not imported unasked."""
    (folder / "timeit.py").write_text("def timeit(p, r): return len(r)\n", encoding="utf-8")
    sys.modules.pop("timeit", None)
    status, _, _ = call(capsys, *SCORED, "scorers:length")
    assert status == 0
    assert importlib.util.find_spec("timeit").origin != str(folder / "timeit.py")
