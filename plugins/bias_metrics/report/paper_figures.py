"""The temporality paper's figures of published networks, as data: what they show, what the paper says of them, and the
checkpoints to draw them from.

Byvshev, Mettes and Xiao, *Are 3D Convolutional Networks Inherently Biased Towards Appearance?* (CVIU 2022). The values
of its curves are in its pictures alone. Its statements are here; nothing is read off the pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class PaperFigure:
    """A figure of the paper.

    Attributes:
        number: in the paper; empty: not in it.
        title: what it shows.
        says: what the paper's text says of it, and where.
        networks: (model, weights): names in the registry MODEL and addresses of checkpoints; none where nobody has
            published the weights.
        note: in what these networks are not the paper's.
        axis: of the measure.
        columns: of the layers' tables: what is drawn, and the words for it.
    """

    number: str
    title: str
    says: str
    networks: tuple[tuple[str, str], ...]
    note: str = ""
    axis: str = "ASDT"
    columns: Mapping[str, str] = field(default_factory=lambda: {"asdt": "ASDT"})

    @property
    def heading(self) -> str:
        """ "Figure 3: ...", or the title alone."""
        return f"Figure {self.number}: {self.title}" if self.number else self.title


_I3D = ("inception_i3d", "zoo://classic_models/inception_i3d/kinetics400")
_S3D = ("torchvision_s3d", "zoo://torchvision/torchvision_s3d/kinetics400")
_IR_CSN = ("ir_csn_152", "zoo://classic_models/ir_csn_152/kinetics400_ig65m")

FIGURES = (
    PaperFigure(
        number="3",
        title="ASDT of I3D, trained on Kinetics",
        says="It falls monotonically with depth, over the 20 layers that convolve over time (section 3.2).",
        networks=(_I3D,),
        note="DeepMind's weights were trained on ImageNet before.",
    ),
    PaperFigure(
        number="4",
        title="Temporal channels of I3D, trained on Kinetics",
        says="Their number falls towards the last layers, at δ = 0 (section 3.2). The text argues that kernels which "
        "differ from moment to moment have a low or negative sc; the definition below eq. 3 and Algorithm 2 call "
        "kernels temporal whose sc is above δ. Which of the two the figure shows is not said.",
        networks=(_I3D,),
        axis="temporal channels, %",
        columns={
            "temporal_share": "sc < δ, as the text argues",
            "temporal_share_as_printed": "sc > δ, as the definition is printed",
        },
    ),
    PaperFigure(
        number="11 (a)",
        title="ASDT after training on HMDB51",
        says="A data set about motion does not help: temporality still drops in the last layers (section 5).",
        networks=(),
        note="No such weights are published, and the text names no architecture. Give your own as MODEL=WEIGHTS.",
    ),
    PaperFigure(
        number="11 (b)",
        title="ASDT of S3D, trained on HowTo100M",
        says="Temporality is flat over all layers (section 5), or changes towards more temporal deeper layers (B.2).",
        networks=(("s3dg", "zoo://classic_models/s3dg/howto100m"), _S3D),
        note="The released network is S3D-G with a space-to-depth stem; torchvision's S3D of Kinetics is beside it.",
    ),
    PaperFigure(
        number="11 (c)",
        title="ASDT of ir-CSN-152, trained on IG-65M",
        says="Temporality still drops in the last layers (section 5, caption).",
        networks=(("ir_csn_152", "zoo://classic_models/ir_csn_152/ig65m"),),
    ),
    PaperFigure(
        number="B.13",
        title="ASDT of networks trained on Kinetics",
        says="Temporality drops with depth in all of them: R(2+1)D, S3D, ip-CSN-152 and I3D in section 5; I3D, R3D, "
        "ir-CSN-152 and S3D in B.2.",
        networks=(
            _I3D,
            ("torchvision_r2plus1d_18", "zoo://torchvision/torchvision_r2plus1d_18/kinetics400"),
            ("torchvision_r3d_18", "zoo://torchvision/torchvision_r3d_18/kinetics400"),
            _S3D,
            ("ip_csn_152", "zoo://classic_models/ip_csn_152/kinetics400_ig65m"),
            _IR_CSN,
            ("csn_r101", "zoo://pytorchvideo/csn_r101/kinetics400"),
        ),
        note="The CSN-152 were trained on IG-65M before, PyTorchVideo's ir-CSN-101 on Kinetics alone. The paper does "
        "not say how deep its R(2+1)D and R3D are.",
    ),
    PaperFigure(
        number="B.14",
        title="ASDT of ir-CSN-152, trained on Sports-1M",
        says="It is shown without a statement of its own; in B.2 temporality tends to drop towards later layers.",
        networks=(("ir_csn_152", "zoo://classic_models/ir_csn_152/sports1m"),),
    ),
    PaperFigure(
        number="",
        title="ASDT of networks that are not in the paper, trained on Kinetics",
        says="Nothing: the paper is about 3D convolutions.",
        networks=(
            ("slowfast_r50", "zoo://pytorchvideo/slowfast_r50/kinetics400"),
            ("x3d_m", "zoo://pytorchvideo/x3d_m/kinetics400"),
            ("mvit_base_16x4", "zoo://pytorchvideo/mvit_base_16x4/kinetics400"),
            ("tsm_r50", "zoo://classic_models/tsm_r50/kinetics400"),
        ),
        note="Layers are in the order in which the networks define them: SlowFast's two pathways take turns, and "
        "MViT's are the patch embedding and what pools queries, keys and values.",
    ),
)
