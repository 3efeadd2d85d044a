"""The track "mask": found beside the names of the videos, in every form, on its way through resizing, cropping and
mirroring."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from pvbias.data import build_source, build_test_loader, build_train_loader
from pvbias.data.masks import resize_masks
from pvbias.errors import ConfigError, DataError

from ..video.videos import data_cfg

HEIGHT, WIDTH, FRAMES = 32, 48, 8
#: Label of the object.
LABEL = 7


def corner(video: int, frame: int) -> tuple[int, int]:
    """Top and left of the object, a square of 8 pixels, on multiples of 4."""
    return 4 * (video % 5), 4 * ((frame + 2 * video) % 9)


def picture(video: int, frame: int) -> np.ndarray:
    """A grey object of 200 over black."""
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    top, left = corner(video, frame)
    image[top : top + 8, left : left + 8] = 200
    return image


def labels_of(video: int) -> np.ndarray:
    """The masks of a video, ``(FRAMES, HEIGHT, WIDTH)``."""
    return np.stack([np.where(picture(video, frame) > 0, LABEL, 0) for frame in range(FRAMES)]).astype(np.uint8)


def as_npz(folder, name, masks):
    np.savez_compressed(folder / f"{name}.npz", masks)


def as_images(folder, name, masks):
    (folder / name).mkdir()
    for number, mask in enumerate(masks):
        # 2 comes before 10.
        Image.fromarray(mask).save(folder / name / f"mask{9 * number}.png")


def as_palette_images(folder, name, masks):
    """Colours as DAVIS has them: the place in the palette is the label."""
    (folder / name).mkdir()
    for number, mask in enumerate(masks):
        image = Image.fromarray(mask, mode="P")
        image.putpalette([0, 0, 0] + [200, 30, 90] * 255)
        image.save(folder / name / f"{number:03d}.png")


def as_video(folder, name, masks):
    with av.open(str(folder / f"{name}.mkv"), "w") as container:
        stream = container.add_stream("libx264rgb", rate=30, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgb24"
        for number, mask in enumerate(masks):
            image = np.repeat((mask > 0)[..., None] * np.uint8(255), 3, axis=-1)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def annotation(tmp_path_factory):
    """Ten folders of images, whose name has a folder in it, and their list."""
    folder = tmp_path_factory.mktemp("videos")
    names = [f"clips/v{number}" for number in range(10)]
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for frame in range(FRAMES):
            Image.fromarray(picture(number, frame)).save(folder / name / f"{frame:03d}.png")
    file = folder / "all.csv"
    file.write_text("".join(f"{name} {number % 3}\n" for number, name in enumerate(names)))
    return file


def write_masks(folder, write, change=lambda masks: masks):
    (folder / "clips").mkdir()
    for number in range(10):
        write(folder, f"clips/v{number}", change(labels_of(number)))
    return folder


def configured(annotation, folder, **data):
    sizes = {"SAMPLING_RATE": 1, "TRAIN_CROP_SIZE": 24, "TRAIN_JITTER_SCALES": [32, 32]}
    return data_cfg(annotation, **({"MASK_DIR": str(folder)} | sizes | data))


def batches(cfg, epochs=3):
    loader = build_train_loader(cfg, build_source(cfg, "train"), rank=0, world_size=1, tracks=["mask"])
    return [batch for epoch in range(epochs) for batch in loader.epoch(epoch)]


@pytest.mark.parametrize(
    ("write", "label"), [(as_npz, LABEL), (as_images, LABEL), (as_palette_images, LABEL), (as_video, 1)]
)
def test_masks_in_every_form_lie_where_the_object_is(annotation, tmp_path, write, label):
    for batch in batches(configured(annotation, write_masks(tmp_path, write))):
        mask = batch.tracks["mask"]
        assert mask.shape == (4, 1, 4, 24, 24)
        assert mask.dtype == torch.uint8
        assert torch.equal(mask > 0, batch.clips[:, :1] > 100)
        assert set(mask.unique().tolist()) <= {0, label}
        assert not batch.bad


def test_clips_are_mirrored_with_their_masks(annotation, tmp_path):
    """Half of them; without mirroring the same crops are the mirror images."""
    folder = write_masks(tmp_path, as_npz)
    mirrored = 0
    for one, other in zip(
        *(batches(configured(annotation, folder, RANDOM_FLIP=flip)) for flip in (True, False)), strict=True
    ):
        for clip, mask, plain in zip(one.clips, one.tracks["mask"], other.tracks["mask"], strict=True):
            assert torch.equal(mask > 0, clip[:1] > 100)
            assert torch.equal(mask, plain) or torch.equal(mask, plain.flip(-1))
            mirrored += not torch.equal(mask, plain)
    assert 4 <= mirrored <= 20


def test_labels_are_resized_without_mixing(annotation, tmp_path):
    """Masks of a quarter of the frames' size, seen at 5/4 of it: no label but those that there are."""
    write_masks(tmp_path, as_npz, lambda masks: masks[:, ::4, ::4])
    shapes = {"TRAIN_JITTER_SCALES_RELATIVE": [0.3, 1.0], "TRAIN_JITTER_SCALES": [40, 40]}
    for batch in batches(configured(annotation, tmp_path, **shapes)):
        mask = batch.tracks["mask"]
        assert set(mask.unique().tolist()) <= {0, LABEL}
        agree = (mask > 0) == (batch.clips[:, :1] >= 100)  # but for where the frame is interpolated
        assert agree.float().mean() > 0.97


