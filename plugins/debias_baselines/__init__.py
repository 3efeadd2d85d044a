"""Debiasing losses of the literature: RUBi, Learned-Mixin, ReBias, ALBAR, a scene adversary; controls of sharpening."""

from fvcore.common.config import CfgNode

from pvbias.clips import FREEZE_FRAMES
from pvbias.config.keys import Effect, above, at_least, between, declare, one_of

from .albar import ALBAR, PENALTY_NORMS
from .controls import EntropyPenalty, OtherClipDivergence, TemperedCrossEntropy
from .ensembles import LearnedMixin, RUBi
from .rebias import ReBias
from .scene_adversary import SceneAdversary

__all__ = [
    "ALBAR",
    "EntropyPenalty",
    "LearnedMixin",
    "OtherClipDivergence",
    "RUBi",
    "ReBias",
    "SceneAdversary",
    "TemperedCrossEntropy",
    "add_config",
]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys."""
    declare(cfg, "RUBI.WEIGHT", 1.0, "RUBi: weight of the loss of the classifier on the biased features.", at_least(0))
    declare(
        cfg,
        "LEARNED_MIXIN.ENTROPY_WEIGHT",
        0.36,
        "LearnedMixin: weight w of the entropy of the scaled bias. The paper's for VQA-CP, and that of ReBias' code; "
        "0: Learned-Mixin without it.",
        at_least(0),
    )
    declare(cfg, "REBIAS.WEIGHT", 1.0, "lambda: weight of HSIC in the recognizer's loss.", at_least(0))
    declare(cfg, "REBIAS.STUDENT_WEIGHT", 1.0, "lambda_g: weight of the student's classification loss.", at_least(0))
    declare(
        cfg,
        "REBIAS.WIDTHS_FROM",
        0.25,
        "Part of an epoch's mini-batches that the widths of ReBias' kernels are measured on, before training.",
        between(0, 1),
    )
    declare(cfg, "ALBAR.STILL_WEIGHT", 1.0, "w_s: weight of the loss on still clips, which is maximised.", at_least(0))
    declare(
        cfg, "ALBAR.ENTROPY_WEIGHT", 4.25, "w_e: weight of the entropy on still clips, which is maximised.", at_least(0)
    )
    declare(cfg, "ALBAR.PENALTY_WEIGHT", 10.0, "w_g: weight of the gradient penalty on still clips.", at_least(0))
    declare(
        cfg,
        "ALBAR.PENALTY_NORM",
        "columns",
        "The penalty is the norm of each column of pixels, as in the released code, or of each clip's whole gradient, "
        "which is about the root of the crop's width times as large.",
        one_of(*PENALTY_NORMS),
    )
    declare(
        cfg,
        "ALBAR.FRAME",
        "random",
        "The frame that a still clip repeats; random: anew for each clip in each step. The released configuration has "
        "the middle one, which would train on exactly what dynamic_score measures.",
        one_of(*FREEZE_FRAMES),
    )
    _add_scene_adversary(cfg)
    declare(
        cfg,
        "ENTROPY_PENALTY.WEIGHT",
        0.5,
        "EntropyPenalty: weight of the entropy of predictions, as DRL.LAMBDA; below 0: sure predictions are penalised.",
    )
    declare(cfg, "TEMPERED.TEMPERATURE", 2.0, "TemperedCrossEntropy: what logits are divided by in training.", above(0))
    declare(cfg, "OTHER_CLIP.LAMBDA", 0.5, "OtherClipDivergence: weight of the divergence, as DRL.LAMBDA.", at_least(0))


def _add_scene_adversary(cfg: CfgNode) -> None:
    declare(cfg, "SCENE_ADVERSARY.ATTRIBUTE", "scene", "Attribute of the videos that says the scene.")
    declare(
        cfg,
        "SCENE_ADVERSARY.CLASSIFIER",
        "",
        "Name in the STUDENT registry of an image classifier whose probabilities are the scene; empty: the attribute.",
    )
    declare(
        cfg, "SCENE_ADVERSARY.CHECKPOINT_FILE_PATH", "", "Its weights: a path, or an https URL.", effect=Effect.CONTENT
    )
    declare(cfg, "SCENE_ADVERSARY.CLASSES", 365, "Scenes that it tells.", at_least(2), unit="scenes")
    declare(cfg, "SCENE_ADVERSARY.REVERSAL", 1.0, "Factor of the reversed gradient (SDN: alpha).", at_least(0))
    declare(cfg, "SCENE_ADVERSARY.HIDDEN_LAYERS", 3, "Hidden layers of the adversary.", at_least(0), unit="layers")
    declare(
        cfg,
        "SCENE_ADVERSARY.MASK_WEIGHT",
        0.0,
        "w_m: weight of the entropy of clips without their foreground, which is maximised (SDN: 1, with REVERSAL 0.5); "
        "0: no masks are needed.",
        at_least(0),
    )
