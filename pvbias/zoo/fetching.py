"""Fetching of checkpoints by address, with a cache and checksums."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from posixpath import normpath
from urllib.parse import unquote, urlsplit

import portalocker
from iopath.common.file_io import file_lock, get_cache_dir
from tqdm import tqdm

from ..errors import ConfigError, WeightsError, did_you_mean
from ..models.zoo_model import Weights, ZooModel
from ..registries import MODEL, SOURCE
from .hub_folders import FILES, weights_file
from .reading import why_no_checkpoint

logger = logging.getLogger(__name__)

#: Seconds without a byte after which a download is given up.
TIMEOUT = 60.0

_CHUNK = 1 << 20

_BY_HAND = "where a server asks for a password or for consent, download the file by hand and give its path."


def fetch(source: str, sha256: str = "") -> str:
    """The local path of a checkpoint, downloaded where necessary.

    A download is kept in iopath's cache folder (``$FVCORE_CACHE``, else ``~/.torch/iopath_cache``) under
    ``<host>/<path>``, and a cached file is used without asking the server. It gets its name there only when it is
    whole, its checksum is right and it begins as checkpoints do, so neither an interrupted download, another process
    fetching the same file nor a page that asks for a password can leave a broken one. What comes without protection
    (http) and without a checksum is a warning.

    iopath's own download is not used: it confuses files of the same path on two servers, waits forever for a server
    that has gone silent, and keeps a file that was cut off by a server that had not said how long it is.

    Args:
        source: a path (a file, or a folder as in :mod:`.hub_folders`), an http(s) address, or
            ``zoo://<zoo>/<model>/<weights>`` from the MODEL registry, or one of the registry SOURCE.
        sha256: expected checksum, hexadecimal; empty: the catalogue's where it has one, else not verified.

    Raises:
        ConfigError: an address that is none.
        WeightsError: it cannot be had, or has another checksum.
    """
    if source.startswith("zoo://"):
        weights = find_weights(source)
        return fetch(weights.url, sha256 or weights.sha256)
    if source.startswith(("http://", "https://")):
        _check_address(source)
        return str(_cached(source, sha256))
    scheme, separator, _ = source.partition("://")
    if separator and scheme in SOURCE:
        if sha256:
            raise WeightsError(f"Weights {source!r} are a folder, which has no checksum: leave the checksum out.")
        return SOURCE.get(scheme)(source)
    if separator:
        others = "".join(f", or {name}://..." for name in SOURCE.names())
        raise WeightsError(
            f"Weights {source!r}: {scheme}:// is not supported. "
            f"Give a path, an http:// or https:// address, or zoo://<zoo>/<model>/<weights>{others}."
        )
    path = Path(os.path.expanduser(source))
    if path.is_dir() and weights_file(path) is not None:
        if sha256:
            raise WeightsError(f"Weights {str(path)!r} are a folder, which has no checksum: leave the checksum out.")
        return str(path)
    if not path.is_file():
        what = f"is a folder with none of {', '.join(FILES)}" if path.is_dir() else "does not exist"
        raise WeightsError(f"Weights file {str(path)!r} {what} (seen from {os.getcwd()!r}).")
    _verify(path, sha256, source, "Correct the checksum, or get the right file.")
    return str(path)


def _check_address(url: str) -> None:
    """Raise ConfigError for what is no address of a server's file, before anything takes it apart."""
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise ConfigError(f"Weights {url!r} are no address: {error}. Give http(s)://<host>/<path>.") from error
    if not known:
        raise ConfigError(f"Weights {url!r} are no address: there is no host. Give http(s)://<host>/<path>.")


def find_weights(source: str) -> Weights:
    """The catalogue entry of ``zoo://<zoo>/<model>/<weights>``.

    Raises:
        WeightsError: there is none; the message lists the nearest names.
    """
    parts = source.removeprefix("zoo://").split("/")
    if len(parts) != 3:
        raise WeightsError(f"Weights {source!r} are not of the form zoo://<zoo>/<model>/<weights>.")
    zoo, model_name, weights_name = parts
    zoos = {model.zoo for _, model in MODEL}
    if zoo not in zoos:
        raise WeightsError(f"Weights {source!r}: no zoo is called {zoo!r}. {did_you_mean(zoo, zoos)}")
    try:
        model: ZooModel = MODEL.get(model_name)
    except ConfigError as error:
        raise WeightsError(f"Weights {source!r}: {error}") from error
    if model.zoo != zoo:
        raise WeightsError(f"Weights {source!r}: {model_name} belongs to the zoo {model.zoo!r}.")
    if weights_name not in model.weights:
        raise WeightsError(
            f"Weights {source!r}: {model_name} has no weights called {weights_name!r}. "
            f"{did_you_mean(weights_name, model.weights)}"
        )
    return model.weights[weights_name]


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _verify(path: Path, sha256: str, source: str, advice: str) -> None:
    if not sha256:
        return
    found = sha256_of(path)
    if found != sha256.strip().lower():
        raise WeightsError(f"{source}: the file's SHA-256 is {found}, but {sha256} was expected. {advice}")


