"""What later turns cost: `python benchmarks/turns.py` holds a dialog of four turns on one cache and beside it anew.

The LVLM has the proportions of a 7B's work on a clip: about 2,000 visual tokens before the first word, and thin random
layers, so that it runs anywhere. Beside it stands what the library offers: `generate` on the whole history, video
included, in each turn. Both say the same words; rounds take turns, the median counts. Seconds are those of the
processor (all threads together), so that other work on the machine hardly counts.
"""

import argparse
import tempfile
import time
from statistics import median
from typing import Any

import torch

from tvau.backbones import Qwen25VL
from tvau.nano import blueprint
from tvau.types import Turn

QUESTIONS = (
    "Is there any anomaly in the video?", "Describe the features of the anomaly.", "What is its movement trajectory?",
    "Describe the environment of the video.",
)  # fmt: skip
FRAMES, SIZE, FPS = 16, (192, 336), 5.0  # 8 steps of 12x21 tokens: 2,016


def cached(lvlm: Qwen25VL, video: torch.Tensor, most: int) -> tuple[list[str], list[float], list[int]]:
    """Answers, seconds and tokens fed of each turn on one cache."""
    answers, seconds, fed = [], [], []
    dialog: Any = None
    for question in QUESTIONS:
        start = time.process_time()
        before = 0 if dialog is None else dialog.mask.shape[1]
        if dialog is None:
            inputs = lvlm.prepare(video, [[Turn(task="", question=question, answer="")]], 0, [FPS])
            dialog = lvlm.start(inputs, lvlm.encode(inputs))
        else:
            lvlm.ask(dialog, [question])
        answers += lvlm.generate(dialog, most)
        seconds.append(time.process_time() - start)
        fed.append(dialog.mask.shape[1] - before)
    return answers, seconds, fed


def anew(lvlm: Qwen25VL, video: torch.Tensor, most: int) -> tuple[list[str], list[float], list[int]]:
    """The same by the library's `generate`, from the video on in each turn."""
    answers: list[str] = []
    history: list[int] = []  # tokens behind the first question
    seconds, fed = [], []
    for question in QUESTIONS:
        start = time.process_time()
        history += lvlm.tokens.following(question) if answers else []
        inputs, _ = lvlm.tokens.process(lvlm.resized(video), QUESTIONS[:1], [FPS], lvlm.as_it_is())
        inputs |= lvlm.tokens.append(inputs, [(history, [False] * len(history))])
        del inputs["labels"]
        made = lvlm.lm.generate(**inputs, max_new_tokens=most, do_sample=False, repetition_penalty=1.0)
        said = made[0, inputs["input_ids"].shape[1] :].tolist()
        history += said
        answers.append(lvlm.tokens.read(said))
        seconds.append(time.process_time() - start)
        fed.append(made.shape[1])
    return answers, seconds, fed


def main(rounds: int, most: int, layers: int, width: int) -> None:
    """Prints a Markdown table."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        blueprint.create(folder, layers=layers, width=width, heads=8)
        lvlm = Qwen25VL(folder, blocks=[1], random_weights=0)
    for weights in lvlm.lm.parameters():
        if weights.ndim > 1:  # the library's own start is so small that all answers would be one
            weights.data.normal_(0, weights[0].numel() ** -0.5)
    lvlm.ends = set()  # random words never end: each answer has the same length
    lvlm.lm.generation_config.eos_token_id = None
    video = torch.randint(256, (1, FRAMES, 3, *SIZE), dtype=torch.uint8)
    taken: dict[str, list[list[float]]] = {"one cache": [], "anew": []}
    with torch.inference_mode():
        for _ in range(rounds):
            (said, own, fed), (expected, theirs, all_fed) = cached(lvlm, video, most), anew(lvlm, video, most)
            assert said == expected, (said, expected)
            taken["one cache"].append(own)
            taken["anew"].append(theirs)
    middle = {name: [median(turn) for turn in zip(*each, strict=True)] for name, each in taken.items()}
    print(f"{fed[0]} tokens before the second turn, answers of {most} tokens, {layers} layers of {width}, "
          f"{rounds} rounds; the answers are the same.\n")  # fmt: skip
    print("| turn | tokens fed: one cache | anew | seconds: one cache | anew | times |\n|---|--:|--:|--:|--:|--:|")
    for turn in range(len(QUESTIONS)):
        a, b = middle["one cache"][turn], middle["anew"][turn]
        print(f"| {turn + 1} | {fed[turn]} | {all_fed[turn]} | {a:.2f} | {b:.2f} | {b / a:.1f} |")
    for name, turns in (("2 to 4", slice(1, None)), ("all", slice(None))):
        a, b = (sum(middle[way][turns]) for way in ("one cache", "anew"))
        print(f"| {name} | {sum(fed[turns])} | {sum(all_fed[turns])} | {a:.2f} | {b:.2f} | {b / a:.1f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=24, help="tokens of an answer")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=512)
    main(**vars(parser.parse_args()))
