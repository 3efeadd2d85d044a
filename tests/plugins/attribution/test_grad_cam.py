"""Class activation of tokens, on networks that have no feature map of a convolution at their end."""

import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.models.recognizer import Recognizer
from pvbias.plugins.attribution import class_activation
from pvbias.plugins.attribution.grad_cam import NoFeatureMapError, last_feature_map
from tests.plugins.video_transformers import clips, recognizer


class MeanOfTokens(nn.Module):
    """Tubelets of 2 frames and 4 x 4 pixels, as tokens, normalised; the mean is classified."""

    def __init__(self):
        super().__init__()
        self.tubelets = nn.Conv3d(3, 6, (2, 4, 4), (2, 4, 4))
        self.mix = nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 3)

    def tokens(self, clips):
        return self.norm(self.mix(self.tubelets(clips).flatten(2).transpose(1, 2)))

    def forward(self, clips):
        return self.head(self.tokens(clips).mean(1))


def test_class_activation_is_cam_where_the_mean_of_tokens_is_classified():
    torch.manual_seed(0)
    spec = ClipSpec(num_frames=8, sampling_rate=1, crop_size=8, test_crop_size=8, short_side=8)
    model = Recognizer(MeanOfTokens(), clip_spec=spec, head="head").eval()
    clip = torch.rand(3, 8, 8, 12)
    with torch.no_grad():
        tokens = model.module.tokens(model.normalize(clip[None]))[0]
        cam = (tokens @ model.module.head.weight[1]).relu().view(1, 1, 4, 2, 3)
        cam = nn.functional.interpolate(cam, (8, 8, 12), mode="trilinear")[0, 0]
    torch.testing.assert_close(class_activation(model, clip, 1), cam / cam.max())


@pytest.mark.parametrize(
    ("family", "grid"),
    [
        ("torchvision MViT v2", (4, 4, 4)),
        ("PyTorchVideo MViT", (4, 4, 4)),
        ("Swin3D", (4, 8, 8)),
        ("ViViT", (4, 4, 4)),
        ("VideoMAE", (4, 4, 4)),
    ],
)
def test_what_changes_in_a_place_changes_its_tokens_most(family, grid):
    model = recognizer(family)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.3)  # what attention brings from elsewhere is small beside what is there
    clip = clips(1)[0]
    changed = clip.clone()
    # torchvision's MViT cuts patches of 7 pixels around every eighth.
    rows, columns = (slice(6, 11), slice(22, 28)) if family == "torchvision MViT v2" else (slice(8, 16), slice(24, 32))
    changed[:, 4:6, rows, columns] = 1 - changed[:, 4:6, rows, columns]
    before, after = (last_feature_map(model, each, 0) for each in (clip, changed))
    assert before.features.shape[1:] == grid
    assert before.gradient.abs().sum() > 0
    change = (after.features - before.features).square().sum(0)
    t, y, x = (int(place) for place in torch.unravel_index(change.argmax(), change.shape))
    assert (t, y * 4 // grid[1], x * 4 // grid[2]) == (2, 1, 3)
    assert class_activation(model, clip, 0).shape == (8, 32, 32)


def test_tokens_in_an_order_that_is_not_known_have_no_maps():
    with pytest.raises(NoFeatureMapError, match="tokens whose places"):
        last_feature_map(recognizer("TimeSformer"), clips(1)[0], 0)
