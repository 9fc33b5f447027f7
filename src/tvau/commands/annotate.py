"""`tvau annotate`: dialogs about the targets of a data set, made from its masks or tracks.

out/dialogs.jsonl      the dialogs; see `tvau.data.dialogs` for the form
out/rejected.jsonl     what was kept out, and why
out/statistics.json    counts of everything
out/sharegpt.jsonl     the same for other tools, with `--to sharegpt` (or swift); see `tvau.exports.dialogs`
out/.parts/            one file a video: where a run that was stopped goes on
"""

import json
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from tvau.errors import DataError, shown
from tvau.types import Kind, Source


def annotate(
    kind: Kind,
    root: str,
    out: str,
    describer: str = "none",
    frames: int = 16,
    stride: int = 1,
    hop: int | None = None,
    targets: Source = "auto",
    tracks: str | None = None,
    attributes: str | None = None,
    splits: list[str] | None = None,
    look: int = 5,
    size: tuple[int, int] | None = None,
    balance: bool = True,
    limit: int | None = None,
    seed: int = 0,
    to: Literal["sharegpt", "swift"] | None = None,
    clips: bool = False,
    overwrite: bool = False,
) -> None:
    """Makes dialogs about the targets of a data set. A run that was stopped goes on where it stopped.

    Args:
        kind: which data set; "folder" is any folder of videos with masks.
        root: its folder.
        out: folder for dialogs.jsonl, rejected.jsonl and statistics.json; may be `root` itself.
        describer: the LVLM that describes each target, by a preset's file, a folder or a hub id, or "none": known
            categories and attributes only.
        frames: frames of a clip; a dialog is about `frames` x `stride` frames of the video.
        stride: distance between the frames of a clip.
        hop: distance between the starts of clips, in sampled frames; null: clips do not overlap.
        targets: where targets come from: "ids" (UBnormal), "masks" (linked components), "tracks" (track files), or
            "auto": the first of ids, tracks and masks that is there.
        tracks: the folder of ShanghaiTech's track files, where it is not `testing/tracks`.
        attributes: json file with what is known of the targets, see `tvau.annotate.known`.
        splits: parts of the data set; null takes all.
        look: frames in which the describer sees a target.
        size: height and width of the pictures for the describer; null chooses.
        balance: keep of each split at most as many "No" dialogs as there are "Yes" dialogs.
        limit: at most this many videos, evenly spaced; null takes all.
        seed: of the phrasings.
        to: also write the dialogs for training elsewhere: sharegpt (LLaMA-Factory) or swift (ms-swift).
        clips: with `to`: write the frames of each dialog as a video of their own, for tools that read whole videos.
        overwrite: make also those dialogs anew that an earlier run with the same settings made, and take the place of
            dialogs by hand or of other splits; needed where the data set's own files were corrected since.

    Raises:
        DataError: a data set that cannot be read, or no video of it. One video that cannot is told, and left out.
        OptionError: `out` holds dialogs of somebody else's.
    """
    from tvau.annotate.describe import LVLMDescriber
    from tvau.annotate.gather import expect_own, gather, save
    from tvau.annotate.known import Attributes, read_attributes
    from tvau.annotate.make import Settings, annotate_video, finished
    from tvau.backbones.preset import load_preset
    from tvau.data.dialogs import read_dialogs
    from tvau.data.kinds import open_layout
    from tvau.data.module import spaced
    from tvau.exports.dialogs import Conversation, write_conversations

    layout = open_layout(kind, root, tracks)
    speaker = None if describer == "none" else LVLMDescriber(load_preset(describer), size)
    known: Attributes = read_attributes(Path(attributes)) if attributes else {}
    by = [list(speaker.backbone.fingerprint), speaker.backbone.made] if speaker else []
    settings = Settings(
        frames, stride, hop, targets, look, seed, speaker.name if speaker else "none", json.dumps(by, default=str),
        Path(attributes).read_text() if attributes else "", f"{kind} {Path(root).resolve()}",
        str(Path(tracks).resolve()) if tracks else "", str(size or ""),
    )  # fmt: skip
    names = {name: split for split in splits or layout.splits for name in layout.names(split)}
    if unknown := sorted(set(known) - set(layout.known())):
        raise DataError(f"{attributes}: {shown(unknown[0])} is no video of {layout.root} ({len(unknown)} such names)")
    parts, done, fault = [], 0, None
    folder = Path(out)
    if not overwrite:
        expect_own(folder, names)
    (folder / ".parts").mkdir(parents=True, exist_ok=True)
    for name in tqdm(spaced(list(names), limit), desc="videos", disable=not sys.stderr.isatty()):
        path = folder / ".parts" / f"{name}.json"
        part = None if overwrite else finished(path, settings)
        done += part is not None
        if part is None:
            try:
                part = annotate_video(layout, name, settings, speaker, known.get(name, []))
            except DataError as error:  # it is tried again by the next run
                fault = fault or error
                warnings.warn(f"No dialogs about {name}: {error}", stacklevel=2)
                line = {"video": name, "frames": [], "target": None, "said": "", "reason": f"cannot be read: {error}"}
                parts.append({"video": name, "dialogs": [], "rejected": [line], "targets": []})
                continue
            save(path, json.dumps({"settings": asdict(settings), **part}))
        parts.append(part)
    if fault and not any(dialog["abnormal"] for part in parts for dialog in part["dialogs"]):
        raise fault
    if done:
        print(f"{done} of {len(parts)} videos were annotated before and stay (see --overwrite).")
    print(gather(folder, parts, balance, names))
    if to:
        said = (
            Conversation(
                str(layout.video(dialog.video)), dialog.first, dialog.last, [turn.turn for turn in dialog.turns]
            )
            for dialog in read_dialogs(folder / "dialogs.jsonl")
        )
        print(f"for other tools: {write_conversations(said, to, folder / f'{to}.jsonl', clips, layout.fps)}")
