"""The log file of a run: the console's messages, kept in its folder."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import __version__
from ..distributed import is_main_process

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


def _note(handler: logging.Handler, level: int, text: str) -> None:
    """A line in the file only."""
    handler.handle(logging.LogRecord(__name__, level, "", 0, text, None, None))
