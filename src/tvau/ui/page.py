"""The page: choose a video, look at it under its heatmap, jump to its events, and ask.

Gradio keeps a `Session` for each visitor; everything that the page shows of a frame is drawn here, at the moment it is
asked for, so that threshold and opacity act at once.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from tvau.conversation import Model, Talk
from tvau.errors import TvauError
from tvau.language import FLOW
from tvau.ui.pictures import Image, enlargement, overlaid, place, spans, strip
from tvau.viz.overlay import OPACITY

WHOLE = "the whole video"
NOTHING = "Choose a video first."
Chat = list[dict[str, str]]


@dataclass
class Session:
    """One visitor's video.

    Attributes:
        path: of the video.
        talk: the video that was looked at.
        about: the conversation that is being had: about the video, an event or a point. None: it is over.
        folder: of the files that are handed out; goes with the session.
    """

    path: Path
    talk: Talk
    about: Talk | None
    folder: Path

    def close(self) -> None:
        """Removes the files that were handed out, and lets go of the video; an answer about it stops."""
        self.about = None
        self.talk.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def page(model: Model, videos: Sequence[Path] = (), stride: int = 1, kept: Path | None = None) -> gr.Blocks:
    """The page on one model.

    Args:
        model: a trained model, from `tvau.load`.
        videos: to choose from, beside what a visitor uploads.
        stride: look at every so many-th frame.
        kept: folder for the files that are handed out; None: the system's for temporary ones.
    """
    names = Counter(path.name for path in videos)
    choices = {path.name if names[path.name] == 1 else str(path): path for path in videos}
    with gr.Blocks(title="tvau", analytics_enabled=False, delete_cache=(3600, 86400)) as blocks:
        session = gr.State(None, delete_callback=lambda own: own and own.close())
        gr.Markdown("# tvau\nWhat is abnormal in a video: where, when, and in words.")
        with gr.Row():
            with gr.Column(scale=3):
                with gr.Row():
                    chosen = gr.Dropdown([*choices], value=None, label="Video", visible=bool(choices), elem_id="chosen")
                    upload = gr.UploadButton("Upload a video", file_types=["video"], elem_id="upload")
                status = gr.Markdown("Choose a video.", elem_id="status")
                picture = gr.Image(
                    label="Click on a target to ask about it",
                    interactive=False,
                    elem_id="picture",
                    buttons=["fullscreen"],
                )
                scores = gr.Image(show_label=False, interactive=False, height=72, elem_id="strip", buttons=[])
                frame = gr.Slider(0, 1, 0, step=1, label="Frame", elem_id="frame", interactive=True)
                events = gr.Radio([], label="Events", elem_id="events")
                with gr.Row():
                    threshold = gr.Slider(0, 1, 0.1, label="Threshold", elem_id="threshold")
                    opacity = gr.Slider(0, OPACITY, 0.65, label="Opacity", elem_id="opacity")
                with gr.Row():
                    write = gr.Button("Write results", elem_id="write")
                    download = gr.DownloadButton("Download", visible=False, elem_id="download")
                film = gr.Video(label="With its heatmap", visible=False, elem_id="film")
            with gr.Column(scale=2):
                topic = gr.Markdown(elem_id="topic")
                chat = gr.Chatbot(label="Conversation", height=560, elem_id="chat", buttons=["copy_all"])
                sent = gr.Textbox(visible=False)
                question = gr.Textbox(placeholder="Ask about the video", show_label=False, elem_id="question")
                with gr.Row():
                    usual = [gr.Button(each, size="sm") for each in FLOW]
        view = [picture, scores, frame]
        look_at = [session, frame, threshold, opacity]

        def open_video(
            source: Any, before: Session | None, threshold: float, opacity: float,
            progress: gr.Progress = gr.Progress(track_tqdm=True),  # noqa: B008
        ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
            """Looks at a video in place of the one before; an error is said where the status stands."""
            path = None if source is None else Path(choices.get(source, source))
            if path is None or (before is not None and before.path == path):  # Gradio may ask twice
                yield (gr.skip(),) * 10
                return
            if before is not None:
                before.close()
            gone = gr.DownloadButton(visible=False), gr.Video(None, visible=False)  # they are of the video before
            yield None, "Looking at the video ...", gr.skip(), gr.skip(), gr.skip(), gr.skip(), [], "", *gone
            try:
                talk = model.open(path, stride=stride, quiet=False)
            except TvauError as error:
                said = str(error).replace(str(path), path.name)  # its owner knows an upload by its own name
                yield None, f"**{said}**", None, None, gr.skip(), gr.Radio([], label="Events"), [], "", *gone
                return
            own = Session(path, talk, talk, Path(tempfile.mkdtemp(prefix="visitor-", dir=kept)))
            first = talk.events[0].key if talk.events else int(talk.frames[len(talk.frames) // 2])
            slider = gr.Slider(0, int(talk.frames[-1]), first, step=stride, label="Frame")
            named = [WHOLE, *map(title, range(len(talk.events)), talk.events)]
            shown = (*drawn(own, first, threshold, opacity), slider)
            yield own, found(talk), *shown, gr.Radio(named, value=WHOLE, label="Events"), [], about(WHOLE), *gone

        opened = [session, status, *view, events, chat, topic, download, film]
        chosen.input(open_video, [chosen, session, threshold, opacity], opened)
        upload.upload(open_video, [upload, session, threshold, opacity], opened)
        for changed in (frame, threshold, opacity):
            changed.change(drawn, look_at, [picture, scores], show_progress="hidden", trigger_mode="always_last")

        def jump(own: Session | None, event: gr.SelectData) -> Any:
            """To the frame that a click on the strip means."""
            if own is None:
                return gr.skip()
            return int(own.talk.frames[place(event.index[0], len(own.talk.frames))])

        scores.select(jump, session, frame)

        def choose(own: Session | None, name: str) -> tuple[Any, ...]:
            """To an event, and a new conversation about it."""
            if own is None:
                return (gr.skip(),) * 3
            if name == WHOLE:
                own.about = own.talk
                return gr.skip(), lines(own.talk), about(WHOLE)
            event = own.talk.events[int(name.partition(":")[0]) - 1]
            own.about = own.talk.about(event)
            return event.key, [], about(f"event {name}")

        events.input(choose, [session, events], [frame, chat, topic])

        def point(own: Session | None, now: float, event: gr.SelectData) -> Iterator[tuple[Any, ...]]:
            """A new conversation about the target at a point, begun with the usual question about it."""
            if own is None:
                yield (gr.skip(),) * 2
                return
            x, y = (side // enlargement(own.talk.size[1]) for side in event.index)
            own.about = own.talk.at(x, y, int(now))
            where = about(f"the target at ({x}, {y}) in frame {int(now)}")
            for said in answer(own, FLOW[1]):
                yield said, where

        picture.select(point, [session, frame], [chat, topic])
        # the box is emptied in the browser, at once: what is typed during an answer stays, and is asked behind it
        asking = question.submit(None, question, [sent, question], js="asked => [asked, '']")
        asking.then(answer, [session, sent], chat, trigger_mode="multiple")
        for button, asked in zip(usual, FLOW, strict=True):
            button.click(answer, [session, gr.State(asked)], chat)

        def results(own: Session | None, progress: gr.Progress = gr.Progress(track_tqdm=True)) -> tuple[Any, ...]:  # noqa: B008
            """Everything that `tvau predict` writes, as a zip, and the overlay to play."""
            if own is None:
                raise gr.Error(NOTHING)
            folder = own.talk.save(own.folder / "results")
            packed = shutil.make_archive(str(own.folder / "results"), "zip", folder)
            overlay = folder / "overlay.mp4"
            film = gr.Video(str(overlay), visible=True) if overlay.exists() else gr.skip()
            return gr.DownloadButton(value=packed, visible=True), film

        write.click(results, session, [download, film])
    return blocks


def drawn(own: Session | None, now: float, threshold: float, opacity: float) -> tuple[Any, ...]:
    """The frame under its heatmap, and the strip."""
    if own is None:
        return gr.skip(), gr.skip()
    talk = own.talk
    at = int(abs(talk.frames - now).argmin())
    pixels: Image = talk.picture(int(talk.frames[at]))
    if not len(talk.heatmap):
        return pixels, None
    return (
        overlaid(pixels, talk.heatmap[at], threshold, opacity),
        strip(talk.scores, spans(talk.events, talk.frames), at),
    )


def answer(own: Session | None, question: str) -> Iterator[Chat]:
    """The conversation as it grows, word by word; it stops where another one is had meanwhile."""
    if own is None or own.about is None:
        raise gr.Error(NOTHING)
    talk = own.about
    before, said = lines(talk), ""
    try:
        for piece in talk.stream(question):
            if own.about is not talk:
                return
            said += piece
            yield [*before, {"role": "user", "content": question}, {"role": "assistant", "content": said}]
    except TvauError as error:
        raise gr.Error(str(error)) from error


def lines(talk: Talk) -> Chat:
    """A history as Gradio's chat."""
    return [
        {"role": role, "content": content}
        for pair in talk.history
        for role, content in zip(("user", "assistant"), pair, strict=True)
    ]


def found(talk: Talk) -> str:
    """What was found in a video, in a sentence, behind the warning of one that is far from the training."""
    warning = (
        f"**This video is far from all that the model was trained on ({talk.strange:.1f} times as far as its own "
        "validation clips): do not trust what is marked and said.**\n\n" if talk.foreign else ""
    )  # fmt: skip
    if not len(talk.heatmap):
        return warning + "This model has no heatmaps."
    events = len(talk.events)
    return f"{warning}{events or 'No'} event{'s' * (events != 1)}; highest score {talk.scores.max():.2f}."


def title(number: int, event: Any) -> str:
    """An event in the list."""
    first, last = event.seconds
    return f"{number + 1}: {first:.1f} - {last:.1f} s, peak {event.peak:.2f}"


def about(what: str) -> str:
    """The head of a conversation."""
    return f"About {what}"
