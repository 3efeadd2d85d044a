"""A normalisation, a shortcut and an activation, in one pass where that can be."""

from __future__ import annotations

from typing import Literal, TypeGuard

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

from .batch_norm import batch_norm, is_supported
from .fast_forward import is_fast

#: Activations that a BatchNorm can apply itself, by type. Plugins add those of their zoo.
FUSED_ACTIVATIONS: dict[type[nn.Module], str] = {nn.Identity: "", nn.ReLU: "relu", nn.SiLU: "silu"}


#: The hooks of all modules, by kind; torch changes them in place.
_GLOBAL_HOOKS = (
    torch_module._global_forward_hooks,
    torch_module._global_forward_pre_hooks,
    torch_module._global_backward_hooks,
    torch_module._global_backward_pre_hooks,
)


def normalize(
    norm: nn.Module,
    x: Tensor,
    *,
    activation: nn.Module | Literal["relu"] | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """``activation(norm(x) + residual)``, in one pass where the layers allow it: a BatchNorm3d with its fast forward
    (:func:`pvbias.layers.use_fast_layers`), an activation that it can apply, no hook on either.

    Args:
        norm: the normalisation.
        x: its input, ``(N, C, T, H, W)``.
        activation: a module, the name of a function, or none.
        residual: the shortcut's features, like the output.
    """
    code = _code(activation)
    if code is not None and _fits(residual, x, code) and _is_free(norm) and is_supported(x, norm):
        return batch_norm(x, norm, residual=residual, activation=code)
    output = norm(x)
    if residual is not None:
        output = output + residual
    if activation is None:
        return output
    return F.relu(output, inplace=True) if activation == "relu" else activation(output)  # type: ignore[operator]


def _code(activation: nn.Module | str | None) -> str | None:
    """The activation's name for a BatchNorm; None: it cannot apply it."""
    if activation is None:
        return ""
    if isinstance(activation, str):
        return activation
    return FUSED_ACTIVATIONS.get(type(activation)) if has_no_hooks(activation) else None


def _fits(residual: Tensor | None, x: Tensor, code: str) -> bool:
    """Whether a BatchNorm can add a shortcut to its output of ``x``."""
    if residual is None:
        return True
    return code != "silu" and type(residual) is Tensor and residual.shape == x.shape and residual.dtype == x.dtype


def _is_free(norm: nn.Module) -> TypeGuard[nn.BatchNorm3d]:
    return isinstance(norm, nn.BatchNorm3d) and is_fast(norm) and has_no_hooks(norm)


def has_no_hooks(*modules: nn.Module) -> bool:
    """Whether nobody has asked to see what goes into or comes out of modules, or of all there are."""
    return not any(_GLOBAL_HOOKS) and not any(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
        for module in modules
    )
