"""A small recognizer to load weights into, and a loopback server that can misbehave."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.models import Recognizer, ZooModel
from pvbias.registries import MODEL

SPEC = ClipSpec(num_frames=2, sampling_rate=1, crop_size=4, test_crop_size=4, short_side=4)


class TinyModel(nn.Module):
    """Convolution (328 weights), normalisation (8), projection."""

    def __init__(self, num_classes: int, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, width, 3)
        self.norm = nn.BatchNorm3d(width)
        self.proj = nn.Linear(width, num_classes)

    def forward(self, clip):
        return self.proj(self.norm(self.conv(clip)).mean(dim=(2, 3, 4)))


@pytest.fixture
def tiny():
    """``tiny(num_classes, seed)``: a recognizer with weights of its own."""

    def build(num_classes: int = 5, seed: int = 0) -> Recognizer:
        torch.manual_seed(seed)
        return Recognizer(TinyModel(num_classes), clip_spec=SPEC, head="proj")

    return build


@pytest.fixture
def toys(monkeypatch):
    """A catalogue of two models: ``toy_tiny`` and, of another width, ``toy_wide``."""

    def entry(width: int) -> ZooModel:
        def build(*, num_classes: int, num_frames: int, crop_size: int) -> nn.Module:
            return TinyModel(num_classes, width)

        return ZooModel(zoo="toys", build=build, clip_spec=SPEC, head="proj")

    models = {"toy_tiny": entry(4), "toy_wide": entry(6)}
    monkeypatch.setattr(MODEL, "_obj_map", models)
    return models


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty download cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FVCORE_CACHE", str(folder))
    return folder


@pytest.fixture
def server():
    """A loopback server: ``server.url``, ``server.content`` (what it serves), ``server.requests`` (paths asked for).

    Paths: ``/whole/...``, ``/slow/...`` (half a second), ``/cut/...`` (half of what is announced), ``/cut-chunk/...``
    (a chunk that is not finished), ``/endless/...`` (no length announced), ``/silent/...`` (half, then nothing),
    ``/moved/...`` (to ``/whole/...``); others are missing. With ``server.mended`` set, all are whole.
    """
    state = SimpleNamespace(
        content=b"PK\x03\x04" + bytes(range(4, 256)) + bytes(range(256)) * 3999,
        requests=[],
        mended=False,
        stop=threading.Event(),
    )

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.requests.append(self.path)
            kind, content, half = self.path.split("/")[1], state.content, state.content[: len(state.content) // 2]
            if state.mended:
                kind = "whole"
            self.close_connection = True
            if kind not in {"whole", "slow", "cut", "cut-chunk", "endless", "silent", "moved"}:
                self.send_error(404)
                return
            if kind == "moved":
                self.send_response(302)
                self.send_header("Location", self.path.replace("moved", "whole"))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            if kind == "cut-chunk":
                self.send_header("Transfer-Encoding", "chunked")
            elif kind != "endless":
                self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            if kind == "slow":
                time.sleep(0.5)
            prefix = f"{len(content):x}\r\n".encode() if kind == "cut-chunk" else b""
            self.wfile.write(prefix + (content if kind in {"whole", "slow"} else half))
            if kind == "silent":
                self.wfile.flush()
                state.stop.wait(10)

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield state
    state.stop.set()
    http.shutdown()
    http.server_close()
    thread.join()
