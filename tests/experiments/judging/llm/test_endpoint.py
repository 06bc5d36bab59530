"""A judge over HTTP: what is asked, in which order, how often, and with which key."""

import re
import time
from collections import Counter

import pytest

pytest.importorskip("openai")
from fpo_jax.experiments.judging.access import ApiKey
from fpo_jax.experiments.judging.endpoint import Endpoint
from tests.experiments.judging.llm.conftest import (
    KEY,
    LENGTHS,
    SOON,
    complaint,
    counts,
    judge,
    longer,
    said,
    verdicts,
)


def test_what_is_asked_and_what_comes_of_it(serve, capsys, tmp_path):
    server = serve(longer)
    status, report, _ = judge(capsys, server.url)
    assert status == 0
    assert counts(report) == (4, 4, 0, 0)
    assert report["judge"] == "m"
    assert "openai" in report["versions"]
    kept = verdicts(tmp_path / "result")
    assert [v["outcome"] for v in kept] == ["win" if a > b else "loss" for a, b in LENGTHS]
    assert {v["first"][0] for v in kept} == {"a", "b"}  # either stands first in some pairs
    preferred = sum(v["meant"] == ["first"] for v in kept)
    assert (report["position"]["first_preferred"], report["position"]["replies_decided"]) == (preferred, 8)
    request = server.requests[0]
    assert request["path"] == "/v1/chat/completions"
    assert request["headers"]["Authorization"] == f"Bearer {KEY}"
    assert (request["body"]["model"], request["body"]["temperature"]) == ("m", 0.0)
    assert server.asked() == Counter(range(8))


def test_a_judge_that_looks_at_the_position(serve, capsys, tmp_path):
    server = serve(lambda *_: said("A"))
    _, report, err = judge(capsys, server.url)
    coin = Endpoint(server.url, "m", ApiKey(), "")
    wins = sum(coin.first(i) == "a" for i in range(8))
    assert counts(report) == (wins, 8 - wins, 0, 0)
    assert "preferred in 8 of 8 decisions (p = 0.0078, two-sided)" in err  # 2 / 2⁸
    # asked in both orders it contradicts itself on every pair
    _, report, _ = judge(capsys, server.url, "--both-orders", "--temperature", "server")
    assert counts(report) == (0, 0, 8, 0)
    assert report["disagreed"] == 8
    assert server.asked() == Counter({i: 3 for i in range(8)})
    assert "temperature" not in server.requests[-1]["body"]


def test_both_orders_of_a_judge_that_does_not(serve, capsys):
    _, report, _ = judge(capsys, serve(longer).url, "--both-orders")
    assert counts(report) == (4, 4, 0, 0)
    assert report["position"] == {"first_preferred": 8, "replies_decided": 16, "p_two_sided": None}


def test_the_key_is_written_nowhere(serve, capsys, tmp_path):
    def behave(number, question):
        heard = server.requests[number]["headers"]["Authorization"]
        pair = int(re.search(r"prompt (\d)", question)[1])
        if pair == 0:
            return 400, {}, {"error": {"message": f"bad header: {heard}"}}
        if pair == 1:
            return said(f"You sent me {heard}." + "x" * 5000)
        if pair == 2:
            # cut where a key stands
            return 500, SOON, {"error": {"message": f"{'x' * 270} {heard} {heard}"}}
        if pair == 3:
            return said(f"{'.' * 1980}{heard}")
        return longer(number, question)

    server = serve(behave)
    status, report, err = judge(capsys, server.url, "--retries", "1")
    assert status == 0
    assert counts(report)[3] == 4
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 6
    for path in written:
        content = path.read_bytes()
        assert KEY.encode() not in content
        assert KEY[:12].encode() not in content, path
    kept = verdicts(tmp_path / "result")
    assert "[key]" in kept[0]["reason"]
    assert "[key]" in kept[1]["replies"][0]
    # a refused endpoint echoes the key, too

    def refuse(number, question):
        return 500, SOON, {"error": {"message": server.requests[number]["headers"]["Authorization"]}}

    server.behave = refuse
    status, _, err = judge(capsys, server.url, "--resume", "--give-up", "1", "--retries", "0")
    assert status == 2
    assert "[key]" in complaint(err)
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_key_or_a_model_that_is_refused_stops_at_once(serve, capsys, tmp_path):
    masked = f"Incorrect API key provided: {KEY[:8]}****{KEY[-4:]}"
    for status_sent, message, expected in (
        (401, masked, "key_variable = OPENAI_API_KEY: must be a variable with a key that"),
        (403, masked, "HTTP 403"),
        (404, "no model m here", "judge_model = m: must be a model that"),
    ):
        server = serve(lambda *_, s=status_sent, m=message: (s, {}, {"error": {"message": m}}))
        status, _, err = judge(capsys, server.url, "--parallel", "2")
        assert status == 2
        assert expected in complaint(err)
        assert KEY[:8] not in err
        assert len(server.requests) <= 2
        assert {path.name for path in tmp_path.iterdir()} == {"a.jsonl", "b.jsonl"}


def test_without_a_key_none_is_sent(serve, capsys):
    server = serve(longer)
    status, _, err = judge(capsys, server.url, "--key-variable", "")
    assert status == 0, err
    assert all("Authorization" not in request["headers"] for request in server.requests)


def test_requests_under_way_are_bounded(serve, capsys):
    def behave(number, question):
        time.sleep(0.05)
        return longer(number, question)

    server = serve(behave)
    judge(capsys, server.url, "--parallel", "3")
    assert server.most_at_work == 3


def test_another_question(serve, capsys, tmp_path):
    server = serve(lambda *_: said("[[C]]"))
    (tmp_path / "question.txt").write_text("{second}|{first}|{prompt}: A, B or C?", encoding="utf-8")
    _, report, _ = judge(capsys, server.url, "--template", "question.txt", "--parallel", "1")
    assert counts(report) == (0, 0, 8, 0)
    a, b = LENGTHS[0]
    letters = {"a": ("x" * b, "x" * a), "b": ("x" * a, "x" * b)}[Endpoint("", "", ApiKey(), "").first(0)]
    assert server.requests[0]["question"] == f"{'|'.join(letters)}|prompt 0: A, B or C?"
    (tmp_path / "question.txt").write_text("{first} {second} {prompt}: A, B or C?", encoding="utf-8")
    status, _, err = judge(capsys, server.url, "--template", "question.txt", "--resume")
    assert status == 2
    assert "template = question.txt: must be unchanged since the comparison began" in complaint(err)
