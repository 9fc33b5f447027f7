"""What tvau costs beside its LVLM: `python benchmarks/backbones.py` measures one clip and one question, side by side.

(a) the library's own `generate`; (b) the same through tvau; (c) with heatmap decoder and region encoder. Then one
training step of each stage. Weights are random, the architecture is Qwen2.5-VL's: 150 M parameters on a CPU, or the 7B
(`--size 7b --device cuda`). `--clip preset` has the visual tokens of the 7B preset, so that the anomaly prompts are the
same share of them; in `--clip small` they are four times that. Times are medians of rounds in which (a), (b) and (c)
take turns; peak memory comes from processes of their own.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from families import qwen  # noqa: E402  (processor and configuration without a hub)
from tvau.backbones import load  # noqa: E402
from tvau.backbones.huggingface import HuggingFaceLVLM  # noqa: E402
from tvau.heatmap_decoder import AnomalyHeatmapDecoder  # noqa: E402
from tvau.losses import map_loss  # noqa: E402
from tvau.model import TVAU  # noqa: E402
from tvau.region_encoder import RegionAwareAnomalyEncoder  # noqa: E402
from tvau.types import Batch, Turn  # noqa: E402

# Qwen2.5-VL 7B with every width cut to about a seventh: depth, blocks, and the shares of tower, language model, heatmap
# decoder and prompts in the arithmetic stay those of the 7B
SMALL_TEXT = {
    "hidden_size": 512, "intermediate_size": 2704, "num_hidden_layers": 28, "num_attention_heads": 4,
    "num_key_value_heads": 1, "max_position_embeddings": 32768,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
}  # fmt: skip
SMALL_VISION = {
    "depth": 32, "hidden_size": 192, "intermediate_size": 512, "num_heads": 16, "out_hidden_size": 512,
    "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31], "tokens_per_second": 2,
}  # fmt: skip
CLIPS = {"preset": (16, 336, 588), "small": (16, 168, 280)}  # frames, height, width; the preset's is the 7B preset's
QUESTION = "Is there any anomaly in the video?"
FPS = 2.0


def build(size: str, device: str) -> HuggingFaceLVLM:
    """The LVLM with random weights."""
    text, vision, dtype = SMALL_TEXT, SMALL_VISION, "float32"
    if size == "7b":
        published = yaml.safe_load((ROOT / "backbones" / "published.yaml").read_text())
        config = published["Qwen/Qwen2.5-VL-7B-Instruct"]["config"]
        rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
        text, vision, dtype = {**config["text_config"], "rope_parameters": rope}, config["vision_config"], "bfloat16"
    processor, config = qwen("Qwen2_5_VL", 14, text, vision)
    with tempfile.TemporaryDirectory() as folder, torch.device(device):
        processor.save_pretrained(folder)
        config.save_pretrained(folder)
        lvlm = load(folder, dtype=dtype, random_weights=True)  # type: ignore[arg-type]
    assert isinstance(lvlm, HuggingFaceLVLM)
    lvlm.ends = {-1}  # no answer ends early, so that all are equally long
    return lvlm


class Bench:
    """One LVLM, one clip, and what is done with them."""

    def __init__(self, size: str, clip: str, device: str, words: int) -> None:
        torch.manual_seed(0)
        self.lvlm, self.words, self.device = build(size, device), words, device
        frames, height, width = CLIPS[clip]
        video = torch.randint(256, (1, frames, 3, height, width), dtype=torch.uint8).to(device)
        mask = torch.zeros(1, frames, height, width, dtype=torch.bool, device=device)
        mask[..., : height // 2, : width // 2] = True
        turn = Turn(task="judgement", question=QUESTION, answer="Yes, a person in a red top is running.")
        self.batch: Batch = {
            "video": video, "frames": torch.arange(frames)[None], "fps": [FPS], "name": ["clip"], "turns": [[turn]],
            "mask": mask,
        }  # fmt: skip
        self.plain = TVAU(self.lvlm)
        with torch.device(device):
            self.decoder = AnomalyHeatmapDecoder(self.lvlm.vision_size, self.lvlm.hidden_size, self.lvlm.blocks)
            encoder = RegionAwareAnomalyEncoder(self.lvlm.hidden_size, scale=self.lvlm.prompt_scale)
            self.whole = TVAU(self.lvlm, self.decoder, encoder, torch.randn(2, self.lvlm.hidden_size))

    @torch.no_grad()
    def library(self) -> None:
        """(a) the library alone."""
        video = self.batch["video"][0]
        about = {"total_num_frames": len(video), "fps": FPS, "frames_indices": list(range(len(video))),
                 "duration": len(video) / FPS}  # fmt: skip
        content = [{"type": "video", "video": video}, {"type": "text", "text": QUESTION}]
        messages: Any = [{"role": "user", "content": content}]
        inputs: Any = self.lvlm.tokens.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True,
            return_tensors="pt",
            processor_kwargs={"do_sample_frames": False, "do_resize": False, "video_metadata": [about]},
        )  # fmt: skip
        inputs = inputs.to(self.device)
        self.lvlm.lm.generate(**inputs, max_new_tokens=self.words, min_new_tokens=self.words, do_sample=False)

    def through_tvau(self) -> None:
        """(b) tvau without its modules."""
        self.plain.converse(self.batch, [[QUESTION]], self.words)

    def with_modules(self) -> None:
        """(c) tvau."""
        self.whole.converse(self.batch, [[QUESTION]], self.words)

    def heatmap(self) -> None:
        """One training step of stage 1."""
        self.decoder.requires_grad_(True)
        self._step(
            list(self.decoder.parameters()), lambda: map_loss(self.whole.maps(self.batch).logit, self.batch["mask"])
        )

    def dialog(self) -> None:
        """One training step of stage 2."""
        self.decoder.requires_grad_(False)
        if not any(p.requires_grad for p in self.lvlm.parameters()):
            self.lvlm.add_lora(16, 32)
        self._step([p for p in self.whole.parameters() if p.requires_grad], lambda: self.whole(self.batch))

    def _step(self, weights: list[torch.nn.Parameter], loss: Callable[[], torch.Tensor]) -> None:
        optimizer = torch.optim.AdamW(weights)
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()

    def seconds(self, work: str) -> float:
        """One run of (a), (b), (c) or a step; on a CPU processor time, which other programs hardly stretch."""
        clock = time.process_time if self.device == "cpu" else time.perf_counter
        self._wait()
        start = clock()
        getattr(self, work)()
        self._wait()
        return clock() - start

    def _wait(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize()

    def peak(self, work: str) -> dict[str, float]:
        """GB at the peak of one run in this process, and before it."""
        if self.device != "cpu":
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            getattr(self, work)()
            return {"before": before / 1e9, "peak": torch.cuda.max_memory_allocated() / 1e9}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        getattr(self, work)()
        return {"before": before / 1e6, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


NAMES = {
    "library": "(a) library's generate", "through_tvau": "(b) through tvau", "with_modules": "(c) with AHD and RAE",
    "heatmap": "stage 1, one step", "dialog": "stage 2, one step",
}  # fmt: skip


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("150m", "7b"), default="150m")
    parser.add_argument("--clip", choices=CLIPS, help="default: both, one table each")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--words", type=int, default=24, help="tokens of the answer")
    parser.add_argument("--peak", choices=NAMES, help="only the peak memory of this, as JSON")
    args = parser.parse_args()
    if args.peak:
        print(json.dumps(Bench(args.size, args.clip or "preset", args.device, args.words).peak(args.peak)))
        return
    for clip in [args.clip] if args.clip else CLIPS:
        table(args.size, clip, args.device, args.words, args.rounds)


def table(size: str, clip: str, device: str, words: int, rounds: int) -> None:
    """Measures one clip and prints its table."""
    same = [sys.executable, __file__, "--size", size, "--clip", clip, "--device", device, "--words", str(words)]
    memory: dict[str, dict[str, float]] = {}
    for work in NAMES:
        made = subprocess.run([*same, "--peak", work], check=True, stdout=subprocess.PIPE, text=True)
        memory[work] = json.loads(made.stdout.splitlines()[-1])
    bench = Bench(size, clip, device, words)
    answering, training = list(NAMES)[:3], list(NAMES)[3:]
    times: dict[str, list[float]] = {work: [] for work in NAMES}
    for work in answering:
        bench.seconds(work)  # warm up
    for works in (answering, training):
        for _ in range(rounds):
            for work in works:
                times[work].append(bench.seconds(work))
    lvlm, (frames, height, width) = bench.lvlm, CLIPS[clip]
    grid = lvlm.grid(frames, height, width)
    visual, prompts = lvlm.visual_tokens(lvlm.lm.config, grid), bench.whole.encoder.prompts(grid[0])  # type: ignore[union-attr]
    parameters = sum(p.numel() for n, p in lvlm.named_parameters() if "lora_" not in n)
    print(f"{parameters / 1e6:,.0f} M parameters, {frames} frames of {height}x{width}, {visual} visual tokens and "
          f"{prompts} prompts ({prompts / visual:.0%}), answer of {words}, {device}, torch {torch.__version__}, "
          f"{torch.get_num_threads()} threads, {rounds} rounds\n")  # fmt: skip
    unit = "processor seconds" if device == "cpu" else "seconds"
    print(f"| | {unit} (median) | over (a), round by round (median) | peak GB | over (a) |\n|---|--:|--:|--:|--:|")
    for work, name in NAMES.items():
        ratio = statistics.median(t / a for t, a in zip(times[work], times["library"], strict=True))
        peak = memory[work]["peak"]
        print(f"| {name} | {statistics.median(times[work]):.2f} | {ratio:.3f} | {peak:.2f} | "
              f"{peak / memory['library']['peak']:.3f} |")  # fmt: skip
    print(flush=True)


if __name__ == "__main__":
    main()
