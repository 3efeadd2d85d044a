"""The data sets that are known by name: their splits, classes, published counts and official files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pvbias.errors import DataError, did_you_mean

from .official import Official, OfficialFiles, OfficialVideo

if TYPE_CHECKING:
    from .locating import VideoIndex

#: Of a published count, where lists shrink as videos vanish: less, or more, is no such list.
_FEWEST, _MOST = 0.9, 1.02


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published count.

    Attributes:
        split: of which.
        count: lines of its official file that name a video or a part of one.
        source: a page, paper or file that says the number, and was looked up; or "not found: ..." where none was found
            that does.
        per_class: how many each class has, where all have as many.
        exact: the official file has just as many. False: lists of different years differ, as videos vanish.
        file: its name, where releases of the data set differ; empty: whatever it is called.
        read: the official file was read with pvbias, and has this count.
    """

    split: str
    count: int
    source: str
    per_class: int | None = None
    exact: bool = True
    file: str = ""
    read: bool = False


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set that is known by name.

    Attributes:
        name: in commands and paths.
        title: in words.
        url: where its official files are.
        classes: how many.
        splits: their names, in order.
        published: counts; of a split several, where releases differ.
        files: the names of its official files, for people.
        on_disk: how its videos are named and where they lie, for people.
        read: reads the official files; also gets the videos on disk, for the data sets that are listed by them alone.
        has_files: there are official files, and it is not listed by its videos alone.
    """

    name: str
    title: str
    url: str
    classes: int
    splits: tuple[str, ...]
    published: tuple[Published, ...]
    files: str
    on_disk: str
    read: Callable[[OfficialFiles | None, VideoIndex], Official]
    has_files: bool = True

    def published_of(self, split: str, videos: Sequence[OfficialVideo]) -> Published | None:
        """The published count of a split, if there is one of the release that its official file is of; of several the
        nearest."""
        name = getattr(_file_of(videos), "name", "")
        counts = [each for each in self.published if each.split == split and each.file in ("", name)]
        return min(counts, key=lambda each: abs(each.count - len(videos)), default=None)


def check_counts(data_set: DataSet, official: Official, *, other_counts: bool = False) -> None:
    """Raise where official files do not have the classes and counts that are published of them.

    Args:
        data_set: what they should be of.
        official: what they say.
        other_counts: numbers of videos may be any.

    Raises:
        DataError: naming both numbers and the source of the published one.
    """
    found = len(official.class_names)
    if found != data_set.classes:
        raise DataError(
            f"The official files have {found} classes, and {data_set.title} has {data_set.classes}. Are they of "
            f"another data set? `pvbias data list` names all that are known; {data_set.name} is read from "
            f"{data_set.files}."
        )
    if other_counts:
        return
    for split, videos in official.splits.items():
        published = data_set.published_of(split, videos)
        if published is None:
            continue
        low, high = (1.0, 1.0) if published.exact else (_FEWEST, _MOST)
        count, wanted = len(videos), published.count
        if not low * wanted <= count <= high * wanted:
            raise DataError(
                f"{data_set.title}, {split}: {_file_of(videos)} lists {count:,} videos, and {wanted:,} are published "
                f"({published.source}). The file is cut off, of another release or of another data set. If it is what "
                "you want, say --other-counts."
            )
        if published.per_class is not None and count == wanted and all(video.label for video in videos):
            counts = Counter(str(video.label) for video in videos)
            odd = next((name for name in official.class_names if counts[name] != published.per_class), None)
            if odd is not None:
                raise DataError(
                    f"{data_set.title}, {split}: the class {odd!r} has {counts[odd]} videos, and each has "
                    f"{published.per_class} ({published.source})."
                )


def _file_of(videos: Sequence[OfficialVideo]) -> object:
    where = videos[0].where if videos else None
    return getattr(where, "file", where) or "its file"


class Catalogue:
    """Data sets by name.

    Args:
        data_sets: each with a name of its own.
    """

    def __init__(self, data_sets: Iterable[DataSet]) -> None:
        self._by_name = {data_set.name: data_set for data_set in data_sets}

    def __iter__(self) -> Iterator[DataSet]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> DataSet:
        """The data set of that name.

        Raises:
            DataError: there is none.
        """
        if name not in self._by_name:
            raise DataError(f"There is no data set {name!r}. {did_you_mean(name, self._by_name)}")
        return self._by_name[name]
