"""Hugging Face's video classifiers, with random weights: their own loader's logits, clips as their own processors."""

import json
import sys

import numpy as np
import pytest
import torch
import yaml

from pvbias.config import complete, load_cfg
from pvbias.errors import ConfigError, WeightsError
from pvbias.models import build_recognizer, find_model
from pvbias.plugins.transformers_zoo import folders
from pvbias.plugins.transformers_zoo.sampling import SpreadToTheEnd
from pvbias.tools.main import main
from pvbias.zoo import fetch, load_weights

transformers = pytest.importorskip("transformers", reason="transformers is an optional extra of pvbias")

NAMES = ["left", "right"]
#: Options of every network but V-JEPA 2.
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
NETWORKS = {
    "videomae": ("VideoMAE", {"image_size": 32, "num_frames": 4, **SMALL}),
    "timesformer": ("Timesformer", {"image_size": 32, "num_frames": 4, **SMALL}),
    "vivit": ("Vivit", {"image_size": 32, "num_frames": 4, **SMALL}),
    "vjepa2": (
        "VJEPA2",
        {
            **{
                "crop_size": 32,
                "frames_per_clip": 4,
                "hidden_size": 64,
                "num_hidden_layers": 2,
                "num_pooler_layers": 1,
            },
            **{"num_attention_heads": 2, "pred_hidden_size": 32, "pred_num_attention_heads": 2},
            "pred_num_hidden_layers": 1,
        },
    ),
}
EVERY = pytest.mark.parametrize("kind", NETWORKS)


def processor_of(kind):
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    if kind == "vjepa2":
        return transformers.VJEPA2VideoProcessor(**size)
    if kind == "vivit":
        return transformers.VivitImageProcessor(**size)
    mean = {"image_mean": [0.45] * 3, "image_std": [0.225] * 3} if kind == "timesformer" else {}
    return transformers.VideoMAEImageProcessor(**size, **mean)


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory):
    """``hub_folder(kind)``: a folder as the library writes it."""
    made = {}

    def make(kind):
        if kind not in made:
            name, options = NETWORKS[kind]
            config = getattr(transformers, f"{name}Config")(**options, id2label=dict(enumerate(NAMES)))
            torch.manual_seed(0)
            network = getattr(transformers, f"{name}ForVideoClassification")(config)
            # So that no weight is a zero that would hide another.
            for parameter in network.parameters():
                torch.nn.init.normal_(parameter, std=0.1)
            made[kind] = tmp_path_factory.mktemp(kind)
            network.save_pretrained(made[kind])
            processor_of(kind).save_pretrained(made[kind])
        return made[kind]

    return make


def recognizer_of(folder, *more):
    keys = [
        "MODEL.MODEL_NAME",
        "Transformers",
        "TEST.CHECKPOINT_FILE_PATH",
        str(folder),
        "TRAIN.ENABLE",
        "False",
        *more,
    ]
    return build_recognizer(complete(load_cfg(overrides=keys), num_classes=2))


