"""What the tests of studies share: their scripts as modules, runs that are done, and runs that a dry run plans."""

import importlib.util
import shlex
import sys
from pathlib import Path

import torch

from pvbias.config import complete, load_cfg
from pvbias.data import build_source, count_classes
from pvbias.engine.checkpoint import KEYS, checkpoint_path
from pvbias.report.results import RunResults, write_results


def script(path):
    """A script of a project as a module."""
    spec = importlib.util.spec_from_file_location("_".join(path.with_suffix("").parts[-2:]), path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_run(folder, results):
    """A run that is done: its results, and weights after two epochs."""
    run = RunResults(name=folder.name, model="r3d_small", num_classes=10, num_videos=10, data_fingerprint="0")
    run.results = results
    write_results(folder, run)
    path = checkpoint_path(str(folder), 2)
    path.parent.mkdir(parents=True)
    torch.save(dict.fromkeys(KEYS, 0), path)


def planned(study, out, capsys, *arguments):
    """The runs that a dry run names, each read as a configuration, by the name of their folder."""
    study.main(["--out", str(out), "--dry-run", *arguments])
    found = {}
    for line in capsys.readouterr().out.splitlines():
        _, _, _, config, *overrides = shlex.split(line)
        cfg = load_cfg(config, overrides)
        split = "train" if cfg.TRAIN.ENABLE else "test"
        found[Path(cfg.OUTPUT_DIR).name] = complete(cfg, num_classes=count_classes(build_source(cfg, split)))
    return found
