"""One pass feeds all evaluators: what is opened, forwarded and handed over, and that nothing depends on how."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

import pvbias.plugins.pytorchvideo_zoo  # noqa: F401 (registers slow_r50)
from pvbias.clips import modulation, view_seeds
from pvbias.data.attributes import Attributes
from pvbias.errors import ConfigError, DataError, WeightsError
from pvbias.evaluation import Accuracy, Evaluator, Figure, Result, SampleClips
from pvbias.models.recognizer import Recognizer
from pvbias.needs import Needs
from pvbias.registries import MODEL, MODULATION

from .toys import (
    NUM_CLASSES,
    NUM_VIDEOS,
    SPEC,
    Keep,
    NoiseSource,
    assert_same_rows,
    config,
    measure,
    recognizer,
)


class Stage(nn.Module):
    """A convolution, BatchNorm and ReLU; counts the frames it sees."""

    def __init__(self, channels, kernel):
        super().__init__()
        self.conv = nn.Conv3d(channels, 4, kernel, padding=[size // 2 for size in kernel])
        self.norm = nn.BatchNorm3d(4)
        self.act = nn.ReLU(inplace=True)
        self.frames = 0

    def forward(self, features):
        self.frames += len(features) * features.shape[2]
        return self.act(self.norm(self.conv(features)))


class Staged(nn.Module):
    """Blocks one after another, as PyTorchVideo's networks."""

    def __init__(self, *blocks):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, features):
        for block in self.blocks:
            features = block(features)
        return features


def staged_recognizer():
    """Two stages that see one frame at a time, one that does not, and the head."""
    torch.manual_seed(0)
    stages = [Stage(3, (1, 3, 3)), Stage(4, (1, 1, 1)), Stage(4, (3, 1, 1))]
    head = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, NUM_CLASSES))
    return Recognizer(Staged(*stages, head), clip_spec=SPEC, head="blocks.3.2", stages="blocks")


class Confused(Keep):
    """Puts all videos in the same place."""

    def process(self, video, logits):
        self.rows[0] = video.name


class Weigh(Evaluator):
    """Looks at the model alone."""

    def evaluate(self):
        return Result(figures=[Figure(name="classes", value=self.recognizer.num_classes, unit="", level="model")])


def rows(tmp_path, cfg, **options):
    keep = Keep(cfg, recognizer(), ("original", "shuffle", "reverse", "freeze_random"))
    measure(tmp_path, cfg, {"keep": keep}, **options)
    return keep.rows


def test_each_video_is_opened_once_and_each_variant_forwarded_once(tmp_path):
    cfg, model, source = config(), recognizer(), NoiseSource(num_videos=258)
    evaluators = {
        "a": Keep(cfg, model, ("original", "shuffle")),
        "b": Keep(cfg, model, ("shuffle", "reverse")),
        "weights": Weigh(cfg, model, ()),
    }
    results = measure(tmp_path, cfg, evaluators, model=model, source=source)
    assert source.opened == [f"{i}.mp4" for i in range(258)]
    # 3 views each: 4 videos make three full batches of 4 views, the last 2 videos one and a rest; in three variants.
    assert sorted(model.module.batches) == sorted(([4] * (64 * 3 + 1) + [2]) * 3)
    assert [figure.value for name in results for figure in results[name].figures] == [258, 258, NUM_CLASSES]


def test_one_modulation_is_forwarded_once_however_evaluators_write_it(tmp_path):
    cfg, model = config(), recognizer()
    evaluators = {
        "a": Keep(cfg, model, ("original", "freeze(frame=middle)", "shuffle( segments=2 )")),
        "b": Keep(cfg, model, ("freeze_middle", "shuffle(segments=2)")),
    }
    measure(tmp_path, cfg, evaluators, model=model)
    assert sum(model.module.batches) == NUM_VIDEOS * 3 * 3
    for index, (_, _, _, logits) in evaluators["a"].rows.items():
        others = evaluators["b"].rows[index][3]
        assert (logits["freeze(frame=middle)"] == others["freeze_middle"]).all()
        assert (logits["shuffle( segments=2 )"] == others["shuffle(segments=2)"]).all()
        assert (logits["original"] != others["shuffle(segments=2)"]).any()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("shufle", "Keep measures on clips that cannot be had: .*'shufle'. Did you mean 'shuffle'"),
        ("shuffle(segments=5)", "clips of 4 frames do not have 5 segments"),
    ],
)
def test_modulations_that_cannot_be_had_are_an_error_before_anything_is_decoded(tmp_path, spec, message):
    cfg, model, source = config(), recognizer(), NoiseSource()
    with pytest.raises(ConfigError, match=message):
        measure(tmp_path, cfg, {"keep": Keep(cfg, model, ("original", spec))}, model=model, source=source)
    assert source.opened == []


