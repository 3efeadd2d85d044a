"""Run-time settings of a model: device, memory format, number format."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from . import machine
from .errors import ConfigError
from .hardware import cpu_features, cpu_model
from .known_issues import KnownIssue, known_issues
from .layers import ExplicitPadding, describe_fast_layers, use_fast_layers
from .layers.availability import kernels_run_on
from .layers.depthwise import is_depthwise
from .models.recognizer import Recognizer
from .registries import FAST_LAYER

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


#: Of clips, by name.
MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last_3d": torch.channels_last_3d}


#: By a weight's number of dimensions: 2D convolutions (spatial students) follow the 3D ones.
_WEIGHT_FORMATS = {
    "channels_last_3d": {4: torch.channels_last, 5: torch.channels_last_3d},
    "contiguous": {4: torch.contiguous_format, 5: torch.contiguous_format},
}


#: Of the forward passes that run under autocast, by precision.
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


_Module = TypeVar("_Module", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Device, memory format and number format of a model.

    Attributes:
        device: where.
        memory_format: ``channels_last_3d`` or ``contiguous``, of weights and clips.
        precision: ``fp32``, ``tf32``, ``bf16`` or ``fp16``, of the forward pass; weights stay in fp32.
        layers_off: kinds of layers that are left to torch on a GPU (:mod:`pvbias.layers`).
    """

    device: torch.device
    memory_format: str
    precision: str
    layers_off: tuple[str, ...] = ()

    def place(self, module: _Module) -> _Module:
        """The module itself, moved to the device, the weights of its convolutions in the memory format, its layers with
        their fast forwards on a GPU."""
        module.to(self.device)
        formats = _WEIGHT_FORMATS[self.memory_format]
        for parameter in module.parameters():
            # Not module.to(memory_format=...): with a 3D format that fails on the first 2D convolution.
            if parameter.dim() in formats:
                parameter.data = parameter.data.contiguous(memory_format=formats[parameter.dim()])
        if self.device.type == "cuda":
            use_fast_layers(module, self.layers_off)
        return module

    def clips(self, clips: Tensor) -> Tensor:
        """uint8 clips ``(N, C, T, H, W)`` as float in [0, 1], on the device, in the memory format."""
        moved = clips.to(self.device, non_blocking=True)  # one byte a value until it is there
        return moved.to(torch.float32, memory_format=MEMORY_FORMATS[self.memory_format]).div_(255)

    def tracks(self, tracks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tracks of a mini-batch on the device: float16 as float32, integers as they are."""
        moved = {name: values.to(self.device, non_blocking=True) for name, values in tracks.items()}
        return {name: values.float() if values.is_floating_point() else values for name, values in moved.items()}

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Forward passes inside run in the chosen precision, and their gradients are right on CPUs, too.

        Each forward makes its own half-precision copies of the weights. torch would keep those of the first one for the
        others; before torch 2.11 also those of a forward without gradients, and then the forward after it had no
        gradient for any weight that they were copies of (https://github.com/pytorch/pytorch/issues/112583).
        """
        with ExitStack() as contexts:
            if self.device.type == "cpu" and torch.is_grad_enabled():
                contexts.enter_context(ExplicitPadding())
            contexts.enter_context(self.tf32())
            dtype, enabled = DTYPES.get(self.precision), self.precision in DTYPES
            contexts.enter_context(torch.autocast(self.device.type, dtype, enabled=enabled, cache_enabled=False))
            yield

    def tf32(self) -> AbstractContextManager[None]:
        """Convolutions and matrix products of fp32 tensors inside are made in TF32 where that is the precision, and in
        fp32 where it is not. :meth:`autocast` does this for forward passes; backward passes need it, too."""
        return machine.tf32(self.precision == "tf32") if self.device.type == "cuda" else nullcontext()

    def describe(self, module: nn.Module | None = None) -> dict[str, str]:
        """The settings that a reader of results has to know.

        Args:
            module: as it was placed; None: no model's layers are described.
        """
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else cpu_model()
        return {
            "device": f"{self.device.type} ({device})",
            "precision": self.precision,
            "memory_format": self.memory_format,
            "threads": str(torch.get_num_threads()),
            "openmp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "system default"),
            "allocator": "glibc, keeps freed memory" if machine.keeps_memory() else "system default",
        } | ({} if module is None else {"fast_layers": self._fast_layers(module)})

    def _fast_layers(self, module: nn.Module) -> str:
        counts = describe_fast_layers(module)
        return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def choose_settings(cfg: CfgNode, recognizer: Recognizer, *, training: bool) -> Settings:
    """The settings for a model on this machine, as far as the configuration leaves them open.

    - device: the current GPU where there is one and ``NUM_GPUS > 0``, else the CPU;
    - memory format: ``channels_last_3d`` for models whose weights are mostly convolutions, ``contiguous`` for
      transformers, and on GPUs for depthwise convolutions that are left to torch. By this rule and not by timing both,
      which would make the last digits of a score depend on what else the machine was doing;
    - precision: fp32 for evaluation; for training bf16 on GPUs that compute in it, else fp32.

    Args:
        cfg: the configuration (``PRECISION``, ``MEMORY_FORMAT``, ``NUM_GPUS``).
        recognizer: the model.
        training: or evaluation.

    Raises:
        ConfigError: a precision that the device does not have, or that is known to be wrong on it, or no such kind of
            layer in ``LAYERS.OFF``.
    """
    device, precision = _choose_device(cfg), _choose_precision(cfg, training=training)
    if precision in ("tf32", "fp16") and device.type == "cpu":
        raise ConfigError(
            f"PRECISION = {precision!r} needs a GPU, and this run uses the CPU: take 'bf16', 'fp32' or 'auto'."
        )
    if precision == "tf32":
        _check_tf32(device)
    layers_off = tuple(FAST_LAYER.names() if cfg.LAYERS.OFF == ["all"] else cfg.LAYERS.OFF)
    for name in layers_off:
        FAST_LAYER.get(name)  # an error that names those there are
    memory_format = cfg.MEMORY_FORMAT
    if memory_format == "auto":
        memory_format = _choose_memory_format(recognizer, device, layers_off)
    return Settings(device=device, memory_format=memory_format, precision=precision, layers_off=layers_off)


def issues_at_hand(cfg: CfgNode) -> list[KnownIssue]:
    """What is known to be wrong or slow of the torch and cuDNN at hand on the device and in the precisions of a run,
    and is not avoided."""
    training = [True] if cfg.TRAIN.ENABLE else []
    measuring = [False] if cfg.TEST.ENABLE or cfg.BIAS.ENABLE else []
    precisions = {_choose_precision(cfg, training=each) for each in training + measuring}
    return _issues(_choose_device(cfg), precisions)


def _issues(device: torch.device, precisions: set[str]) -> list[KnownIssue]:
    cudnn = machine.cudnn_version() if device.type == "cuda" else None
    found = known_issues(
        device.type, torch=torch.__version__, cudnn=cudnn, features=cpu_features(), precisions=precisions
    )
    return [issue for issue in found if not issue.handled]


def _choose_device(cfg: CfgNode) -> torch.device:
    if cfg.NUM_GPUS > 0 and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def _choose_precision(cfg: CfgNode, *, training: bool) -> str:
    if cfg.PRECISION != "auto":
        return cfg.PRECISION
    device = _choose_device(cfg)
    return "bf16" if training and device.type == "cuda" and machine.gpu_has_bf16(device) else "fp32"


def _check_tf32(device: torch.device) -> None:
    """Raise ConfigError where a GPU has no TF32, or a wrong one."""
    if not machine.gpu_has_tf32(device):
        raise ConfigError(
            "PRECISION = 'tf32' needs a GPU with units for TF32 (NVIDIA's from Ampere on), and this one has none: take "
            "'fp16', 'fp32' or 'auto'."
        )
    for issue in _issues(device, {"tf32"}):
        raise ConfigError(f"PRECISION = 'tf32' is refused: {issue}")


def _choose_memory_format(recognizer: Recognizer, device: torch.device, layers_off: Sequence[str]) -> str:
    """The faster one, as measured; contiguous over channels_last_3d in time, training (evaluation):

    - H100, torch 2.11, bf16: r3d_18 1.2, x3d_m 0.37 (0.43) by torch's depthwise convolutions;
    - H200, torch 2.11, bf16, with the layers of :mod:`pvbias.layers`: x3d_m 129 ms in channels_last_3d, torch's own 277
      contiguous;
    - two cores of an AMD EPYC without AVX-512, torch 2.14, fp32, 112 pixels, load 3: r3d_18 1.06 (0.92), r3d_50 1.13
      (1.03), torchvision_r3d_18 1.05 (1.06), torchvision_r2plus1d_18 0.85 (0.95), inception_i3d 1.17 (1.14), slow_r50
      1.12 (1.48), x3d_s 2.2 (2.0), csn_r101 1.6 (4.1). With AVX-512, r3d_18 is said to train 0.85.
    """
    if not _is_convolutional(recognizer):
        return "contiguous"
    by_torch = "depthwise" in layers_off or not kernels_run_on(device)
    if device.type == "cuda" and by_torch and any(map(is_depthwise, recognizer.module.modules())):
        return "contiguous"
    return "channels_last_3d"


def _is_convolutional(recognizer: Recognizer) -> bool:
    """Whether more than half of the weights, the final projection's left out, belong to convolutions."""
    head = recognizer.head if recognizer.head_name else None
    counts = {True: 0, False: 0}
    for module in recognizer.module.modules():
        if module is not head:
            own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
            counts[isinstance(module, _CONVOLUTIONS)] += own
    return counts[True] > counts[False]
