import os
import subprocess
import sys

import pytest
import torch
from fvcore.common.config import CfgNode
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.config import get_cfg
from pvbias.errors import ConfigError
from pvbias.hardware import available_cores, describe_machine
from pvbias.models import Recognizer
from pvbias.runtime import Settings, choose_settings

SPEC = ClipSpec(num_frames=2, sampling_rate=1, crop_size=4, test_crop_size=4, short_side=4)


class Net(nn.Module):
    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body
        self.proj = nn.Linear(8, 1000)  # a large head does not make a transformer


def recognizer(body):
    return Recognizer(Net(body), clip_spec=SPEC, head="proj")


CONVOLUTIONAL = recognizer(nn.Sequential(nn.Conv3d(3, 8, 3), nn.BatchNorm3d(8)))
TRANSFORMER = recognizer(nn.Sequential(nn.Conv3d(3, 8, 1), nn.TransformerEncoderLayer(8, 2, 64)))


def configured(**values):
    cfg = get_cfg()
    for name, value in values.items():
        cfg[name] = value
    return cfg


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def gpu(monkeypatch):
    """Answers of a machine with a GPU of the given capability; nothing is computed on it."""

    def pretend(capability=(9, 0), cudnn=91900):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda: cudnn)

    return pretend


@pytest.mark.usefixtures("no_gpu")
def test_on_a_cpu():
    training = choose_settings(configured(), CONVOLUTIONAL, training=True)
    assert training == Settings(device=torch.device("cpu"), memory_format="channels_last_3d", precision="fp32")
    assert choose_settings(configured(), TRANSFORMER, training=False).memory_format == "contiguous"
    assert choose_settings(configured(PRECISION="bf16"), TRANSFORMER, training=False).precision == "bf16"
    for precision in ("fp16", "tf32"):
        with pytest.raises(ConfigError, match=f"PRECISION = '{precision}' needs a GPU"):
            choose_settings(configured(PRECISION=precision), CONVOLUTIONAL, training=True)


def test_on_a_gpu(gpu):
    gpu()
    training = choose_settings(configured(), CONVOLUTIONAL, training=True)
    assert (training.device, training.precision) == (torch.device("cuda", 3), "bf16")
    assert choose_settings(configured(), CONVOLUTIONAL, training=False).precision == "fp32"
    assert choose_settings(configured(PRECISION="fp16"), CONVOLUTIONAL, training=True).precision == "fp16"
    assert choose_settings(configured(PRECISION="tf32"), CONVOLUTIONAL, training=False).precision == "tf32"
    assert choose_settings(configured(NUM_GPUS=0), CONVOLUTIONAL, training=True).device.type == "cpu"
    gpu((7, 5))
    assert choose_settings(configured(), CONVOLUTIONAL, training=True).precision == "fp32"
    with pytest.raises(ConfigError, match="needs a GPU with units for TF32"):
        choose_settings(configured(PRECISION="tf32"), CONVOLUTIONAL, training=False)
    gpu(cudnn=91002)  # in which it is known to be wrong
    with pytest.raises(ConfigError, match="167024"):
        choose_settings(configured(PRECISION="tf32"), CONVOLUTIONAL, training=False)


@pytest.mark.parametrize(
    ("capability", "off", "expected"),
    [
        ((9, 0), [], "channels_last_3d"),
        ((9, 0), ["depthwise"], "contiguous"),
        ((9, 0), ["all"], "contiguous"),
        ((9, 0), ["stem"], "channels_last_3d"),
        ((7, 0), [], "contiguous"),
    ],
)
def test_depthwise_convolutions_of_torchs_on_a_gpu_are_contiguous(gpu, monkeypatch, capability, off, expected):
    gpu(capability)
    # Not the last answer of another pretended GPU.
    monkeypatch.setattr("pvbias.layers.availability._capability", torch.cuda.get_device_capability)
    monkeypatch.setattr("pvbias.layers.availability._has_triton", lambda: True)
    depthwise = recognizer(nn.Sequential(nn.Conv3d(3, 8, 1), nn.Conv3d(8, 8, 3, groups=8)))
    cfg = configured(LAYERS=CfgNode({"OFF": off}))
    assert choose_settings(cfg, depthwise, training=True).memory_format == expected
    assert choose_settings(cfg, CONVOLUTIONAL, training=True).memory_format == "channels_last_3d"


@pytest.mark.usefixtures("no_gpu")
def test_a_kind_of_layer_that_there_is_not():
    with pytest.raises(ConfigError, match=r"No FAST_LAYER is called 'stam'\. Did you mean 'stem'"):
        choose_settings(configured(LAYERS=CfgNode({"OFF": ["stam"]})), CONVOLUTIONAL, training=True)


