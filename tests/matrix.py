"""Smoke tests in a fresh environment for each Python, with the newest and with the oldest dependencies of ``setup.py``.

::

    make test-matrix                      the newest set on every Python that is found, the oldest on the oldest Python
    make test-matrix MATRIX=3.12-newest   some environments only
    make test-matrix MATRIX=--ends        the oldest set on the oldest Python, the newest on the newest, as CI does

An environment lies in ``.matrix/PYTHON-SET``, about 6 GB, and is made anew when ``setup.py`` has changed; ``--ends``
removes it as soon as its tests have run. Pythons are found on PATH or among those of pyenv. A run of all environments
writes what they held into CONTRIBUTING.md.
"""

from __future__ import annotations

import argparse
import ast
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".matrix"
EXTRA = "dev"  # of setup.py: what an environment holds beside what pvbias needs
TABLE_IN = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- written by make test-matrix -->\n", "<!-- end of what make test-matrix writes -->\n"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


@dataclass(frozen=True)
class Environment:
    """A Python and a set of dependencies.

    Attributes:
        python: path of the interpreter.
        version: its version, such as "3.12".
        oldest: whether the dependencies are the oldest that ``setup.py`` allows, instead of the newest.
    """

    python: str
    version: str
    oldest: bool

    @property
    def name(self) -> str:
        """Such as ``3.12-newest``."""
        return f"{self.version}-{'oldest' if self.oldest else 'newest'}"

    @property
    def folder(self) -> Path:
        """The virtual environment."""
        return FOLDER / self.name

    def make(self) -> None:
        """Install pvbias and its dependencies, unless they are there for this ``setup.py`` and this Python."""
        stamp = self.folder / "made_for.json"
        made_for = json.dumps([hashlib.sha256((ROOT / "setup.py").read_bytes()).hexdigest(), self.python])
        if stamp.exists() and stamp.read_text() == made_for:
            return
        print(f"{self.name}: installing", flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        _run([self.python, "-m", "venv", str(self.folder)])
        constraints = self.folder / "constraints.txt"
        constraints.write_text("".join(f"{bound}\n" for bound in oldest_versions()) if self.oldest else "")
        self._python("-m", "pip", "install", "--quiet", "--upgrade", "pip")
        # A minute of compiling less: what is imported is compiled then.
        install = ("install", "--quiet", "--no-compile", "--constraint", str(constraints))
        self._python("-m", "pip", *install, "--editable", f"{ROOT}[{EXTRA}]")
        stamp.write_text(made_for)

    def test(self) -> tuple[bool, str]:
        """Run the smoke tests.

        Returns:
            Whether they passed, and pytest's last line.
        """
        print(f"{self.name}: testing", flush=True)
        command = ["-m", "pytest", "-q", "-m", "smoke", "-n", "2", "--dist", "worksteal", "-p", "no:cacheprovider"]
        lines = []
        with subprocess.Popen(
            [str(self.folder / "bin/python"), *command], cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            for line in process.stdout:
                print(f"  {line}", end="", flush=True)
                lines.append(line.strip("= \n"))
        return process.returncode == 0, next((line for line in reversed(lines) if line), "")

    def versions(self) -> dict[str, str]:
        """Of Python and of each dependency that was installed because ``setup.py`` bounds it."""
        names = [name for name, _ in requirements(EXTRA)]
        code = (
            "import importlib.metadata as metadata, json, platform, sys;"
            "versions = {name: metadata.version(name) for name in sys.argv[1:]};"
            "print(json.dumps({'Python': platform.python_version(), **versions}))"
        )
        return json.loads(self._python("-c", code, *names))

    def _python(self, *arguments: str) -> str:
        return _run([str(self.folder / "bin/python"), *arguments])


def requirements(*extras: str) -> Iterator[tuple[str, str]]:
    """Name and lowest version of each dependency that ``setup.py`` bounds from below.

    Args:
        extras: those whose dependencies are included; none named: all of them.
    """
    call: Any = next(node for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())) if _is_setup(node))
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    by_extra = given["extras_require"]
    of_extra = {key.value: listed for key, listed in zip(by_extra.keys, by_extra.values, strict=True)}
    seen = set()
    for listed in (given["install_requires"], *(of_extra[extra] for extra in extras or of_extra)):
        for node in ast.walk(listed):
            text = str(node.value) if isinstance(node, ast.Constant) else ""
            match = re.match(r"([\w.-]+)>=([\w.]+)", text)
            if match and match[1] not in seen:
                seen.add(match[1])
                yield match[1], match[2]


