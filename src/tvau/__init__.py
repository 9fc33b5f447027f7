"""tvau: text-guided fine-grained video anomaly understanding."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvau.conversation import load

__version__ = "0.3.0"
__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """`load`, when it is asked for: it imports torch and transformers, which the help and the version do without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tvau import conversation

    return getattr(conversation, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
