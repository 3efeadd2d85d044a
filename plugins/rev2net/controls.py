"""Controls for Rev2Net's flow prediction: targets that say less about the clip than its optical flow does."""

from __future__ import annotations

import torch
from torch import Tensor

from pvbias.errors import ConfigError

#: What the flow decoder is to predict.
FLOW_TARGETS = ("flow", "zero", "shuffled", "delayed")


def flow_target(flow: Tensor, kind: str) -> Tensor:
    """What the flow decoder is to predict of clips with this optical flow, ``(N, 2, T, H, W)``, pixels.

    - "flow": it;
    - "zero": no motion, whatever moves: an auxiliary task without information;
    - "shuffled": the flow of the clip before it in the mini-batch (of each process): all of flow's statistics, nothing
      of the clip's;
    - "delayed": its own flow, half of the clip's frames later, the end at the beginning: what moves in the clip, at the
      wrong time.

    Raises:
        ConfigError: "shuffled" of one clip, "delayed" of one frame.
    """
    if kind == "zero":
        return torch.zeros_like(flow)
    if kind == "shuffled":
        if len(flow) < 2:
            raise ConfigError(
                "REV2NET.FLOW_TARGET = 'shuffled' takes mini-batches of 2 clips or more in each process: raise "
                "TRAIN.BATCH_SIZE."
            )
        return flow.roll(1, 0)
    if kind == "delayed":
        frames = flow.shape[2]
        if frames < 2:
            raise ConfigError("REV2NET.FLOW_TARGET = 'delayed' takes clips of 2 frames or more: raise DATA.NUM_FRAMES.")
        return flow.roll(frames // 2, 2)
    return flow
