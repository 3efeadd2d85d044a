"""The 3D ResNet for small studies: a classifier of clips of any size, linear in what its head sees."""

import pytest
import torch
from torch import nn

import pvbias.plugins.classic_models  # noqa: F401 (registers the models)
from pvbias.models import Recognizer
from pvbias.registries import MODEL


@pytest.fixture(scope="module")
def recognizer():
    torch.manual_seed(0)
    entry = MODEL.get("r3d_small")
    module = entry.build(num_classes=7, num_frames=16, crop_size=64)
    return Recognizer(module, clip_spec=entry.clip_spec, head=entry.head, stages=entry.stages).eval()


@pytest.mark.parametrize("size", [(16, 64, 64), (16, 112, 80), (5, 33, 33), (1, 32, 32)])
def test_clips_of_any_size(recognizer, size):
    clip = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    with torch.no_grad():
        logits, embedding = recognizer(clip), recognizer.embed(clip)
    assert logits.shape == (2, 7)
    assert embedding.shape == (2, 256)
    # Averaging over positions and projecting commute.
    assert torch.allclose(recognizer.head(embedding), logits, atol=1e-5)


def test_every_stage_sees_motion(recognizer):
    kernels = [m.kernel_size for m in recognizer.modules() if isinstance(m, nn.Conv3d) and m.kernel_size[0] > 1]
    assert kernels == [(3, 7, 7)] + [(3, 3, 3)] * 4
    with recognizer.taps("blocks.4") as features, torch.no_grad():
        recognizer(torch.rand(1, 3, 16, 64, 64))
    assert features["blocks.4"].shape == (1, 256, 4, 4, 4)


def test_the_order_of_frames_matters(recognizer):
    clip = torch.rand(1, 3, 16, 64, 64)
    with torch.no_grad():
        assert not torch.allclose(recognizer(clip), recognizer(clip.flip(2)), atol=1e-4)


def test_a_step_reaches_every_parameter():
    module = MODEL.get("r3d_small").build(num_classes=3, num_frames=8, crop_size=32)
    for parameter in module.parameters():  # residual branches begin at zero, which would stop gradients for a step
        nn.init.normal_(parameter, std=0.1)
    module(torch.rand(4, 3, 8, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_its_blocks_are_the_whole_and_all_see_motion(recognizer):
    clip = torch.rand(2, 3, 8, 32, 32)
    with torch.no_grad():
        assert torch.equal(nn.Sequential(*recognizer.stages)(recognizer.normalize(clip)), recognizer(clip))
    assert recognizer.num_frame_stages == 0
