"""A judge over HTTP that is slow, breaks, talks nonsense or is gone; and what goes on after it."""

import os
import re
import signal
import socket
import time
from collections import Counter

import pytest

pytest.importorskip("openai")
from tests.experiments.judging.llm.conftest import SOON, complaint, counts, judge, longer, said, verdicts


def test_a_rate_limit_is_waited_for(serve, capsys):
    def behave(number, question):
        if number == 0:
            return 429, {"Retry-After": "0.05"}, {"error": {"message": "slow down"}}
        return longer(number, question)

    server = serve(behave)
    status, report, _ = judge(capsys, server.url, "--parallel", "1")
    assert status == 0
    assert counts(report) == (4, 4, 0, 0)
    assert server.asked() == Counter([0, *range(8)])
    waited = server.requests[1]["time"] - server.requests[0]["time"]
    # as long as was said, and not the 0.375 s or more that it would be without
    assert 0.05 <= waited < 0.37


def test_an_endpoint_that_breaks_for_one_pair(serve, capsys, tmp_path):
    broken = [True]

    def behave(number, question):
        if broken and "prompt 3" in question:
            return 500, SOON, {"error": {"message": "out of order"}}
        return longer(number, question)

    server = serve(behave)
    status, report, err = judge(capsys, server.url, "--retries", "2")
    assert status == 0
    assert counts(report) == (3, 4, 0, 1)  # A would have won it: an error is no loss
    assert "1 pairs could not be judged: ask again with --resume" in err
    assert server.asked() == Counter([*range(8), 3, 3])  # asked three times
    assert verdicts(tmp_path / "result")[3]["reason"] == "HTTP 500: out of order"
    broken.clear()
    server.requests.clear()
    _, report, _ = judge(capsys, server.url, "--resume")
    assert counts(report) == (4, 4, 0, 0)
    assert server.asked() == Counter([3])
    assert verdicts(tmp_path / "result")[3]["outcome"] == "win"


def test_an_endpoint_that_dies_is_gone_on_with(serve, capsys, tmp_path):
    dead = [True]

    def behave(number, question):
        if dead and number >= 3:
            return 503, SOON, {"error": {"message": "overloaded"}}
        return longer(number, question)

    server = serve(behave)
    options = ["--parallel", "1", "--retries", "1", "--give-up", "2"]
    status, _, err = judge(capsys, server.url, *options)
    assert status == 2
    line = complaint(err)
    assert (
        f"endpoint = {server.url}: must be judging, but 2 requests in a row failed, the last with: HTTP 503"
        in line
    )
    assert "verdicts are saved: resume with `fpo-jax judge a.jsonl b.jsonl --endpoint" in line
    assert line.endswith("--resume`")
    assert not (tmp_path / "result").exists()
    assert [v["outcome"] for v in verdicts(tmp_path / "result.partial")].count("error") == 2
    dead.clear()
    server.requests.clear()
    status, _, err = judge(capsys, server.url, "--judge-model", "another", "--resume")
    assert status == 2
    assert "judge_model = another: must be m, as in the comparison to resume" in complaint(err)
    _, report, _ = judge(capsys, server.url, "--resume")
    assert counts(report) == (4, 4, 0, 0)
    assert server.asked() == Counter([3, 4, 5, 6, 7])
    assert not (tmp_path / "result.partial").exists()


def test_an_endpoint_that_is_not_there(serve, capsys, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    status, _, err = judge(capsys, url, "--retries", "0", "--give-up", "3")
    assert status == 2
    line = complaint(err)
    assert (
        f"endpoint = {url}: must be judging, but 3 requests in a row failed, the last with: Connection error"
        in line
    )
    assert "kept" not in line
    assert {path.name for path in tmp_path.iterdir()} == {"a.jsonl", "b.jsonl"}  # nothing was judged


def test_an_endpoint_that_does_not_answer_in_time(serve, capsys, tmp_path):
    def behave(number, question):
        if "prompt 6" in question:
            time.sleep(1.0)
        return longer(number, question)

    _, report, _ = judge(capsys, serve(behave).url, "--retries", "0", "--timeout", "0.3")
    assert counts(report)[3] == 1
    assert "timed out" in verdicts(tmp_path / "result")[6]["reason"]


def test_nonsense_is_an_error_with_its_reason(serve, capsys, tmp_path):
    nonsense = {
        0: (200, {}, b"<html>not JSON"),
        1: (200, {"Content-Type": "text/html"}, b"<html>A</html>"),
        2: (200, {}, {"choices": []}),
        3: (200, {}, {"result": "A"}),
        4: (200, {}, {"choices": [{"message": {"content": None}}]}),
        5: said("Both are good."),
        6: (200, {}, [1, 2]),
        7: said("A"),
    }
    server = serve(lambda _, question: nonsense[int(re.search(r"prompt (\d)", question)[1])])
    status, report, _ = judge(capsys, server.url, "--give-up", "9", "--retries", "0")
    assert status == 0
    assert counts(report)[2:] == (0, 7)
    kept = verdicts(tmp_path / "result")
    reasons = {v["pair"]: v.get("reason", "") for v in kept}
    assert all("not a chat completion" in reasons[i] for i in (0, 1, 2, 3, 6)), reasons
    assert all("none of A, B and C" in reasons[i] for i in (4, 5))
    assert kept[5]["replies"] == ["Both are good."]


def test_interrupted_and_resumed(serve, capsys, tmp_path):
    interrupt = [True]

    def behave(number, question):
        if interrupt and number == 3:
            interrupt.clear()
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1.0)
        return longer(number, question)

    server = serve(behave)
    status, _, err = judge(capsys, server.url, "--parallel", "1")
    assert status == 130
    assert "verdicts are saved; resume with `fpo-jax judge a.jsonl b.jsonl" in err
    assert [v["pair"] for v in verdicts(tmp_path / "result.partial")] == [0, 1, 2]
    server.requests.clear()
    status, report, _ = judge(capsys, server.url, "--resume")
    assert status == 0
    assert counts(report) == (4, 4, 0, 0)
    assert server.asked() == Counter([3, 4, 5, 6, 7])
