"""`pvbias profile` on networks whose kernels are known."""

import json
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.models import ModelFamily, Weights, ZooModel
from pvbias.plugin_loading import load_plugins
from pvbias.plugins.bias_metrics.report.paper_figures import PaperFigure
from pvbias.registries import MODEL, MODEL_FAMILY
from pvbias.report.plots import COLORS
from pvbias.tools import profile_models
from pvbias.tools.main import main

from ..zoo.conftest import cache, server  # noqa: F401 (fixtures)

load_plugins()

SPEC = ClipSpec(num_frames=4, sampling_rate=1, crop_size=8, test_crop_size=8, short_side=8)
DIFFERENCE, AVERAGE = (-1.0, 1.0), (0.5, 0.5)


class Kernels(nn.Module):
    """So many layers, whose 32 kernels each see two moments of one channel (or one moment, without time)."""

    def __init__(self, num_classes, layers, frames):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv3d(4, 8, (frames, 1, 1), bias=False) for _ in range(layers))
        self.proj = nn.Linear(8, num_classes)


def entry(layers, frames=2):
    def build(*, num_classes, num_frames, crop_size):
        return Kernels(num_classes, layers, frames)

    return ZooModel(zoo="toys", build=build, clip_spec=SPEC, head="proj")


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """A catalogue of two depths, and of a network that sees one frame at a time."""
    models = {"toy_deep": entry(6), "toy_flat": entry(3, frames=1), "toy_shallow": entry(3)}
    monkeypatch.setattr(MODEL, "_obj_map", models)


def save(path, *kernels):
    """A checkpoint of 7 classes whose layers have these kernels."""
    module = Kernels(7, len(kernels), 2)
    with torch.no_grad():
        for layer, kernel in zip(module.layers, kernels, strict=True):
            layer.weight.copy_(torch.tensor(kernel).view(2, 1, 1).expand_as(layer.weight))
    path.parent.mkdir(exist_ok=True)
    torch.save({"model_state": module.state_dict()}, path)
    return path


def profile(out, *arguments):
    code = main(["profile", *map(str, arguments), "--out", str(out)])
    assert code == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    return page, json.loads((out / "results.json").read_bytes())


def test_each_layer_has_its_values_and_each_architecture_its_controls(tmp_path):
    path = save(tmp_path / "falling.pyth", DIFFERENCE, AVERAGE, DIFFERENCE)
    page, results = profile(tmp_path / "out", f"toy_shallow={path}")

    (toy,) = results["architectures"]
    (network,) = toy["networks"]
    assert (toy["model"], network["name"], network["weights"]) == ("toy_shallow", "toy_shallow (falling)", str(path))
    assert "7 classes in the file, 400 in the model" in network["load_summary"]
    layers = {column: [row[column] for row in network["layers"]] for column in network["layers"][0]}
    assert layers["layer"] == ["layers.0", "layers.1", "layers.2"]
    assert layers["asdt"] == pytest.approx([1, 0, 1], abs=1e-7)
    assert layers["relative_asdt"] == pytest.approx([1, 0, 1], abs=1e-7)
    assert layers["temporal_share"] == [100, 0, 100]
    assert layers["temporal_share_as_printed"] == [0, 100, 0]
    figures = {figure["name"]: figure["value"] for figure in network["figures"]}
    assert figures["relative_asdt"] == pytest.approx(2 / 3)
    assert figures["relative_asdt_first_third"] == pytest.approx(1)
    assert figures["temporal_channels"] == pytest.approx(200 / 3)
    assert figures["temporal_channels_as_printed"] == pytest.approx(100 / 3)

    seen = [[row["asdt"] for row in control["layers"]] for control in toy["controls"]]
    assert len(seen) == 3
    assert len({tuple(values) for values in seen}) == 3
    for text in ("toy_shallow (falling)", str(path), "3 seeds", "falls with depth before anything is learnt"):
        assert text in page


def test_it_says_the_same_again(tmp_path):
    assert (
        profile(tmp_path / "a", "toy_shallow")[1]["architectures"]
        == profile(tmp_path / "b", "toy_shallow")[1]["architectures"]
    )


def test_networks_of_any_depth_share_the_axis(tmp_path):
    shallow = save(tmp_path / "shallow.pyth", DIFFERENCE, AVERAGE, DIFFERENCE)
    deep = save(tmp_path / "deep.pyth", *[DIFFERENCE, AVERAGE] * 3)
    page, _ = profile(tmp_path / "out", f"toy_shallow={shallow}", f"toy_deep={deep}", "--controls", "1")

    assert page.count("<svg") == 2 + 2  # two measures on a shared axis, and ASDT of each architecture
    (relative, *_) = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    ends = []
    for color in COLORS[:2]:
        tag = next(
            t for t in re.findall(r"<path [^>]*>", relative) if f"stroke: {color.lower()}" in t and "dash" not in t
        )
        across = [float(x) for x, _ in re.findall(r"[ML] ([\d.]+) ([\d.]+)", tag)]
        assert across == sorted(across)
        ends.append((across[0], across[-1], len(across)))
    (first, last, points), (deep_first, deep_last, deep_points) = ends
    assert (first, last) == (deep_first, deep_last)
    assert (points, deep_points) == (3, 6)


