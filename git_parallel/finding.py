"""Something that is wrong, as a value: what it is, why it matters, and what mends it."""

from collections.abc import Callable

from msgspec import Struct

FIX = "git parallel doctor --fix"


class Finding(Struct, frozen=True, kw_only=True):
    """Something that is wrong. `matters`: work is held up, or could go wrong; else it is good to
    know. `mend` is the way to set it right, where that is safe.
    """

    kind: str
    what: str
    why: str
    command: str
    matters: bool = True
    mend: Callable[[], object] | None = None

    @property
    def safe(self) -> bool:
        """Whether `doctor --fix` mends it."""
        return self.mend is not None
