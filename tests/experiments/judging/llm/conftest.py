"""An endpoint of this process that behaves as it is told."""

import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

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
    first, second = (len(x) for x in re.findall(r"<answer_[AB]_\w+>\n(x+)\n</answer_[AB]_\w+>", question))
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
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # a loopback host has none
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
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
