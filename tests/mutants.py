"""Planted faults: does the suite notice what is deliberately wrong?

::

    make mutants                          all faults, one at a time
    make mutants MUTANTS="plugins/drl"    those of some folders or files
    make mutants MUTANTS="--jobs 4"       several at a time, each in a copy of the tree

``tests/planted_faults/*.yaml`` lists them, by file: what is wrong, the text that is there and the text that takes its
place. Each is put into a copy of the tree, alone, and the tests of its file are run up to the first one that fails:
``tests/x/test_y*.py`` of ``pvbias/x/y.py``, or its folder's where none has its name; ``tests`` names those that should
notice, where these are not the ones. A fault with which pytest does not collect its tests is an error, not noticed.
What was noticed before is not tried again while the test that noticed is there; with ``--anew`` it is.
When all have been tried (or with ``--write``), CONTRIBUTING.md gets the share that is noticed, the share that was when
first tried, and those that are not, each with its reason (``survives``).

A tool that makes faults by rule (mutmut, cosmic-ray) makes tens of thousands of these 40,000 lines, many of which
change nothing, at seconds each; these are few, each a slip that somebody could make.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import platform
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
LISTS = ROOT / "tests" / "planted_faults"
FOLDER = ROOT / ".mutants"
RESULTS = FOLDER / "results.json"
TABLE_IN = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- written by make mutants -->\n", "<!-- end of what make mutants writes -->\n"
NOTICED, SURVIVED, UNENDED = "noticed", "SURVIVED", "NO END"
GONE, FAILS_ANYWAY, BROKEN = "old text not found", "its test fails without it, too", "pytest broke"
#: What takes seconds to import, and is therefore imported before the processes fork.
PRELOADED = ("av", "matplotlib.figure", "pytorchvideo.models.hub", "sklearn.datasets", "torch", "torchvision")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A deliberate fault.

    Attributes:
        file: where it is, relative to the tree.
        what: what is wrong with it.
        old: text that is in the file once.
        new: what takes its place.
        tests: files or folders of tests, in the order in which they run.
        survives: why no test notices it; empty: one should.
    """

    file: str
    what: str
    old: str
    new: str
    tests: tuple[str, ...]
    survives: str = ""

    @property
    def key(self) -> str:
        """A text that no other fault has."""
        return json.dumps([self.file, self.old, self.new])

    def applied(self, root: Path = ROOT) -> str | None:
        """The text of the file with the fault in it; None: the old text is not in it once."""
        path = root / self.file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        return text.replace(self.old, self.new) if text.count(self.old) == 1 else None


def read_faults() -> list[Fault]:
    """All faults of the lists, in their order."""
    found = []
    for path in sorted(LISTS.glob("*.yaml")):
        for file, faults in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            for fault in faults:
                tests = tuple(fault.pop("tests", tests_of(file)))
                found.append(Fault(file=file, tests=tests, **fault))
    return found


def tests_of(file: str) -> list[str]:
    """The test files that are named after a module; the folder that mirrors the module's, where there is none."""
    path = Path(file)
    folder = Path("tests", *path.parent.parts[path.parts[0] == "pvbias" :])
    while not (ROOT / folder).is_dir():
        folder = folder.parent
    own = sorted((ROOT / folder).glob(f"test_{path.stem}*.py"))
    return [test.relative_to(ROOT).as_posix() for test in own] or [folder.as_posix()]