def test_one_architecture_with_several_weights_has_one_control(tmp_path):
    one = save(tmp_path / "a" / "last.pyth", *[DIFFERENCE] * 3)
    two = save(tmp_path / "b" / "last.pyth", *[AVERAGE] * 3)
    page, results = profile(tmp_path / "out", f"toy_shallow={one}", f"toy_shallow={two}", "--controls", "2")

    (toy,) = results["architectures"]
    assert [network["name"] for network in toy["networks"]] == [f"toy_shallow ({one})", f"toy_shallow ({two})"]
    assert [network["layers"][0]["temporal_share"] for network in toy["networks"]] == [100, 0]
    assert len(toy["controls"]) == 2
    assert page.count('<span class="muted">(random)</span>') == 1


def test_a_family_s_architecture_is_that_which_its_weights_describe(tmp_path, monkeypatch):
    def configure(cfg):
        return entry(len(torch.load(cfg.TEST.CHECKPOINT_FILE_PATH)["model_state"]) - 2)

    family = ModelFamily(add_config=lambda cfg: None, configure=configure)
    monkeypatch.setattr(MODEL_FAMILY, "_obj_map", {"Toys": family})
    weights = save(tmp_path / "weights" / "three.pyth", *[DIFFERENCE] * 3)
    _, results = profile(tmp_path / "out", f"Toys={weights}")
    assert len(results["architectures"][0]["networks"][0]["layers"]) == 3


def test_what_has_no_temporal_kernels_is_listed(tmp_path, capsys):
    page, results = profile(tmp_path / "out", "toy_flat=not_even_looked_for.pyth", "toy_deep")
    assert [one["model"] for one in results["architectures"]] == ["toy_deep"]
    assert results["architectures"][0]["networks"] == []
    assert "there are no temporal kernels" in results["not_applicable"]["toy_flat"]
    assert re.search("Without temporal kernels.*toy_flat", page, re.DOTALL)

    assert main(["profile", "toy_flat", "--out", str(tmp_path / "nothing")]) == 2
    assert "nothing to draw of toy_flat" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()


def test_the_page_needs_nothing_beside_it(tmp_path):
    path = save(tmp_path / "<b>&.pyth", *[DIFFERENCE] * 3)
    page, _ = profile(tmp_path / "out", f"toy_shallow={path}")
    assert not re.search(r"<(script|link|iframe)|(src|href)=\"(?!#)|url\((?!#)|<b>&", page)
    assert "&lt;b&gt;&amp;" in page


def test_mistakes_are_said_before_anything_is_written(tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["profile", "toy_shalow", "--out", out]) == 2
    assert "Did you mean 'toy_shallow'?" in capsys.readouterr().err
    deep = save(tmp_path / "deep.pyth", *[DIFFERENCE] * 6)
    other = tmp_path / "other.pyth"
    torch.save({"model_state": {"somewhere.else": torch.zeros(3)}}, other)
    for weights, said in ((other, "do not fit the model"), (tmp_path / "missing.pyth", "missing.pyth")):
        assert main(["profile", f"toy_deep={deep}", f"toy_shallow={weights}", "--out", out]) == 4
        assert said in capsys.readouterr().err
    for wrong, said in ((["toy_deep", "--controls", "0"], "one or more"), (["toy_deep="], "names no weights")):
        with pytest.raises(SystemExit) as stopped:
            main(["profile", *wrong, "--out", out])
        assert stopped.value.code == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_any_key_can_be_set(tmp_path):
    """With a threshold above what averages give (0.25), all channels are temporal."""
    path = save(tmp_path / "flat.pyth", *[AVERAGE] * 3)
    arguments = (f"toy_shallow={path}", "--controls", "1", "--set", "BIAS.SELF_CONVOLUTION_DELTA", "0.3")
    _, results = profile(tmp_path / "out", *arguments)
    assert [row["temporal_share"] for row in results["architectures"][0]["networks"][0]["layers"]] == [100] * 3


def test_which_side_is_temporal_is_not_set_where_both_are_drawn(tmp_path, capsys):
    arguments = ["toy_shallow", "--out", str(tmp_path / "out"), "--set", "BIAS.SELF_CONVOLUTION_TEMPORAL", "above"]
    assert main(["profile", *arguments]) == 2
    assert "draws both sides" in capsys.readouterr().err


#: Kernels whose ASDT are 1, 0.75, 0.5, 0.4, 0.1 and 0.2: four falls and a rise.
FALLING = [(-a, a) for a in (1.0, 0.75, 0.5, 0.4, 0.1, 0.2)]


