"""DANN as an example plugin: the reversed gradient, what becomes of the domain classifier, a term beside others."""

import dataclasses
import json
import math

import pytest
import torch

from pvbias.clips import ClipSpec
from pvbias.config import load_cfg
from pvbias.engine import Step, newest_checkpoint
from pvbias.models import Recognizer
from pvbias.registries import DATASET, OBJECTIVE
from pvbias.run import run

from .example_plugins import configured, importable


class Inverted:
    """A source's videos with the grey levels of their frames inverted: another domain."""

    def __init__(self, source):
        self.source, self.class_names, self.description = source, source.class_names, "inverted"
        self.records = [dataclasses.replace(record, name=f"inverted/{record.name}") for record in source.records]

    def open(self, record):
        video = self.source.open(dataclasses.replace(record, name=record.name.removeprefix("inverted/")))
        read = video.read
        video.read = lambda times, size: 255 - read(times, size)
        return video


@pytest.fixture(autouse=True)
def plugin():
    with importable():
        DATASET.register(lambda cfg, split: Inverted(DATASET.get("brush_mnist")(cfg, split)), name="inverted")
        yield


def objective_of(recognizer, **keys):
    overrides = [str(part) for name, value in keys.items() for part in (f"DANN.{name}", value)]
    cfg = load_cfg(None, ["PLUGINS", "['example_plugins.domain_adversarial']", *overrides])
    return OBJECTIVE.get("Dann")(cfg, recognizer)


def linear_recognizer():
    """Mean colour of a clip -> embedding, 4 numbers -> logits."""
    torch.manual_seed(0)
    layers = [torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten(), torch.nn.Linear(3, 4), torch.nn.Linear(4, 3)]
    spec = ClipSpec(num_frames=2, sampling_rate=1, crop_size=4, test_crop_size=4, short_side=4)
    return Recognizer(torch.nn.Sequential(*layers), clip_spec=spec, head="3")


def mini_batch(recognizer, epoch, *, seed=0, count=15):
    """Two streams: clips of their class's colour, bright in the second, whose labels nobody knows."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3

    def step(brightness, given, **more):
        clips = torch.nn.functional.one_hot(labels, 3)[:, :, None, None, None] * 0.25 + brightness
        clips = clips + 0.1 * torch.rand(count, 3, 1, 1, 1, generator=generator)
        common = {"recognizer": recognizer, "epoch": epoch, "features": ("embedding",)}
        return Step(clips=clips.expand(-1, -1, 2, 4, 4), labels=given, **common, **more)

    return step(0.0, labels, streams={"target": step(0.2, None)})


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_the_recognizer_climbs_the_loss_that_the_classifier_descends(share):
    recognizer = linear_recognizer()
    objective = objective_of(recognizer, HIDDEN=8)
    (phase,) = objective.phases()

    def domain_loss():
        return phase.loss(mini_batch(recognizer, share * objective.cfg.SOLVER.MAX_EPOCH))["domain"]

    domain_loss().backward()
    reversal = 2 / (1 + math.exp(-10 * share)) - 1
    encoder, head = recognizer.module[2].weight, recognizer.module[3].weight
    assert head.grad is None  # comes after the embedding
    for parameter, factor in ((encoder, -reversal), (objective.domain_classifier[0].weight, 1.0)):
        direction = parameter.grad / parameter.grad.norm()
        with torch.no_grad():
            parameter += 0.002 * direction
            above = float(domain_loss())
            parameter -= 0.004 * direction
            below = float(domain_loss())
            parameter += 0.002 * direction
        assert factor * (above - below) / 0.004 == pytest.approx(float(parameter.grad.norm()), rel=0.03)


def trained(gamma):
    """Mean domain accuracy and top-1 accuracy over the last of 300 steps."""
    recognizer = linear_recognizer()
    objective = objective_of(recognizer, HIDDEN=16, GAMMA=gamma)
    (phase,) = objective.phases()
    parameters = [each for module in phase.modules.values() for each in module.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    logged = []
    for number in range(300):
        terms = phase.loss(mini_batch(recognizer, number / 300 * objective.cfg.SOLVER.MAX_EPOCH, seed=number))
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        logged.append((float(terms["domain_accuracy"]), float(terms["top1"])))
    return torch.tensor(logged[-100:]).mean(0).tolist()


def test_domains_become_indistinguishable_and_classes_stay():
    told_apart, top1 = trained(gamma=0.0)
    assert told_apart > 0.95
    assert top1 > 95
    told_apart, top1 = trained(gamma=10.0)
    assert told_apart < 0.65
    assert top1 > 95


@pytest.mark.parametrize("terms", ["[CrossEntropy, Dann]", "[Rev2Net, Dann]"])
def test_it_is_a_term_beside_others(tmp_path, terms):
    target = ("DATA.STREAMS.target.DATASET", "inverted", "DATA.STREAMS.target.SPLIT", "train")
    off = ("TEST.ENABLE", False, "BIAS.ENABLE", False, "DANN.HIDDEN", 8, "DECOUPLED.TRAIN_VIDEOS", 16)
    cfg = configured(tmp_path, "domain_adversarial", "OBJECTIVE.NAME", terms, *target, *off)
    run(cfg)
    logged = json.loads((tmp_path / "run" / "train_log.jsonl").read_text().splitlines()[-1])
    first = terms[1:].partition(",")[0]
    assert logged["Dann/classification"] == 0  # there is one classification loss, the first term's
    assert logged["loss"] == pytest.approx(logged[f"{first}/loss"] + logged["Dann/domain"], rel=1e-4)
    state = torch.load(newest_checkpoint(cfg.OUTPUT_DIR), weights_only=True)
    assert any("domain_classifier" in name for name in state["objective_state"])
    assert not any("domain_classifier" in name for name in state["model_state"])
