"""``pvbias``: the one command in front of all programs."""

from __future__ import annotations

import atexit
import gc
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence

from pvbias import __version__
from pvbias.errors import PvbiasError, did_you_mean
from pvbias.interruption import Interrupted, Stopped, answering_signals, exit_code

#: command -> (module of this package, one line of help)
COMMANDS = {
    "demo": ("demo", "train a model on motion and one on appearance, measure both: a page to look at in minutes"),
    "run": ("run_net", "train, test and measure as a YAML configuration says"),
    "measure": ("measure", "measure the bias of a model on a folder or list of videos; no configuration needed"),
    "predict": ("predict", "predict the classes of single videos, as they are and with their time changed"),
    "check": ("check", "look whether the videos of a list decode, and its labels are classes of a model"),
    "features": ("features", "extract features of a list of videos once, for probes and whatever else reads arrays"),
    "compare": ("compare", "put two or more measured runs side by side on one page"),
    "decoded": ("decoded", "show what the decoders of a training make of test clips"),
    "transfer": ("transfer", "judge features of frozen networks on other data: probes, few-shot episodes"),
    "fuse": ("fuse", "average what several runs say of the same videos (late fusion, as of RGB and flow)"),
    "join": ("join", "join a model on RGB and one on optical flow to one two-stream network"),
    "profile": ("profile_models", "draw how temporal the kernels of networks are over depth; no videos needed"),
    "data": (
        "data",
        "write the lists of known data sets from their official files; show lists, their copies, their labels",
    ),
    "prepare": ("prepare", "re-encode a data set once, so that decoding it is fast"),
    "flow": ("flow", "estimate the optical flow of a data set once, for training"),
    "make-videos": ("make_videos", "write the generated videos of a configuration as files"),
    "inspect": ("inspect_checkpoint", "say what a checkpoint is, and which models it fits"),
    "export": ("export", "write a trained model as PyTorchVideo, SlowFast or torchvision load it"),
    "submit": ("submit", "do what `pvbias run` does as a job on a Slurm cluster, or a sweep as many"),
    "jobs": ("jobs", "list the jobs submitted with an output folder: state, attempt, last line of the log"),
    "list": ("list", "list models, objectives, evaluators, modulations, data sets"),
    "env": ("env", "describe this installation and machine: what to paste into a bug report"),
    "benchmark": ("benchmark", "time decoding, measuring and training on this machine"),
}

HELP = f"""pvbias {__version__}: how much does an action recogniser lean on static appearance instead of motion?

usage: pvbias COMMAND ...

{{commands}}

examples:
  pvbias measure --model x3d_s --weights zoo://pytorchvideo/x3d_s/kinetics400 --data videos/val.csv --out runs/x3d_s
  pvbias run --cfg my.yaml SOLVER.BASE_LR 0.01 OUTPUT_DIR runs/mine
  pvbias compare runs/x3d_s runs/mine --out runs/comparison

`pvbias COMMAND --help` explains one command.
exit codes: 0 done, 1 bug, 2 command line or configuration, 3 data, 4 weights, 5 training, 6 cluster,
  stopped by 130 Ctrl-C, 143 SIGTERM"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    if argv is None:
        # The last thing that Python would do is to look through all objects of all modules, for a second.
        atexit.register(gc.freeze)
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        commands = "\n".join(f"  {name:11} {text}" for name, (_, text) in COMMANDS.items())
        print(HELP.format(commands=commands))
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        print(__version__)
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"pvbias: no command {name!r}. {did_you_mean(name, COMMANDS)}", file=sys.stderr)
        return 2
    return guard(importlib.import_module(f"{__package__}.{COMMANDS[name][0]}").main, rest)


def guard(program: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """Run a program; errors that a user can act on become one message and their exit code."""
    logging.basicConfig(format="%(asctime)s %(levelname).1s %(message)s", datefmt="%H:%M:%S", level=logging.INFO)
    try:
        with answering_signals():
            try:
                return program(argv)
            except (Interrupted, Stopped) as stop:
                print(f"pvbias: {stop}", file=sys.stderr)
                return exit_code()
    except PvbiasError as error:
        print(f"pvbias: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("pvbias: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone; what is left to print has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
