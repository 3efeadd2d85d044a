"""The Context that ``prepare`` gets: settings, videos by split, a folder, training and measuring of other networks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fvcore.common.config import CfgNode
from torch import Tensor

from .data import BadVideoLog, VideoSource, build_source, look_up
from .distributed import is_main_process
from .runtime import Settings

if TYPE_CHECKING:
    from .engine import Step
    from .evaluation import Evaluator, Result, VideoViews
    from .models import Outputs, Recognizer
    from .run.fitting import Fitted


class Context:
    """Resources for preparing an objective, an evaluator or a transform; the same in all processes.

    Attributes:
        cfg: completed configuration.
        settings: how models are run.
        measured: the videos that an evaluator that gets ready is about to be given; None where nothing is measured.
    """

    def __init__(self, cfg: CfgNode, settings: Settings, measured: VideoSource | None = None) -> None:
        self.cfg = cfg
        self.settings = settings
        self.measured = measured
        self._sources: dict[str, VideoSource] = {}

    def source(self, split: str) -> VideoSource:
        """The videos of "train", "val" or "test"; call in all processes.

        Raises:
            DataError: there are none, or too many are missing.
        """
        if split not in self._sources:
            videos = build_source(self.cfg, split)
            look_up(videos, BadVideoLog(self.cfg.OUTPUT_DIR, self.cfg.DATA.MAX_BAD_FRACTION), split=split)
            self._sources[split] = videos
        return self._sources[split]

    def workspace(self, name: str, fingerprint: str) -> Path:
        """The folder for what is made once and found again: ``OUTPUT_DIR/fitted/<name>-<fingerprint>``, not made yet.

        Args:
            name: of what is kept there.
            fingerprint: hexadecimal; of all that it depends on.
        """
        return Path(self.cfg.OUTPUT_DIR) / "fitted" / f"{name}-{fingerprint}"

    def fit(
        self,
        network: Recognizer,
        source: VideoSource,
        loss: Callable[[Step], dict[str, Tensor]],
        *,
        name: str,
        solver: CfgNode,
        depends_on: Mapping[str, Any] | None = None,
        held_out_loss: Callable[[VideoViews, Outputs], float] | None = None,
        labelled: bool = True,
    ) -> Fitted:
        """Train a network, go on with its training, or find it trained: :func:`pvbias.run.fitting.fit`. What is drawn
        afterwards is the same in all three cases."""
        from .engine.seeding import generators_kept
        from .run.fitting import fit  # which needs training and measuring, whose contracts name this class

        with generators_kept():
            return fit(
                self,
                network,
                source,
                loss,
                name=name,
                solver=solver,
                depends_on=depends_on or {},
                held_out_loss=held_out_loss,
                labelled=labelled,
            )

    def measure(
        self,
        network: Recognizer,
        videos: str | VideoSource,
        evaluators: Mapping[str, Evaluator],
        *,
        progress: bool = True,
    ) -> dict[str, Result]:
        """Run evaluators on the test views of a split's videos, such as the training videos, or of any others, in all
        processes; one that was killed goes on from there (:func:`pvbias.evaluation.run_evaluators`).

        Args:
            network: what to measure; it is placed on the device.
            videos: "train", "val" or "test"; or a source, whose files are all there.
            evaluators: by name.
            progress: show a progress bar.

        Returns:
            Results by name, in the main process; nothing in the others.

        Raises:
            DataError: there are no such videos, or too many are bad.
        """
        from .engine.seeding import generators_kept
        from .evaluation import run_evaluators  # whose contract names this class

        unfinished = Path(self.cfg.OUTPUT_DIR) / "fitted" / "measuring"
        split, source = (videos, self.source(videos)) if isinstance(videos, str) else ("other", videos)
        with generators_kept():
            results = run_evaluators(
                self.cfg,
                self.settings.place(network),
                source,
                evaluators,
                settings=self.settings,
                bad_log=BadVideoLog(self.cfg.OUTPUT_DIR, self.cfg.DATA.MAX_BAD_FRACTION),
                split=split,
                progress=progress,
                keep=unfinished,
            )
        if is_main_process():
            shutil.rmtree(unfinished, ignore_errors=True)
        return results

    def measured_by(self, network: Recognizer, split: str, evaluators: Mapping[str, Evaluator]) -> str:
        """The fingerprint, for :meth:`workspace`, of what :meth:`measure` with these arguments depends on: network,
        weights, videos, evaluators, configuration and their code."""
        from .evaluation.partial import measurement_fingerprint

        return measurement_fingerprint(self.cfg, network, self.source(split), evaluators, self.settings)
