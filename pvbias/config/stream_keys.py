"""Keys of further streams of training clips, declared by the plugin whose objective takes mini-batches of them."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from ..registries import DATASET
from .keys import Effect, at_least, declare, registered

#: What a stream cannot be called: "train" is the first one, the others are splits.
RESERVED = ("train", "val", "test")


def declare_stream(cfg: CfgNode, name: str, *, labelled: bool) -> None:
    """Add the keys of a stream of training clips beside the first one: ``DATA.STREAMS.<name>``.

    ::

        def add_config(cfg):                                # of a plugin whose objective has
            declare_stream(cfg, "target", labelled=False)   #   needs = Needs(streams=("train", "target"))

        DATA:                                               # of its user
          STREAMS:
            target: {SPLIT: target.csv, BATCH_SIZE: 16}     # or: pvbias run ... DATA.STREAMS.target.SPLIT target.csv

    Args:
        cfg: where to.
        name: of the stream.
        labelled: the default of LABELLED.

    Raises:
        ValueError: a name that is taken by something else, or two plugins of which one wants labels and one does not.
    """
    if name in RESERVED or not name.isidentifier():
        raise ValueError(f"A stream cannot be called {name!r}: take an identifier other than {', '.join(RESERVED)}.")
    group = f"DATA.STREAMS.{name}"
    if name in cfg.DATA.get("STREAMS", {}) and labelled != cfg.DATA.STREAMS[name].LABELLED:
        raise ValueError(f"Two plugins declare the stream {name!r}, one with labels and one without: rename one.")
    declare(
        cfg,
        f"{group}.SPLIT",
        "",
        "Videos of this stream of training clips: an annotation, as DATA.TRAIN_SPLIT; with another DATASET than "
        '"videos" one of its splits, "train", "val" or "test". Empty: there is no such stream.',
        effect=Effect.VIDEOS,
    )
    declare(
        cfg,
        f"{group}.DATASET",
        "videos",
        "Name in the DATASET registry.",
        registered(DATASET, "datasets"),
    )
    declare(
        cfg,
        f"{group}.PATH_PREFIX",
        None,
        "Folder that relative video paths of this annotation are relative to. None: as DATA.PATH_PREFIX.",
        kind=str,
        effect=Effect.VIDEOS,
    )
    declare(
        cfg,
        f"{group}.BATCH_SIZE",
        None,
        "Clips of this stream in a mini-batch, over all processes. None: as TRAIN.BATCH_SIZE.",
        at_least(1),
        unit="clips",
        kind=int,
    )
    declare(
        cfg,
        f"{group}.LABELLED",
        labelled,
        "Clips of this stream have labels, which are the classes of the model. False: labels in the list are not read.",
    )


def complete_streams(cfg: CfgNode) -> None:
    """Fill what the streams leave as it is for the first one."""
    for keys in cfg.DATA.get("STREAMS", CfgNode()).values():
        own = {"PATH_PREFIX": cfg.DATA.PATH_PREFIX, "BATCH_SIZE": cfg.TRAIN.BATCH_SIZE}
        keys.update({name: value for name, value in own.items() if keys[name] is None})
