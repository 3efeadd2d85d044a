"""SCUBA and SCUFO: the actor over another background, and one frame of that (Li et al., ICCV 2023).

"Mitigating and Evaluating Static Bias of Action Representations in the Background and the Foreground": static cues in
the background (SCUBA) mislead, or say nothing; of static cues in the foreground (SCUFO) there is nothing but them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from pvbias.clips import FREEZE_FRAMES, Freeze, TrackModulation, gather_frames, parameter
from pvbias.registries import MODULATION

from .compositing import as_pixels, check_rgb, composite, donor_background, striped

#: Kinds of backgrounds, and the track that each is of; None: made of the clip's seed.
BACKGROUNDS = {"stripes": None, "images": "image_background", "frames": "donor_random"}


@dataclass(frozen=True)
class _OverBackground(TrackModulation):
    of_rgb = True

    background: str = parameter("stripes", "what is behind the actor", choices=tuple(BACKGROUNDS))

    @property
    def tracks(self) -> tuple[str, ...]:
        """The mask, and the background where it is not made of the clip's seed."""
        name = BACKGROUNDS[self.background]
        return ("mask",) if name is None else ("mask", name)

    def _composite(self, clips: Tensor, seeds: Sequence[int], tracks: Mapping[str, Tensor]) -> Tensor:
        check_rgb(clips, self.spec)
        return composite(clips, tracks["mask"], self._background(clips, seeds, tracks))

    def _background(self, clips: Tensor, seeds: Sequence[int], tracks: Mapping[str, Tensor]) -> Tensor:
        name = BACKGROUNDS[self.background]
        if name is None:
            return striped(clips, seeds)
        if self.background == "images":
            return as_pixels(tracks[name], clips)
        return donor_background(clips, tracks[name])[:, :, :1]


@MODULATION.register(name="scuba")
@dataclass(frozen=True)
class Scuba(_OverBackground):
    """SCUBA: the pixels of the track ``mask`` over another background, which has nothing to do with the class.

    - ``stripes``: sinusoidal stripes (:func:`.compositing.stripes`), which the clip's seed determines.
    - ``images``: an image of ``CONTRASTED.IMAGES_DIR``, which the video's name determines.
    - ``frames``: the first frame of a clip of another video, of another class, without its actor.
    """

    @property
    def label(self) -> str:
        """See :attr:`.Modulation.label`."""
        return f"the actor over {self.background}"

    def modulate(self, clips: Tensor, seeds: Sequence[int], tracks: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`.TrackModulation.modulate`."""
        return self._composite(clips, seeds, tracks)


@MODULATION.register(name="scufo")
@dataclass(frozen=True)
class Scufo(_OverBackground):
    """SCUFO: one frame of the clip that ``scuba`` makes with the same background, repeated: all that is left of its
    class is what the actor looks like."""

    frame: str = parameter("random", "which one; middle is T // 2, random is drawn uniformly", choices=FREEZE_FRAMES)

    @property
    def label(self) -> str:
        """See :attr:`.Modulation.label`."""
        one = "one" if self.frame == "random" else f"the {self.frame}"
        return f"{one} frame of the actor over {self.background}"

    def modulate(self, clips: Tensor, seeds: Sequence[int], tracks: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`.TrackModulation.modulate`."""
        frames = Freeze(frame=self.frame).frames(clips.shape[2], seeds)
        return gather_frames(self._composite(clips, seeds, tracks), frames)
