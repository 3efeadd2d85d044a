"""What is installed and distributed."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pvbias

ROOT = Path(__file__).parents[1]


def test_public_names_are_listed_and_found_without_torch():
    program = """
import sys, pvbias
names = [name for name in dir(pvbias) if not name.startswith("__")]
assert names == ["ClipSpec", "Recognizer", "load_cfg", "measure"], names
assert "torch" not in sys.modules
assert all(callable(getattr(pvbias, name)) for name in names)
try:
    pvbias.mesure
except AttributeError as error:
    assert "mesure" in str(error)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    assert set(pvbias.__all__) <= set(dir(pvbias))


def test_an_installation_has_the_templates_of_core_and_plugins(tmp_path):
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", tmp_path, "build", "-b", tmp_path / "build"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)

    built = tmp_path / "build" / "lib" / "pvbias"
    installed = {path.relative_to(built) for path in built.rglob("templates/*")}
    for package, folder in (("", "pvbias"), ("plugins", "plugins")):
        own = {Path(package) / path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("templates/*")}
        assert own
        assert own <= installed


def test_a_source_distribution_is_the_whole_tree(tmp_path):
    """All that is not made anew, so that it can be tested and its studies run."""
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", tmp_path, "sdist", "-d", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)

    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        packed = {member.name.partition("/")[2] for member in tar.getmembers() if member.isfile()}
        (info,) = [name for name in tar.getnames() if name.count("/") == 1 and name.endswith("/PKG-INFO")]
        known = tar.extractfile(info).read().decode().splitlines()
    folders = ("findings", "plugins", "projects", "pvbias", "tests", "tools")
    files = {path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()}
    files |= {path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".")}
    made = ("__pycache__", ".egg-info", ".DS_Store", ".mypy_cache", ".ruff_cache", ".pytest_cache")
    wanted = {str(path.relative_to(ROOT)) for path in files if not any(part in str(path) for part in made)}
    assert {"README.md", "CHANGELOG.md", "CITATION.cff", "pvbias/py.typed", "plugins/drl/README.md"} <= wanted
    assert not wanted - packed
    for line in ("Author: The pvbias authors", "Classifier: Typing :: Typed"):
        assert line in known
    assert any(line.startswith(("Home-page: https://", "Project-URL:")) for line in known)