def _is_setup(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setup"


def oldest_versions() -> list[str]:
    """``name==version``, the lowest of each dependency that ``setup.py`` allows."""
    return [f"{name}=={version}" for name, version in requirements()]


def find_python(version: str) -> str | None:
    """The path of a Python of this version, on PATH or among those of pyenv; None without one."""
    pyenv = os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv"
    found = [shutil.which(f"python{version}"), *sorted(glob.glob(f"{pyenv}/versions/{version}.*/bin/python"))[::-1]]
    for path in filter(None, found):
        # A shim of pyenv is on PATH for each version that it has, and works for those that are active.
        code = "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2])"
        answer = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False).stdout.split()
        if answer[1:] == [version]:
            return answer[0]
    return None


def choose(names: Sequence[str], *, ends: bool) -> list[Environment]:
    """The environments that can be had here; says which Pythons are missing.

    Args:
        names: of environments; empty: the newest set on every Python, and the oldest set on the oldest.
        ends: the oldest set on the oldest Python and the newest on the newest, instead.
    """
    wanted = sorted({name.partition("-")[0] for name in names} or PYTHONS, key=lambda version: version.split("."))
    found = {version: path for version in wanted if (path := find_python(version))}
    missing = [version for version in wanted if version not in found]
    if missing:
        print(f"There is no Python {', '.join(missing)} here, neither on PATH nor in pyenv.", flush=True)
    every = [Environment(path, version, oldest) for version, path in found.items() for oldest in (True, False)]
    if names:
        return [environment for environment in every if environment.name in names]
    chosen = [environment for environment in every if not environment.oldest or environment.version == min(found)]
    return [chosen[0], chosen[-1]] if ends and chosen else chosen


def write_table(ran: Sequence[tuple[Environment, str]]) -> None:
    """Put the versions in each environment, and what pytest said of it, into CONTRIBUTING.md."""
    versions = [environment.versions() for environment, _ in ran]
    rows = [["", *(environment.name for environment, _ in ran)], ["---"] * (len(ran) + 1)]
    rows += [[name, *(column[name] for column in versions)] for name in versions[0]]
    rows += [["smoke tests", *(summary for _, summary in ran)]]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    before, _, rest = TABLE_IN.read_text(encoding="utf-8").partition(BEGIN)
    TABLE_IN.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def main(argv: Sequence[str]) -> int:
    """0: all tests passed; 1: some did not; 2: none of the environments that were asked for can be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [f"{version}-{which}" for version in PYTHONS for which in ("oldest", "newest")]
    parser.add_argument("names", nargs="*", metavar="PYTHON-SET", help="environments, such as 3.12-newest")
    parser.add_argument("--ends", action="store_true", help="the two ends only; each is removed when it was tested")
    args = parser.parse_args(argv)
    if unknown := [name for name in args.names if name not in every]:
        parser.error(f"{' '.join(unknown)}: an environment is one of {', '.join(every)}")
    chosen = choose(args.names, ends=args.ends)
    if not chosen:
        print("None of the Pythons that were asked for is here.")
        return 2
    ran, good = [], True
    with ThreadPoolExecutor(1) as pool:  # one is installed while the one before it is tested
        made = [pool.submit(environment.make) for environment in chosen]
        for environment, installed in zip(chosen, made, strict=True):
            begin = time.monotonic()
            installed.result()
            ready = time.monotonic()
            passed, summary = environment.test()
            good &= passed
            ran.append((environment, summary))
            seconds = f"waited {ready - begin:.0f} s for it to be installed, {time.monotonic() - ready:.0f} s to test"
            print(f"{environment.name}: {'passed' if passed else 'FAILED'} ({summary}; {seconds})", flush=True)
            if args.ends:
                print("  " + ", ".join(f"{name} {version}" for name, version in environment.versions().items()))
                shutil.rmtree(environment.folder)
    if good and not args.names and not args.ends:
        write_table(ran)
    return 0 if good else 1


def _run(command: Sequence[str]) -> str:
    finished = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{finished.stdout}{finished.stderr}")
    return finished.stdout


def _environment() -> dict[str, str]:
    """This process's environment, without what would show one Python the packages of another, or would compile what is
    imported anew in each process."""
    left_out = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if name not in left_out}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
