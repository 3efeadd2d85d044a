"""Tests run on the CPU, whatever machine they are on."""

import subprocess
import sys

import torch


def test_gpus_are_hidden_from_tests_and_what_they_start():
    assert not torch.cuda.is_available()
    count = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"], capture_output=True
    )
    assert count.stdout.strip() == b"0"
