"""The log of a run: its file, with the console's messages, and what its first lines warn of."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fvcore.common.config import CfgNode

from .. import __version__
from ..distributed import is_main_process
from ..runtime import issues_at_hand
from ..versions import versions

logger = logging.getLogger(__name__)

FILE_NAME = "log.txt"


@contextmanager
def kept_log(folder: str | Path) -> Iterator[None]:
    """Append everything that is logged meanwhile to ``log.txt`` in a folder, which is made when missing; first the
    command, and last the error that ends the run, if one does. In the main process of a run; the others have no file.

    What is logged is what the program has chosen to (``logging``'s root level): the programs of pvbias log from INFO
    on, a script of your own warnings only, unless it says more.
    """
    if not is_main_process():
        yield
        return
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder / FILE_NAME, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        _note(handler, logging.INFO, f"pvbias {__version__}: {shlex.join(sys.argv)}")
        yield
    except BaseException as error:
        # Console and exit code are the caller's matter.
        _note(handler, logging.ERROR, f"{type(error).__name__}: {error}")
        raise
    finally:
        root.removeHandler(handler)
        handler.close()


def log_known_issues(cfg: CfgNode) -> None:
    """Warn of what is known to be wrong or slow of the torch at hand, as this run uses it (:mod:`pvbias.known_issues`).
    In the main process of a run."""
    if is_main_process():
        for issue in issues_at_hand(cfg):
            logger.warning("Known of torch %s: %s", versions()["torch"], issue)


def _note(handler: logging.Handler, level: int, text: str) -> None:
    """A line in the file only."""
    handler.handle(logging.LogRecord(__name__, level, "", 0, text, None, None))
