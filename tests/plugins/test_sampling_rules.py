"""Each model's own sampling: taken by default, to be had for any model, and for real files that of the libraries."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from pvbias.config import complete, load_cfg
from pvbias.data import build_source, build_test_loader
from pvbias.data.sampling import sampling_rule
from pvbias.errors import ConfigError
from pvbias.registries import MODEL, SAMPLING

from ..video.videos import frame_number, write_video

#: Frames of the first test clip of one, of 300 at 30 per second: worked by hand from each code's formula.
FIRST = {
    "x3d_xs": [0, 15, 31, 47],  # 47 k / 3
    "slow_r50": [0, 9, 18, 27, 36, 45, 54, 63],
    "mvit_base_16x4": [0, 4, 8, 12, 16, 21, 25, 29, 33, 37, 42, 46, 50, 54, 58, 63],  # 63 k / 15
    "torchvision_r3d_18": list(range(0, 32, 2)),  # consecutive at 15 per second
    "torchvision_mvit_v2_s": list(range(0, 64, 4)),
    "r3d_50": list(range(142, 158)),  # in the middle
    "tsm_r50": [18, 56, 93, 131, 168, 206, 243, 281],  # the centres of eighths, 37.5 frames each
    "ir_csn_152": list(range(0, 64, 2)),
    "inception_i3d": None,
}


def configured(model, *keys):
    return complete(
        load_cfg(overrides=["MODEL.MODEL_NAME", model, "TEST.NUM_ENSEMBLE_VIEWS", "1", *keys]), num_classes=9
    )


def first_clip(cfg):
    timestamps = np.arange(300) / 30
    times = sampling_rule(cfg).test_clips(0.0, 10.0, timestamps)[0]
    return (np.searchsorted(timestamps, times + 1e-6, side="right") - 1).tolist()


def test_every_model_names_a_rule_that_is_there():
    load_cfg()
    rules = {name: model.clip_spec.sampling for name, model in MODEL if MODEL.origin(name).startswith("pvbias.")}
    assert set(rules.values()) <= set(SAMPLING.names())
    hub = [rule for name, rule in rules.items() if MODEL.get(name).zoo == "pytorchvideo"]
    assert hub == ["pytorchvideo"] * 14
    assert {rule for name, rule in rules.items() if name.startswith("torchvision_")} == {"torchvision"}


@pytest.mark.parametrize("model", FIRST)
def test_the_models_own_sampling_is_the_default(model):
    cfg = configured(model)
    assert MODEL.get(model).clip_spec.sampling == cfg.DATA.TEMPORAL_SAMPLING
    if FIRST[model] is not None:
        assert first_clip(cfg) == FIRST[model]


def test_torchvisions_clips_at_another_rate():
    """Every second frame of a video at 15 per second."""
    assert first_clip(configured("torchvision_r3d_18", "DATA.SAMPLING_RATE", "2")) == list(range(0, 64, 4))


def test_the_even_stride_is_had_by_key():
    cfg = configured("x3d_xs", "DATA.TEMPORAL_SAMPLING", "rate")
    timestamps = np.arange(300) / 30
    (clip,) = sampling_rule(cfg).test_clips(0.0, 10.0, timestamps)
    assert np.diff(clip) == pytest.approx(np.full(3, 12 / 30))
    with pytest.raises(ConfigError, match=r"DATA\.TEMPORAL_SAMPLING.*'pytrochvideo'.*pytorchvideo"):
        configured("x3d_xs", "DATA.TEMPORAL_SAMPLING", "pytrochvideo")


def test_weights_that_were_trained_in_another_way_are_sampled_in_that_way():
    """TSM's "dense" weights: 8 frames of 64; those of 16 frames: 16 segments of 18.75 frames."""
    address = ("TRAIN.ENABLE", "False", "TEST.CHECKPOINT_FILE_PATH", "zoo://classic_models/tsm_r50/")
    dense = configured("tsm_r50", *address[:3], f"{address[3]}kinetics400")
    assert first_clip(dense) == list(range(0, 64, 8))
    ten = configured("tsm_r50", *address[:3], f"{address[3]}kinetics400", "TEST.NUM_ENSEMBLE_VIEWS", "10")
    clips = sampling_rule(ten).test_clips(0.0, 10.0, np.arange(300) / 30)
    begins = [0, 26, 52, 78, 104, 131, 157, 183, 209, 236]  # 236 k / 9
    assert np.rint(clips[:, 0] * 30).tolist() == begins
    longer = configured("tsm_r50", *address[:3], f"{address[3]}something_v2_16")
    assert first_clip(longer)[:3] == [9, 28, 46]
    assert longer.DATA.NUM_FRAMES == 16
    fine_tuned = configured("tsm_r50", "TRAIN.CHECKPOINT_FILE_PATH", f"{address[3]}kinetics400")
    assert fine_tuned.DATA.TEMPORAL_SAMPLING == "tsm_dense"
    own = configured("tsm_r50", *address[:3], f"{address[3]}kinetics400", "DATA.TEMPORAL_SAMPLING", "duration")
    assert own.DATA.TEMPORAL_SAMPLING == "duration"