REARRANGED = ("original", "shuffle", "reverse", "freeze_first", "freeze_random")


@pytest.fixture
def footprint():
    """A modulation that changes what is in the frames."""
    restore = MODULATION.snapshot()
    MODULATION.register(lambda clips, seeds: clips.amax(2, keepdim=True).expand_as(clips), name="footprint")
    yield "footprint"
    restore()


def test_variants_of_the_same_frames_share_the_stages_that_see_one_at_a_time(tmp_path, footprint):
    cfg, model = config(), staged_recognizer()
    stages = model.stages
    keep = Keep(cfg, model, (*REARRANGED, footprint))
    measure(tmp_path, cfg, {"keep": keep}, model=model)
    frames = NUM_VIDEOS * 3 * 4
    # Once for the five and once for the footprint, whose frames are others; a stage after that for each of the six.
    assert [stage.frames for stage in stages[:3]] == [2 * frames, 2 * frames, 6 * frames]


def slow_r50():
    torch.manual_seed(0)
    entry = MODEL.get("slow_r50")
    module = entry.build(num_classes=NUM_CLASSES, num_frames=4, crop_size=8)
    return Recognizer(module, clip_spec=SPEC, head=entry.head, stages=entry.stages)


@pytest.mark.parametrize("build", [staged_recognizer, slow_r50])
def test_sharing_stages_changes_no_bit(tmp_path, footprint, build):
    sharing = build()
    plain = Recognizer(sharing.module, clip_spec=SPEC, head=sharing.head_name)
    assert sharing.num_frame_stages > plain.num_frame_stages == 0
    found = []
    for model in (sharing, plain):
        keep = Keep(config(views=1), model, (*REARRANGED, footprint))
        measure(tmp_path, config(views=1), {"keep": keep}, model=model, source=NoiseSource(num_videos=3))
        found.append(keep.rows)
    assert_same_rows(*found)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 64])
def test_logits_are_those_of_each_view_by_itself(tmp_path, batch_size):
    model = recognizer().eval()
    found = rows(tmp_path, config(batch_size=batch_size))
    assert list(found) == list(range(NUM_VIDEOS))
    for index, (name, label, clips, logits) in found.items():
        assert (name, label) == (f"{index}.mp4", index % 3)
        assert clips.shape == (3, 3, 4, 8, 8)
        seeds = view_seeds(0, name, 3)
        for variant, values in logits.items():
            assert values.dtype == np.float32
            for view in range(3):
                clip = torch.from_numpy(clips[view : view + 1])
                with torch.no_grad():
                    expected = model(modulation(variant)(clip, [seeds[view]]))[0]
                np.testing.assert_allclose(values[view], expected, atol=1e-4)


def test_seeds_depend_on_seed_name_and_view_alone():
    seeds = view_seeds(0, "a.mp4", 50)
    assert seeds[:10] == view_seeds(0, "a.mp4", 10)
    assert seeds[7:10] == view_seeds(0, "a.mp4", 10, first=7)
    assert len({*seeds, *view_seeds(1, "a.mp4", 50), *view_seeds(0, "b.mp4", 50)}) == 150
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert view_seeds(0, "a.mp4", 1) == [2318506628984693861]  # in all versions: results stay comparable
    assert view_seeds(0, "\udcff.mp4", 1)  # a file name that is not valid UTF-8


@pytest.mark.parametrize("workers", [1, 4])
def test_results_do_not_depend_on_the_number_of_workers(tmp_path, workers):
    assert_same_rows(rows(tmp_path, config()), rows(tmp_path, config(workers=workers)))