def test_each_pixel_of_a_resized_mask_is_the_one_at_its_centre():
    masks = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    assert resize_masks(masks, lambda height, width: (1, 2))[0, ..., 0].tolist() == [[5, 7]]
    assert resize_masks(masks, lambda height, width: (height, 8))[0, 0, :, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert np.array_equal(resize_masks(masks, lambda height, width: (height, width))[..., 0], masks)


def test_test_views_have_theirs_in_any_number_of_processes(annotation, tmp_path):
    cfg = configured(annotation, write_masks(tmp_path, as_images), TEST_CROP_SIZE=24, TEST_SHORT_SIDE=32)
    source = build_source(cfg, "test")
    whole = list(build_test_loader(cfg, source, rank=0, world_size=1, tracks=["mask"]))
    for video in whole:
        assert video.tracks["mask"].shape == (len(video.clips), 1, 4, 24, 24)
        assert torch.equal(video.tracks["mask"] > 0, video.clips[:, :1] > 100)
    cfg.DATA_LOADER.NUM_WORKERS = 1
    for rank in (0, 1):
        for video in build_test_loader(cfg, source, rank=rank, world_size=2, tracks=["mask"]):
            assert torch.equal(video.tracks["mask"], whole[video.index].tracks["mask"])


def two_arrays(folder, name, masks):
    np.savez(folder / f"{name}.npz", masks, masks)


def of_16_bits(folder, name, masks):
    np.savez(folder / f"{name}.npz", masks.astype(np.uint16))


def in_colours(folder, name, masks):
    (folder / name).mkdir()
    for number, mask in enumerate(masks):
        Image.fromarray(np.stack([mask, mask, 0 * mask], -1)).save(folder / name / f"{number}.png")


def twice(folder, name, masks):
    as_npz(folder, name, masks)
    as_images(folder, name, masks)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda *_: None, r"missing \(DATA\.MASK_DIR has no mask of it: no .*clips/v.\.npz, \.mp4 or folder"),
        (lambda folder, name, masks: as_npz(folder, name, masks[1:]), "has 7 masks, the video 8 frames"),
        (lambda folder, name, masks: as_images(folder, name, masks[::2]), "has 4 masks, the video 8 frames"),
        (
            lambda folder, name, masks: as_npz(folder, name, masks.transpose(0, 2, 1)),
            "48 x 32 pixels, its mask 32 x 48",
        ),
        (two_arrays, "holds the arrays .*arr_0.*arr_1"),
        (of_16_bits, r"holds uint16 \(8, 32, 48\): uint8 or bool"),
        (in_colours, "is of mode RGB: a mask has one label of 8 bits a pixel"),
        (twice, "are both masks of it: leave one"),
        (lambda folder, name, masks: (folder / f"{name}.npz").write_bytes(b"no archive"), r"v.\.npz: "),
        (
            lambda folder, name, masks: as_video(folder, name, np.repeat(masks, 3, axis=0)),
            "has 24 masks, the video 8 frames",
        ),
    ],
)
def test_masks_that_cannot_be_the_videos_own_make_them_bad(annotation, tmp_path, write, message):
    with pytest.raises(DataError, match=message):
        batches(configured(annotation, write_masks(tmp_path, write)))


def test_a_run_that_needs_masks_and_has_none_does_not_begin(annotation):
    with pytest.raises(ConfigError, match=r"DATA\.MASK_DIR is empty, and masks are needed"):
        batches(configured(annotation, ""))
    with pytest.raises(ConfigError, match=r"DATA\.MASK_DIR = 'nowhere' is no folder"):
        batches(configured(annotation, "nowhere"))
    with pytest.raises(ConfigError, match=r"'reverse' changes what the clips show, and what accompanies them \(mask\)"):
        batches(configured(annotation, "nowhere", MODULATION="reverse"))
