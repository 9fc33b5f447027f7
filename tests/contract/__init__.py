"""What every backbone keeps, whatever its family: `class TestX(Contract): family = FAMILIES["x"]` is the whole test.

A check that compares numbers notes how far they lay apart; `python benchmarks/contract.py` prints the table.
"""

from contract.checks import FPS, ROUNDING
from contract.dialogs import Dialogs
from contract.parity import Parity
from contract.published import Published
from contract.training import Training

__all__ = ["FPS", "ROUNDING", "Contract"]


class Contract(Training, Dialogs, Parity, Published):  # pytest runs the checks of the last base first
    """The checks of one family."""
