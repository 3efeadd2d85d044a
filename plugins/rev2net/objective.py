"""Rev2Net (Yao et al., *Multi-task learning of generalizable representations for video action recognition*)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from pvbias.clips import view_seeds
from pvbias.engine import Objective, Phase, Step
from pvbias.errors import ConfigError
from pvbias.models import EMBEDDING, Recognizer, evaluation_mode
from pvbias.needs import Needs
from pvbias.registries import DECODER, OBJECTIVE
from pvbias.transfers import to_device

from .controls import FLOW_TARGETS, flow_target
from .decoders import Decoded
from .penalties import frobenius, gaussian_divergence, low_level_discrepancy
from .taps import choose_tap

#: Of the maps that latent samples are spread out to: channels, height and width.
_LATENT_CHANNELS, _LATENT_SIDE = 16, 4
#: Log-variances stay between plus and minus this: a step that is too long must not make a variance infinite.
_LOG_VARIANCE_BOUND = 5.0


class Decodings(NamedTuple):
    """The decoders' predictions for clips.

    Attributes:
        flow: ``(N, 2, T, H, W)``, pixels to the right and down; None without a flow decoder.
        frames: ``(N, 3, T, H, W)`` in [0, 1], the clip's last frame first; None without a frame decoder.
    """

    flow: Tensor | None
    frames: Tensor | None


class _Gaussian(nn.Module):
    """One task's Gaussian on the encoder's high-level features, and the map that a sample of it adds to the low-level
    ones.

    Args:
        features: D of the high-level features.
        latent: L.
        num_frames: t of the map.
    """

    def __init__(self, features: int, *, latent: int, num_frames: int) -> None:
        super().__init__()
        self.mean = nn.Linear(features, latent)
        self.log_variance = nn.Linear(features, latent)
        self.spread = nn.Linear(latent, _LATENT_CHANNELS * num_frames * _LATENT_SIDE**2)
        self.shape = (_LATENT_CHANNELS, num_frames, _LATENT_SIDE, _LATENT_SIDE)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance ``(N, L)``, float32, of features ``(N, D)``."""
        raw = self.log_variance(features).float()
        return self.mean(features).float(), _LOG_VARIANCE_BOUND * (raw / _LOG_VARIANCE_BOUND).tanh()

    def map(self, latents: Tensor, size: torch.Size) -> Tensor:
        """A feature map of this size (t, h, w) from latents ``(N, L)``."""
        return F.interpolate(self.spread(latents).unflatten(1, self.shape), size=size, mode="trilinear")


