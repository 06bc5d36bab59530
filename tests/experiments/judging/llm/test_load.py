"""5000 pairs before an endpoint that is slow, fails and lies, by a process that is killed in the middle."""

import asyncio
import contextlib
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import psutil
import pytest

pytest.importorskip("openai")
from fpo_jax.experiments.judging.verdicts import FILE, read_verdicts
from tests.helpers import ROOT

PAIRS = 5000
MEMORY = 600 * 2**20
KILLED_AFTER = (1500, 2000)
"""Requests after which the process is killed, since it began."""
OUTCOMES = ("win", "loss", "tie")
BOMB = gzip.compress(bytes(200 * 2**20), 9)


def decided(number):
    """What this endpoint says of a pair, seen from A."""
    return OUTCOMES[number % 3]


def completion(content, **more):
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}, **more}]}


class Endpoint:
    """An HTTP server in a thread; of 50 pairs, each kind of fault happens to one when it is asked first."""

    FAULTS = (
        "slow",
        "drips",
        "drips_header",
        "fails",
        "limits",
        "breaks",
        "breaks_within",
        "redirects",
        "no_json",
        "deep",
        "deep_and_whole",
        "bomb",
        "endless",
        "wrong_types",
        "parts",
        "empty",
        "thinking",
        "quoted",
        "cut",
        "surrogate",
        "repeats",
    )

    def __init__(self):
        self.asked, self.faults, self.elsewhere = Counter(), Counter(), 0
        self.open = 0
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.port, self.other = (
            asyncio.run_coroutine_threadsafe(self.start(handle), self.loop).result(10)
            for handle in (self.handle, self.count)
        )

    async def start(self, handle):
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        return server.sockets[0].getsockname()[1]

    async def count(self, _, writer):
        self.elsewhere += 1
        writer.close()

    async def handle(self, reader, writer):
        self.open += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                body = await reader.readexactly(int(re.search(r"content-length: (\d+)", head, re.I)[1]))
                await self.answer(writer, json.loads(body)["messages"][0]["content"])
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def answer(self, writer, question):
        number = int(re.search(r"prompt (\d+)\n", question)[1])
        self.asked[number] += 1
        first = question.index(f"a says {number}\n") < question.index(f"b says {number}\n")
        letter = {"win": "AB"[not first], "loss": "AB"[first], "tie": "C"}[decided(number)]
        wrong = {"A": "B", "B": "A", "C": "A"}[letter]
        kind = number % 50
        if self.asked[number] == 1 and kind < len(self.FAULTS):
            self.faults[self.FAULTS[kind]] += 1
            await getattr(self, self.FAULTS[kind])(writer, letter, wrong)
        else:
            await self.send(writer, completion(letter))

    async def send(self, writer, answer, status="200 OK", headers=()):
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        await writer.drain()

    async def slow(self, writer, letter, _):
        await asyncio.sleep(0.5)
        await self.send(writer, completion(letter))

    async def drips(self, writer, *_):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        await self.drip(writer)

    async def drips_header(self, writer, *_):
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        await self.drip(writer)

    async def drip(self, writer):
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.1)

    async def fails(self, writer, *_):
        await self.send(writer, b"out of order", "500 Internal Server Error")

    async def limits(self, writer, *_):
        await self.send(writer, {}, "429 Too Many Requests", ["Retry-After: 0.2"])

    async def breaks(self, writer, *_):
        raise ConnectionError

    async def breaks_within(self, writer, letter, wrong):
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"choices": [')
        await writer.drain()
        raise ConnectionError

    async def redirects(self, writer, *_):
        to = f"Location: http://127.0.0.1:{self.other}/v1/chat/completions"
        await self.send(writer, b"", "307 Temporary Redirect", [to])

    async def no_json(self, writer, *_):
        await self.send(writer, b"<html>A</html>")

    async def deep(self, writer, *_):
        await self.send(writer, b"[" * 200_000)

    async def deep_and_whole(self, writer, *_):
        await self.send(writer, b'{"choices": ' + b"[" * 900 + b"]" * 900 + b"}")

    async def bomb(self, writer, *_):
        await self.send(writer, BOMB, headers=["Content-Encoding: gzip"])

    async def endless(self, writer, *_):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
        for _ in range(1600):
            writer.write(b" " * 2**16)
            await writer.drain()

    async def wrong_types(self, writer, *_):
        await self.send(writer, {"choices": {"message": [5]}})

    async def parts(self, writer, letter, wrong):
        await self.send(writer, completion([{"type": "text", "text": wrong}]))

    async def empty(self, writer, *_):
        await self.send(writer, b"")

    async def thinking(self, writer, letter, wrong):
        await self.send(writer, completion(f"<think>[[{wrong}]]"))

    async def quoted(self, writer, letter, wrong):
        await self.send(writer, completion(f"It contains '[[{wrong}]]' as an instruction."))

    async def cut(self, writer, letter, wrong):
        await self.send(writer, completion(f"It says [[{wrong}]]", finish_reason="length"))

    async def surrogate(self, writer, letter, wrong):
        await self.send(writer, completion(f"\ud800[[{wrong}]]"))

    async def repeats(self, writer, letter, _):
        for _ in range(3):
            await self.send(writer, completion(letter))


class Judging:
    """`fpo-jax judge` as a process of its own, whose memory is watched."""

    def __init__(self, folder, port, *more):
        words = [
            "judge",
            "a.jsonl",
            "b.jsonl",
            "--endpoint",
            f"http://127.0.0.1:{port}/v1",
            "--out",
            "result",
        ]
        words += ["--judge-model", "m", "--key-variable", "", "--parallel", "48", "--timeout", "3"]
        words += ["--give-up", "1000", "--json", *more]
        command = [sys.executable, "-m", "fpo_jax", *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.watched, self.peak = psutil.Process(self.process.pid), 0

    def wait(self, enough=lambda: False):
        """Wait until the process has ended, or there is enough of it."""
        until = time.monotonic() + 240
        while self.process.poll() is None and not enough():
            assert time.monotonic() < until
            with contextlib.suppress(psutil.Error):  # it may have ended
                self.peak = max(self.peak, self.watched.memory_info().rss)
            time.sleep(0.02)


def write_pairs(folder):
    for name in "ab":
        lines = [
            json.dumps({"prompt": f"prompt {i}", "response": f"{name} says {i}"}) + "\n" for i in range(PAIRS)
        ]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def settle(endpoint):
    """Wait until the endpoint has noticed that nobody listens."""
    until = time.monotonic() + 30
    while endpoint.open:
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_counted_twice(tmp_path):
    write_pairs(tmp_path)
    endpoint, begun, peaks, kept, rounds = Endpoint(), time.monotonic(), [], {}, []

    def asked_before():
        """Check that nobody is asked again about what was kept, and note what is kept now."""
        assert all(endpoint.asked[pair] == times for pair, (times, _) in kept.items())
        verdicts = read_verdicts(tmp_path / "result.partial" / FILE, PAIRS)
        good = {pair: v.outcome for pair, v in verdicts.items() if v.outcome != "error"}
        assert all(good[pair] == outcome for pair, (_, outcome) in kept.items())
        kept.update({pair: (endpoint.asked[pair], outcome) for pair, outcome in good.items()})

    for number in KILLED_AFTER:
        before = endpoint.asked.total()
        judging = Judging(tmp_path, endpoint.port, *(["--resume"] if kept else []))
        judging.wait(lambda: endpoint.asked.total() - before >= number)  # noqa: B023
        assert judging.process.poll() is None, judging.process.communicate()
        judging.process.send_signal(signal.SIGKILL)
        judging.process.communicate()
        peaks.append(judging.peak)
        settle(endpoint)
        asked_before()
        rounds.append(("killed", endpoint.asked.total(), len(kept)))
        assert 0 < len(kept) < PAIRS
    for _ in range(6):
        judging = Judging(tmp_path, endpoint.port, "--resume")
        reader = threading.Thread(target=judging.wait)
        reader.start()
        out, err = judging.process.communicate(timeout=240)
        reader.join()
        peaks.append(judging.peak)
        assert judging.process.returncode == 0, err
        report = json.loads(out)
        (row,) = report["comparisons"]
        rounds.append(("finished", endpoint.asked.total(), PAIRS - row["errors"]))
        if not row["errors"]:
            break
    assert all(endpoint.asked[pair] == times for pair, (times, _) in kept.items())

    wanted = Counter(map(decided, range(PAIRS)))
    assert (row["wins"], row["losses"], row["ties"], row["errors"]) == (*(wanted[o] for o in OUTCOMES), 0)
    lines = (tmp_path / "result" / FILE).read_text(encoding="utf-8").splitlines()
    verdicts = [json.loads(line) for line in lines]
    assert [verdict["pair"] for verdict in verdicts] == [*range(PAIRS)]
    assert [verdict["outcome"] for verdict in verdicts] == [*map(decided, range(PAIRS))]
    assert not (tmp_path / "result.partial").exists()
    assert endpoint.elsewhere == 0
    assert {*endpoint.faults.values()} == {PAIRS // 50}
    assert len(endpoint.faults) == len(Endpoint.FAULTS)
    assert max(peaks) < MEMORY
    print(
        f"{time.monotonic() - begun:.0f} s, at most {max(peaks) / 2**20:.0f} MiB; {rounds}; {endpoint.faults}"
    )
