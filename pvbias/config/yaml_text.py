"""YAML parsing that keeps plain values as text, and refuses duplicate keys.

PyYAML reads YAML 1.1, in which ``010`` is 8, ``12:30:00`` is 45000, ``no`` is False, ``2026-01-01`` is a date, ``1e-3``
is text, and the second of two sections of one name silently replaces the first. Here a plain value stays text
(:class:`Plain`) until the type of its key says what it means (:mod:`.values`), and a name that is there twice is an
error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from ..errors import ConfigError

_PLAIN = "tag:pvbias,plain"
_TEXT, _LIST, _GROUP, _MERGE = (f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map", "merge"))


class Plain(str):
    """A value without quotation marks, to be converted by the type of its key."""


def read_yaml(text: str, source: str) -> Any:
    """Parse YAML text: dicts, lists, ``str`` for what is in quotation marks, :class:`Plain` for what is not.

    Args:
        text: one document.
        source: where it comes from, for messages.

    Raises:
        ConfigError: it is not valid YAML, has a tag that makes something else of a value, or names a key of a group
            twice (the message has both line numbers). A value that is repeated as it is loses nothing and passes;
            SlowFast's published configurations have some.
    """
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:  # a character that no YAML text has
        raise ConfigError(f"{source} is not valid YAML: {error}") from error
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        twice = list(_repeated(root))
        if twice:
            raise ConfigError(f"{source}: " + "; ".join(twice) + ". Only the last would count: put them together.")
        return loader.construct_document(root)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{source} is not valid YAML: {error}") from error
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag of a node without one."""
        if kind is yaml.ScalarNode and implicit[0]:
            return _MERGE if value == "<<" else _PLAIN
        return super().resolve(kind, value, implicit)

    def construct_plain(self, node: yaml.ScalarNode) -> Plain:
        return Plain(node.value)


_Loader.yaml_implicit_resolvers = {}
# None of those for numbers, dates, sets and the like, which only an explicit tag could ask for.
_Loader.yaml_constructors = {
    _PLAIN: _Loader.construct_plain,
    _TEXT: _Loader.construct_yaml_str,
    _LIST: _Loader.construct_yaml_seq,
    _GROUP: _Loader.construct_yaml_map,
    None: _Loader.construct_undefined,
}


def _repeated(node: yaml.Node, prefix: str = "", above: tuple[yaml.Node, ...] = ()) -> Iterator[str]:
    """Describe the keys that a node, and those below it, have twice."""
    if any(node is other for other in above):  # an alias of what it is in
        return
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated(item, f"{prefix}{index}.", (*above, node))
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, tuple[int, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConstructorError(None, None, "the name of a key is text", key.start_mark)
        line = key.start_mark.line + 1
        before, earlier = seen.setdefault(key.value, (line, value))
        if earlier is not value and not _same(earlier, value):
            yield f"{prefix}{key.value} is there twice, in line {before} and in line {line}"
        yield from _repeated(value, f"{prefix}{key.value}.", (*above, node))


def _same(one: yaml.Node, other: yaml.Node) -> bool:
    return isinstance(one, yaml.ScalarNode) and (one.tag, one.value) == (other.tag, other.value)
