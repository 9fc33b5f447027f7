"""Watching a stream: windows over the newest frames, events as they begin and end, and what is kept of them."""

from tvau.watching.alerts import Alerts
from tvau.watching.online import Look, Smoother, Spell, Tracker
from tvau.watching.watch import Summary, Watch

__all__ = ["Alerts", "Look", "Smoother", "Spell", "Summary", "Tracker", "Watch"]
