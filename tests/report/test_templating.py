"""Pages from templates of pvbias and of plugins."""

import jinja2
import pytest

from pvbias.report.templating import render_template


def test_a_plugin_s_template_can_include_pvbias_s_own(tmp_path):
    template = tmp_path / "page.html"
    template.write_text('<style>{% include "report.css" %}</style>{{ name }}: {{ 2|counted("clip") }}')

    page = render_template(template, {"name": "<a>"}).decode()

    assert ":root {" in page
    assert page.endswith("&lt;a&gt;: 2 clips")


@pytest.mark.parametrize(("template", "error"), [("{{ nam }}", jinja2.UndefinedError), (None, jinja2.TemplateNotFound)])
def test_a_name_that_is_not_there_is_an_error(tmp_path, template, error):
    if template is not None:
        (tmp_path / "page.html").write_text(template)
    with pytest.raises(error):
        render_template(tmp_path / "page.html", {"name": "a"})
