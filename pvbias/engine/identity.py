"""The identity of a training: everything that decides its result, compared when a run is resumed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import CfgNode

from ..config import load_cfg
from ..config.checks import value_of
from ..config.effects import effects, flat
from ..config.keys import Effect
from ..config.solvers import solver_groups
from ..data import VideoSource, attributes_fingerprint, list_fingerprints
from ..distributed import all_gather_objects, is_main_process
from ..errors import ConfigError, did_you_mean
from ..zoo.fetching import sha256_of

#: What decides a training, by dotted key: a plain value, or for what a key leads to ``{"said": for people,
#: "content": fingerprints by name}``.
Identity = dict[str, Any]

#: The keys under which the videos of splits are compared.
_SPLIT_KEYS = {"train": "DATA.TRAIN_SPLIT", "val": "DATA.VAL_SPLIT"}

#: What has changed where a fingerprint has.
_CONTENTS = {
    "list": "names, labels, class names or order of the videos",
    "files": "sizes of the videos' files",
    "attributes": "attributes of the videos, which the objective uses",
    "file": "content",
    "names": "names of the files in it",
}

#: Keys of an identity that are not there where they say nothing.
_BY_NEED = frozenset({*_SPLIT_KEYS.values(), "NUM_SHARDS"})

_EVERYTHING = Effect.EVERYTHING
_SHOWN = 25


@dataclass(frozen=True)
class Change:
    """A key whose value differs from the checkpoint's.

    Attributes:
        key: dotted.
        old, new: as they are shown.
        why: that matters, where it needs words.
    """

    key: str
    old: str
    new: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.key}: was {self.old}, is {self.new}" + (f" ({self.why})" if self.why else "")


def training_identity(cfg: CfgNode, sources: Mapping[str, VideoSource]) -> Identity:
    """The values that decide the result of a training, by key: all that are not declared otherwise
    (:class:`.keys.Effect`), with names, labels and file sizes of the videos in the place of the keys that lead to them,
    and the contents of files of weights. Not what an objective, a model or a reader finds by itself under a path that
    another key names.

    Args:
        cfg: completed configuration.
        sources: "train", "val" where there are validations, and those of the other streams.
    """
    declared = effects(cfg)
    identity: Identity = {}
    for key, value in flat(cfg):
        effect = declared.get(key, _EVERYTHING)
        if effect is Effect.EVERYTHING:
            identity[key] = value
        elif effect is Effect.CONTENT:
            identity[key] = {"said": value, "content": _content_of(value)}
    if cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS:
        identity["NUM_SHARDS"] = cfg.NUM_SHARDS
    for split, source in sources.items():
        said = f"{source.description} ({len(source.records):,} videos)"
        identity[_videos_key(split)] = {"said": said, "content": list_fingerprints(source)}
    for name in cfg.DATA.get("STREAMS", {}):
        identity.setdefault(f"DATA.STREAMS.{name}.SPLIT", "")
    return identity


def _content_of(path: str) -> dict[str, str]:
    """A fingerprint of a file; of the files of a model in a folder; of the names below another folder, which may have
    millions. Nothing of what is not on this machine."""
    file = Path(path).expanduser()
    if not path or not file.exists():
        return {}
    if file.is_file():
        return {"file": sha256_of(file)}
    model = sorted(inner for inner in file.iterdir() if inner.suffix in (".json", ".safetensors", ".bin"))
    if model:
        return {"file": _digest([(inner.name, sha256_of(inner)) for inner in model])}
    names = [(os.path.relpath(folder, file), sorted(names)) for folder, _, names in os.walk(file) if names]
    return {"names": _digest(sorted(names))}


def _digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode(errors="surrogateescape")).hexdigest()


def identify(cfg: CfgNode, sources: Mapping[str, VideoSource]) -> Identity:
    """:func:`training_identity`, computed in the main process, in all of them."""
    return all_gather_objects(training_identity(cfg, sources) if is_main_process() else {})[0]


def _videos_key(split: str) -> str:
    """The key under which the videos of a split or stream are compared."""
    return _SPLIT_KEYS.get(split, f"DATA.STREAMS.{split}.SPLIT")


def with_attributes(identity: Identity, sources: Mapping[str, VideoSource], names: Sequence[str]) -> Identity:
    """The identity of a training that uses attributes of its videos.

    Args:
        identity: without them; of an auxiliary network's training it may not name the videos, and stays as it is.
        sources: the videos of each stream.
        names: of the attributes.
    """
    found = dict(identity)
    for stream, source in sources.items():
        key = _videos_key(stream)
        if names and key in found and _is_content(found[key]):
            content = found[key]["content"] | {"attributes": attributes_fingerprint(source, names)}
            found[key] = found[key] | {"content": content}
    return found


def refuse_another(cfg: CfgNode, identity: Identity, checkpoint: Mapping[str, Any], path: Path) -> list[str]:
    """Raise ConfigError where a checkpoint is of another training than this one.

    Args:
        cfg: completed configuration.
        identity: of this training, :func:`training_identity`.
        checkpoint: as it was read.
        path: where from.

    Returns:
        The differences that ``TRAIN.RESUME_CHANGED`` allows, in words.
    """
    changes = _changes(cfg, identity, checkpoint)
    allowed = cfg.TRAIN.RESUME_CHANGED
    known = [*(key for key, _ in flat(cfg)), *(change.key for change in changes)]
    for name in allowed:
        if not any(_is_in(key, name) for key in known):
            raise ConfigError(f"TRAIN.RESUME_CHANGED: there is no key {name!r}. {did_you_mean(name, known)}")
    refused = [change for change in changes if not any(_is_in(change.key, name) for name in allowed)]
    if refused:
        raise ConfigError(_refusal(cfg, refused, path))
    return [f"{change.key} {change.old} -> {change.new}" for change in changes]


def otherwise_trained(cfg: CfgNode, checkpoint: Mapping[str, Any]) -> list[str]:
    """Describe where a configuration is not that of the training that a checkpoint is of; without the videos and how
    clips of them are made.

    Args:
        cfg: completed configuration.
        checkpoint: a training's, as it was read.
    """
    changes = _changes(cfg, training_identity(cfg, {}), checkpoint)
    return [str(change) for change in changes if not change.key.startswith("DATA.")]


def _refusal(cfg: CfgNode, refused: Sequence[Change], path: Path) -> str:
    lines = [f"  {change}" for change in refused[:_SHOWN]]
    lines += [f"  and {len(refused) - _SHOWN} more"] if len(refused) > _SHOWN else []
    allowed = [*cfg.TRAIN.RESUME_CHANGED, *(change.key for change in refused)]
    listed = "\n".join(lines)
    return (
        f"TRAIN.AUTO_RESUME: OUTPUT_DIR = {cfg.OUTPUT_DIR!r} holds another training than this one. In {str(path)!r}, "
        f"and now:\n{listed}\nGive another OUTPUT_DIR, or these keys as they were. TRAIN.AUTO_RESUME False starts anew "
        "and overwrites what is there; TRAIN.ENABLE False measures it as it is. To go on with the new values, which "
        f'makes a training that is neither the one nor the other: TRAIN.RESUME_CHANGED "{allowed}".'
    )


def _changes(cfg: CfgNode, identity: Identity, checkpoint: Mapping[str, Any]) -> list[Change]:
    """The differences that decide the result, in the order of the configuration."""
    declared, groups = effects(cfg), solver_groups(cfg)
    schedule_lengths = {f"{group}.MAX_EPOCH" for group in ("SOLVER", *groups)}
    old_cfg = dict(flat(yaml.safe_load(checkpoint["cfg"])))
    old, new = checkpoint.get("identity"), identity
    if old is not None:
        # What was not thought to matter when it was written, and what is not thought to any more.
        old = {key: old_cfg[key] for key in new if key in old_cfg and not _is_content(new[key])} | dict(old)
        old = {key: value for key, value in old.items() if key in new or _decides(declared.get(key, _EVERYTHING))}
    else:  # by a version that kept none: the keys are all there is
        old = {key: value for key, value in old_cfg.items() if _decides(declared.get(key, _EVERYTHING))}
        new = {key: value for key, value in flat(cfg) if _decides(declared.get(key, _EVERYTHING))}
    found: dict[str, Change] = {}
    for change in (*_compared(cfg, old, new), *_of_validations(cfg, old_cfg, checkpoint, declared)):
        why = change.why
        if change.key in schedule_lengths and change.key in old_cfg:
            why = _why_not_longer(change.key, cfg, old_cfg, checkpoint)
            if not why:
                continue
        found[change.key] = replace(change, why=why)
    # The solver of an auxiliary network is the recognizer's where nothing else is said.
    of_recognizer = {f"{group}.{name}": f"SOLVER.{name}" for group in groups for name in cfg.SOLVER}
    return [
        change
        for key, change in found.items()
        if (own := found.get(of_recognizer.get(key, ""))) is None or (own.old, own.new) != (change.old, change.new)
    ]


def _compared(cfg: CfgNode, old: Identity, new: Identity) -> Iterator[Change]:
    defaults: dict[str, Any] | None = None
    for key in dict.fromkeys([*new, *old]):
        if key in old and key in new:
            why = _difference(old[key], new[key])
            if why is not None:
                yield Change(key, _shown(old[key]), _shown(new[key]), why)
        elif key in _BY_NEED:
            continue
        elif key in old:
            yield Change(key, _shown(old[key]), "no key that there is")
        else:
            if defaults is None:
                own = ["PLUGINS", str(list(cfg.PLUGINS)), "MODEL.MODEL_NAME", cfg.MODEL.MODEL_NAME]
                defaults = dict(flat(load_cfg(None, own)))
            # None: filled from the model, or from another key.
            if key not in defaults or defaults[key] not in (None, new[key]):
                yield Change(key, "no key that there was", _shown(new[key]))


def _of_validations(
    cfg: CfgNode, old_cfg: Mapping[str, Any], checkpoint: Mapping[str, Any], declared: Mapping[str, Effect]
) -> Iterator[Change]:
    """Keys that change the validations among which ``TRAIN.CHECKPOINT_BEST`` is still looking for the best."""
    if not cfg.TRAIN.CHECKPOINT_BEST or checkpoint["epoch"] + 1 >= cfg.SOLVER.MAX_EPOCH:
        return
    for key, value in flat(cfg):
        if declared.get(key, _EVERYTHING) is Effect.VIEWS and old_cfg.get(key, value) != value:
            why = "TRAIN.CHECKPOINT_BEST would compare validations that are not made alike"
            yield Change(key, _shown(old_cfg[key]), _shown(value), why)


def _why_not_longer(key: str, cfg: CfgNode, old_cfg: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> str:
    """Explain why a training of another length would not have had this checkpoint; empty: it would have."""
    policy = f"{key.rpartition('.')[0]}.LR_POLICY"
    finished, step = checkpoint["epoch"] + 1, checkpoint.get("step", 0)
    if "cosine" in (old_cfg.get(policy), value_of(cfg, policy)):
        return (
            f"the learning rate of each step of a cosine schedule depends on it, also of those that are done; "
            f"with {policy} steps_with_relative_lrs it does not"
        )
    if finished > old_cfg[key]:
        return "it ended inside an epoch, of which a longer training would have done the rest"
    if value_of(cfg, key) < finished + (step > 0):
        return f"epoch {finished}{f' and {step} steps' if step else ''} of it is done already"
    return ""


def _decides(effect: Effect) -> bool:
    return effect in (Effect.EVERYTHING, Effect.VIDEOS, Effect.CONTENT)


def _difference(old: Any, new: Any) -> str | None:
    """None: the same. Else what differs, where the values do not show it."""
    if not (_is_content(old) and _is_content(new)):
        return None if old == new else ""
    shared = old["content"].keys() & new["content"].keys()
    differing = [name for name in _CONTENTS if name in shared and old["content"][name] != new["content"][name]]
    if differing:
        return "other " + _CONTENTS[differing[0]]
    return None if shared or old["said"] == new["said"] else ""


def _is_content(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"said", "content"}


def _shown(value: Any) -> str:
    return repr(value["said"] if _is_content(value) else value)


def _is_in(key: str, name: str) -> bool:
    """Whether a key has, or is in the group of, that name."""
    return key == name or key.startswith(f"{name}.")
