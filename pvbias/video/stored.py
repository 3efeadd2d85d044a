"""Videos of object stores, web servers and tar shards."""

from __future__ import annotations

from ..storage import StoreError, is_address
from ..storage.files import local_copy
from ..storage.local_cache import LocalCache
from .decoding import FileVideo
from .video import BadVideoError


def open_file(path: str, cache: LocalCache) -> FileVideo:
    """Open the video of a path or an address.

    Raises:
        BadVideoError: it cannot be had, or is none.
        DataError: the copy cannot be kept.
    """
    return StoredVideo(path, cache) if is_address(path) else FileVideo(path)


class StoredVideo(FileVideo):
    """A video at an address, decoded from a local copy of it, which is kept until the video is closed.

    Args:
        address: of a file (:mod:`pvbias.storage`).
        cache: of local copies.

    Raises:
        BadVideoError: it is missing, cannot be had, or is none; see :class:`.FileVideo`.
        DataError: the copy cannot be kept.
    """

    def __init__(self, address: str, cache: LocalCache) -> None:
        try:
            self._copy = local_copy(address, cache)
        except StoreError as error:
            raise BadVideoError("missing" if error.missing else "unreadable", str(error)) from error
        try:
            super().__init__(self._copy.path)
        except BaseException:
            self._copy.close()
            raise

    def close(self) -> None:
        """Close the file, and give its copy up."""
        super().close()
        self._copy.close()
