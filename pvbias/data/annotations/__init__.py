"""Annotations: lists and folders of videos with labels, in every form whose meaning is certain.

::

    file -> text -> rows of one form (lines, headed table, JSON) -> entries -> names and numbers -> Annotation
    folder of videos, subfolders as classes ----------------------^

A file of another form is an error that says what it looks like and what to do.
"""

from .class_names import read_class_names
from .files import VIDEO_SUFFIXES
from .names import loosely
from .reading import CLASS_NAMES, Annotation, read_annotation
from .writing import Listed, json_lines, text_lines

__all__ = [
    "CLASS_NAMES",
    "VIDEO_SUFFIXES",
    "Annotation",
    "Listed",
    "json_lines",
    "loosely",
    "read_annotation",
    "read_class_names",
    "text_lines",
]
