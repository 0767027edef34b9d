"""Why a value of a row cannot be used: raised while a row is converted, reported as a problem."""

from __future__ import annotations


class Unusable(ValueError):
    """The reason, with the kind of problem it is."""

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind
