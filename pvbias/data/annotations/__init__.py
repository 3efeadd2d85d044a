"""Annotations: lists and folders of videos with labels, in every form whose meaning is certain.

::

    file -> text -> rows of one form (lines, headed table, JSON) -> entries -> names and numbers -> Annotation
    folder of videos, subfolders as classes ----------------------^

A file of another form is an error that says what it looks like and what to do.
"""

from .class_names import read_class_names
from .files import VIDEO_SUFFIXES
from .lines import write_line, write_row
from .names import loosely
from .reading import Annotation, read_annotation

__all__ = [
    "VIDEO_SUFFIXES",
    "Annotation",
    "loosely",
    "read_annotation",
    "read_class_names",
    "write_line",
    "write_row",
]
