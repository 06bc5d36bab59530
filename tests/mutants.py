"""Planted faults: change one thing in the theory or an environment, and see whether a test fails.

    make mutants
    python -m tests.mutants --number 300 --seed 1 --out mutants.jsonl
    python -m tests.mutants --list fpo_jax/steering.py

Every fault is planted alone, in a copy of the tree. Tests that mirror the file run first and stop at their
first failure, then those beside them, then a short list. A run that takes far longer than it does without a
fault counts as a failure. `--out FILE` keeps a line for each, and what it holds already is not run again.
Faults that change nothing stand in `equivalent_mutants.txt`, each with its reason.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import faults_in

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")
ROOMS = ("fpo_jax", *(f"fpo_jax/{room}" for room in ("objectives", "followers", "numerics", "statistics")))
ROOMS += ("envs", "envs/parts")
LEFT_OUT = {"__init__", "__main__", "errors", "hyperparameters", "moved", "supported", "types"}
AFTERWARDS = ("golden/test_instances", "test_steering", "test_feedback", "test_run", "test_oracle")
AFTERWARDS += ("testing/test_contract", "golden/test_golden")
"""Run in this order where the tests that mirror the file have seen nothing."""


def all_faults(only):
    """Every fault, in the files that `only` names or in all of them."""
    paths = only or sorted(
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).glob("*.py")
        if path.stem not in LEFT_OUT
    )
    return [fault for path in paths for fault in faults_in(path, (ROOT / path).read_text(encoding="utf-8"))]


def groups_for(path):
    """Groups of test files: those that mirror a file, those beside them, and the short list."""
    room = Path("tests", *Path(path).parent.parts[path.startswith("fpo_jax") :])
    named = Path(path).stem
    mirror = [room / f"test_{named}.py", *sorted((ROOT / room).glob(f"test_{named}_*.py"))]
    rooms = [] if room == Path("tests") else [room, *([room.parent] if room.name == "parts" else [])]
    beside = [file for folder in rooms for file in sorted((ROOT / folder).glob("test_*.py"))]
    groups = [mirror, beside, *([Path("tests", f"{name}.py")] for name in AFTERWARDS)]
    seen = set()
    for group in groups:
        files = [str(file.relative_to(ROOT) if file.is_absolute() else file) for file in group]
        fresh = [file for file in dict.fromkeys(files) if (ROOT / file).exists() and file not in seen]
        seen |= {*fresh}
        if fresh:
            yield fresh


class Copy:
    """A copy of the tree in a temporary folder, and how long its tests take without a fault."""

    def __init__(self, folder):
        self.folder, self.seconds = folder, {}
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
        )
        for name in listed.stdout.decode().splitlines():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).exists():
                shutil.copy2(ROOT / name, target, follow_symlinks=False)
        self.environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment["JAX_PLATFORMS"] = "cpu"

    def run(self, files, limit=None):
        """Return the first of some tests that fails, or None; "too long" beyond a limit in seconds."""
        command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=line", "-p", "no:cacheprovider", *files]
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, encoding="utf-8", start_new_session=True,
        )  # fmt: skip
        try:
            out, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return "too long"
        finally:
            if process.poll() is None:  # that, or we are interrupted
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        if process.returncode in (0, 5):  # 5: all of them are slow
            return None
        found = re.search(r"^(?:FAILED|ERROR) (\S+)", out, re.MULTILINE)
        return found[1] if found else out.strip().splitlines()[-1]

    def limit(self, files):
        """Four times as long as these tests take without a fault, and a minute."""
        named = tuple(files)
        if named not in self.seconds:
            began = time.monotonic()
            failed = self.run(files)
            if failed:
                raise SystemExit(f"without any fault, {failed} fails")
            self.seconds[named] = time.monotonic() - began
        return 60 + 4 * self.seconds[named]

    def killer(self, fault):
        """The test that sees a fault, or None."""
        for files in groups_for(fault.path):
            limit = self.limit(files)
            path = self.folder / fault.path
            whole = path.read_text(encoding="utf-8")
            path.write_text(fault.content, encoding="utf-8")
            try:
                failed = self.run(files, limit)
            finally:
                path.write_text(whole, encoding="utf-8")
            if failed:
                return failed
        return None


def equivalents():
    """Names of faults that change nothing: lines, each followed by one that gives the reason."""
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines() if EQUIVALENT.exists() else []
    return {line for line in lines if line and not line.startswith((" ", "#"))}


def shown(fault):
    """One line that says where a fault is planted, and what it is."""
    return f"{fault.path}:{fault.line}, {fault.name.split(', ', 1)[1]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=20, help="how many faults to plant")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--out", type=Path, help="a file with a line for each, to which more are added")
    parser.add_argument("--list", action="store_true", help="name them, and run nothing")
    parser.add_argument("only", nargs="*", help="files to plant them in, such as fpo_jax/steering.py")
    wishes = parser.parse_args()
    every = all_faults(wishes.only)
    chosen = random.Random(wishes.seed).sample(every, min(wishes.number, len(every)))
    print(f"{len(chosen)} of {len(every)} faults", flush=True)
    if wishes.list:
        print(*map(shown, chosen), sep="\n")
        return 0
    kept = wishes.out.read_text(encoding="utf-8").splitlines() if wishes.out and wishes.out.exists() else []
    done = {row["name"]: row["killer"] for row in map(json.loads, kept)}
    harmless, survivors = equivalents(), []
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        for fault in chosen:
            began = time.monotonic()
            if fault.name in harmless:
                print(f"equivalent  {fault.name}", flush=True)
                continue
            killer = done[fault.name] if fault.name in done else copy.killer(fault)
            if killer is None:
                survivors.append(fault)
            how = f"killed by {killer}" if killer else "SURVIVED"
            print(f"{shown(fault)}\n    {how}", flush=True)
            if wishes.out and fault.name not in done:
                row = {
                    "name": fault.name,
                    "line": fault.line,
                    "killer": killer,
                    "seconds": time.monotonic() - began,
                }
                with wishes.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"{len(survivors)} of {len(chosen)} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
