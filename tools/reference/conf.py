"""Sphinx's configuration of the reference; run by ``make reference``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util.nodes import make_refnode

from pvbias import __version__
from pvbias.tools.reference.names import full_names
from pvbias.tools.reference.pages import write_pages

project = "pvbias"
author = copyright = "The pvbias authors"
release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode", "myst_parser"]
root_doc = "README"
html_theme = "furo"
html_title = f"pvbias {release}"

nitpicky = True  # a cross-reference to nothing is a warning
default_role = "code"

autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "show-inheritance": True,
    "ignore-module-all": True,  # what a package re-exports is described where it is defined
}
autodoc_inherit_docstrings = False
toc_object_entries = False  # they would make the navigation of every page long, and slow to build
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
myst_heading_anchors = 4

_DOCSTRINGS: Any = Config(napoleon_use_rtype=False)


def setup(app: Sphinx) -> None:
    """Connect what this configuration adds to Sphinx."""
    # Before Sphinx looks for pages.
    app.connect("builder-inited", lambda app: write_pages(Path(__file__).parents[2], Path(app.srcdir)))
    app.connect("autodoc-process-docstring", _read_google_style)
    app.connect("autodoc-skip-member", _skip_defaults)
    app.connect("missing-reference", _resolve)


def _read_google_style(app: Sphinx, what: Any, name: str, documented: Any, options: Any, lines: list[str]) -> None:
    # Not with sphinx.ext.napoleon itself, which takes what is before a colon in an attribute's docstring for its type.
    kind: Any = "" if what in ("attribute", "data", "property") else what
    lines[:] = GoogleDocstring(lines, _DOCSTRINGS, app, kind, name, documented, options).lines()


def _skip_defaults(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    # Of a class's fields, which its docstring describes: the default values, some of which have docstrings, too.
    is_function = callable(member) and "." not in getattr(member, "__qualname__", "")
    is_field = is_function or isinstance(member, torch.dtype) or type(member).__name__ == "_tuplegetter"
    return True if what == "class" and is_field else None


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.Element | None:
    # Names that a package re-exports or that the module imports become links to where they are defined. Those of Python
    # and other libraries, and private ones, are plain text, and have to exist; so are types that only type checkers
    # know. All others are warnings, as are those of objects without a docstring.
    if node.get("refdomain") != "py":
        return None
    objects = env.get_domain("py").objects  # type: ignore[attr-defined]
    for name in full_names(node["reftarget"].lstrip("."), node.get("py:module"), node.get("py:class")):
        if name in objects:
            entry = objects[name]
            return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name)
        if name.partition(".")[0] != "pvbias" or any(part.startswith("_") for part in name.split(".")):
            return contnode
    is_written_by_hand = "refexplicit" in node
    return None if is_written_by_hand else contnode
