"""What keeps the figures of runs from being compared just like that."""

from .pages import page_of, words_of
from .runs import labelled_run


def test_runs_that_do_not_compare_are_marked(tmp_path):
    other = labelled_run("other", data_fingerprint="f2", clip_seconds=2.0, precision="bf16", views="10 clips")

    text = words_of(page_of(tmp_path, labelled_run("first"), other))

    for warning in (
        "videos are not the same",
        "sampled differently",
        "Number formats differ",
        "different views",
    ):
        assert warning in text


def test_labels_are_the_same_where_their_numbers_or_their_names_are(tmp_path):
    def warned(first, second):
        runs = [labelled_run(name, label_fingerprints=prints) for name, prints in (("a", first), ("b", second))]
        return "labelled differently" in words_of(page_of(tmp_path, *runs))

    assert not warned(["n1", ""], ["n1", "c1"])  # names for the same numbers
    assert not warned(["n1", "c1"], ["n2", "c1"])  # the same classes, numbered otherwise
    assert not warned([], ["n1", "c1"])  # an older run
    assert warned(["n1", "c1"], ["n2", "c2"])
    assert warned(["n1", ""], ["n2", "c1"])


def test_runs_on_the_same_footing_are_not(tmp_path):
    text = words_of(page_of(tmp_path, labelled_run("first"), labelled_run("second", seed=7)))

    assert "Compare with care" not in text