def test_slowfasts_configurations_are_sampled_as_slowfast_does():
    cfg = configured("PTVResNet", "TEST.NUM_ENSEMBLE_VIEWS", "3")
    timestamps = np.arange(250) / 30
    clips = sampling_rule(cfg).test_clips(0.0, 250 / 30, timestamps)
    assert np.searchsorted(timestamps, clips[:, 0]).tolist() == [0, 62, 124]  # 186 k / 3
    cfg = configured("PTVMViT", "TEST.NUM_ENSEMBLE_VIEWS", "3", "DATA.USE_OFFSET_SAMPLING", "True")
    clips = sampling_rule(cfg).test_clips(0.0, 250 / 30, timestamps)
    assert np.searchsorted(timestamps, clips[:, 0]).tolist() == [0, 93, 186]
    assert configured("PTVResNet", "TEST.DATASET", "ptvkinetics").DATA.TEMPORAL_SAMPLING == "pytorchvideo"


@pytest.mark.parametrize("fps", [25, 30])
def test_clips_of_a_file_are_those_of_pytorchvideo(tmp_path, fps):
    """Decoded, resized and cropped: bars in the pictures tell a frame's number."""
    from pytorchvideo.data.clip_sampling import ConstantClipsPerVideoSampler
    from pytorchvideo.data.encoded_video_pyav import EncodedVideoPyAV

    path = write_video(tmp_path / "v.mp4", 120, fps=fps, size=(48, 48), crf="10")
    (tmp_path / "list.csv").write_text("v.mp4 0\n")
    keys = f"DATA.TEST_SPLIT {tmp_path / 'list.csv'} TEST.NUM_ENSEMBLE_VIEWS 4 TEST.NUM_SPATIAL_CROPS 1"
    size = "DATA.TRAIN_CROP_SIZE 48 DATA.TEST_CROP_SIZE 48 DATA.TEST_SHORT_SIDE 48 DATA_LOADER.NUM_WORKERS 0"
    cfg = configured("x3d_xs", *keys.split(), *size.split())
    (video,) = build_test_loader(cfg, build_source(cfg, "test"), rank=0, world_size=1)
    found = [[frame_number(frame.numpy()) for frame in clip.permute(1, 2, 3, 0)] for clip in video.clips]

    with open(path, "rb") as file:
        encoded = EncodedVideoPyAV(file, decode_audio=False)
        sampler = ConstantClipsPerVideoSampler(Fraction(48, 30), 4)
        expected = []
        for _ in range(4):
            clip = sampler(None, encoded.duration, {})
            images = encoded.get_clip(clip.clip_start_sec, clip.clip_end_sec)["video"]
            chosen = torch.linspace(0, images.shape[1] - 1, 4).long()
            expected.append([frame_number(image.numpy()) for image in images[:, chosen].permute(1, 2, 3, 0)])
        encoded.close()
    assert found == expected
