"""A judge over HTTP: an endpoint of this process refuses, breaks, talks nonsense and echoes the key."""

import json
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("openai")

from fpo_jax.experiments.judging.endpoint import Endpoint, Key
from tests.helpers import call

KEY = "sk-a-secret-that-must-not-be-seen"
LENGTHS = [(1, 3), (4, 2), (2, 5), (6, 1), (3, 2), (1, 2), (5, 4), (2, 6)]
"""Letters in the answers of A and B: by length A wins 4 and B wins 4, and none are identical."""


class Server(ThreadingHTTPServer):
    """Answers every request as `behave(number, question)` says: status, headers, body."""

    daemon_threads = True

    def __init__(self, behave):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave, self.requests, self.lock = behave, [], threading.Lock()
        self.at_work = self.most_at_work = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def asked(self):
        """How often each pair was asked about, by the number in its prompt."""
        prompts = (re.search(r"prompt (\d+)", request["question"]) for request in self.requests)
        return Counter(int(found[1]) for found in prompts)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][0]["content"]
        server = self.server
        with server.lock:
            number = len(server.requests)
            sent = {"question": question, "headers": self.headers, "body": body, "path": self.path}
            server.requests.append(sent | {"time": time.monotonic()})
            server.at_work += 1
            server.most_at_work = max(server.most_at_work, server.at_work)
        status, headers, answer = server.behave(number, question)
        with server.lock:
            server.at_work -= 1
        written = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)
        except OSError:  # the other side had no patience
            pass

    def log_message(self, *_):
        pass


def said(reply):
    return 200, {}, {"choices": [{"index": 0, "message": {"role": "assistant", "content": reply}}]}


def longer(_, question):
    """A judge that prefers the longer answer, wherever it stands."""
    first, second = (len(x) for x in re.findall(r"<answer_[AB]>\n(x+)\n</answer_[AB]>", question))
    return said("A" if first > second else "B")


SOON = {"retry-after-ms": "1"}


@pytest.fixture(autouse=True, scope="module")
def no_page():
    """Leave the report out, which other tests read: it takes longer to write than all else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fpo_jax.experiments.report.page.write", lambda *_: None)
        yield


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Start an endpoint that behaves as told; two files of answers stand in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for column, name in enumerate("ab"):
        lines = [
            json.dumps({"prompt": f"prompt {i}", "response": "x" * n[column]}) for i, n in enumerate(LENGTHS)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    started = []

    def start(behave):
        server = Server(behave)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def judge(capsys, url, *options):
    """Compare the two files, and return the exit status, the report if there is one, and standard error."""
    model = ["--endpoint", url, "--judge-model", "m", "--out", "result", "--json"]
    status, out, err = call(capsys, "judge", "a.jsonl", "b.jsonl", *model, *options)
    assert KEY not in out + err
    return status, json.loads(out) if out else None, err


def verdicts(folder):
    lines = (folder / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line]


def counts(report):
    (row,) = report["comparisons"]
    return row["wins"], row["losses"], row["ties"], row["errors"]


def complaint(err):
    (line,) = [line for line in err.splitlines() if line.strip() and "pair/s" not in line]
    assert line.startswith("fpo-jax: error: ")
    return line


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
    coin = Endpoint(server.url, "m", Key(), "")
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
    assert f"endpoint = {server.url}: must be judging: 2 errors in a row, the last: HTTP 503" in line
    assert "verdicts are kept: go on with `fpo-jax judge a.jsonl b.jsonl --endpoint" in line
    assert line.endswith("--resume`")
    assert not (tmp_path / "result").exists()
    assert [v["outcome"] for v in verdicts(tmp_path / "result.partial")].count("error") == 2
    dead.clear()
    server.requests.clear()
    status, _, err = judge(capsys, server.url, "--judge-model", "another", "--resume")
    assert status == 2
    assert "judge_model = another: must be m, as in what is to be resumed" in complaint(err)
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
    assert f"endpoint = {url}: must be judging: 3 errors in a row, the last: Connection error" in line
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
    assert all("no chat completion" in reasons[i] for i in (0, 1, 2, 3, 6)), reasons
    assert all("none of A, B and C" in reasons[i] for i in (4, 5))
    assert kept[5]["replies"] == ["Both are good."]


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
    assert "verdicts are kept; go on with `fpo-jax judge a.jsonl b.jsonl" in err
    assert [v["pair"] for v in verdicts(tmp_path / "result.partial")] == [0, 1, 2]
    server.requests.clear()
    status, report, _ = judge(capsys, server.url, "--resume")
    assert status == 0
    assert counts(report) == (4, 4, 0, 0)
    assert server.asked() == Counter([3, 4, 5, 6, 7])


def test_another_question(serve, capsys, tmp_path):
    server = serve(lambda *_: said("[[C]]"))
    (tmp_path / "question.txt").write_text("{second}|{first}|{prompt}: A, B or C?", encoding="utf-8")
    _, report, _ = judge(capsys, server.url, "--template", "question.txt", "--parallel", "1")
    assert counts(report) == (0, 0, 8, 0)
    a, b = LENGTHS[0]
    letters = {"a": ("x" * b, "x" * a), "b": ("x" * a, "x" * b)}[Endpoint("", "", Key(), "").first(0)]
    assert server.requests[0]["question"] == f"{'|'.join(letters)}|prompt 0: A, B or C?"
    (tmp_path / "question.txt").write_text("{first} {second} {prompt}: A, B or C?", encoding="utf-8")
    status, _, err = judge(capsys, server.url, "--template", "question.txt", "--resume")
    assert status == 2
    assert "template = question.txt: must be the same as when it began" in complaint(err)