@OBJECTIVE.register()
class Rev2Net(Objective):
    """Classification, flow prediction and reversed-frame reconstruction from one encoder, with the decoding discrepancy
    penalties between the two decoders (eq. 3)::

        L_CE + alpha * L_high + beta * L_low + lambda_flow * |O - O^|_F + lambda_im * |I - I^|_F

        clip -> recognizer -+-> logits                                                       L_CE
                            +-> features that the final projection sees, averaged over positions
                            |     -> two Gaussians -> L_high = KL(N_flow || N_frames); a sample each -> z_flow, z_frames
                            +-> tap (in a convolutional network a quarter of the clip's height and width)
                                  -> with z_flow   -> FlowDecoder  -> hidden, O^  }
                                  -> with z_frames -> FrameDecoder -> hidden, I^  }          L_low between the hidden

    One phase: everything is trained together, with ``SOLVER``. I^ is compared with the clip in reversed order, in
    [0, 1], O^ with the optical flow in pixels.

    Every norm is that of one clip's whole tensor, a root of a *sum* of squares, and then the mean over the mini-batch
    (:func:`.penalties.frobenius`). The paper gives no divisor, and its weights are those of this reading; the loss
    and what the decoders' weights get of it grow with the number of pixels. ``REV2NET.NORM`` has the other reading.

    Which sample is drawn depends on the video's name, the seed and the step: not on how many processes there are, and
    it takes nothing from the random numbers that the recognizer's dropout gets. With all weights 0 the recognizer is
    trained with plain cross-entropy, bit for bit.

    As controls, ``REV2NET.FLOW_TARGET`` has the flow decoder predict something else (:func:`.controls.flow_target`;
    ``flow`` and ``flow_epe`` are then its errors), ``DETACHED`` cuts the decoders off from the recognizer, and without
    ``FLIP`` the frame decoder reads the feature map in order.

    Without one of the decoders both penalties are off; without HIGH_LEVEL there are no Gaussians, and the decoders see
    the tap alone.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        _check(cfg.REV2NET, clips_norm=cfg.SOLVER.CLIP_GRAD_L2NORM is not None)
        self.options = options = cfg.REV2NET
        self.rms = options.NORM == "rms"
        spec = recognizer.clip_spec
        clip_shape = (len(spec.mean), spec.num_frames, spec.crop_size, spec.crop_size)
        self.tap = choose_tap(recognizer, options.TAP, clip_shape)
        channels, *size = self.tap.layout.shape
        self.description = f"the decoders start at {self.tap.name} and reach {self._reach()}"
        tasks = [task for task, on in (("flow", options.FLOW_DECODER), ("frames", options.FRAME_DECODER)) if on]
        high_level = options.HIGH_LEVEL and len(tasks) == 2
        self.compares_hidden = options.LOW_LEVEL and len(tasks) == 2
        if high_level:
            channels += _LATENT_CHANNELS
        self.needs = Needs(
            features=(self.tap.name, EMBEDDING) if high_level else (self.tap.name,),
            tracks=("flow",) if options.FLOW_DECODER else (),
        )
        names = {"flow": options.FLOW_DECODER_NAME, "frames": options.FRAME_DECODER_NAME}
        self.decoders = nn.ModuleDict(
            {task: DECODER.get(names[task])(cfg, (channels, *size), clip_shape) for task in tasks}
        )
        deep: int = recognizer.head.weight.shape[1]  # type: ignore[union-attr, index, assignment]
        self.gaussians = nn.ModuleDict(
            {task: _Gaussian(deep, latent=options.LATENT, num_frames=size[0]) for task in tasks if high_level}
        )

    def _reach(self) -> str:
        """What the decoders train of the recognizer, and as which control."""
        options = self.options
        said = "nothing, as a control" if options.DETACHED else str(self.tap.reach)
        if options.FLOW_DECODER and options.FLOW_TARGET != "flow":
            said += f"; as a control the optical flow to predict is {options.FLOW_TARGET}"
        if options.FRAME_DECODER and not options.FLIP:
            said += "; as a control the frame decoder reads the feature map in order"
        return said

    def phases(self) -> Sequence[Phase]:
        """The one phase."""
        modules = {"recognizer": self.base_recognizer, "decoders": self.decoders, "gaussians": self.gaussians}
        factors = {name: self.options.LR_FACTOR for name in modules if name != "recognizer"}
        return [Phase(name="recognizer", modules=modules, loss=self._loss, solver=self.cfg.SOLVER, lr_factors=factors)]

    @torch.no_grad()
    def decode(self, clips: Tensor) -> Decodings:
        """Decode clips in evaluation mode, from the Gaussians' means.

        Args:
            clips: ``(N, C, T, H, W)``, uint8 or float in [0, 1], of the size of the training clips.
        """
        recognizer = self.base_recognizer
        with evaluation_mode(recognizer, self):
            decoded, _ = self._decode(recognizer.outputs(clips, self.needs.features).features, noise=None)
        flow, frames = (decoded[task].prediction.float() if task in decoded else None for task in ("flow", "frames"))
        return Decodings(flow=flow, frames=frames)

    def _loss(self, step: Step) -> dict[str, Tensor]:
        """Eq. 3 and its terms."""
        terms = self.classification(step)
        loss, options = terms["loss"], self.options
        logged = {"classification": loss, "top1": terms["top1"]}
        noise = self._noise(step) if self.gaussians else None
        decoded, gaussians = self._decode(step.outputs.features, noise)
        if "flow" in decoded:
            flow = flow_target(step.tracks["flow"], options.FLOW_TARGET)
            difference = decoded["flow"].prediction.float() - flow
            logged["flow"] = frobenius(difference, rms=self.rms)
            loss = loss + options.LAMBDA_FLOW * logged["flow"]
            logged["flow_epe"] = torch.hypot(*difference.detach().unbind(1)).mean()
            logged["zero_flow_epe"] = torch.hypot(*flow.unbind(1)).mean()
        if "frames" in decoded:
            shown = step.clips[:, :3]  # RGB, without the flow that a two-stream network has behind it
            difference = decoded["frames"].prediction.float() - shown.flip(2)
            logged["frames"] = frobenius(difference, rms=self.rms)
            loss = loss + options.LAMBDA_FRAMES * logged["frames"]
        if self.compares_hidden:
            logged["low_level"] = low_level_discrepancy(decoded["flow"], decoded["frames"], rms=self.rms)
            loss = loss + options.BETA * logged["low_level"]
        if gaussians:
            logged["high_level"] = gaussian_divergence(*gaussians["flow"], *gaussians["frames"])
            loss = loss + options.ALPHA * logged["high_level"]
        return {"loss": loss, **logged}

    def _decode(
        self, outputs: Mapping[str, Any], noise: Tensor | None
    ) -> tuple[dict[str, Decoded], dict[str, tuple[Tensor, Tensor]]]:
        """Decode the features for each task: the predictions, and the tasks' Gaussians (mean, log-variance).

        Args:
            outputs: the features that this objective needs.
            noise: ``(N, tasks, L)``, standard normal; None: the Gaussians' means are decoded.
        """
        low = self._given(self.tap.layout.read(outputs[self.tap.name]))
        decoded: dict[str, Decoded] = {}
        gaussians: dict[str, tuple[Tensor, Tensor]] = {}
        for index, (task, decoder) in enumerate(self.decoders.items()):
            features = low
            if self.gaussians:
                gaussian: _Gaussian = self.gaussians[task]  # type: ignore[assignment]
                mean, log_variance = gaussians[task] = gaussian(self._given(outputs[EMBEDDING]))
                sample = mean if noise is None else mean + (log_variance / 2).exp() * noise[:, index]
                spread = gaussian.map(sample, low.shape[2:])
                features = torch.cat([low, spread.to(low.dtype)], dim=1)
            decoded[task] = decoder(features)
        return decoded, gaussians

    def _given(self, features: Tensor) -> Tensor:
        """Features as decoders and Gaussians get them."""
        return features.detach() if self.options.DETACHED else features

    def _noise(self, step: Step) -> Tensor:
        """What samples are made of, ``(N, tasks, L)``; the same for a clip whichever process has it."""
        purpose = f"rev2net/{step.epoch:.9f}/"
        shape = (len(self.gaussians), self.options.LATENT)
        seeds = [view_seeds(self.cfg.RNG_SEED, name, 1, purpose=purpose)[0] for name in step.names]
        drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return to_device(torch.stack(drawn), step.clips.device)


def _check(options: CfgNode, *, clips_norm: bool) -> None:
    """Raise ConfigError for a value that cannot be used."""
    weights = ("ALPHA", "BETA", "LAMBDA_FLOW", "LAMBDA_FRAMES")
    widths = len(options.CHANNELS) == 2 and all(isinstance(width, int) and width >= 1 for width in options.CHANNELS)
    rules = {
        **{key: (options[key] >= 0, "must be at least 0") for key in weights},
        "FLOW_TARGET": (
            options.FLOW_TARGET in (FLOW_TARGETS if options.FLOW_DECODER else ("flow",)),
            f"must be one of {', '.join(map(repr, FLOW_TARGETS))}, and without REV2NET.FLOW_DECODER 'flow'",
        ),
        "FLIP": (options.FLIP or options.FRAME_DECODER, "is for the frame decoder, and REV2NET.FRAME_DECODER = False"),
        "NORM": (options.NORM in ("frobenius", "rms"), "must be 'frobenius' or 'rms'"),
        "CHANNELS": (widths, "must be two whole numbers, each at least 1"),
        "LATENT": (options.LATENT >= 1, "must be at least 1"),
        "LR_FACTOR": (options.LR_FACTOR > 0, "must be above 0"),
        "FLOW_DECODER": (
            options.FLOW_DECODER or options.FRAME_DECODER,
            "and REV2NET.FRAME_DECODER = False leave nothing to decode; plain training is OBJECTIVE.NAME CrossEntropy",
        ),
        "DETACHED": (
            not (options.DETACHED and clips_norm),
            "does not go with SOLVER.CLIP_GRAD_L2NORM: the norm has the decoders' gradients in it, which would shorten "
            "the recognizer's steps. Compare runs without it (or with SOLVER.CLIP_GRAD_VAL)",
        ),
    }
    for key, (holds, what) in rules.items():
        if not holds:
            raise ConfigError(f"REV2NET.{key} = {options[key]!r} {what}")