@EVERY
def test_logits_and_pictures_are_those_of_the_library(hub_folder, kind):
    folder = hub_folder(kind)
    recognizer = recognizer_of(folder).eval()
    report = load_weights(recognizer, str(folder))
    assert (report.skipped, report.initialised, report.head_loaded) == ({}, {}, True)
    theirs = transformers.AutoModelForVideoClassification.from_pretrained(folder).eval()
    # As large as the processor makes them, so that it only crops; V-JEPA 2's has a size of its own for each crop.
    side = recognizer.clip_spec.short_side
    frames = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), dtype=np.uint8)
    given = {"videos" if kind == "vjepa2" else "images": list(frames), "return_tensors": "pt"}
    inputs = processor_of(kind)(**given)
    edge = (side - 32) // 2
    clip = torch.from_numpy(frames[:, edge : edge + 32, edge : edge + 32]).permute(3, 0, 1, 2)[None]
    (pictures,) = inputs.values()
    torch.testing.assert_close(recognizer.normalize(clip).transpose(1, 2), pictures, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(recognizer(clip), theirs(**inputs).logits, atol=1e-5, rtol=1e-5)
    assert recognizer.embed(clip).shape[0] == 1
    assert recognizer.num_classes == 2


@EVERY
def test_clips_are_those_of_the_folder(hub_folder, kind):
    spec = folders.read_folder(str(hub_folder(kind))).clip_spec
    step = {"videomae": 4, "timesformer": 32, "vivit": 2, "vjepa2": 2}[kind]
    assert (spec.num_frames, spec.sampling_rate, spec.crop_size, spec.test_crop_size) == (4, step, 32, 32)
    assert spec.sampling == (kind if kind in ("timesformer", "vjepa2") else "rate")
    # ViViT's own processor makes 4 x - 3 of x in [0, 1].
    mean = {"videomae": 0.5, "timesformer": 0.45, "vivit": 0.75, "vjepa2": 0.485}[kind]
    std = {"videomae": 0.5, "timesformer": 0.225, "vivit": 0.25, "vjepa2": 0.229}[kind]
    assert (spec.mean[0], spec.std[0]) == (pytest.approx(mean), pytest.approx(std))


def test_a_processor_that_samples_says_how(hub_folder, tmp_path):
    copy_json(hub_folder("vjepa2"), tmp_path, video_preprocessor_config={"do_sample_frames": True, "fps": 4})
    spec = folders.read_folder(str(tmp_path)).clip_spec
    assert (spec.num_frames, spec.sampling_rate, spec.fps, spec.sampling) == (4, 1, 4.0, "rate")


@pytest.mark.parametrize(
    ("count", "clips", "expected"),
    [
        # linspace(0, 16, 4) is 0, 5.3, 10.7, 16, and the last frame is 15.
        (40, 1, [[0, 5, 10, 15]]),
        (40, 2, [[0, 5, 10, 15], [20, 25, 30, 35]]),
        # 10 frames have two steps of 4: linspace(0, 10, 2), and the last frame from there on.
        (10, 1, [[0, 9, 9, 9]]),
        (16, 1, [[0, 5, 10, 15]]),
        (3, 1, [[2, 2, 2, 2]]),
        (1, 2, [[0, 0, 0, 0], [0, 0, 0, 0]]),
    ],
)
def test_v_jepa_2s_frames(count, clips, expected):
    rule = SpreadToTheEnd(num_frames=4, num_clips=clips, step=4, fps=30.0)
    timestamps = np.arange(count) / 25.0
    times = rule.test_clips(0.0, count / 25.0, timestamps)
    assert np.searchsorted(timestamps, times).tolist() == expected
    begins = set()
    for seed in range(200):
        numbers = np.searchsorted(
            timestamps, rule.random_clip(0.0, count / 25.0, np.random.default_rng(seed), timestamps)
        )
        assert (numbers - numbers[0]).tolist() == [number - expected[0][0] for number in expected[0]] or clips == 2
        begins.add(int(numbers[0]))
    if clips == 1:
        assert begins == (set(range(24)) if count == 40 else {expected[0][0]})


QUICK = (
    "TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 DATA_LOADER.NUM_WORKERS 0 BIAS.BOOTSTRAP_SAMPLES 100 "
    "BIAS.EVALUATORS [dynamic_score,asdt] DATA.SAMPLING_RATE 2"
)


@EVERY
def test_measuring_knows_the_names_of_the_classes(hub_folder, bar_videos, tmp_path, kind):
    command = f"measure --model Transformers --weights {hub_folder(kind)} --data {bar_videos / 'test'} --out {tmp_path}"
    assert main([*command.split(), "--set", *QUICK.split()]) == 0
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["run"]["class_names"] == NAMES
    assert document["run"]["num_videos"] == 8
    words = {"timesformer": "4 frames spread over", "vjepa2": "4 frames spread over 8 frames"}
    assert document["run"]["sampling"].startswith(words.get(kind, "4 frames, every 2"))


def refuse_another_normalisation(checkpoint, copy, capsys):
    """The folder's image processor would go with weights that were trained with another mean."""
    content = torch.load(checkpoint, weights_only=True)
    configuration = yaml.safe_load(content["cfg"])
    configuration["DATA"]["MEAN"] = [0.1, 0.2, 0.3]
    torch.save({**content, "cfg": yaml.safe_dump(configuration)}, copy)
    capsys.readouterr()
    assert main(["export", str(copy), "--to", "transformers"]) == 2
    assert "trained with DATA.MEAN [0.1, 0.2, 0.3], but the image processor" in capsys.readouterr().err
    assert not list(copy.parent.glob("Transformers_*"))


@pytest.mark.parametrize(("kind", "objective"), [("videomae", "CrossEntropy"), ("vivit", "DRLFreeze")])
def test_training_and_back_into_the_librarys_own_form(hub_folder, bar_videos, tmp_path, capsys, kind, objective):
    keys = (
        f"MODEL.MODEL_NAME Transformers TRAIN.CHECKPOINT_FILE_PATH {hub_folder(kind)} OBJECTIVE.NAME {objective} "
        f"DATA.PATH_TO_DATA_DIR {bar_videos} DATA.TRAIN_SPLIT train DATA.TEST_SPLIT test OUTPUT_DIR {tmp_path / 'run'} "
        f"TRAIN.BATCH_SIZE 4 SOLVER.MAX_EPOCH 1 SOLVER.BASE_LR 0.01 TENSORBOARD.ENABLE False {QUICK}"
    )
    (tmp_path / "cfg.yaml").write_text("TRAIN: {ENABLE: True}")
    assert main(["run", "--cfg", str(tmp_path / "cfg.yaml"), *keys.split()]) == 0
    out = tmp_path / "exported"
    assert main(["export", str(tmp_path / "run"), "--to", "transformers", "-o", str(out)]) == 0
    theirs, info = transformers.AutoModelForVideoClassification.from_pretrained(out, output_loading_info=True)
    assert not any(info[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert theirs.config.id2label == dict(enumerate(NAMES))
    before = transformers.AutoModelForVideoClassification.from_pretrained(hub_folder(kind))
    assert not torch.equal(theirs.classifier.weight, before.classifier.weight)
    recognizer = recognizer_of(out)
    load_weights(recognizer, str(out))
    own = recognizer.module.state_dict()
    assert all(torch.equal(own[name], value) for name, value in theirs.state_dict().items())
    checkpoint = next((tmp_path / "run/checkpoints").glob("*.pyth"))
    assert load_weights(recognizer_of(out), str(checkpoint)).head_loaded
    refuse_another_normalisation(checkpoint, tmp_path / "other.pyth", capsys)

    capsys.readouterr()
    assert main(["inspect", str(checkpoint)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "pvbias run --cfg" in line]
    assert main([*line.replace("OUTPUT_DIR RUN", f"OUTPUT_DIR {tmp_path / 'again'}").split()[1:]]) == 0
    first, again = (json.loads((tmp_path / name / "results.json").read_text())["results"] for name in ("run", "again"))
    assert {name: first[name] for name in again} == again

    capsys.readouterr()
    assert main(["inspect", str(out)]) == 0
    text = capsys.readouterr().out
    assert "folder of the Hugging Face hub" in text
    assert f"pvbias measure --model Transformers --weights {out} --data" in text


def test_a_base_network_without_a_head_is_loaded_and_not_measured(hub_folder, bar_videos, tmp_path, capsys):
    classifier = transformers.VideoMAEForVideoClassification.from_pretrained(hub_folder("videomae"))
    classifier.videomae.save_pretrained(tmp_path)
    processor_of("videomae").save_pretrained(tmp_path)
    report = load_weights(recognizer := recognizer_of(tmp_path), str(tmp_path))
    assert (report.skipped, report.head_loaded) == ({}, False)
    own = recognizer.module.videomae.state_dict()
    assert all(torch.equal(own[name], value) for name, value in classifier.videomae.state_dict().items())
    command = f"measure --model Transformers --weights {tmp_path} --data {bar_videos / 'test'} --out {tmp_path / 'run'}"
    assert main([*command.split(), "--set", *QUICK.split()]) == 4
    assert "no final projection for Transformers (classifier.weight)" in capsys.readouterr().err


@EVERY
def test_clips_of_another_size(hub_folder, kind):
    """V-JEPA 2's positions are relative, TimeSformer's in time are interpolated; the others have one for each patch."""
    folder = hub_folder(kind)
    for keys, sizes in (("DATA.NUM_FRAMES 8", (8, 32)), ("DATA.TRAIN_CROP_SIZE 48", (4, 48))):
        free = kind == "vjepa2" or (kind == "timesformer" and sizes == (8, 32))
        if free:
            assert recognizer_of(folder, *keys.split())(torch.rand(1, 3, sizes[0], sizes[1], sizes[1])).shape == (1, 2)
        else:
            with pytest.raises(ConfigError, match=rf"{keys.replace(' ', ' = ')}: \w+ForVideoClassification .* only"):
                recognizer_of(folder, *keys.split())


def copy_json(folder, out, **changes):
    """The JSON files of a folder, some with other settings."""
    for file in folder.glob("*.json"):
        (out / file.name).write_text(json.dumps(json.loads(file.read_text()) | changes.get(file.stem, {})))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"config": {"model_type": "bert"}},
            r"config\.json': model_type 'bert' is none of videomae, .*Recognizer\.wrap",
        ),
        ({"config": {"num_frames": None}}, r"config\.json'?: num_frames = None has to be a whole number"),
        (
            {"preprocessor_config": {"image_mean": [0.5]}},
            r"preprocessor_config\.json': image_mean = \[0\.5\] has to be thr",
        ),
        ({"preprocessor_config": {"image_mean": [123.0] * 3}}, r"mean=\(123.*RGB in \[0, 1\]"),
        ({"preprocessor_config": {"size": {"height": 32, "width": 48}}}, r"size = .* is no square"),
    ],
)
def test_what_a_folder_lacks_is_named(hub_folder, tmp_path, changes, message):
    copy_json(hub_folder("videomae"), tmp_path, **changes)
    with pytest.raises(ConfigError, match=message):
        folders.read_folder(str(tmp_path))


