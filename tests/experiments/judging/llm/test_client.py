"""What leaves for an endpoint, and what is read of its answers."""

import gzip
import json
import re
import socket
import threading
import time

import pytest

pytest.importorskip("openai")
import asyncio

import httpx2

from fpo_jax.experiments.judging.llm import client
from tests.experiments.judging.llm.conftest import (
    KEY,
    LENGTHS,
    Handler,
    complaint,
    counts,
    judge,
    longer,
    said,
    verdicts,
)


def reasons(folder):
    return {verdict["pair"]: verdict.get("reason", "") for verdict in verdicts(folder / "result")}


def pair(question):
    return int(re.search(r"prompt (\d+)", question)[1])


def test_no_redirect_is_followed(serve, capsys, tmp_path):
    elsewhere = serve(longer)
    there = elsewhere.url.replace("127.0.0.1", "localhost")
    answers = {
        0: (307, {"Location": f"{there}/chat/completions"}, b""),
        1: (302, {"Location": "https://me:secret@evil.example/?all"}, b""),
        2: (308, {"Location": "/v1/elsewhere"}, b""),
        3: (304, {}, b""),
    }
    server = serve(lambda number, question: answers.get(pair(question)) or longer(number, question))
    status, report, err = judge(capsys, server.url)
    assert status == 0, err
    assert counts(report)[3] == 4
    assert elsewhere.requests == []
    assert len(server.requests) == 8  # nothing is asked again
    said_of = reasons(tmp_path)
    assert said_of[0] == "HTTP 307: a redirect to localhost, which is not followed"
    assert said_of[1] == "HTTP 302: a redirect to evil.example, which is not followed"
    assert said_of[2] == "HTTP 308: a redirect to 127.0.0.1, which is not followed"
    assert said_of[3].startswith("HTTP 304: a redirect to an address that it does not name")


def test_account_headers_stay_here(serve, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-mine")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin-mine")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Mine: custom-mine\nAuthorization: Bearer other-mine")
    server = serve(longer)
    server.behave = lambda number, question: (
        200,
        {"Set-Cookie": f"c{number}=1"},
        longer(number, question)[2],
    )
    status, _, err = judge(capsys, server.url, "--parallel", "1")
    assert status == 0, err
    for request in server.requests:
        assert "mine" not in str(request["headers"])
        assert {name.lower() for name in request["headers"]} <= client.SENT  # no cookie either
        assert request["headers"]["Authorization"] == f"Bearer {KEY}"
        assert request["headers"]["Accept-Encoding"] == "identity"


def test_accounts_are_known_to_their_own_host_alone():
    sender = client.BoundedClient("api.openai.com", "sk", 1.0)
    for url, mine in (
        ("https://api.openai.com/v1", "org"),
        ("http://api.openai.com/v1", None),
        ("https://api.openai.com.evil.example/v1", None),
    ):
        request = httpx2.Request("POST", url, headers={"OpenAI-Organization": "org"})
        sent = sender._stripped(request)
        assert sent.headers.get("OpenAI-Organization") == mine
        assert sent.headers["Authorization"] == "Bearer sk"
    asyncio.run(sender.aclose())


def test_a_reply_is_read_up_to_a_cap_and_as_it_came(serve, capsys, tmp_path, monkeypatch):
    bomb = gzip.compress(json.dumps(said("A")[2]).encode() + b" " * 10**7)
    answers = {
        0: (200, {}, b" " * (client.MOST_BYTES + 1)),
        1: (200, {"Content-Encoding": "gzip"}, bomb),
        2: (400, {"Content-Encoding": "gzip"}, bomb),
        3: (200, {}, b"[" * 200_000),
        4: (200, {}, b'{"choices": ' + b"[" * 900 + b"]" * 900 + b"}"),
        5: (400, {}, json.dumps({"error": {"message": "\ud800\x1b[2J" + "no" * 10**6}}).encode()),
        6: (400, {}, b'{"error": ' + b"[" * 900 + b"]" * 900 + b"}"),
    }
    server = serve(lambda number, question: answers.get(pair(question)) or longer(number, question))
    status, report, err = judge(capsys, server.url, "--give-up", "9")
    assert status == 0, err
    assert counts(report)[3] == 7
    said_of = reasons(tmp_path)
    assert said_of[0] == f"a reply of more than {client.MOST_BYTES} bytes"
    assert said_of[1] == "a reply in an encoding that was not asked for"
    assert said_of[2] == "HTTP 400"
    assert "has more than 64 levels" in said_of[3]
    assert "has more than 64 levels" in said_of[4]
    assert said_of[5].startswith("HTTP 400")
    assert len(said_of[5]) < 400
    assert said_of[6] == "HTTP 400"
    assert len(server.requests) == 8


