"""The control of the trajectories: nearest motions by hand, and the table's two ways."""

from pathlib import Path

import numpy as np

from .studies import script

PROJECT = Path(__file__).parents[2] / "projects" / "temporality"


def test_the_nearest_motion_is_that_of_the_smallest_sum_of_squares():
    study = script(PROJECT / "trajectories.py")
    known = np.array([[[0, 0], [0, 1]], [[0, 1], [0, 0]]], float)  # down, up
    queries = np.array([[[0, 0.2], [0, 0.9]], [[0, 0.8], [0.1, 0]]])
    assert study.nearest(queries, known, np.array([7, 3])).tolist() == [7, 3]
    assert study.nearest(queries[:, ::-1], known, np.array([7, 3])).tolist() == [3, 7]


def test_both_ways_are_in_the_table(capsys):
    study = script(PROJECT / "trajectories.py")
    assert study.main(["--each", "2"]) == 0
    _, _, walk, greedy = capsys.readouterr().out.splitlines()
    assert walk.startswith("| `walk` |")
    assert greedy.startswith("| `greedy` |")
    assert walk.split("|")[2:] != greedy.split("|")[2:]
