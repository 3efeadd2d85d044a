"""Every extension point, on one page.

A plugin is a Python module whose import registers things here. It is named in the configuration
(``PLUGINS: [my_lab.my_plugin]``) or announced by an installed package's entry point in the group ``pvbias.plugins``;
see :func:`pvbias.plugin_loading.load_plugins`. A module that defines ``add_config(cfg)`` adds its own documented
keys that way.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from fvcore.common.registry import Registry as _FvcoreRegistry

from .errors import ConfigError, did_you_mean


class Registry(_FvcoreRegistry):
    """A name -> object map that says where things come from.

    Register with ``@REGISTRY.register()`` (the object's own name), ``@REGISTRY.register(name="...")`` or
    ``REGISTRY.register(obj, name="...")``.

    Args:
        name: of the registry.
        form: a regular expression that names have to match; None: any name.
        example: of such a name, for the error.
    """

    _obj_map: dict[str, Any]

    def __init__(self, name: str, *, form: str | None = None, example: str = "") -> None:
        super().__init__(name)
        self._origins: dict[str, str] = {}
        self._form, self._example = form, example

    def register(self, obj: Any = None, *, name: str | None = None) -> Any:
        """Register ``obj`` under ``name`` (default: ``obj.__name__``); without ``obj``, a decorator.

        Raises:
            ConfigError: the name is taken, and the message says by what and from where; or it is not of the registry's
                form.
        """
        if obj is None:

            def decorate(decorated: Any) -> Any:
                self.register(decorated, name=name)
                return decorated

            return decorate
        key = name or obj.__name__
        # An instance's own __module__ is that of its class, which says nothing about who registers it.
        origin = obj.__module__ if hasattr(obj, "__qualname__") else sys._getframe(1).f_globals["__name__"]
        if self._form is not None and not re.fullmatch(self._form, key):
            raise ConfigError(f"{self._name} {key!r}, registered by {origin}: names are written {self._example}.")
        if key in self._obj_map:
            raise ConfigError(
                f"{self._name} {key!r} is registered twice: by {self._origins[key]} and by {origin}. "
                "Rename one of them, or leave one of the two plugins out."
            )
        self._do_register(key, obj)
        self._origins[key] = origin
        return obj

    def get(self, name: str) -> Any:
        """The object registered under ``name``.

        Raises:
            ConfigError: nothing is; the message lists the nearest names.
        """
        if name not in self._obj_map:
            raise ConfigError(f"No {self._name} is called {name!r}. {did_you_mean(name, self._obj_map)}")
        return self._obj_map[name]

    def name_of(self, obj: object) -> str | None:
        """The name under which an object, or first an equal one, is registered; None where none is."""
        same = (name for name, known in self._obj_map.items() if type(known) is type(obj) and known == obj)
        return next(same, None)

    @property
    def kind(self) -> str:
        """What it holds, one word in capitals."""
        return self._name

    def names(self) -> list[str]:
        """All registered names, sorted."""
        return sorted(self._obj_map)

    def origin(self, name: str) -> str:
        """Dotted name of the module that registered ``name``."""
        return self._origins[name]

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(sorted(self._obj_map.items()))

    def snapshot(self) -> Callable[[], set[str]]:
        """A function that brings the registry back to what it holds now, for a plugin whose import fails; it returns
        the modules whose entries it took back."""
        objects, origins = dict(self._obj_map), dict(self._origins)

        def restore() -> set[str]:
            undone = {origin for name, origin in self._origins.items() if name not in origins}
            self._obj_map, self._origins = objects, origins
            return undone

        return restore


MODEL = Registry("MODEL")
"""Architectures: :class:`pvbias.models.ZooModel` instances. ``MODEL.get("x3d_s").build(num_classes=..., num_frames=...,
crop_size=...)`` gives the bare zoo module; :func:`pvbias.models.build_recognizer` wraps it."""

MODEL_FAMILY = Registry("MODEL_FAMILY")
"""Architectures that keys of the configuration describe: :class:`pvbias.models.ModelFamily` instances. MODEL.MODEL_NAME
may name one, too; :func:`pvbias.models.find_model` gives the ``ZooModel`` either way."""

STUDENT = Registry("STUDENT")
"""Spatial students: ``build(cfg, num_classes) -> nn.Module``, called as ``student(clip (N, C, T, H, W) in [0, 1]) ->
log-probabilities (N, K)``; each frame is classified by itself. For objectives that use its features it has
``outputs`` and ``head``, too: :class:`pvbias.models.Student`."""

OBJECTIVE = Registry("OBJECTIVE")
"""What training minimises: :class:`pvbias.engine.Objective` subclasses, called ``Objective(cfg, recognizer)``."""

TRANSFORM = Registry("TRANSFORM")
"""What changes mini-batches of training clips before the objective sees them: :class:`pvbias.engine.Transform`
subclasses, called ``Transform(cfg, recognizer)``; TRAIN.TRANSFORMS names them."""

DECODER = Registry("DECODER")
"""Decoders on inner features: ``build(cfg, feature_shape, clip_shape) -> nn.Module``, called with the tapped feature
map ``(N, D, t, h, w)``."""

EVALUATOR = Registry("EVALUATOR")
"""Measurements: :class:`pvbias.evaluation.Evaluator` subclasses, called ``Evaluator(cfg, recognizer, class_names)``."""

MODULATION = Registry("MODULATION")
"""Changes of clips: :class:`pvbias.clips.Modulation` subclasses, instances of them (with the parameters set), or plain
functions ``(clips (N, C, T, H, W), seeds (N,)) -> clips``; :func:`pvbias.clips.modulation` makes one from its spec,
``"freeze(frame=first)"``."""

DATASET = Registry("DATASET")
"""Sources of videos: ``build(cfg, split) -> pvbias.data.VideoSource``, ``split`` one of "train", "val", "test"."""

SAMPLING = Registry("SAMPLING")
"""Ways to choose the frames of clips: ``build(cfg) -> pvbias.data.sampling.SamplingRule``. A model names the one that
its weights were trained with (``ClipSpec.sampling``); DATA.TEMPORAL_SAMPLING another."""

TRACK = Registry("TRACK")
"""What accompanies the frames of clips, such as optical flow or a mask, for evaluators and objectives that ask for it:
:class:`pvbias.data.Track` subclasses, called ``Track(cfg, source)`` with the completed configuration and the videos."""

FEATURE = Registry("FEATURE", form=r"\w+", example="as words: mean")
"""What is computed of an inner module's call, on the device and in the same forward, as a feature of evaluators and
objectives, ``"mean(blocks.3)"``: functions ``(call: pvbias.models.layer_features.LayerCall) -> Tensor (N, ...)``."""

FLOW = Registry("FLOW")
"""Estimators of optical flow: ``build() -> estimator``, called as ``estimator(first, second)`` with two uint8 RGB
frames ``(h, w, 3)``; float32 ``(h, w, 2)``, pixels to the right and down to where each pixel of ``first`` is in
``second``."""

KEY_LAYOUT = Registry("KEY_LAYOUT")
"""Foreign names for a model's weights: functions ``(weights, own) -> weights under the model's own keys``, or None
where the file or the model is not of that layout, or a :class:`pvbias.zoo.key_layouts.Refusal`; ``own`` is the model's
state dict. They go by names and shapes, never by values (both may be on the meta device), and leave names that they
cannot place as they are."""

METRIC = Registry("METRIC", form=r"[^/]+/[^/]+", example="EVALUATOR/FIGURE")
"""What there is to know of the figures of evaluators: :class:`pvbias.report.Metric` instances, EVALUATOR/FIGURE. They
say what a figure is called, whether it is a headline, which direction is better, and how runs are compared by it."""

REPORT_SECTION = Registry("REPORT_SECTION")
"""Sections of the page of one run or several: :class:`pvbias.report.Section` instances."""

SOURCE = Registry("SOURCE")
"""Where weights come from: functions ``fetch(address) -> local path``, by what stands before ``://`` in the address;
:func:`pvbias.zoo.fetch` knows paths, ``http(s)://`` and ``zoo://`` itself."""

FAST_LAYER = Registry("FAST_LAYER")
"""Faster forwards of kinds of layers on GPUs: :class:`pvbias.layers.FastLayer` instances. They change no number beyond
rounding, no name and no key; LAYERS.OFF leaves them out."""

ALL = {
    "models": MODEL,
    "model_families": MODEL_FAMILY,
    "students": STUDENT,
    "objectives": OBJECTIVE,
    "transforms": TRANSFORM,
    "decoders": DECODER,
    "evaluators": EVALUATOR,
    "modulations": MODULATION,
    "datasets": DATASET,
    "samplings": SAMPLING,
    "tracks": TRACK,
    "features": FEATURE,
    "flow": FLOW,
    "layouts": KEY_LAYOUT,
    "sources": SOURCE,
    "metrics": METRIC,
    "sections": REPORT_SECTION,
    "fast_layers": FAST_LAYER,
}
