"""The Recognizer: any video classifier with clips in, logits and features out, its zoo module untouched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..clips import ClipSpec, Pathways, gather_frames, single_pathway
from ..errors import ConfigError, did_you_mean
from ..layers import repeat_frame
from .evaluation_mode import evaluation_mode
from .extra_heads import ExtraHeads
from .frame_stages import count_frame_stages
from .layer_features import LayerCall, LayerFeature, computation, is_aside, layer_of
from .outputs import EMBEDDING, Features, Outputs, check_first_dimension, check_ran, each_tensor, first_head, heads_of
from .wrapping import find_head, refuse_wrapped


class Recognizer(nn.Module):
    """A video classifier behind a common interface: a zoo module with its normalisation, pathways and final projection.

    ::

        clip (N, C, T, H, W), uint8 or float in [0, 1]
          -> normalise with the checkpoint's mean and std -> pack into pathways -> module -> logits (N, K)

    The zoo module stays as it is under ``module``, so ``recognizer.module.state_dict()`` goes back to the zoo with
    ``strict=True``.

    Where the module's leading stages see one frame at a time (:mod:`pvbias.models.frame_stages`), the way can be taken
    in two parts; the first is then needed only once for all clips that show the same frames::

        clip (N, C, T, H, W) -> frame_features (N, D, T, h, w) -> classify_features (N, K)

    A module may have several heads and return their logits by name, ``{"action": (N, K), "scene": (N, S)}``; the first
    one is that of the task at hand, which :meth:`forward` and :attr:`num_classes` are about. Further linear heads on
    the embedding can be added beside any module. :meth:`outputs` has all of them::

        clip -> module -+-> logits (N, K)
                        +-> embedding (N, D) -> extra heads -> logits (N, S) of each

    Args:
        module: a classifier that returns logits, never probabilities: ``(N, K)``, or such by name of the head.
        clip_spec: the clips it takes.
        head: dotted name, inside ``module``, of the final projection (a linear layer, or a 1x1x1 convolution). Empty:
            it has none (:meth:`wrap`).
        pathways: packs a normalised clip into what ``module.forward`` takes.
        stages: dotted name, inside ``module``, of the list of modules that, applied one after another, are the whole
            module; empty: it is not made that way. One pathway only.
        tap: dotted name, inside ``module``, of what gives the feature maps that others start from (decoders); empty:
            none is named.
        num_classes: K; 0: that of the final projection.
        extra_heads: classes of linear heads to add, by name; of :attr:`head`'s input, averaged over positions.

    Attributes:
        extra_heads: the added heads, :class:`.extra_heads.ExtraHeads`; not in ``module``'s state dict.
        head_classes: what the outputs of a head stand for, in order, by the head's name: values of the attribute that
            it was trained to tell. Of the first head, see the class names of the videos.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        module: nn.Module,
        *,
        clip_spec: ClipSpec,
        head: str,
        pathways: Pathways = single_pathway,
        stages: str = "",
        tap: str = "",
        num_classes: int = 0,
        extra_heads: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.module = module
        self.clip_spec = clip_spec
        self.head_name = head
        self._num_classes = num_classes
        self._pathways = pathways
        self.stages_name = stages
        self.tap = tap
        self.head_classes: dict[str, tuple[str | int | float | bool, ...]] = {}
        self.extra_heads = ExtraHeads(extra_heads or {}, self._embedding_width() if extra_heads else 0)
        # Not persistent: a checkpoint of the recognizer holds the zoo module's weights and nothing else.
        self.register_buffer("mean", torch.tensor(clip_spec.mean).view(1, -1, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(clip_spec.std).view(1, -1, 1, 1, 1), persistent=False)

    @classmethod
    def wrap(
        cls, module: nn.Module, clip_spec: ClipSpec, *, head: str = "", pathways: Pathways = single_pathway
    ) -> Recognizer:
        """Wrap any network that takes normalised clips ``(N, C, T, H, W)`` and gives logits ``(N, K)``.

        ::

            spec = ClipSpec(num_frames=16, sampling_rate=4, crop_size=112, test_crop_size=112, short_side=128)
            recognizer = Recognizer.wrap(network, spec)

        The network sees one grey clip of ``clip_spec``'s crop and one of its test crop, in evaluation mode, and what
        does not fit is said here, with what to write instead, and not in the figures later. Neither its weights nor its
        statistics nor its mode change.

        A network whose logits are no layer's output (similarities of features and texts, as CLIP has them) has no
        final projection: ``head_name`` is then empty. What needs one says so; all else works.

        Args:
            module: the network, with its weights in float32.
            clip_spec: the clips it was trained on; mean and std are its normalisation.
            head: dotted name of its final projection. Empty: of its linear layers and 1x1x1 convolutions with K outputs
                that it *runs* (an auxiliary classifier does not), the last one whose output is the logits.
            pathways: makes of a normalised clip what the network takes, where that is not ``(N, C, T, H, W)``: another
                order of axes (``lambda clip: clip.transpose(1, 2)``), several pathways
                (:func:`pvbias.clips.slow_fast_pathways`).

        Raises:
            ConfigError: the network is in a DataParallel wrapper, compiled or traced; it fails on such clips, has
                weights in half precision, takes another order of axes (failing, or taking channels of several frames
                for those of one), or gives no ``(1, K)`` with K of 2 or more; it has no such final projection; it gives
                probabilities. (Log-probabilities, which are logits of themselves, will do.)
        """
        refuse_wrapped(module)
        recognizer = cls(module, clip_spec=clip_spec, head=head, pathways=pathways)
        recognizer.head_name, recognizer._num_classes = find_head(recognizer, head)
        return recognizer

    @property
    def head(self) -> nn.Module:
        """The final projection.

        Raises:
            ConfigError: there is none.
        """
        if not self.head_name:
            raise ConfigError(
                "The network has no final projection, which this needs: its logits are the output of none of its "
                "linear layers and 1x1x1 convolutions."
            )
        return self.submodule(self.head_name)

    @property
    def num_classes(self) -> int:
        """The number of classes K."""
        return self._num_classes or self.head.weight.shape[0]  # type: ignore[union-attr, return-value, index]

    def forward(self, clip: Tensor) -> Tensor:
        """Logits ``(N, K)`` of clips ``(N, C, T, H, W)``, uint8 or float in [0, 1]; of several heads the first's."""
        return first_head(self.classify(clip))

    def classify(self, clip: Tensor) -> Tensor | Mapping[str, Tensor]:
        """The module's own output for clips: logits ``(N, K)``, or such by name of the head."""
        return self.module(self._pathways(self.normalize(clip)))

    def normalize(self, clip: Tensor) -> Tensor:
        """Normalise clips as in the checkpoint's training: ``(clip in [0, 1] - mean) / std``, float."""
        if clip.dtype == torch.uint8:
            clip = clip.float().div_(255)
        return (clip - self.mean) / self.std

    @property
    def stages(self) -> list[nn.Module]:
        """The modules that, applied one after another, are the whole module; none where it is not made that way."""
        return list(self.submodule(self.stages_name).children()) if self.stages_name else []

    @cached_property
    def num_frame_stages(self) -> int:
        """The number of leading stages that process each frame by itself; 0 where ``stages`` is empty."""
        return count_frame_stages(self.stages, channels=len(self.clip_spec.mean), side=self.clip_spec.crop_size)

    def frame_features(self, clip: Tensor) -> Tensor:
        """Features of single frames, by the stages that process each frame by itself: ``(N, C, T, H, W) -> (N, D, T, h,
        w)``.

        Without such stages, the normalised clips. In evaluation mode a frame's features are the same in any clip; in
        training mode they depend on the mini-batch through its BatchNorm statistics.
        """
        features = self.normalize(clip)
        for stage in self.stages[: self.num_frame_stages]:
            features = stage(features)
        return features

    def classify_features(self, features: Tensor) -> Tensor:
        """Logits ``(N, K)`` from features of frames ``(N, D, T, h, w)``, by the remaining stages.

        ``classify_features(frame_features(clip))`` is ``forward(clip)``, for every module.
        """
        return first_head(self._classify_features(features))

    def _classify_features(self, features: Tensor) -> Tensor | Mapping[str, Tensor]:
        if not self.num_frame_stages:
            return self.module(self._pathways(features))
        for stage in self.stages[self.num_frame_stages :]:
            features = stage(features)
        return features

    def frozen_logits(self, clip: Tensor, frames: Tensor) -> Tensor:
        """Logits ``(N, K)`` of clips that repeat one frame.

        Stages that process each frame by itself run on one frame only; without gradients the others run on those that
        differ (:class:`.FrozenFeatures`).

        Args:
            clip: ``(N, C, T, H, W)``, uint8 or float in [0, 1].
            frames: which frame of each, int64 ``(N,)`` in [0, T).
        """
        features = self.frame_features(gather_frames(clip, frames[:, None]))
        return self.classify_features(repeat_frame(features, clip.shape[2]))

    def outputs(self, clip: Tensor, features: Sequence[str] = ()) -> Outputs:
        """Logits of all heads and inner features of clips ``(N, C, T, H, W)``, from one forward, with graph.

        Args:
            clip: uint8 or float in [0, 1].
            features: names as in :attr:`pvbias.needs.Needs.features`.

        Raises:
            ConfigError: a feature that the module does not have.
        """
        return self._collecting(features, lambda: self.classify(clip))

    def outputs_of_features(self, frame_features: Tensor, features: Sequence[str] = ()) -> Outputs:
        """:meth:`outputs` from features of frames ``(N, D, T, h, w)``, by the remaining stages; see
        :meth:`classify_features`.

        Args:
            frame_features: of :meth:`frame_features`.
            features: names of which :meth:`comes_after_frame_stages`.
        """
        return self._collecting(features, lambda: self._classify_features(frame_features))

    def _collecting(self, names: Sequence[str], forward: Callable[[], Tensor | Mapping[str, Tensor]]) -> Outputs:
        inner = [name for name in names if name != EMBEDDING]
        with ExitStack() as taps:
            collected = taps.enter_context(self.taps(*inner))
            embeds = EMBEDDING in names or len(self.extra_heads) > 0
            seen = taps.enter_context(self.taps(self.head_name, inputs=True)) if embeds else {}
            heads = heads_of(forward())
        features = Features()
        check_ran(collected, inner)
        check_ran(seen, [self.head_name] if embeds else [])
        embedding = self.average_positions(seen[self.head_name]) if embeds else None
        if embedding is not None:
            heads |= self._extra_logits(embedding, heads)
        for name in names:
            if name == EMBEDDING:
                features[name] = embedding
            else:
                features[name] = collected[name]
                check_first_dimension(name, features[name], len(first_head(heads)))
        return Outputs(heads, features)

    def _extra_logits(self, embedding: Tensor, heads: Mapping[str, Tensor]) -> dict[str, Tensor]:
        twice = heads.keys() & self.extra_heads.num_classes.keys()
        if twice:
            raise ConfigError(
                f"MODEL.EXTRA_HEADS: the model itself has a head {min(twice)!r}. Give the added one another name."
            )
        return self.extra_heads(embedding)

    def head_sizes(self) -> dict[str, int]:
        """The number of outputs of each head, by name, the first one's first; one grey clip goes through the model in
        evaluation mode."""
        spec = self.clip_spec
        size = (1, len(spec.mean), spec.num_frames, spec.crop_size, spec.crop_size)
        with evaluation_mode(self), torch.no_grad():
            heads = self.outputs(torch.full(size, 0.5, device=self.mean.device)).heads
        return {name: logits.shape[1] for name, logits in heads.items()}

    def check_features(self, names: Sequence[str]) -> None:
        """Raise ConfigError for a name that is no feature of this model."""
        for name in names:
            if name == EMBEDDING:
                _ = self.head
            else:
                computation(name)
                self.submodule(layer_of(name))

    def comes_after_frame_stages(self, feature: str) -> bool:
        """Whether a feature is computed by the stages after those that process each frame by itself."""
        module = self.head if feature == EMBEDDING else self.submodule(layer_of(feature))
        return any(module is inner for stage in self.stages[self.num_frame_stages :] for inner in stage.modules())

    def _embedding_width(self) -> int:
        """The width D of the embedding."""
        return self.head.weight.shape[1]  # type: ignore[union-attr, return-value, index]

    def embed(self, clip: Tensor) -> Tensor:
        """The embedding ``(N, D)``: features that the final projection sees, averaged over the positions it is applied
        to."""
        return self.outputs(clip, (EMBEDDING,)).features[EMBEDDING]

    def average_positions(self, features: Tensor) -> Tensor:
        """Average the input of the final projection, ``(N, D)`` or with positions before D (in a convolution, behind
        it), over positions: ``(N, D)``."""
        if isinstance(self.head, nn.Conv3d):
            features = features.movedim(1, -1)
        return features.flatten(1, -2).mean(1) if features.dim() > 2 else features

    @contextmanager
    def taps(self, *names: str, inputs: bool = False) -> Iterator[dict[str, Tensor]]:
        """Collect outputs of named inner modules during the forwards in the ``with`` block: copies, which a later layer
        that works in place does not change. Of a module that runs several times, the last output stays.

        ::

            with recognizer.taps("blocks.1") as features:
                logits = recognizer(clip)
            low_level = features["blocks.1"]      # (N, D, t, h, w), with graph

        A module that returns a list (SlowFast's blocks: one tensor for each pathway) gives a list.

        Args:
            names: dotted names inside ``module``, or what is computed of them: ``mean(blocks.1)`` (registry FEATURE).
            inputs: collect what goes into the modules (their first argument) instead of what comes out.

        Raises:
            ConfigError: a name that the module does not have.
        """
        features: dict[str, Tensor] = {}
        modules = {name: self.submodule(layer_of(name)) for name in names}
        computed = {name: computation(name) for name in names}
        handles = [
            _collect(module, features, name, inputs)
            if (compute := computed[name]) is None
            else _compute(self, module, features, name, compute)
            for name, module in modules.items()
        ]
        try:
            yield features
        finally:
            for handle in handles:
                handle.remove()

    def submodule(self, name: str) -> nn.Module:
        """The inner module with this dotted name.

        Raises:
            ConfigError: there is none; the message lists the nearest names.
        """
        try:
            return self.module.get_submodule(name)
        except AttributeError:
            known = [known_name for known_name, _ in self.module.named_modules() if known_name]
            raise ConfigError(f"The model has no inner module {name!r}. {did_you_mean(name, known)}") from None


def _collect(module: nn.Module, features: dict[str, Any], name: str, inputs: bool) -> RemovableHandle:
    """Hook ``module`` so that each forward copies its first input, or its output, to ``features[name]``."""

    def keep(value: Any) -> None:
        # The next layer may be a ReLU or an addition in place, and PyTorchVideo's multi-pathway blocks write their
        # results into the list they were given.
        if not is_aside():
            features[name] = each_tensor(torch.clone, value)

    if inputs:
        return module.register_forward_pre_hook(lambda _, args: keep(args[0]))
    return module.register_forward_hook(lambda _, args, output: keep(output))


def _compute(
    recognizer: Recognizer, module: nn.Module, features: dict[str, Any], name: str, compute: LayerFeature
) -> RemovableHandle:
    """Hook ``module`` so that each forward computes a feature of its call, kept as ``features[name]``."""
    network, num_frames = recognizer.module, recognizer.clip_spec.num_frames

    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if not is_aside():
            call = LayerCall(layer_of(name), module, network, args, kwargs, output, num_frames)
            features[name] = compute(call).clone()

    return module.register_forward_hook(keep, with_kwargs=True)