class Copy:
    """A copy of the tree, in which pytest runs with one fault at a time.

    Args:
        number: of the copy.
    """

    def __init__(self, number: int) -> None:
        self.root = FOLDER / f"copy_{os.getpid()}_{number}"
        listed = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self.root / name)
        for name in ("plugins", "tools"):  # found below the copy's own pvbias, not where the package is installed from
            (self.root / "pvbias" / name).symlink_to(self.root / name)
        self.fault: Fault | None = None
        self._process = self._planted = 0
        self._began = 0.0

    def start(self, fault: Fault) -> None:
        """Plant a fault and run its tests in a process of their own, up to the first one that fails."""
        text = fault.applied(self.root)
        assert text is not None
        ast.parse(text, fault.file)  # a fault that no Python reads would be noticed by everything
        path = self.root / fault.file
        path.rename(self.root / "original")
        path.write_text(text, encoding="utf-8")
        self._planted += 1
        os.utime(path, (self._planted, self._planted))  # else Python may take what it compiled in the same second
        self.fault, self._began = fault, time.monotonic()
        self._process = self._fork("-x", *fault.tests)

    def poll(self, timeout: float) -> dict[str, object] | None:
        """The result, once there is one."""
        assert self.fault is not None
        done, status = os.waitpid(self._process, os.WNOHANG)
        seconds = time.monotonic() - self._began
        late = not done and seconds > timeout
        if not done and not late:
            return None
        if late:
            os.killpg(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        (self.root / "original").rename(self.root / self.fault.file)
        code = os.waitstatus_to_exitcode(status)  # 1 of pytest's: tests ran, and some failed
        state = UNENDED if late else {0: SURVIVED, 1: NOTICED}.get(code, BROKEN)
        if state == BROKEN:
            print(f"pytest ended with {code}:\n{self._log()[-2000:]}", file=sys.stderr, flush=True)
        return {"state": state, "by": self._failed()[0] if state == NOTICED else "", "seconds": round(seconds)}

    def failing(self, tests: Collection[str]) -> set[str]:
        """Which of some tests fail without any fault."""
        if tests:
            os.waitpid(self._fork(*tests), 0)
        return set(self._failed()) if tests else set()

    def _fork(self, *arguments: str) -> int:
        process = os.fork()
        if process:
            return process
        code = 3
        try:
            os.setsid()
            log = os.open(self.root / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.chdir(self.root)
            sys.path[0] = os.environ["PYTHONPATH"] = str(self.root)
            import pytest

            code = pytest.main(["-q", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments])
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(code))

    def remove(self) -> None:
        """End what runs, and remove the copy."""
        if self.fault is not None:
            self.poll(0)
        shutil.rmtree(self.root)

    def _log(self) -> str:
        return (self.root / "log.txt").read_text(encoding="utf-8", errors="replace")

    def _failed(self) -> list[str]:
        found = (re.fullmatch(r"(?:FAILED|ERROR) (\S+::.+?)(?: - .*)?", line) for line in self._log().splitlines())
        return [match[1] for match in found if match]


def run(faults: Sequence[Fault], *, jobs: int, timeout: float) -> Iterator[tuple[Fault, dict[str, object]]]:
    """Try faults out, some at a time; yields each with its result."""
    os.environ.pop("PYTEST_ADDOPTS", None)
    for name in PRELOADED:
        importlib.import_module(name)
    waiting = in_turns(faults)
    copies = [Copy(number) for number in range(min(jobs, len(waiting)))]
    try:
        while waiting or any(copy.fault for copy in copies):
            for copy in copies:
                if copy.fault is not None:
                    result = copy.poll(timeout)
                    if result is None:
                        continue
                    yield copy.fault, result
                    copy.fault = None
                while waiting and copy.fault is None:
                    fault = waiting.pop(0)
                    if fault.applied(copies[0].root) is None:
                        yield fault, {"state": GONE, "by": "", "seconds": 0}
                    else:
                        copy.start(fault)
            time.sleep(0.2)
    finally:
        for copy in copies:
            copy.remove()


def folder_of(fault: Fault) -> str:
    """Such as ``pvbias/data``, also of what is in folders below it."""
    return Path(*Path(fault.file).parts[:-1][:2]).as_posix()


def in_turns(faults: Sequence[Fault]) -> list[Fault]:
    """At random, but one of each folder, then a second of each: an interrupted run has tried all folders."""
    turns: Counter[str] = Counter()
    order = []
    for fault in random.Random(0).sample(faults, len(faults)):
        turns[folder_of(fault)] += 1
        order.append((turns[folder_of(fault)], fault))
    return [fault for _, fault in sorted(order, key=lambda turn: turn[0])]


def is_known(result: Mapping[str, Any] | None) -> bool:
    """Whether a fault was noticed, by a test that is still there."""
    if result is None or result["state"] != NOTICED:
        return False
    file, _, rest = result["by"].partition("::")
    name = rest.partition("[")[0].rpartition("::")[2]
    return (ROOT / file).is_file() and f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def recorded(results: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """All results so far, with some new ones; what a fault's ``first`` was stays."""
    kept: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for key, result in results.items():
        kept[key] = {"first": result["state"], **kept.get(key, {}), **result}
    RESULTS.with_suffix(".part").write_text(json.dumps(kept, indent=1))
    RESULTS.with_suffix(".part").replace(RESULTS)
    return kept


def share(faults: Sequence[Fault], results: Mapping[str, Mapping[str, Any]], when: str = "state") -> str:
    """Such as ``130 of 133 noticed (97.7 %)``."""
    noticed = sum(results[fault.key][when] == NOTICED for fault in faults)
    return f"{noticed} of {len(faults)} noticed ({noticed / max(len(faults), 1):.1%})"


def write_table(faults: Sequence[Fault], results: Mapping[str, Mapping[str, Any]], *, listed: int, run: str) -> None:
    """Put the share of each folder, and the faults that are not noticed, into CONTRIBUTING.md.

    Args:
        faults: those that have been tried.
        results: of each, by its key.
        listed: how many there are in all.
        run: the command, and on what.
    """
    folders: dict[str, list[Fault]] = {}
    for fault in faults:
        folders.setdefault(folder_of(fault), []).append(fault)
    rows = ["| | faults | noticed |", "| --- | --- | --- |"]
    for name, own in sorted(folders.items()):
        rows.append(f"| {name} | {len(own)} | {sum(results[fault.key]['state'] == NOTICED for fault in own)} |")
    left = [fault for fault in faults if results[fault.key]["state"] != NOTICED]
    lines = [
        f"- `{fault.file}`: {fault.what}. {fault.survives or results[fault.key]['state'].capitalize()}."
        for fault in left
    ]
    some = f" Of the {listed} listed, these have been tried." if len(faults) < listed else ""
    new = [fault for fault in faults if "first" in results[fault.key]]
    first = f"When first tried, before tests were written for what was not: {share(new, results, 'first')}; {run}."
    text = "\n".join(
        [
            f"{share(faults, results)}.{some}",
            "",
            *([first, ""] if new else []),
            *rows,
            "",
            *(["Not noticed:", "", *lines, ""] if left else []),
        ]
    )
    before, _, rest = TABLE_IN.read_text(encoding="utf-8").partition(BEGIN)
    TABLE_IN.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def main(argv: Sequence[str]) -> int:
    """0: all were noticed, or say why not; 1: some were not, or their text is gone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "places", nargs="*", metavar="PLACE", help="folders or files: pvbias/data plugins/drl/attacks.py"
    )
    parser.add_argument("--jobs", type=int, default=1, help="faults at a time (default 1)")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for the tests of a fault (default 900)")
    parser.add_argument("--anew", action="store_true", help="also those that were noticed before")
    parser.add_argument("--write", action="store_true", help="the table, though not all have been tried")
    args = parser.parse_args(argv)
    places = args.places or [""]
    every = read_faults()
    chosen = [fault for fault in every if any(Path(fault.file).is_relative_to(place) for place in places)]
    FOLDER.mkdir(exist_ok=True)
    kept = recorded({})
    due = [fault for fault in chosen if args.anew or not is_known(kept.get(fault.key))]
    for fault, result in run(due, jobs=args.jobs, timeout=args.timeout):
        print(f"{result['state']:9} {result['seconds']:4} s  {fault.file}: {fault.what}  {result['by']}", flush=True)
        kept = recorded({fault.key: result})
    sound = Copy(0)
    flaky = sound.failing({kept[fault.key]["by"] for fault in due if kept[fault.key]["state"] == NOTICED})
    sound.remove()
    for fault in due:
        if kept[fault.key]["by"] in flaky:
            print(f"{kept[fault.key]['by']} fails without {fault.file}: {fault.what}, too")
            kept = recorded({fault.key: kept[fault.key] | {"state": FAILS_ANYWAY}})
    print(share(chosen, kept))
    tried = [fault for fault in every if fault.key in kept]
    if args.write or len(tried) == len(every):
        command = shlex.join(["python", "tests/mutants.py", *argv])
        run_as = f"`{command}`, {os.cpu_count()} cores, Python {platform.python_version()}"
        write_table(tried, kept, listed=len(every), run=run_as)
    return int(any(kept[fault.key]["state"] != NOTICED and not fault.survives for fault in chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
