"""DANN and CDAN: against another library's numbers and finite differences, what becomes of the domains, BatchNorm, two
processes, a term beside others."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.config import load_cfg
from pvbias.distributed import get_rank, get_world_size
from pvbias.engine import Step, launch, newest_checkpoint
from pvbias.engine.checkpoint import resume, save_checkpoint
from pvbias.models import Recognizer
from pvbias.plugins.domain_adaptation import CDAN, DANN, add_config, reversal_strength
from pvbias.registries import DATASET
from pvbias.run import run

from ...engine.toys import FakeLoader, make_cfg, make_trainer, tiny_recognizer, weights
from ..mixing.small import SMALL

#: Embeddings of 3 clips and what the head says of them.
SOURCE = [[1.0, 2.0], [0.5, -1.0], [-0.3, 0.7]], [[2.0, 0.0, 1.0], [0.0, 1.0, -1.0], [0.3, 0.1, 0.2]]
TARGET = [[0.0, 1.0], [2.0, -0.5], [1.5, 0.2]], [[0.0, 3.0, 0.0], [1.0, 1.0, -2.0], [0.5, -0.5, 0.0]]


def adversarial_cfg(folder, *overrides):
    cfg = make_cfg(folder)
    add_config(cfg)
    cfg.merge_from_list(["DOMAIN_ADAPTATION.HIDDEN", 8, *overrides])
    return cfg


def objective_of(kind, recognizer, *overrides, folder=Path()):
    torch.manual_seed(0)
    return kind(adversarial_cfg(folder, *overrides), recognizer)


def linear_recognizer(norm=False):
    """Mean colour of a clip -> embedding, 4 numbers -> logits."""
    torch.manual_seed(0)
    between = [nn.BatchNorm1d(3)] if norm else []
    layers = [nn.AdaptiveAvgPool3d(1), nn.Flatten(), *between, nn.Linear(3, 4), nn.Linear(4, 3)]
    spec = ClipSpec(num_frames=2, sampling_rate=1, crop_size=4, test_crop_size=4, short_side=4)
    return Recognizer(nn.Sequential(*layers), clip_spec=spec, head=str(len(layers) - 1))


def made_up(values, **more):
    """A step with these embeddings and logits, and the embeddings."""
    embedding, logits = torch.tensor(values[0], requires_grad=True), torch.tensor(values[1])
    outputs = SimpleNamespace(features={"embedding": embedding}, logits=logits)
    return SimpleNamespace(outputs=outputs, logits=logits, **more), embedding


#: Of github.com/thuml/Transfer-Learning-Library, with the reversal at p = 0.3 and the classifier sigmoid(x w + 1/4), w
#: from -1 to 1 evenly: the loss, and its gradient by the embeddings of source and target. It halves the sum over the
#: domains, and divides weights by their mean, here 1.4519542.
LIBRARY = {
    "DANN": (
        0.6513302,
        [-0.0335961, 0.0335961, -0.1172619, 0.1172619, -0.0335961, 0.0335961],
        [0.1172619, -0.1172619, 0.0143842, -0.0143842, 0.0391062, -0.0391062],
        2,
    ),
    "CDAN": (
        0.6785131,
        [-0.0514884, -0.0130936, -0.0242757, 0.0057167, -0.0134810, 0.0101749],
        [0.0184240, -0.0184240, 0.0265832, 0.0079562, 0.0233267, -0.0026331],
        2,
    ),
    "CDAN+E": (
        0.6887771,
        [-0.0508879, -0.0129409, -0.0239926, 0.0056500, -0.0123901, 0.0093514],
        [0.0214840, -0.0214840, 0.0266130, 0.0079651, 0.0218580, -0.0024673],
        2 * 1.4519542,
    ),
}


@pytest.mark.parametrize("name", list(LIBRARY))
def test_losses_and_gradients_are_those_of_another_library(name):
    loss, by_source, by_target, factor = LIBRARY[name]
    kind = DANN if name == "DANN" else CDAN
    objective = objective_of(
        kind, SimpleNamespace(head=nn.Linear(2, 3), num_classes=3), "CDAN.ENTROPY", name[-1] == "E"
    )
    inputs = 2 if kind is DANN else 6
    linear = nn.Linear(inputs, 1)
    # Their source is 1 and their target 0; ours the other way round.
    linear.weight.data, linear.bias.data = -torch.linspace(-1, 1, inputs)[None], torch.tensor([-0.25])
    objective.domain_classifier = linear
    target, target_embedding = made_up(TARGET)
    source, source_embedding = made_up(
        SOURCE, labels=torch.tensor([0, 1, 2]), epoch=0.3 * objective.cfg.SOLVER.MAX_EPOCH
    )
    source.streams = {"train": source, "target": target}
    (phase,) = objective.phases()
    domain = phase.loss(source)["domain"]
    assert domain.item() == pytest.approx(factor * loss, rel=2e-5)  # theirs adds 1e-5 inside a logarithm
    domain.backward()
    for embedding, gradient in ((source_embedding, by_source), (target_embedding, by_target)):
        found = embedding.grad.flatten() / factor
        torch.testing.assert_close(found, torch.tensor(gradient), rtol=1e-4, atol=2e-6)


def test_many_products_are_combined_at_random():
    """E[(a.e)(b.p)(a.e')(b.p')] = (e.e')(p.p'), the inner product of all products."""
    recognizer = SimpleNamespace(head=nn.Linear(2, 3), num_classes=3)
    keys = ("CDAN.RANDOM_FEATURES", 200_000)
    objective = objective_of(CDAN, recognizer, "CDAN.LARGEST_PRODUCT", 5, *keys)
    (few, _), (one, _) = made_up(SOURCE), made_up(TARGET)
    combined = [objective._seen(step) for step in (few, one)]
    assert combined[0].shape == (3, 200_000)
    products = [objective_of(CDAN, recognizer)._seen(step) for step in (few, one)]
    assert products[0].shape == (3, 6)
    torch.testing.assert_close(combined[0] @ combined[1].T, products[0] @ products[1].T, atol=0.05, rtol=0.05)
    fixed = {name for name, _ in objective.named_buffers()}
    assert fixed == {"random_embedding", "random_classes"}  # in the training checkpoint, and not trained


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
@pytest.mark.parametrize("kind", [DANN, CDAN])
def test_the_recognizer_climbs_the_loss_that_the_classifier_descends(kind, share, monkeypatch):
    recognizer = linear_recognizer()
    objective = objective_of(kind, recognizer)
    # Class probabilities are given: with the encoder they do not change.
    monkeypatch.setattr(CDAN, "_probabilities", staticmethod(lambda step: torch.full((len(step.clips), 3), 1 / 3)))
    (phase,) = objective.phases()

    def domain_loss():
        return phase.loss(mini_batch(recognizer, share * objective.cfg.SOLVER.MAX_EPOCH))["domain"]

    domain_loss().backward()
    encoder, head = recognizer.module[2].weight, recognizer.module[3].weight
    assert head.grad is None  # comes after the embedding
    for parameter, factor in (
        (encoder, -reversal_strength(share, 10.0)),
        (objective.domain_classifier[0].weight, 1.0),
    ):
        direction = parameter.grad / parameter.grad.norm()
        with torch.no_grad():
            parameter += 0.002 * direction
            above = float(domain_loss())
            parameter -= 0.004 * direction
            below = float(domain_loss())
            parameter += 0.002 * direction
        assert factor * (above - below) / 0.004 == pytest.approx(float(parameter.grad.norm()), rel=0.03)


def trained(kind, gamma):
    """Mean domain accuracy and top-1 accuracy over the last of 300 steps."""
    recognizer = linear_recognizer()
    objective = objective_of(kind, recognizer, "DOMAIN_ADAPTATION.HIDDEN", 16, "DOMAIN_ADAPTATION.GAMMA", gamma)
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


@pytest.mark.parametrize("kind", [DANN, CDAN])
def test_domains_become_indistinguishable_and_classes_stay(kind):
    told_apart, top1 = trained(kind, gamma=0.0)
    assert told_apart > 0.95
    assert top1 > 95
    told_apart, top1 = trained(kind, gamma=10.0)
    assert told_apart < 0.65
    assert top1 > 95


def test_batch_norm_normalises_each_domain_by_itself_and_remembers_both():
    """Momentum 0.1, from mean 0: 0.9 * 0.1 of the source's mean and 0.1 of the target's."""
    recognizer = linear_recognizer(norm=True).train()
    (phase,) = objective_of(DANN, recognizer).phases()
    step = mini_batch(recognizer, 0.5)
    seen = []
    recognizer.module[3].register_forward_hook(lambda module, given, made: seen.append(given[0].mean(0)))
    phase.loss(step)
    mean, std = torch.tensor(recognizer.clip_spec.mean), torch.tensor(recognizer.clip_spec.std)
    means = [(stream.clips.mean((0, 2, 3, 4)) - mean) / std for stream in step.streams.values()]
    torch.testing.assert_close(recognizer.module[2].running_mean, 0.09 * means[0] + 0.1 * means[1])
    assert len(seen) == 2
    for each in seen:
        torch.testing.assert_close(each, torch.zeros(3), atol=1e-6, rtol=0)


class TwoDomains(FakeLoader):
    """With a second stream of clips without labels, brighter ones."""

    def epoch(self, *position):
        for batch in super().epoch(*position):
            clips = (batch.clips.flip(0) // 2 + 128).contiguous()
            target = dataclasses.replace(batch, clips=clips, labels=None, names=[f"t_{name}" for name in batch.names])
            yield dataclasses.replace(batch, streams={"target": target})


def train_both(cfg):
    """Process 0 writes the weights."""
    results = {}
    for kind in (DANN, CDAN):
        recognizer = tiny_recognizer()
        trainer = make_trainer(cfg, recognizer, kind, TwoDomains(3, rank=get_rank(), world_size=get_world_size()))
        trainer.train()
        results[kind.__name__] = torch.cat([weights(recognizer), weights(trainer.objective)])
    if get_rank() == 0:
        torch.save(results, Path(cfg.OUTPUT_DIR) / f"weights_{get_world_size()}.pt")


def test_two_processes_take_the_steps_of_one(tmp_path):
    cfg = adversarial_cfg(tmp_path)
    train_both(cfg)
    cfg.NUM_GPUS = 2
    launch(train_both, cfg)
    one, two = (torch.load(tmp_path / f"weights_{count}.pt") for count in (1, 2))
    for name, expected in one.items():
        torch.testing.assert_close(two[name], expected, rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize("kind", [DANN, CDAN])
def test_a_run_that_goes_on_is_the_same_bit_for_bit(kind, tmp_path):
    keys = ("CDAN.LARGEST_PRODUCT", 0, "CDAN.RANDOM_FEATURES", 5)

    def trainer(folder, seed=5):
        recognizer = tiny_recognizer(norm=True, dropout=0.5)
        torch.manual_seed(seed)
        return make_trainer(adversarial_cfg(folder, *keys), recognizer, kind, TwoDomains(2))

    whole = trainer(tmp_path / "whole")
    whole.train()
    first = trainer(tmp_path / "parts")
    first.max_epochs = 1  # stopped after one of two epochs
    first.train()
    save_checkpoint(first)
    second = trainer(tmp_path / "parts", seed=6)  # the random combinations come from the checkpoint
    assert resume(second) is not None
    second.train()
    for a, b in ((whole.recognizer, second.recognizer), (whole.objective, second.objective)):
        assert all(torch.equal(a.state_dict()[name], value) for name, value in b.state_dict().items())


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


@pytest.mark.parametrize("terms", ["CrossEntropy + DANN", "Rev2Net + CDAN"])
def test_it_is_a_term_beside_others(tmp_path, terms):
    (tmp_path / "small.yaml").write_text(SMALL)
    load_cfg()  # what the built-in plugins register stays
    restore = DATASET.snapshot()
    DATASET.register(lambda cfg, split: Inverted(DATASET.get("brush_mnist")(cfg, split)), name="inverted")
    target = ["DATA.STREAMS.target.DATASET", "inverted", "DATA.STREAMS.target.SPLIT", "train"]
    keys = ["OBJECTIVE.NAME", terms, "OBJECTIVE.WEIGHTS", "[1.0, 0.5]", "DOMAIN_ADAPTATION.HIDDEN", "8"]
    try:
        cfg = load_cfg(
            tmp_path / "small.yaml",
            [*target, *keys, "DECOUPLED.TRAIN_VIDEOS", "16", "OUTPUT_DIR", str(tmp_path / "run")],
        )
        run(cfg)
    finally:
        restore()
    logged = json.loads((tmp_path / "run" / "train_log.jsonl").read_text().splitlines()[-1])
    first, second = terms.split(" + ")
    assert logged[f"{second}/classification"] == 0  # there is one classification loss, the first term's
    assert logged["loss"] == pytest.approx(logged[f"{first}/loss"] + 0.5 * logged[f"{second}/domain"], rel=1e-4)
    state = torch.load(newest_checkpoint(cfg.OUTPUT_DIR), weights_only=True)
    assert any("domain_classifier" in name for name in state["objective_state"])
    assert not any("domain_classifier" in name for name in state["model_state"])
