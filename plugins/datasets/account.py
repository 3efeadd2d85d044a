"""What a preparation found: videos by split and class, published counts, and videos that splits share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

from tabulate import tabulate

from .catalogue import DataSet, Published
from .official import Official, OfficialFiles, OfficialVideo

#: Of what there may be thousands of, those that are printed.
_SHOWN = 5


@dataclass(kw_only=True)
class SplitAccount:
    """The videos of a split.

    Attributes:
        split: its name.
        published: its published count, if there is one.
        listed, found: how many videos the official file lists, and how many of them are on disk.
        missing: names of the others.
        listed_by_class, found_by_class: likewise, by class name; a multi-label video counts in each of its classes.
        twice: names that the official file lists more than once.
    """

    split: str
    published: Published | None
    listed: int = 0
    found: int = 0
    missing: list[str] = field(default_factory=list)
    listed_by_class: Counter[str] = field(default_factory=Counter)
    found_by_class: Counter[str] = field(default_factory=Counter)
    twice: list[str] = field(default_factory=list)

    def count(self, video: OfficialVideo, *, found: bool) -> None:
        """Count a video."""
        classes = video.classes or ([video.label] if video.label is not None else [])
        self.listed += 1
        self.listed_by_class.update(classes)
        if found:
            self.found += 1
            self.found_by_class.update(classes)
        else:
            self.missing.append(video.name)


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What two splits of one protocol share.

    Attributes:
        first, second: the splits.
        videos: names that both list.
        sources: videos or recordings that clips of both are cut from.
    """

    first: str
    second: str
    videos: list[str]
    sources: list[str]


@dataclass(kw_only=True)
class Account:
    """The outcome of :func:`.prepare_lists`.

    Attributes:
        name, title, url: of the data set.
        videos: the folder of videos.
        files: the official files that were read, with their checksums.
        class_names: in official order.
        splits: by name.
        absent: splits that were not prepared, and why.
        shared: what splits share.
        notes: what else a user should know.
    """

    name: str
    title: str
    url: str
    videos: str
    files: list[dict[str, Any]]
    class_names: tuple[str, ...]
    splits: dict[str, SplitAccount]
    absent: dict[str, str]
    shared: list[Shared] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, data_set: DataSet, official: Official, files: OfficialFiles | None, videos: str) -> Account:
        """An account of splits of which no video has been looked for yet."""
        splits = {}
        for split, listed in official.splits.items():
            times = Counter(video.name for video in listed)
            twice = sorted(name for name, count in times.items() if count > 1)
            splits[split] = SplitAccount(split=split, published=data_set.published_of(split, listed), twice=twice)
        return cls(
            name=data_set.name,
            title=data_set.title,
            url=data_set.url,
            videos=videos,
            files=files.about() if files is not None else [],
            class_names=official.class_names,
            splits=splits,
            absent=dict(official.absent),
            notes=list(official.notes),
        )

    def to_dict(self) -> dict[str, Any]:
        """The account as JSON has it."""
        content = {key: value for key, value in vars(self).items() if key not in {"splits", "shared"}}
        return content | {
            "splits": {
                split: {
                    "listed": each.listed,
                    "found": each.found,
                    "missing": each.missing,
                    "listed_twice": each.twice,
                    "published": asdict(each.published) if each.published is not None else None,
                    "classes": {
                        name: {"listed": each.listed_by_class[name], "found": each.found_by_class[name]}
                        for name in self.class_names
                    },
                }
                for split, each in self.splits.items()
            },
            "shared": [asdict(each) for each in self.shared],
        }

    def __str__(self) -> str:
        rows = []
        for split, each in self.splits.items():
            published = "-"
            if each.published is not None:
                published = f"{each.published.count:,}" if each.listed else "-"
                published += (
                    "" if each.listed == each.published.count else f" ({each.listed - each.published.count:+,})"
                )
            by_class = [each.found_by_class[name] for name in self.class_names]
            empty = sum(not count for count in by_class) if each.listed_by_class else "-"
            spread = f"{min(by_class)} to {max(by_class)}" if each.listed_by_class else "no labels"
            missing = each.listed - each.found
            rows.append([split, f"{each.listed:,}", published, f"{each.found:,}", f"{missing:,}", spread, empty])
        heading = ("split", "listed", "published", "found", "missing", "found in a class", "classes without")
        lines = [
            f"{self.title}: {len(self.class_names)} classes",
            "",
            tabulate(rows, heading, disable_numparse=True),
            "",
        ]
        sources = dict.fromkeys(each.published.source for each in self.splits.values() if each.published is not None)
        lines += [f"published  {source}" for source in sources]
        for split, each in self.splits.items():
            if each.twice:
                lines.append(f"twice      {split} lists {len(each.twice)} videos twice: {_shown(each.twice)}")
        for pair in self.shared:
            lines += [
                f"shared     {pair.first} and {pair.second} have {len(names)} {what} in common: {_shown(names)}"
                for names, what in ((pair.videos, "videos"), (pair.sources, "sources of clips"))
                if names
            ]
        lines += [f"absent     {split}: {why}" for split, why in self.absent.items()]
        lines += [f"note       {note}" for note in self.notes]
        return "\n".join(lines).rstrip()


def shared_between(official: Official) -> list[Shared]:
    """What each two splits of one protocol (those that end in the same number) share; of those that share something."""
    found = []
    for first, second in combinations(official.splits, 2):
        if _protocol(first) != _protocol(second):
            continue
        videos, sources = (
            sorted(set(_values(official.splits[first], name)) & set(_values(official.splits[second], name)) - {""})
            for name in ("name", "source")
        )
        if videos or sources:
            found.append(Shared(first=first, second=second, videos=videos, sources=sources))
    return found


def _protocol(split: str) -> str:
    return split[len(split.rstrip("0123456789")) :]


def _values(videos: Sequence[OfficialVideo], name: str) -> list[str]:
    return [getattr(video, name) for video in videos]


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
