"""Zip files whose checksums are verified while they are read, which PyTorch does not do."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

#: Bytes read and checked at a time.
_CHUNK = 1 << 20

#: Bytes of the records in which PyTorch says how the others are written, at most.
_SMALL = 64

#: How a record begins: signature, ..., lengths of its name and of what follows that, before its content.
_HEADER = struct.Struct("<4s22xHH")

ZIP_START = b"PK\x03\x04"


class CheckedFile(io.FileIO):
    """A zip file, such as ``torch.save`` writes, for one reader that takes each record in one piece, such as
    ``torch.load``: the checksums (CRC-32) of the records are computed from what it gets, so the file is read once and
    nothing of it is kept.

    Attributes:
        damaged: names of the records whose content is not what was written, as far as they are known.

    Raises:
        zipfile.BadZipFile: it is no zip file, or its end is missing.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, "rb")
        try:
            records = zipfile.ZipFile(self).infolist()  # from the end of the file
        except BaseException:
            self.close()
            raise
        self.damaged: list[str] = []
        self._by_header = {record.header_offset: record for record in records}
        self._by_content: dict[int, zipfile.ZipInfo] = {}
        self._unchecked = {record.header_offset: record for record in records}
        self.seek(0)

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer, and verify what is a record's header or content."""
        start, view = self.tell(), memoryview(buffer).cast("B")
        record = self._by_content.get(start)
        filled, checksum = 0, 0
        while filled < len(view):
            count = super().readinto(view[filled : filled + _CHUNK])
            if not count:
                break
            checksum = zlib.crc32(view[filled : filled + count], checksum)
            filled += count
        if filled == _HEADER.size and start in self._by_header:
            signature, name, extra = _HEADER.unpack(view)
            if signature == ZIP_START:
                self._by_content[start + filled + name + extra] = self._by_header[start]
        elif record is not None and filled == record.file_size and record.compress_type == zipfile.ZIP_STORED:
            self._note(record, checksum == record.CRC)
        return filled

    def check_rest(self) -> None:
        """Read and verify the records that the reader has left out or taken otherwise, once it is through."""
        if not self._unchecked:
            return
        with zipfile.ZipFile(self) as file:
            for record in list(self._unchecked.values()):
                self._note(record, whole=_is_whole(file, record))

    def _note(self, record: zipfile.ZipInfo, whole: bool) -> None:
        self._unchecked.pop(record.header_offset, None)
        if not whole and record.filename not in self.damaged:
            self.damaged.append(record.filename)


def look_into(path: str) -> tuple[list[str], bool]:
    """Check the records of a zip file that describe the others, without reading most of its content.

    Returns:
        The names of those records that say what the others are, and are not what was written; whether all records are
        stored as they are, so that they can be mapped into memory.

    Raises:
        zipfile.BadZipFile: it is no zip file, or its end is missing.
    """
    with zipfile.ZipFile(path) as file:
        records = file.infolist()
        describing = [record for record in records if record.filename.endswith(".pkl") or record.file_size <= _SMALL]
        damaged = [record.filename for record in describing if not _is_whole(file, record)]
    return damaged, all(record.compress_type == zipfile.ZIP_STORED for record in records)


def _is_whole(file: zipfile.ZipFile, record: zipfile.ZipInfo) -> bool:
    try:
        with file.open(record) as content:
            while content.read(_CHUNK):
                pass
    # The last two for a method of compression, or a part of a header, that there is not.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        return False
    return True
