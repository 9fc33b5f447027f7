"""`tvau chat`: a conversation about a video in the terminal."""

import inspect
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvau.errors import OptionError, TvauError
from tvau.files import whole
from tvau.shell import nearest
from tvau.signals import heard

if TYPE_CHECKING:
    from rich.console import Console

    from tvau.conversation import Talk

COMMANDS = {
    "/events": "the events again",
    "/event N": "talk about event N alone",
    "/video": "talk about the whole video again",
    "/flow": "the usual questions, one after the other",
    "/heatmap": "write the video with its heatmap; a name may follow",
    "/save": "write everything: page, overlay, scores, boxes, dialog; a folder may follow",
    "/help": "this list",
    "/quit": "end (or Ctrl-D)",
}


def chat(
    video: str,
    ckpt: str | None = None,
    backbone: str | None = None,
    stride: int = 1,
    hop: int | None = None,
    fps: float = 25.0,
    most: int = 48,
    out: str = "chat",
    history: bool = True,
    server: str | None = None,
    normal_video: list[str] | None = None,
) -> None:
    """Talk about a video: its events are listed, and any question is answered, word by word.

    Ctrl-C stops an answer and nothing else; Ctrl-D ends. /help lists what else can be typed: one event alone, the usual
    questions, the heatmap, saving. Without a terminal the questions are read from stdin, one a line.

    Args:
        video: a video file or a folder of frames.
        ckpt: a model: a folder, a checkpoint, or a hub id; without it the one that comes with tvau.
        backbone: the LVLM it belongs to, where the model does not name it; without a model that LVLM as it comes,
            untrained: the score of a window is how sure it is that something is abnormal there.
        stride: look at every Nth frame; choose it so that 16 of them last a few seconds.
        hop: sampled frames between the starts of windows; without it they do not overlap.
        fps: frames a second of a folder of frames, which does not say it.
        most: tokens that an answer has at most.
        out: folder in which /heatmap and /save write.
        history: remember what was typed, for the arrow keys, in the user's state folder.
        server: address of an OpenAI-like server that speaks for the LVLM, see docs/use/serving.md.
        normal_video: normal files, frame folders or folders of them, from which an untrained LVLM gets heatmaps.
    """
    from rich.console import Console

    from tvau.conversation import load

    console = Console(highlight=False)
    with spoken(console):
        model = load(ckpt, backbone, server=server, untrained=ckpt is None and backbone is not None)
        if normal_video:
            model = model.learn(normal_video, stride, fps=fps)
        talk = model.open(video, stride, hop=hop, fps=fps, most=most)
        if talk.untrained:
            console.print(talk.untrained, style="red")
        Chat(talk, unused(Path(out) / Path(video).stem), console).go_on(lines(console, history))


