"""filiation: what a suspect language model has taken from a reference model, and how sure anyone may be."""

__version__ = "0.1.0"

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filiation.evidence import Examination
    from filiation.investigation import compare, judge_again

__all__ = ["Examination", "__version__", "compare", "judge_again"]


def __getattr__(name: str) -> object:
    # Loaded on first use, so that `filiation --version` and `--help` do not wait for numpy and scipy.
    if name in ("compare", "judge_again"):
        from filiation import investigation

        return getattr(investigation, name)
    if name == "Examination":
        from filiation.evidence import Examination

        return Examination
    raise AttributeError(f"module 'filiation' has no attribute {name!r}")
