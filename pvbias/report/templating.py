"""Pages from templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2

from . import words


def render_template(name: str, context: Mapping[str, Any]) -> bytes:
    """A page as UTF-8: the same context gives the same bytes, a name that it lacks is an error.

    Args:
        name: of the file in ``templates/``.
        context: what the template shows.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pvbias.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = words.counted
    page = environment.get_template(name).render(context)
    return page.encode("utf-8", "replace")  # a file name in no encoding becomes "?"