class Chat:
    """A conversation on a console.

    Args:
        talk: about the whole video.
        folder: where /save writes.
        console: where it is shown.
    """

    def __init__(self, talk: "Talk", folder: Path, console: "Console") -> None:
        self.whole = self.talk = talk
        self.folder, self.console = folder, console
        self.parts: dict[int, Talk] = {}  # by number of the event: each goes on where it was left

    def go_on(self, said: Iterable[str]) -> None:
        """The conversation, until there is no more said or somebody quits."""
        self.events()
        for line in said:
            words = line.split()
            try:
                if not words:
                    continue
                if words[0] in ("/quit", "/exit"):
                    break
                if words[0].startswith("/"):
                    self.obey(*words)
                else:
                    self.ask(line.strip())
            except (TvauError, OSError) as error:
                self.console.print(str(error), style="red", markup=False)

    def ask(self, question: str) -> str:
        """Shows the answer as it comes; Ctrl-C ends it and keeps what was said."""
        answer, pieces = "", self.talk.stream(question)
        with heard(signal.SIGINT) as stopped:  # a step of the model is never cut in two
            for piece in pieces:
                answer += piece
                self.console.print(piece, end="", style="bold", markup=False, soft_wrap=True)
                self.console.file.flush()
                if stopped:
                    self.console.print(" ... (stopped)", end="", style="dim")
                    break
            pieces.close()  # type: ignore[attr-defined]  # what was said is kept before anything else is asked
        self.console.print()
        return answer

    def obey(self, command: str, *words: str) -> None:
        """Raises OptionError for a command that is none, or that lacks its number."""
        doing: dict[str, Callable[..., None]] = {
            "/events": self.events, "/event": self.event, "/video": self.video, "/flow": self.flow,
            "/heatmap": self.heatmap, "/save": self.save, "/help": self.help,
        }  # fmt: skip
        if command not in doing:
            raise OptionError(f"there is no command {command}{nearest(command, doing)} (see /help)")
        try:
            inspect.signature(doing[command]).bind(*words)
        except TypeError as error:
            usage = next(f"{name}: {line}" for name, line in COMMANDS.items() if name.split()[0] == command)
            raise OptionError(f"what is {' '.join((command, *words))}? {usage}") from error
        doing[command](*words)

    def events(self) -> None:
        """The video in a line, and its events as a table."""
        import numpy as np
        from rich.table import Table

        from tvau.viz.told import clock

        talk = self.whole
        height, width = talk.size
        length, found = clock(float(talk.seconds[-1])), len(talk.events)
        self.console.print(f"{width}x{height}, {length}, {found or 'no'} event{'s' * (found != 1)}")
        if talk.events:
            sure = talk.probabilities
            table = Table("event", "from", "to", "score", *["probability"] * (sure is not None), "at", box=None)
            for number, event in enumerate(talk.events, start=1):
                key = int(np.searchsorted(talk.frames, event.key))
                times = [clock(float(second), tenths=True) for second in (*event.seconds, talk.seconds[key])]
                known = [] if sure is None else [f"{sure[key]:.2f}"]
                table.add_row(str(number), times[0], times[1], f"{event.peak:.2f}", *known, times[2])
            self.console.print(table)

    def event(self, number: str) -> None:
        """Go over to one event."""
        count = len(self.whole.events)
        if not number.isdecimal() or not 1 <= int(number) <= count:
            raise OptionError(f"/event {number}: " + (f"there are events 1 to {count}" if count else "there is none"))
        at = int(number)
        self.parts[at] = self.talk = self.parts.get(at) or self.whole.about(self.whole.events[at - 1])
        self.console.print(f"about event {at}; /video leads back", style="dim")

    def video(self) -> None:
        """Go back to the whole video."""
        self.talk = self.whole
        self.console.print("about the whole video", style="dim")

    def flow(self) -> None:
        """The questions of the paper; features and movement only of what was judged abnormal."""
        from tvau.language import FLOW, JUDGEMENT, follows
        from tvau.metrics.text import yes_no

        judged: bool | None = None
        for question in FLOW:
            if follows(question, judged):
                self.console.print(f"> {question}", style="dim", markup=False)
                answer = self.ask(question)
                if question == JUDGEMENT:
                    judged = {"yes": True, "no": False}.get(yes_no(answer) or "")

    def heatmap(self, name: str = "") -> None:
        """Write the video under its heatmap."""
        path = Path(name) if name else heatmap_of(self.folder)
        if name and path.exists():
            raise OptionError(f"/heatmap {name}: it is there already, and would be lost; give another name")
        if not len(self.whole.heatmap):
            raise OptionError("/heatmap: this model has no heatmaps")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as beside, whole(path) as temporary:
            (self.whole.save(Path(beside) / "all") / "overlay.mp4").rename(temporary)
        self.console.print(f"-> {path}", markup=False)

    def save(self, name: str = "") -> None:
        """Write everything."""
        self.console.print(f"-> {self.whole.save(name or self.folder) / 'index.html'}", markup=False)

    def help(self) -> None:
        """What can be typed."""
        from rich.table import Table

        table = Table(box=None, show_header=False)
        for name, line in COMMANDS.items():
            table.add_row(name, line)
        self.console.print(table, markup=False)
        self.console.print("Anything else is a question.")


def unused(folder: Path) -> Path:
    """A folder of this name, numbered where an earlier conversation left something by it."""
    names = chain([folder], (folder.with_name(f"{folder.name}_{number}") for number in count(2)))
    return next(each for each in names if not each.exists() and not heatmap_of(each).exists())


def heatmap_of(folder: Path) -> Path:
    """Where /heatmap writes, beside the folder of /save."""
    return folder.with_name(f"{folder.name}_heatmap.mp4")


def lines(console: "Console", history: bool) -> Iterator[str]:
    """What is typed, or piped in, line by line."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            line = line.encode(errors="replace").decode()  # bytes of another encoding are no words
            if line.strip():
                console.print(f"> {line.strip()}", style="dim", markup=False)
                yield line
        return
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter

    session: PromptSession[str] = PromptSession(
        history=memory(history),
        completer=WordCompleter([name.split()[0] for name in COMMANDS], sentence=True),
        complete_while_typing=False,
    )
    console.print("Ask anything; /help lists what else there is.", style="dim")
    while True:
        try:
            yield session.prompt("> ")
        except KeyboardInterrupt:  # the line is dropped, nothing else
            continue
        except EOFError:
            return


def memory(kept: bool) -> Any:
    """What was typed before, in a file that is the user's alone; in memory where none can be written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "tvau"
    try:
        if kept:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / "chat_history").touch(0o600)
            return FileHistory(str(folder / "chat_history"))
    except OSError as error:
        warnings.warn(f"{folder}: what is typed cannot be remembered there ({error.strerror}).", stacklevel=2)
    return InMemoryHistory()


@contextmanager
def spoken(console: "Console") -> Iterator[None]:
    """Inside, warnings are sentences on the console."""
    with warnings.catch_warnings():
        warnings.filterwarnings("default", category=UserWarning)
        warnings.showwarning = lambda message, *_, **__: console.print(f"WARNING: {message}", style="yellow")
        yield
