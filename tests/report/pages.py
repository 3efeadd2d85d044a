"""Pages of runs, and what a browser would make of them, for the tests of the report."""

from html.parser import HTMLParser

from pvbias.report import write_comparison, write_report, write_results


class Page(HTMLParser):
    """What a browser would make of a page: tags with attributes, and text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.skipping = [], "", False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.skipping = tag == "style"

    def handle_endtag(self, tag):
        self.skipping = False

    def handle_data(self, data):
        if not self.skipping:
            self.text += data

    def values(self, *names):
        return [attrs[name] for _, attrs in self.tags for name in names if name in attrs]


def page_of(tmp_path, *runs):
    folders = []
    for number, run in enumerate(runs):
        folders.append(tmp_path / f"run{number}")
        write_results(folders[-1], run)
    path = write_report(folders[0]) if len(runs) == 1 else write_comparison(folders, tmp_path / "out")
    return path.read_text(encoding="utf-8")


def words_of(html):
    return " ".join(Page(html).text.split())
