"""Pages of the reference: every README of the tree, and a page for each package."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

#: Package -> its folder in the checkout.
PACKAGES = {"pvbias": "pvbias", "pvbias.plugins": "plugins", "pvbias.tools": "tools"}

#: Title of a group of the table of contents -> the READMEs in it; the last groups are the API's, one for each package.
GROUPS = {
    "Guide": (
        "projects/guide/README.md",
        "projects/guide/your_data.md",
        "projects/guide/your_checkpoint.md",
        "projects/guide/reading_the_page.md",
        "projects/guide/choosing_a_remedy.md",
        "projects/guide/on_a_cluster.md",
        "projects/guide/writing_a_plugin.md",
    ),
    "Project": ("CONTRIBUTING.md", "CHANGELOG.md"),
    "Core": ("pvbias/*/README.md",),
    "Plugins": ("plugins/*/README.md",),
    "Studies": ("projects/**/README.md", "projects/scaling/speed.md", "projects/scaling/gpu.md"),
}

#: A link or picture of a Markdown file, but for one into the same page or to another site.
_LINK = re.compile(r"\[([^]]*)\]\((?!#|[a-z]+:)([^)#\s]+)(#[^)\s]+)?\)")


def write_pages(root: Path, pages: Path) -> None:
    """Write the sources of the reference.

    Args:
        root: of the checkout.
        pages: folder, made anew; afterwards ``README.md`` is its first page.

    Raises:
        FileNotFoundError: a README links to a file that is not there.
    """
    shutil.rmtree(pages, ignore_errors=True)
    packages = find_packages()
    contents: list[str] = []
    placed: set[str] = set()
    for title, patterns in GROUPS.items():
        found = [sorted(path.relative_to(root).as_posix() for path in root.glob(pattern)) for pattern in patterns]
        names = [name for each in found for name in each if name not in placed]
        placed.update(names)
        contents.append(_toctree(title, names))
        for name in names:
            package = _module_name(Path(name).with_name("__init__.py"))
            more = f"\nModules, classes and functions: {{py:mod}}`{package}`" if package in packages else ""
            _copy_markdown(root, pages, name, more)
    for package, modules in packages.items():
        page = pages / "api" / f"{package}.rst"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(package_page(package, modules), encoding="utf-8")
    contents.append(_toctree("API", [f"api/{package}.rst" for package in packages]))
    _copy_markdown(root, pages, "README.md", "\n".join(contents))


def find_packages() -> dict[str, list[str]]:
    """All packages, with the names of the modules in each."""
    packages: dict[str, list[str]] = {package: [] for package in PACKAGES}
    for package in PACKAGES:
        for _, name, is_package in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if is_package:
                packages[name] = []
            elif name != f"{__package__}.conf":  # for Sphinx alone to run
                packages[name.rpartition(".")[0]].append(name)
    return dict(sorted(packages.items()))


def package_page(package: str, modules: Sequence[str]) -> str:
    """The page of a package, reStructuredText: its docstring, what it exports, and each of its modules."""
    exported = getattr(importlib.import_module(package), "__all__", ())
    text = _heading(package, "=") + f".. automodule:: {package}\n\n"
    text += "".join(f"- :py:mod:`{name.rpartition('.')[2]} <{name}>`: {summary(name)}\n" for name in modules)
    if exported:
        text += "\nExports " + ", ".join(f":py:obj:`{package}.{name}`" for name in exported) + ".\n"
    return text + "".join(f"\n{_heading(name.rpartition('.')[2], '-')}.. automodule:: {name}\n" for name in modules)


def _heading(title: str, line: str) -> str:
    return f"{title}\n{line * len(title)}\n\n"


def summary(module: str) -> str:
    """The first paragraph of a module's docstring, in one line."""
    return " ".join((importlib.import_module(module).__doc__ or "").partition("\n\n")[0].split())


def _toctree(title: str, names: list[str]) -> str:
    return "\n".join([f"```{{toctree}}\n:hidden:\n:caption: {title}\n:maxdepth: 1\n", *names, "```\n"])


def _copy_markdown(root: Path, pages: Path, name: str, more: str = "") -> None:
    """Copy a Markdown file with what it links to; links to a module become cross-references."""
    folder = (root / name).parent

    def follow(link: re.Match) -> str:
        path = folder / link[2]
        module = _module_name(path.resolve().relative_to(root.resolve()))
        if module:
            return f"{{py:mod}}`{link[1].strip('`')} <{module}>`"
        if not path.is_file():
            raise FileNotFoundError(f"{name} links to {link[2]}, which is no file.")
        if path.suffix != ".md":
            copy = pages / path.resolve().relative_to(root.resolve())
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        return link[0]

    text = _LINK.sub(follow, (root / name).read_text(encoding="utf-8"))
    page = pages / name
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(f"{text}\n{more}" if more else text, encoding="utf-8")


def _module_name(path: Path) -> str | None:
    """The module or package that a file of the checkout is; None where it is none, as those of the studies."""
    for package, folder in PACKAGES.items():
        if path.parts[0] == folder and path.suffix == ".py":
            return ".".join((package, *path.with_suffix("").parts[1:])).removesuffix(".__init__")
    return None
