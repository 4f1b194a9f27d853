"""Defines token groups, and the scopes of ops: the token groups that an op applies to."""

from enum import StrEnum


class Group(StrEnum):
    """The kinds of tokens that a language model reads; each token is of exactly one."""

    TEXT = "text"
    """Tokens of the prompt that are not image tokens."""
    VISUAL = "visual"
    """Image-token positions of the prompt."""
    GENERATED = "generated"
    """Tokens fed back after they were generated, and the answer tokens of a training batch."""


class Scope(StrEnum):
    """The tokens that an op applies to; all others run the block unchanged."""

    ALL = "all"
    VISUAL = "visual"
    """Image tokens of the prompt."""
    PROMPT = "prompt"
    """All tokens before the first generated one, image tokens included."""
    GENERATED = "generated"

    @property
    def mark(self) -> str:
        """Return the character after an op in the text form of a plan; empty for `all`."""
        return _MARKS[self]

    @property
    def groups(self) -> frozenset[Group]:
        """Return the token groups that the scope covers."""
        return _GROUPS[self]


_MARKS = {Scope.ALL: "", Scope.VISUAL: "v", Scope.PROMPT: "t", Scope.GENERATED: "g"}
SCOPE_OF_MARK = {mark: scope for scope, mark in _MARKS.items() if mark}
"""Character in the text form of a plan -> scope."""
_GROUPS = {
    Scope.ALL: frozenset(Group),
    Scope.VISUAL: frozenset({Group.VISUAL}),
    Scope.PROMPT: frozenset({Group.TEXT, Group.VISUAL}),
    Scope.GENERATED: frozenset({Group.GENERATED}),
}