def _process(rank, store, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    cfg, model = config(), recognizer()
    evaluators = {
        "keep": Keep(cfg, model, ("original", "shuffle")),
        "accuracy": Accuracy(cfg, model, ()),
        "sample_clips": SampleClips(cfg, model, ()),
    }
    results = measure(folder, cfg, evaluators, model=model, source=NoiseSource(bad=(5,)))
    assert (results != {}) == (rank == 0)
    with pytest.raises(RuntimeError, match=r"'confused' has rows of videos \[0\] from two processes"):
        measure(folder, cfg, {"confused": Confused(cfg, model, ("original",))}, model=model)
    torch.save((evaluators["keep"].rows, results), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_figures_of_one(tmp_path):
    cfg, model = config(), recognizer()
    evaluators = {
        "keep": Keep(cfg, model, ("original", "shuffle")),
        "accuracy": Accuracy(cfg, model, ()),
        "sample_clips": SampleClips(cfg, model, ()),
    }
    alone = measure(tmp_path / "alone", cfg, evaluators, model=model, source=NoiseSource(bad=(5,)))
    (tmp_path / "two").mkdir()
    torch.multiprocessing.start_processes(
        _process, (str(tmp_path / "store"), str(tmp_path / "two")), nprocs=2, start_method="forkserver"
    )
    merged, together = torch.load(tmp_path / "two" / "0.pt", weights_only=False)
    assert_same_rows(evaluators["keep"].rows, merged)
    assert together["accuracy"] == alone["accuracy"]
    assert together["sample_clips"].images == alone["sample_clips"].images
    assert len(together["sample_clips"].tables["samples"]) == 3 * 4


def test_bad_videos_are_logged_and_left_out(tmp_path):
    found = rows(tmp_path, config(), source=NoiseSource(bad=(0, 4)))
    assert list(found) == [1, 2, 3, 5, 6]
    logged = [json.loads(line) for line in (tmp_path / "bad_videos.jsonl").read_text().splitlines()]
    assert [(entry["name"], entry["cause"]) for entry in logged] == [("0.mp4", "missing"), ("4.mp4", "missing")]


def test_too_many_bad_videos_are_an_error(tmp_path):
    with pytest.raises(DataError):
        rows(tmp_path, config(), source=NoiseSource(bad=(0, 4)), max_bad=0.1)


def test_no_good_video_is_an_error(tmp_path):
    with pytest.raises(DataError, match="nothing to measure"):
        rows(tmp_path, config(), source=NoiseSource(bad=range(NUM_VIDEOS)), max_bad=1.0)


def test_weights_alone_need_no_video(tmp_path):
    cfg, model, source = config(), recognizer(), NoiseSource()
    results = measure(tmp_path, cfg, {"weights": Weigh(cfg, model, ())}, model=model, source=source)
    assert results["weights"].figures[0].value == NUM_CLASSES
    assert source.opened == []
    assert model.module.batches == []


@pytest.mark.parametrize("training", [True, False])
def test_model_is_left_as_it_was(tmp_path, training):
    cfg, model = config(), recognizer().train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure(tmp_path, cfg, {"accuracy": Accuracy(cfg, model, ())}, model=model)
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_logits_that_are_not_finite_are_an_error(tmp_path):
    cfg, model = config(), recognizer()
    with torch.no_grad():
        model.head.bias[2] = math.nan
    with pytest.raises(WeightsError, match=r"'0\.mp4' \(original clips\) are not finite"):
        measure(tmp_path, cfg, {"accuracy": Accuracy(cfg, model, ())}, model=model)
    assert model.training


def test_measuring_again_forgets_the_first_time(tmp_path):
    cfg, model = config(), recognizer()
    keep = Keep(cfg, model, ("original",))
    measure(tmp_path, cfg, {"keep": keep}, model=model)
    measure(tmp_path, cfg, {"keep": keep}, model=model, source=NoiseSource(num_videos=2))
    assert list(keep.rows) == [0, 1]


def test_attributes_that_evaluators_need(tmp_path):
    class Scenes(Evaluator):
        needs = Needs(modulations=("original",), attributes=("scene",))

        def process(self, video, outputs):
            self.rows[video.index] = video.attributes.get("scene")

        def evaluate(self):
            return Result(tables={"scenes": [{"scene": scene} for scene in self.rows.values()]})

    source, cfg = NoiseSource(), config()
    with pytest.raises(DataError, match="The evaluator 'scenes' asks for 'scene', and no video"):
        measure(tmp_path, cfg, {"scenes": Scenes(cfg, recognizer(), ())}, source=source)
    assert not source.opened
    source.records[2] = dataclasses.replace(source.records[2], attributes=Attributes.of({"scene": "kitchen"}))
    for workers in (0, 1):
        cfg = config(workers)
        found = measure(tmp_path, cfg, {"scenes": Scenes(cfg, recognizer(), ())}, source=source)
        assert [row["scene"] for row in found["scenes"].tables["scenes"]] == [None, None, "kitchen", *[None] * 4]
