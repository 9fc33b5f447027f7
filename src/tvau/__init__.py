"""tvau: text-guided fine-grained video anomaly understanding."""

__version__ = "0.2.0"
