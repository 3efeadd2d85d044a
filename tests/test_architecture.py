"""Arrows run one way: tools -> plugins -> core, and no plugin knows another."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pvbias.config import get_cfg, load_cfg
from pvbias.config.effects import flat
from pvbias.plugin_loading import load_plugins
from pvbias.registries import ALL, EVALUATOR, OBJECTIVE

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


def names_of_methods() -> list[str]:
    """Evaluators, objectives and configuration keys (by their section, where it is their own) of built-in plugins."""
    plugins = [module for module in load_plugins() if module.__name__.startswith("pvbias.plugins.")]
    registered = [
        name
        for registry in (EVALUATOR, OBJECTIVE)
        for name in registry.names()
        if registry.origin(name).startswith("pvbias.plugins.")
    ]
    cfg = get_cfg()
    sections, keys = {key.partition(".")[0] for key, _ in flat(cfg)}, dict(flat(cfg))
    for plugin in plugins:
        if hasattr(plugin, "add_config"):
            plugin.add_config(cfg)
    # Keys of a stream are the core's, under the name that a plugin gives it.
    added = [key.split(".") for key, _ in flat(cfg) if key not in keys and not key.startswith("DATA.STREAMS.")]
    return sorted({*registered, *(parts[-1] if parts[0] in sections else parts[0] for parts in added)})


def test_the_core_names_no_method():
    """Not in code, comments, templates or its pages to read: a method is known to its plugin alone."""
    names = names_of_methods()
    assert {"dynamic_score", "Rev2Net", "DRL", "SELF_CONVOLUTION_DELTA"} <= set(names)
    word = re.compile(rf"\b({'|'.join(map(re.escape, names))})\b")
    kinds = {".py", ".html", ".css", ".md", ".yaml", ".txt", ".json"}
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in sorted((ROOT / "pvbias").rglob("*"))
        if path.suffix in kinds
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for match in word.finditer(line)
    ]
    assert found == []


def test_no_tool_takes_the_name_of_a_standard_module():
    """`python tools/run_net.py` puts tools/ first on the search path, where it would be found instead."""
    assert not {path.stem for path in files("pvbias.tools")} & set(sys.stdlib_module_names)


#: Loads the tree in each folder that it is given, and writes what is registered and reported into ``out`` and ``err``
#: there. Each in a fork, so that what all of them import is imported once.
LOADER = """
import importlib.util, os, sys, pathlib
import av, fvcore.common.config, jinja2, matplotlib, pytorchvideo.models.hub, safetensors, torch, torchvision, yaml

sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]  # of the whole tree
for root in map(pathlib.Path, sys.argv[1:]):
    if os.fork():
        assert os.wait()[1] == 0, root
        continue
    sys.stdout, sys.stderr = open(root / "out", "w"), open(root / "err", "w")
    for name, folder in (("pvbias", "pvbias"), ("pvbias.plugins", "plugins"), ("pvbias.tools", "tools")):
        place = str(root / folder)
        spec = importlib.util.spec_from_file_location(name, place + "/__init__.py", submodule_search_locations=[place])
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    from pvbias.config import load_cfg
    from pvbias.registries import ALL
    load_cfg()
    for kind, registry in ALL.items():
        for name in registry.names():
            print(kind, name)
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(0)
"""


def test_everything_else_works_without_a_plugin(tmp_path):
    """Delete a plugin's folder: it is reported, and what the others registered is there."""
    plugins = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py"))
    for plugin in plugins:
        (tmp_path / plugin / "plugins").mkdir(parents=True)
        others = [path for path in (ROOT / "plugins").iterdir() if path.name != plugin]
        for path in (ROOT / "pvbias", ROOT / "tools", *others):
            (tmp_path / plugin / path.relative_to(ROOT)).symlink_to(path)
    folders = [str(tmp_path / plugin) for plugin in plugins]
    done = subprocess.run([sys.executable, "-c", LOADER, *folders], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, [done.stderr, *(path.read_text() for path in tmp_path.glob("*/err"))]
    load_cfg()
    registered = {
        (kind, name): registry.origin(name) + "." for kind, registry in ALL.items() for name in registry.names()
    }
    # And not of another test.
    registered = {entry: origin for entry, origin in registered.items() if origin.startswith("pvbias.")}
    for plugin in plugins:
        assert f"pvbias.plugins.{plugin}" in (tmp_path / plugin / "err").read_text()
        own = f"pvbias.plugins.{plugin}."
        expected = {f"{kind} {name}" for (kind, name), origin in registered.items() if not origin.startswith(own)}
        assert len(expected) < len(registered)
        assert set((tmp_path / plugin / "out").read_text().splitlines()) == expected, plugin


def test_every_plugin_has_a_readme():
    folders = [path.parent for path in (ROOT / "plugins").glob("*/__init__.py")]
    assert folders
    assert [folder.name for folder in folders if not (folder / "README.md").exists()] == []


#: Tests that are of no single module: of the whole, of this tree, of all plugins alike.
WHOLE = {
    "test_architecture",
    "test_devices",
    "test_end_to_end",
    "test_flow_to_loss",
    "test_half_precision",
    "test_kills",
    "test_matrix",
    "test_measuring_from_python",
    "test_mutants",
    "test_package",
    "test_readmes",
    "test_real_videos",
    "test_training_steps",
    "plugins/test_catalogue",
    "plugins/test_sampling_rules",
}


def modules_tested_by(test: Path) -> list[Path]:
    """Where the module, package or README may be that a test is named after: ``x_y`` of ``test_x_y_in_detail.py`` in
    the folder that the test's own mirrors."""
    folder = test.relative_to(ROOT / "tests").parent
    source = (
        ROOT / folder if folder.parts[:1] in (("plugins",), ("tools",), ("projects",)) else ROOT / "pvbias" / folder
    )
    words = test.stem.split("_")[1:]
    names = ["_".join(words[:count]) for count in range(len(words), 0, -1)]
    readme = [source / "README.md"] if names[0] == "readme" else []
    return readme + [path for name in names for path in (source / f"{name}.py", source / name)]


def test_a_test_is_named_after_what_it_tests():
    """So that the tests of a module are found by its name."""
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    unknown = {
        test.relative_to(ROOT / "tests").with_suffix("").as_posix()
        for test in tests
        if not any(path.exists() for path in modules_tested_by(test))
    }
    assert unknown == WHOLE