@pytest.fixture
def published(server, cache, tmp_path, monkeypatch):  # noqa: F811
    """The paper's figures of two networks: one on the server, one that it does not have."""
    server.content = save(tmp_path / "served.pyth", *FALLING).read_bytes()
    deep = entry(6)
    here, gone = (Weights(url=f"{server.url}/{kind}/{kind}.pyth", num_classes=7) for kind in ("whole", "gone"))
    MODEL._obj_map["toy_deep"] = replace(deep, weights={"kinetics400": here, "ig65m": gone})
    networks = [("toy_deep", f"zoo://toys/toy_deep/{name}") for name in ("kinetics400", "ig65m")]
    shares = {"temporal_share": "below", "temporal_share_as_printed": "above"}
    figures = (
        PaperFigure(number="3", title="one", says="It falls.", networks=(networks[0], ("toy_flat", "zoo://no/no/no"))),
        PaperFigure(number="4", title="two", says="Both.", networks=(networks[0],), columns=shares, axis="share"),
        PaperFigure(number="11 (c)", title="three", says="Still.", networks=(networks[1],)),
        PaperFigure(number="11 (a)", title="four", says="Nobody has published it.", networks=()),
    )
    monkeypatch.setattr(profile_models, "FIGURES", figures)
    return [address for _, address in networks]


def test_published_networks_are_fetched_as_far_as_they_can_be_had(published, server, tmp_path, capsys):  # noqa: F811
    here, gone = published
    out = tmp_path / "out"
    assert main(["profile", "--published", "--controls", "2", "--out", str(out)]) == 4
    said = capsys.readouterr().err
    assert "1 of 3 networks could not be had" in said
    assert f"{gone}: {server.url}/gone/gone.pyth: the server answers 404" in said
    page, results = (out / "report.html").read_text(encoding="utf-8"), json.loads((out / "results.json").read_bytes())

    (deep,) = results["architectures"]
    assert [network["weights"] for network in deep["networks"]] == [here]
    assert list(results["missing"]) == [gone]
    first, second, third, fourth = results["paper"]
    network, control = first["trends"]
    assert (network["name"], network["num_layers"]) == ("toy_deep (kinetics400)", 6)
    # Ranks 6 5 4 3 1 2 of layers 1 to 6: 1 - 6 * 68 / (6 * 35).
    assert network["rank_correlation"] == pytest.approx(1 - 6 * 68 / 210)
    assert network["last_to_first"] == pytest.approx(0.3 / 1.75)
    assert control["name"] == "toy_deep (random)"
    assert [found["column"] for found in second["trends"][:2]] == ["temporal_share", "temporal_share_as_printed"]
    assert second["trends"][0]["rank_correlation"] is None  # all channels of all layers
    assert [found["name"] for found in third["trends"]] == ["toy_deep (random)"]
    assert fourth["trends"] == []
    for text in ("Figure 3: one", "It falls.", f"{gone} is not shown.", "zoo://no/no/no is not shown.", "−0.94"):
        assert text in page
    figures = re.findall(r"<svg.*?</svg>", page.split('id="depth"')[0], re.DOTALL)
    assert len(figures) == 3
    assert ["dotted: by the definition" in figure for figure in figures] == [False, True, False]

    server.mended = True
    assert main(["profile", "--published", "toy_shallow", "--controls", "1", "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_bytes())
    assert results["missing"] == {}
    assert [one["model"] for one in results["architectures"]] == ["toy_shallow", "toy_deep"]


def test_weights_that_were_asked_for_by_name_must_be_had(published, tmp_path, capsys):
    arguments = ["--published", "--controls", "1", "--out", str(tmp_path / "out")]
    assert main(["profile", f"toy_deep={published[1]}", *arguments]) == 4
    assert not (tmp_path / "out").exists()
    for wrong in (["--published", "--layers"], ["--out", str(tmp_path)]):
        with pytest.raises(SystemExit):
            main(["profile", *wrong])


def test_layers_with_a_faster_forward_are_listed(capsys):
    assert main(["profile", "toy_deep", "--layers"]) == 0
    listed = capsys.readouterr().out
    assert listed.startswith("toy_deep, cpu")
    # Of six convolutions that of the clip's three channels, or all where each has few.
    counts = {line.split()[0]: line.split()[1] for line in listed.splitlines()[3:] if line}
    assert int(counts["stem"]) >= 1
    assert main(["profile", "toy_deep", "--layers", "--set", "LAYERS.OFF", "[stem]"]) == 0
    assert "stem" not in capsys.readouterr().out
    assert main(["profile", "toy_deep", "--layers", "--set", "LAYERS.OFF", "[stam]"]) == 2
    assert "Did you mean 'stem'" in capsys.readouterr().err
