"""The time of a stream."""

JUMP = 10.0  # seconds; a live clock that goes on by more was set anew, as any that goes back


class Clock:
    """Seconds since the first frame, whatever the clock of a source does."""

    def __init__(self) -> None:
        self.begun: float | None = None  # when the first frame arrived
        self.last: float | None = None  # seconds of the last frame
        self.stamp: float | None = None  # its time by the source
        self.connected = False  # anew

    def connect(self) -> None:
        """Another connection: stamps begin anew."""
        self.connected = True

    def tell(self, stamp: float | None, arrived: float, rate: float, live: bool) -> float:
        """The seconds of a frame with this stamp: they rise, and go on where a clock is set anew or has no stamps."""
        if self.begun is None or self.last is None:
            self.begun, seconds = arrived, 0.0
        elif self.connected:
            seconds = max(arrived - self.begun, self.last + 1 / rate)
        else:
            step = None if stamp is None or self.stamp is None else stamp - self.stamp
            if step is None or step <= 0 or (live and step >= JUMP):
                step = max(arrived - self.begun - self.last, 1 / rate) if live else 1 / rate
            seconds = self.last + step
        self.last, self.stamp, self.connected = seconds, stamp, False
        return seconds
