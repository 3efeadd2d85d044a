"""The main job on real videos, good and bad, where they are at hand."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from pytorchvideo.models.hub import x3d_xs

DATA = os.environ.get("PVBIAS_REAL_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="PVBIAS_REAL_DATA does not name a folder of real videos")


def test_bad_videos_among_good_ones(tmp_path):
    """84 odd and broken files in a good set: every file is measured or listed, and no process is left behind."""
    good = sorted((Path(DATA) / "clips" / "ut_interaction_set1").glob("*.avi"))[:10]
    nasty = sorted(path for path in (Path(DATA) / "nasty").rglob("*") if path.is_file() and path.suffix != ".tsv")
    assert len(nasty) >= 84
    listing = tmp_path / "mixed.jsonl"
    listing.write_text("".join(json.dumps({"path": str(path)}) + "\n" for path in [*nasty, *good]))
    weights = tmp_path / "weights.pyth"
    torch.save({"model_state": x3d_xs(model_num_class=5).state_dict()}, weights)
    program = [sys.executable, "-m", "pvbias.tools.main", "measure", "--model", "x3d_xs", "--weights", str(weights)]
    keys = ["DATA.MAX_BAD_FRACTION", "0.7", "BIAS.BOOTSTRAP_SAMPLES", "100"]
    keys += ["TEST.NUM_ENSEMBLE_VIEWS", "1", "TEST.NUM_SPATIAL_CROPS", "1"]
    arguments = ["--data", str(listing), "--out", str(tmp_path / "out"), "--workers", "2", "--crop-size", "64"]
    with subprocess.Popen(
        [*program, *arguments, "--metrics", "dynamic_score", "--set", *keys],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        _, messages = process.communicate(timeout=400)
        assert process.returncode == 0, messages
        until = time.monotonic() + 10  # the server that workers were forked from ends once it finds itself alone
        while (others := others_in_group(process.pid)) and time.monotonic() < until:
            time.sleep(0.1)
        assert not others
    run = json.loads((tmp_path / "out" / "results.json").read_text())["run"]
    listed = {bad["path"] for bad in run["bad_videos"]}
    assert run["num_videos"] + len(listed) == len(nasty) + len(good)
    assert not listed & {str(path) for path in good}
    assert {bad["cause"] for bad in run["bad_videos"]} <= {
        "unreadable",
        "no video stream",
        "no decodable frame",
        "decoder error",
    }


def others_in_group(group: int) -> list[str]:
    """Command lines of the processes still alive in a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append((stat.parent / "cmdline").read_text())
        except OSError:  # it has ended meanwhile
            continue
    return found