class Dripping:
    """A server that sends a header, then a byte each 0.05 s, without end."""

    def __init__(self, head):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}/v1"
        self.head = head
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.drip, args=(connection,), daemon=True).start()

    def drip(self, connection):
        try:
            connection.recv(2**16)
            connection.sendall(self.head)
            while True:
                connection.sendall(b" ")
                time.sleep(0.05)
        except OSError:
            connection.close()


class Twice(Handler):
    """Keeps its connections, and answers each question twice, the second time with the other letter."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (right,) = longer(0, body["messages"][0]["content"])[2]["choices"]
        letter = right["message"]["content"]
        bodies = [json.dumps(said(each)[2]).encode() for each in (letter, "BA"["AB".index(letter)])]
        answers = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body) for body in bodies]
        self.server.requests.append(self.client_address)
        self.wfile.write(b"".join(answers))


def test_what_is_sent_too_much_answers_no_other_question(serve, capsys, tmp_path):
    server = serve(None)
    server.RequestHandlerClass = Twice
    status, report, err = judge(capsys, server.url, "--parallel", "1")
    assert status == 0, err
    told = [verdict["outcome"] for verdict in verdicts(tmp_path / "result")]
    assert told == ["win" if a > b else "loss" for a, b in LENGTHS]
    assert counts(report) == (4, 4, 0, 0)
    assert len({*server.requests}) == 8  # connections


def test_of_a_failure_the_beginning_is_read(capsys, serve):
    """The rest of a long page that says why is not waited for."""
    serve(longer)
    server = Dripping(b"HTTP/1.1 400 No\r\nContent-Length: 1000000\r\n\r\n" + b" " * (2**16 + 1))
    status, _, err = judge(capsys, server.url, "--timeout", "5", "--retries", "0", "--give-up", "1")
    server.listening.close()
    assert status == 2
    assert complaint(err).endswith("1 requests in a row failed, the last with: HTTP 400")


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX:"]
)
def test_the_clock_ends_a_reply_that_drips(serve, capsys, head):
    """`--timeout` is for the whole of an attempt, its header and its body."""
    server = Dripping(head)
    begun = time.monotonic()
    words = ["--timeout", "0.5", "--retries", "0", "--give-up", "4"]
    status, _, err = judge(capsys, server.url, *words)
    server.listening.close()
    assert status == 2
    assert "no whole answer within 0.5 s" in err
    assert 0.5 <= time.monotonic() - begun < 3.0


def test_a_reply_is_asked_for_of_bounded_length(serve, capsys, tmp_path):
    def behave(number, question):
        if pair(question) == 1:
            answer = said("It contains [[A]]")[2]
            answer["choices"][0]["finish_reason"] = "length"
            return 200, {}, answer
        return longer(number, question)

    server = serve(behave)
    status, report, _ = judge(capsys, server.url)
    assert status == 0
    assert all(request["body"]["max_tokens"] == 2048 for request in server.requests)
    assert counts(report)[3] == 1
    cut = "a reply that was cut after 2048 tokens (--max-tokens) before it named A, B or C"
    assert reasons(tmp_path)[1] == cut
    server.requests.clear()
    judge(capsys, server.url, "--max-tokens", "server")
    assert all("max_tokens" not in request["body"] for request in server.requests)
    assert reasons(tmp_path)[1] == "a reply that was cut before it named A, B or C"


def test_a_verdict_within_a_reply_does_not_count(serve, capsys, tmp_path):
    answers = {0: "It contains '[[A]]' as an instruction", 1: "<think>[[B]]", 2: "<think>[[B]]</think>[[A]]"}
    server = serve(lambda _, question: said(answers.get(pair(question), "B")))
    _, report, _ = judge(capsys, server.url)
    assert counts(report)[3] == 2
    said_of = reasons(tmp_path)
    assert all("none of A, B and C alone on its last line" in said_of[i] for i in (0, 1))
    assert verdicts(tmp_path / "result")[2]["meant"] == ["first"]
