import logging
import re

import pytest
import torch

from pvbias.config import get_cfg
from pvbias.known_issues import KNOWN_ISSUES, known_issues
from pvbias.run.log import log_known_issues
from pvbias.runtime import issues_at_hand
from pvbias.tools.main import main


@pytest.mark.parametrize(
    ("device", "versions", "numbers"),
    [
        ("cuda", {"torch": "2.8.0+cu128", "cudnn": 91002, "precisions": {"bf16"}}, {163539, 59168, 112583}),
        ("cuda", {"torch": "2.8.0+cu128", "cudnn": 91002, "precisions": {"fp16"}}, {59168, 112583}),
        ("cuda", {"torch": "2.7.1+cu126", "cudnn": 90501, "precisions": {"bf16"}}, {59168, 112583}),
        ("cuda", {"torch": "2.9.0+cu130", "cudnn": 91600, "precisions": {"bf16"}}, {166122, 59168, 112583}),
        ("cuda", {"torch": "2.9.1+cu130", "cudnn": 91300, "precisions": {"bf16"}}, {166643, 59168, 112583}),
        ("cuda", {"torch": "2.9.1+cu130", "cudnn": 91500, "precisions": {"bf16"}}, {59168, 112583}),
        ("cuda", {"torch": "2.11.0+cu130", "cudnn": 91900}, {59168}),
        ("cuda", {"torch": "2.10.0+cu130", "cudnn": 91501, "precisions": {"tf32"}}, {167024, 59168}),
        ("cuda", {"torch": "2.12.0a0+git1", "precisions": {"bf16", "tf32"}}, {59168}),
        ("cpu", {"torch": "2.10.0", "features": {"avx2", "amx_bf16"}}, {112583, 169688}),
        ("cpu", {"torch": "2.11.0", "features": {"avx2"}}, set()),
        ("cpu", {"torch": "2.10.0", "precisions": {"fp32"}}, set()),
    ],
)
def test_issues_of_a_combination(device, versions, numbers):
    found = [int(re.search(r"/(?:issues|pull)/(\d+) ", issue.source)[1]) for issue in known_issues(device, **versions)]
    assert len(found) == len(numbers)
    assert set(found) == numbers


def test_each_says_what_to_do_and_where_it_is_told():
    for issue in KNOWN_ISSUES:
        assert re.fullmatch(r'[^.].*[^.]\. .*\. \(https://github\.com/\S+/\d+ ".+"\)', str(issue))


def configured(**keys):
    cfg = get_cfg()
    for name, value in keys.items():
        cfg[name] = value
    return cfg


def test_a_run_warns_of_what_concerns_it(monkeypatch, caplog):
    """On a machine with an H100, torch 2.9.1 and cuDNN 9.10.2: its answers; nothing is computed on it."""
    monkeypatch.setattr(torch, "__version__", "2.9.1+cu128")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    with caplog.at_level(logging.WARNING):
        log_known_issues(configured())  # trains, in bf16
    assert "166643" in caplog.text
    measuring = configured()
    measuring.TRAIN.ENABLE = False
    assert issues_at_hand(measuring) == []  # in fp32
    assert issues_at_hand(configured(NUM_GPUS=0)) == []


def test_a_description_of_the_machine_has_them(monkeypatch, capsys):
    monkeypatch.setattr("pvbias.tools.env.versions", lambda *_: {"torch": "2.10.0"})
    assert main(["env"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "112583" in line]
    assert line.strip().startswith("cpu 1, bf16/fp16: after a forward under no_grad")
    assert line.endswith("pvbias avoids it.")
