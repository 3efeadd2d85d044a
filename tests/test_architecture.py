"""Arrows run one way: tools -> plugins -> core, and no plugin knows another."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def imported_by(path: Path, package: str) -> set[str]:
    """Absolute names of all modules that a file imports, anywhere in it."""
    parts = [*package.split("."), *path.relative_to(package_root(package)).with_suffix("").parts]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) + "." if node.level else ""
            names |= {f"{base}{node.module or ''}.{alias.name}".replace("..", ".") for alias in node.names}
    return names


def package_root(package: str) -> Path:
    return ROOT / {"pvbias": "pvbias", "pvbias.plugins": "plugins", "pvbias.tools": "tools"}[package]


def files(package: str) -> list[Path]:
    return sorted(package_root(package).rglob("*.py"))


@pytest.mark.parametrize("path", files("pvbias"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_imports_no_plugin_and_no_tool(path):
    wrong = {name for name in imported_by(path, "pvbias") if name.startswith(("pvbias.plugins", "pvbias.tools"))}
    assert not wrong


@pytest.mark.parametrize("path", files("pvbias.plugins"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_plugin_imports_no_other_plugin_and_no_tool(path):
    own = ".".join(("pvbias.plugins", *path.relative_to(ROOT / "plugins").parts[:1])).removesuffix(".py")
    for name in imported_by(path, "pvbias.plugins"):
        assert not name.startswith("pvbias.tools")
        assert not name.startswith("pvbias.plugins.") or f"{name}.".startswith(f"{own}.")


def test_every_plugin_has_a_readme():
    folders = [path.parent for path in (ROOT / "plugins").glob("*/__init__.py")]
    assert folders
    assert [folder.name for folder in folders if not (folder / "README.md").exists()] == []