def _cached(url: str, sha256: str) -> Path:
    """The cached file of ``url``, downloaded by whichever process comes first."""
    path = _cache_path(url)
    try:
        if not _is_kept(path, sha256):
            path.parent.mkdir(parents=True, exist_ok=True)
            with file_lock(str(path)):
                if not _is_kept(path, sha256):  # nobody else has fetched it meanwhile
                    _download(url, path, sha256)
        advice = f"Delete {str(path)!r} to download it again, or correct the checksum."
        _verify(path, sha256, f"{url}, cached as {str(path)!r}", advice)
    except (OSError, portalocker.LockException) as error:
        raise WeightsError(
            f"Cannot read, write or lock {str(path)!r}: {type(error).__name__}: {error}. "
            "Set the environment variable FVCORE_CACHE to another folder, with enough space."
        ) from error
    return path


def _is_kept(path: Path, sha256: str) -> bool:
    """Whether a file is in the cache. A server's answer that is no checkpoint, which earlier versions have kept, does
    not count; unless its checksum is asked for, which then says what is wrong."""
    return path.is_file() and (bool(sha256) or not why_no_checkpoint(path))


def _cache_path(url: str) -> Path:
    parts = urlsplit(url)
    # Without leaving the cache: no "..", and no password that the address may hold.
    path = normpath("/" + unquote(parts.path)).lstrip("/") or "index"
    if parts.query:
        path += "-" + hashlib.sha256(parts.query.encode()).hexdigest()[:16]
    host = parts.netloc.rpartition("@")[2]
    return Path(get_cache_dir()) / host / path


def _download(url: str, path: Path, sha256: str) -> None:
    """Download ``url`` to a temporary name beside ``path`` and rename it when it is whole and a checkpoint.

    Raises:
        WeightsError: it cannot be had whole, or is something else.
        OSError: it cannot be written.
    """
    logger.info("Downloading %s to %s", url, path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in _read(url, checked=bool(sha256)):
                file.write(chunk)
        why = why_no_checkpoint(temporary)
        if why and not sha256:
            raise WeightsError(f"{url}: {why}. Nothing was kept. Check the address; {_BY_HAND}")
        also = f"And {why}: {_BY_HAND} " if why else ""
        _verify(Path(temporary), sha256, url, f"{also}Correct the checksum, or get the file from elsewhere.")
        os.chmod(temporary, 0o644)  # mkstemp's files are private, a cache may be shared
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _warn_of_http(url: str, answered_by: str) -> None:
    """Warn where any of the way is http: who is in between can replace the weights."""
    if "http" in (urlsplit(url).scheme, urlsplit(answered_by).scheme):
        redirected = f" (redirected to {answered_by})" if answered_by != url else ""
        logger.warning(
            "%s%s comes over http, so anybody in between can change the file, and there is no checksum that would show "
            "it. Give an https address; or the SHA-256 (for TRAIN.CHECKPOINT_FILE_PATH: TRAIN.CHECKPOINT_SHA256); or "
            "the path of a file that you have compared.",
            url,
            redirected,
        )


def _read(url: str, *, checked: bool) -> Iterator[bytes]:
    """The bytes of ``url`` in pieces; an error unless all of them arrive.

    Args:
        url: http or https.
        checked: the caller compares a checksum, and needs no length from the server.
    """
    received, total = 0, None
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            if not checked:
                _warn_of_http(url, response.geturl())
            length = response.headers.get("Content-Length")
            total = int(length) if length else None
            if total is None and not response.chunked and not checked:
                raise WeightsError(
                    f"{url}: the server does not say how long the file is, so an interrupted download could not be "
                    "noticed. Give the file's SHA-256 too, or download it by hand and give its path."
                )
            hidden = not sys.stderr.isatty()
            with tqdm(total=total, unit="B", unit_scale=True, desc=url.rsplit("/", 1)[-1], disable=hidden) as bar:
                while chunk := response.read(_CHUNK):
                    received += len(chunk)
                    bar.update(len(chunk))
                    yield chunk
    except urllib.error.HTTPError as error:
        raise WeightsError(f"{url}: the server answers {error.code} {error.reason}. Check the address.") from error
    except (http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(
            f"{url} cannot be downloaded: {type(error).__name__}: {reason}. "
            "On a machine without internet, download it elsewhere and give its path."
        ) from error
    if total is not None and received != total:
        raise WeightsError(f"{url}: the connection ended after {received} of {total} bytes. Try again.")
    if received == 0:
        raise WeightsError(f"{url}: the server sent an empty file.")
