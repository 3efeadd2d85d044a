"""Search for the videos of a data set on disk, in whatever folders and with whatever suffix they lie there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from pvbias.data.annotations import loosely
from pvbias.data.annotations.files import is_video
from pvbias.data.annotations.folders import folder_entries
from pvbias.errors import DataError
from pvbias.storage import Address, expand

from .official import OfficialVideo


class VideoIndex:
    """The videos and folders of frames below a folder, by their names without suffix.

    Args:
        folder: a folder, or the address of one.

    Raises:
        DataError: there is none, or it has no videos.
    """

    def __init__(self, folder: str) -> None:
        self.folder: Path | Address = expand(folder)
        if isinstance(self.folder, Path) and not self.folder.is_dir():
            raise DataError(f"There is no folder {folder} of videos (--videos).")
        #: Where each video is, by its name below the folder.
        self.paths: dict[str, str] = {entry.name: str(entry.where) for entry in folder_entries(self.folder)}
        if not self.paths:
            raise DataError(f"{folder} has no videos in it, nor folders of frame images (--videos).")
        self._names: dict[str, list[str]] = {}
        for name in self.paths:
            self._names.setdefault(stem_of(name.rpartition("/")[2]), []).append(name)

    def find(self, video: OfficialVideo, split: str) -> tuple[str, bool] | None:
        """The name of the file (or folder of frames) of a video, and whether it may be that of a whole video, of which
        the clip is a part; None: nothing has its name.

        Raises:
            DataError: several files may be meant.
        """
        for names, whole in ((video.clip_names, False), (video.source_names, True)):
            for name in names:
                found = self._choose(name, video, split)
                if found is not None:
                    return found, whole
        return None

    def _choose(self, name: str, video: OfficialVideo, split: str) -> str | None:
        found = self._names.get(name.rpartition("/")[2], [])
        if len(found) < 2:
            return found[0] if found else None
        wanted = loosely(video.label) if video.label else ""
        kinds: Sequence[Callable[[PurePosixPath], bool]] = (
            lambda path: _without_suffix(path).as_posix().endswith(f"/{name}") or str(_without_suffix(path)) == name,
            lambda path: wanted != "" and loosely(path.parent.name) == wanted,
            lambda path: any(part.startswith(split.rstrip("0123456789")) for part in path.parts[:-1]),
        )
        for kind in kinds:
            kept = [each for each in found if kind(PurePosixPath(each))]
            found = kept or found
        if len(found) > 1:
            raise DataError(
                f"{video.where}: the video {video.name!r} may be {found[0]!r} or {found[1]!r} in {self.folder}: give "
                "a folder that has just one of them as --videos."
            )
        return found[0]


def stem_of(name: str) -> str:
    """The name of a file without a video's suffix, or several of them, as in ``ID.mp4.mkv``."""
    while is_video(name):
        name = name[: name.rfind(".")]
    return name


def _without_suffix(path: PurePosixPath) -> PurePosixPath:
    return path.with_name(stem_of(path.name))