TF32 = """
import torch
from pvbias.runtime import Settings


def products():
    # Whether torch makes convolutions and matrix products of fp32 tensors in TF32.
    if not hasattr(torch.backends.cudnn, "conv"):  # before 2.9
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    owners = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    return tuple(owner.fp32_precision == "tf32" for owner in owners)


def check(before):
    for precision in ("fp32", "tf32", "bf16"):
        settings = Settings(device=torch.device("cuda"), memory_format="contiguous", precision=precision)
        for context in (settings.tf32, settings.autocast):
            with context():
                assert products() == (precision == "tf32",) * 2, products()
            assert products() == before, (before, products())


check((True, False))  # as torch has it
torch.backends.cuda.matmul.allow_tf32 = True
check((True, True))
assert torch.backends.cudnn.allow_tf32 and torch.backends.cuda.matmul.allow_tf32
if hasattr(torch.backends.cudnn, "conv"):
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # now the older switches cannot be read
    check((False, True))
    torch.backends.cudnn.conv.fp32_precision = "none"
    torch.backends.cudnn.fp32_precision = "none"
    torch.backends.fp32_precision = "tf32"
    check((True, True))
"""


def test_tf32_is_used_inside_and_as_before_outside():
    """Whichever of torch's switches a program has set; in a process of its own, as they are the process's."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", TF32], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("memory_format", ["channels_last_3d", "contiguous"])
def test_clips_and_weights_get_the_memory_format(memory_format):
    settings = Settings(device=torch.device("cpu"), memory_format=memory_format, precision="fp32")
    wanted = {"channels_last_3d": torch.channels_last_3d, "contiguous": torch.contiguous_format}[memory_format]
    uint8 = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1, 1).repeat(2, 1, 2, 4, 4)
    clips = settings.clips(uint8)
    assert clips.is_contiguous(memory_format=wanted)
    assert clips[1, :, 1, 2, 3].tolist() == pytest.approx([0.0, 0.2, 1.0])
    assert uint8.unique().tolist() == [0, 51, 255]

    module = nn.Sequential(nn.Conv3d(3, 8, 3), nn.Conv2d(3, 8, 3), nn.Linear(2, 2))
    before = [parameter.detach().clone() for parameter in module.parameters()]
    assert settings.place(module) is module
    assert module[0].weight.is_contiguous(memory_format=wanted)
    assert all(torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast(precision, dtype):
    settings = Settings(device=torch.device("cpu"), memory_format="contiguous", precision=precision)
    with settings.autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


def test_descriptions_are_text():
    settings = choose_settings(configured(NUM_GPUS=0), CONVOLUTIONAL, training=False)
    description = settings.describe()
    assert (description["precision"], description["memory_format"]) == ("fp32", "channels_last_3d")
    machine = describe_machine()
    for value in (*description.values(), *machine.values()):
        assert isinstance(value, str)
        assert value


def test_a_process_takes_its_share_of_the_cores_and_keeps_its_memory():
    program = (
        "import torch\nfrom pvbias.hardware import available_cores\n"
        "from pvbias.machine import keep_freed_memory, keeps_memory, prepare_process\n"
        "from pvbias.runtime import Settings\n"
        "prepare_process(processes=available_cores())\n"
        "settings = Settings(device=torch.device('cpu'), memory_format='contiguous', precision='fp32')\n"
        "torch.ones(10**7)\n"
        "print(torch.get_num_threads(), settings.describe()['allocator'])\n"
        "def grown(millions):\n"
        "    before = int(open('/proc/self/statm').read().split()[1])\n"
        "    torch.ones(millions * 10**6)\n"
        "    return (int(open('/proc/self/statm').read().split()[1]) - before) / millions\n"
        "if keeps_memory():\n"
        "    kept = grown(50)\n"
        "    keep_freed_memory(False)\n"
        "    given_back = grown(100)\n"
        "    keep_freed_memory(True)\n"
        "    print(kept, given_back, grown(150))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    said, *grown = done.stdout.splitlines()
    threads, _, allocator = said.partition(" ")
    assert threads == "1"
    assert allocator in ("glibc, keeps freed memory", "system default")
    for line in grown:  # where it is glibc
        # pages a million numbers, as shares of those that these need
        kept, given_back, again = (float(pages) * os.sysconf("SC_PAGE_SIZE") / 4e6 for pages in line.split())
        assert (kept > 0.9, given_back < 0.1, again > 0.9) == (True, True, True)
    assert available_cores() >= 1
