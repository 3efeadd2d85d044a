"""Features for evaluators: from the forwards that give the logits, the same in several processes."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from pvbias.clips import modulation, view_seeds
from pvbias.errors import ConfigError
from pvbias.evaluation import Evaluator, Figure, Result
from pvbias.models import Recognizer
from pvbias.needs import Needs

from .toys import NUM_CLASSES, NUM_VIDEOS, SPEC, Keep, NoiseSource, config, measure, recognizer

MODULATIONS = ("original", "shuffle")


class KeepFeatures(Evaluator):
    """Keeps the features that it needs, and gives all of them back as one array for each."""

    def __init__(self, cfg, model, features=("embedding", "conv"), dtype=None):
        super().__init__(cfg, model, ())
        self.needs = Needs(modulations=MODULATIONS, features=tuple(features))
        self.dtype = dtype

    def process(self, video, outputs):
        self.rows[video.index] = {
            (modulated, name): output.features[name].numpy().astype(self.dtype or np.float32)
            for modulated, output in outputs.items()
            for name in self.needs.features
        }

    def evaluate(self):
        first = next(iter(self.rows.values()))
        self.found = {key: np.stack([row[key] for row in self.rows.values()]) for key in first}
        return Result(figures=[Figure(name="videos", value=len(self.rows), unit="", level="video")])


class Killed(BaseException):
    """Nothing catches it."""


def measured(folder, cfg, model, *, features=("embedding", "conv"), dtype=None, keep=None, evaluator=KeepFeatures):
    made = evaluator(cfg, model, features, dtype)
    measure(folder, cfg, {"features": made}, model=model, keep=keep)
    return made.found


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Of each video, as the module itself gives them."""
    cfg, model = config(), recognizer().eval()
    source, found = NoiseSource(), {}
    clips = Keep(cfg, model, ("original",))
    measure(tmp_path_factory.mktemp("clips"), cfg, {"clips": clips}, model=model, source=source)
    for modulated in MODULATIONS:
        conv, embedding = [], []
        for name, _, views, _ in clips.rows.values():
            changed = modulation(modulated)(torch.from_numpy(views), view_seeds(cfg.RNG_SEED, name, len(views)))
            with torch.inference_mode():
                conv.append(model.module.conv(model.normalize(changed)).numpy())
                features = model.module.norm(torch.from_numpy(conv[-1])).relu().mean((2, 3, 4))
            embedding.append(features.numpy())
        found[modulated, "conv"], found[modulated, "embedding"] = np.stack(conv), np.stack(embedding)
    return found


def assert_alike(found, expected, **tolerance):
    assert found.keys() == expected.keys()
    for key, values in found.items():
        np.testing.assert_allclose(values, expected[key], **({"rtol": 1e-5, "atol": 1e-6} | tolerance))


def test_features_are_those_of_the_module(tmp_path, expected):
    cfg, model = config(), recognizer()
    cfg.OUTPUT_DIR = str(tmp_path)
    found = measured(tmp_path, cfg, model)
    assert_alike(found, expected)
    assert found["original", "conv"].dtype == np.float32
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_the_forwards_are_those_of_the_logits(tmp_path):
    cfg, model = config(), recognizer()
    keep = Keep(cfg, model, MODULATIONS)
    measure(tmp_path, cfg, {"keep": keep}, model=model)
    logits, batches = keep.rows, list(model.module.batches)
    model.module.batches.clear()
    measure(tmp_path, cfg, {"keep": keep, "features": KeepFeatures(cfg, model)}, model=model)
    assert model.module.batches == batches
    for index, row in keep.rows.items():
        for modulated in MODULATIONS:
            np.testing.assert_array_equal(row[3][modulated], logits[index][3][modulated])


def test_half_precision(tmp_path, expected):
    found = measured(tmp_path, config(), recognizer(), dtype="float16")
    assert found["original", "embedding"].dtype == np.float16
    assert_alike(found, expected, rtol=1e-3, atol=1e-3)


