"""Signals: a command that is told to stop cleans up, ends its children, and says so with status 128 + signal.

SIGTERM and SIGHUP become an exception as Ctrl-C does, so one way of stopping serves all: what `with` and `finally`
promise is kept, and callbacks of Lightning see `on_exception`.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

CAUGHT = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
PATIENCE = 60.0  # seconds for a child to save what it has, before it is killed


class Stopped(KeyboardInterrupt):
    """The process was asked to stop by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


def _stop(number: int, _: FrameType | None) -> NoReturn:
    raise Stopped(number)


@contextmanager
def stoppable(*told: type[Exception]) -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise `Stopped`; they and Ctrl-C leave as SystemExit with status 128 + signal.

    So does an error that only the interruption caused, but for those `told`: they say why nothing could be saved. A
    signal that is ignored stays so (nohup). Outside the main thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = {number: signal.getsignal(number) for number in CAUGHT}
    for number in CAUGHT:
        if earlier[number] != signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        yield
    except BaseException as end:
        if (cause := _interruption(end)) is None or isinstance(end, told):
            raise
        number = getattr(cause, "number", signal.SIGINT)
        print(f"tvau: stopped by {signal.Signals(number).name}", file=sys.stderr)
        raise SystemExit(128 + number) from end
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@contextmanager
def heard(*numbers: int, stop: Callable[[], None] = lambda: None) -> Iterator[list[int]]:
    """Inside, the first of these signals interrupts nothing: it stands in the list, and `stop` is called.

    A second one acts as any other. Outside the main thread nothing changes.
    """
    given: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield given
        return

    def hear(number: int, frame: FrameType | None) -> None:
        if given:
            _stop(number, frame)
        given.append(number)
        stop()

    waiting = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    earlier = {number: signal.signal(number, hear) for number in waiting}
    try:
        yield given
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@contextmanager
def finishing(stop: Callable[[], None]) -> Iterator[None]:
    """Inside, the first signal to stop calls `stop`, and what is at hand is finished; then `Stopped` is raised."""
    with heard(signal.SIGINT, *CAUGHT, stop=stop) as given:
        yield
    if given:
        raise Stopped(given[0])


def _interruption(error: BaseException | None) -> KeyboardInterrupt | None:
    """The KeyboardInterrupt behind an error: Lightning answers it with `sys.exit(1)`, tqdm's lock with RuntimeError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error


@contextmanager
def deaf() -> Iterator[None]:
    """Processes begun inside never hear Ctrl-C, which a terminal sends to all: their parent ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)


def ignore() -> None:
    """For a worker that its parent ends in good order: it hears none of the signals that may reach a whole group."""
    for number in CAUGHT:
        signal.signal(number, signal.SIG_IGN)


class Children:
    """Commands that run beside each other, one a thread, and end with their parent."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen[bytes]] = set()
        self.lock, self.stopped = threading.Lock(), False

    def run(self, command: Sequence[str], **options: Any) -> int:
        """Its exit status; `options` are those of Popen. A child hears from its parent alone, not from the terminal."""
        with self.lock:
            if self.stopped:
                return 128 + signal.SIGTERM
            child = subprocess.Popen(command, start_new_session=True, **options)
            self.running.add(child)
        try:
            return child.wait()
        finally:
            self.running.discard(child)

    def stop(self) -> None:
        """Asks all to stop and waits until they have; begins no other."""
        with self.lock:
            self.stopped = True
            children = list(self.running)
        for child in children:
            child.terminate()
        for child in children:
            try:
                child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
