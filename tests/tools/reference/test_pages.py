"""Pages of the reference: READMEs with links that work, and each module once."""

import re
from pathlib import Path

import pytest

from pvbias.tools.reference.pages import find_packages, package_page, write_pages

ROOT = Path(__file__).parents[3]


def test_every_module_is_on_one_page():
    packages = find_packages()
    modules = [name for names in packages.values() for name in names]
    assert len(modules) == len(set(modules))
    folders = {"pvbias": "pvbias", "pvbias.plugins": "plugins", "pvbias.tools": "tools"}
    for package, folder in folders.items():
        files = {path.relative_to(ROOT / folder).with_suffix("") for path in (ROOT / folder).rglob("*.py")}
        there = {".".join((package, *path.parts)) for path in files if path.name != "__init__"}
        assert there - {"pvbias.tools.reference.conf"} <= set(modules)


def test_a_page_has_what_a_package_exports_and_its_modules():
    page = package_page("pvbias.clips", ["pvbias.clips.pathways", "pvbias.clips.spec"])
    assert page.startswith("pvbias.clips\n============\n")
    assert re.findall(r"automodule:: (.*)", page) == ["pvbias.clips", "pvbias.clips.pathways", "pvbias.clips.spec"]
    assert ":py:obj:`pvbias.clips.ClipSpec`" in page
    assert re.search(r"^- :py:mod:`spec <pvbias.clips.spec>`: \S", page, re.MULTILINE)


@pytest.fixture
def checkout(tmp_path):
    """Two READMEs that link to each other, to a module, a picture and a configuration."""
    (tmp_path / "pvbias" / "video").mkdir(parents=True)
    (tmp_path / "pvbias" / "video" / "frame_folder.py").touch()
    (tmp_path / "projects" / "study").mkdir(parents=True)
    for name in ("picture.png", "base.yaml"):
        (tmp_path / "projects" / "study" / name).write_text(name)
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        (tmp_path / name).write_text("# Title\n")
    (tmp_path / "README.md").write_text("[a](projects/study/README.md), [rule](pvbias/video/frame_folder.py)\n")
    text = (
        "![p](picture.png) [c](base.yaml) [back](../../README.md#t) [`m`](../../pvbias/video/frame_folder.py) [x](#y)\n"
    )
    (tmp_path / "projects" / "study" / "README.md").write_text(text)
    return tmp_path


def test_links_of_readmes(checkout, tmp_path):
    pages = tmp_path / "build" / "pages"
    write_pages(checkout, pages)
    first = (pages / "README.md").read_text()
    assert first.startswith("[a](projects/study/README.md), {py:mod}`rule <pvbias.video.frame_folder>`\n")
    assert "projects/study/README.md\n" in first[first.index("{toctree}") :]
    assert (pages / "projects" / "study" / "README.md").read_text() == (
        "![p](picture.png) [c](base.yaml) [back](../../README.md#t) {py:mod}`m <pvbias.video.frame_folder>` [x](#y)\n"
    )
    assert (pages / "projects" / "study" / "picture.png").read_text() == "picture.png"
    assert (pages / "api" / "pvbias.zoo.rst").exists()


def test_a_link_to_nothing(checkout, tmp_path):
    (checkout / "README.md").write_text("[a](projects/other.yaml)\n")
    with pytest.raises(FileNotFoundError, match=r"README\.md links to projects/other\.yaml"):
        write_pages(checkout, tmp_path / "build" / "pages")