def test_a_measurement_that_was_killed_reads_them_back(tmp_path, expected):
    cfg, model, keep = config(), recognizer(), tmp_path / "partial"

    dying = KeepFeatures(cfg, model)
    process, seen = dying.process, []

    def dies(video, outputs):
        seen.append(video.name)
        if len(seen) == 5:
            raise Killed
        process(video, outputs)

    dying.process = dies
    with pytest.raises(Killed):
        measure(tmp_path, cfg, {"features": dying}, model=model, keep=keep)
    source = NoiseSource()
    again = KeepFeatures(cfg, model)
    measure(tmp_path, cfg, {"features": again}, model=model, source=source, keep=keep)
    assert len(source.opened) == NUM_VIDEOS - 4
    assert_alike(again.found, expected)


def _process(rank, store, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    cfg, model = config(), recognizer()
    cfg.OUTPUT_DIR = folder
    made = KeepFeatures(cfg, model)
    measure(folder, cfg, {"features": made}, model=model)
    if rank == 0:
        torch.save(made.found, f"{folder}/found.pt")
    dist.destroy_process_group()


def test_two_processes(tmp_path, expected):
    (tmp_path / "out").mkdir()
    torch.multiprocessing.start_processes(
        _process, (str(tmp_path / "store"), str(tmp_path / "out")), nprocs=2, start_method="forkserver"
    )
    assert_alike(torch.load(tmp_path / "out" / "found.pt", weights_only=False), expected)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["found.pt"]


class Staged(nn.Module):
    """A stage of single frames, one over time, a projection."""

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.proj = nn.Linear(4, NUM_CLASSES)

        def forward(self, features):
            return self.proj(features.mean((2, 3, 4)))

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(
            [nn.Conv3d(3, 4, (1, 3, 3)), nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0)), self.Head()]
        )
        self.clips = [0, 0, 0]
        for number, block in enumerate(self.blocks):
            block.register_forward_hook(lambda _, args, __, number=number: self.count(number, len(args[0])))

    def count(self, number, clips):
        self.clips[number] += clips

    def forward(self, clip):
        for block in self.blocks:
            clip = block(clip)
        return clip


@pytest.mark.parametrize(("feature", "runs"), [("blocks.1", 1), ("embedding", 1), ("blocks.0", 2)])
def test_stages_of_single_frames_are_shared_where_that_gives_the_feature(tmp_path, feature, runs):
    torch.manual_seed(0)
    model = Recognizer(Staged(), clip_spec=SPEC, head="blocks.2.proj", stages="blocks")
    assert model.num_frame_stages == 1
    views = 3 * NUM_VIDEOS
    cfg = config()
    model.module.clips = [0, 0, 0]
    found = measured(tmp_path, cfg, model, features=(feature,))
    assert model.module.clips == [runs * views, 2 * views, 2 * views]
    plain = Recognizer(model.module, clip_spec=SPEC, head="blocks.2.proj")
    assert_alike(found, measured(tmp_path, cfg, plain, features=(feature,)))


def test_a_feature_that_was_not_declared(tmp_path):
    """... though another evaluator's forward has it."""
    cfg, model = config(), recognizer()

    class Careless(Keep):
        def process(self, video, outputs):
            outputs["original"].features["embedding"]

    evaluators = {"features": KeepFeatures(cfg, model), "careless": Careless(cfg, model, MODULATIONS)}
    with pytest.raises(ConfigError, match=r"'embedding' was not asked for"):
        measure(tmp_path, cfg, evaluators, model=model)


@pytest.mark.parametrize(
    ("feature", "message"),
    [("con", "no inner module 'con'.*'conv'"), ("batches", "no inner module 'batches'")],
)
def test_a_feature_that_the_model_does_not_have(tmp_path, feature, message):
    cfg, model, source = config(), recognizer(), NoiseSource()
    with pytest.raises(ConfigError, match=message):
        measure(tmp_path, cfg, {"features": KeepFeatures(cfg, model, (feature,))}, model=model, source=source)
    assert source.opened == []