def test_nothing_that_says_what_the_model_is(tmp_path, hub_folder, monkeypatch):
    with pytest.raises(ConfigError, match=r"nothing says what the model is.*none of them is set"):
        load_cfg(overrides=["MODEL.MODEL_NAME", "Transformers"])
    with pytest.raises(ConfigError, match=r"TEST\.CHECKPOINT_FILE_PATH = '/nowhere'"):
        recognizer_of("/nowhere")
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        recognizer_of(tmp_path)
    copy_json(hub_folder("videomae"), tmp_path)
    assert recognizer_of("/nowhere.pyth", "TRANSFORMERS.CONFIG", str(tmp_path)).num_classes == 2
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ConfigError, match=r"has none of .*preprocessor_config\.json.*save_pretrained"):
        recognizer_of(tmp_path)


def test_without_the_library_the_error_says_what_to_install(hub_folder, monkeypatch):
    folder = hub_folder("videomae")
    monkeypatch.setitem(sys.modules, "transformers", None)  # what import finds no module by
    with pytest.raises(ConfigError, match=r"pip install 'pvbias\[transformers\]'"):
        recognizer_of(folder)


def test_the_hub_out_of_reach(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for source in ("hf://MCG-NJU/videomae-base", "hf://MCG-NJU/videomae-base@main"):
        with pytest.raises(WeightsError, match=rf"{source} cannot be fetched: .*give its path"):
            fetch(source)
    for source in ("hf://videomae", "hf://a/b/c", "hf://"):
        with pytest.raises(WeightsError, match=r"not of the form hf://OWNER/NAME"):
            fetch(source)


def test_a_folder_in_the_hubs_cache_is_used_without_asking(hub_folder, monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **options: str(hub_folder("videomae")))
    assert fetch("hf://owner/name") == str(hub_folder("videomae"))
    keys = ["MODEL.MODEL_NAME", "Transformers", "TEST.CHECKPOINT_FILE_PATH", "hf://owner/name", "TRAIN.ENABLE", "False"]
    assert find_model(load_cfg(overrides=keys)).clip_spec.num_frames == 4
