"""All data sets that are known by name."""

from __future__ import annotations

from .catalogue import Catalogue
from .families.activitynet import ACTIVITYNET
from .families.charades import CHARADES
from .families.diving48 import DIVING48
from .families.finegym import FINEGYM
from .families.haa500 import HAA500
from .families.hmdb51 import HMDB51
from .families.kinetics import KINETICS, MIMETICS, MINI_KINETICS
from .families.kth import KTH
from .families.moments import MOMENTS
from .families.twentybn import JESTER, SSV1, SSV2
from .families.ucf101 import UCF101

DATA_SETS = Catalogue(
    [
        *(UCF101, HMDB51, *KINETICS, MINI_KINETICS, MIMETICS, SSV1, SSV2, JESTER, *DIVING48, *FINEGYM),
        *(*MOMENTS, ACTIVITYNET, CHARADES, HAA500, KTH),
    ]
)
