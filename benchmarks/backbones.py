"""What tvau costs beside its LVLM: `python benchmarks/backbones.py` measures one clip and one question, side by side.

(a) the library's own `generate`; (b) the same through tvau; (c) with heatmap decoder and region encoder, (d) whose base
prompts stand once, or (e) whose prompts are pooled over four steps. Then one training step of each stage beside what it
cannot do without: stage 1, its passes kept on disk, beside the decoder alone; stage 2 beside peft's LoRA step by the
library's own loss, of the same LVLM on the same tokens. Weights are random, the architecture is Qwen2.5-VL's: 150 M
parameters on a CPU, or the 7B (`--size 7b --device cuda`). `--clip preset` has the visual tokens of the 7B preset, so
that the anomaly prompts are the same share of them; in `--clip small` they are four times that.

Times are medians of rounds in which all take turns. Peak memory is what torch's allocator holds, weights included;
beside it stands what `tvau backbones` computes.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from families import qwen  # noqa: E402  (processor and configuration without a hub)
from tvau.backbones import load  # noqa: E402
from tvau.backbones.cache import VisionCache  # noqa: E402
from tvau.backbones.huggingface import HuggingFaceLVLM  # noqa: E402
from tvau.backbones.tokens import ANOMALY  # noqa: E402
from tvau.costs import Cost, cost  # noqa: E402
from tvau.dialog import converse  # noqa: E402
from tvau.heatmap_decoder import AnomalyHeatmapDecoder  # noqa: E402
from tvau.losses import map_loss  # noqa: E402
from tvau.model import TVAU  # noqa: E402
from tvau.region_encoder import RegionAwareAnomalyEncoder  # noqa: E402
from tvau.types import Batch, Turn  # noqa: E402

Size = Literal["thin", "quarter", "150m", "7b"]
ROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
# Qwen2.5-VL 7B with every width cut to about a seventh: depth, blocks, and the shares of tower, language model, heatmap
# decoder and prompts in the arithmetic stay those of the 7B; thin is the least that has all its parts
TEXT = {
    "150m": {"hidden_size": 512, "intermediate_size": 2704, "num_hidden_layers": 28, "num_attention_heads": 4,
             "num_key_value_heads": 1, "max_position_embeddings": 32768, "rope_parameters": ROPE},
    "thin": {"hidden_size": 256, "intermediate_size": 1352, "num_hidden_layers": 4, "num_attention_heads": 2,
             "num_key_value_heads": 1, "max_position_embeddings": 32768, "rope_parameters": ROPE},
}  # fmt: skip
VISION = {
    "150m": {"depth": 32, "hidden_size": 192, "intermediate_size": 512, "num_heads": 16, "out_hidden_size": 512,
             "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31], "tokens_per_second": 2},
    "thin": {"depth": 4, "hidden_size": 96, "intermediate_size": 256, "num_heads": 4, "out_hidden_size": 256,
             "window_size": 112, "fullatt_block_indexes": [1, 3], "tokens_per_second": 2},
}  # fmt: skip
# the same with a quarter of its blocks and layers, and one block read for four: the shares stay, the time does not
TEXT["quarter"] = {**TEXT["150m"], "num_hidden_layers": 7}
VISION["quarter"] = {**VISION["150m"], "depth": 8, "fullatt_block_indexes": [7]}
BLOCKS = {"quarter": [8]}
CLIPS = {"preset": (16, 336, 588), "small": (16, 168, 280), "thin": (8, 112, 140)}  # frames, height, width
QUESTION, ANSWER = "Is there any anomaly in the video?", "Yes, a person in a red top is running."
FPS = 2.0


def drawn(size: Size) -> tuple[Any, Any, str]:
    """Processor, configuration and precision of a size."""
    if size != "7b":
        return *qwen("Qwen2_5_VL", 14, TEXT[size], VISION[size]), "float32"
    published = yaml.safe_load((ROOT / "backbones" / "published.yaml").read_text())
    config = published["Qwen/Qwen2.5-VL-7B-Instruct"]["config"]
    return *qwen("Qwen2_5_VL", 14, config["text_config"], config["vision_config"]), "bfloat16"


def build(size: Size, device: str, **options: Any) -> HuggingFaceLVLM:
    """The LVLM with random weights; `options` are those of `tvau.backbones.load`."""
    processor, config, dtype = drawn(size)
    with tempfile.TemporaryDirectory() as folder:
        processor.save_pretrained(folder)
        config.save_pretrained(folder)
        with torch.device(device):
            options = {"blocks": BLOCKS.get(size), **options}
            lvlm: Any = load(folder, dtype=dtype, random_weights=True, **options)  # type: ignore[arg-type]
            if options.get("bits"):  # which are made of weights on a disk
                lvlm.lm.save_pretrained(folder)
                del lvlm
                lvlm = load(folder, dtype=dtype, **options)  # type: ignore[arg-type]
    lvlm.ends = {-1}  # no answer ends early, so that all are equally long
    return lvlm


class Bench:
    """One LVLM, clips, and what is done with them.

    Args:
        size, device: of the LVLM.
        clip: a key of CLIPS.
        words: tokens of an answer.
        clips: in a batch.
        options: of `tvau.backbones.load`.
    """

    def __init__(
        self, size: Size, clip: str, device: str = "cpu", words: int = 24, clips: int = 1, **options: Any
    ) -> None:
        torch.manual_seed(0)
        self.size, self.device, self.words, self.options = size, device, words, options
        self.frames, *self.frame = CLIPS[clip]
        self.lvlm = build(size, device, **options)
        shape = (clips, self.frames, *self.frame)
        mask = torch.zeros(shape, dtype=torch.bool, device=device)
        mask[..., : self.frame[0] // 2, : self.frame[1] // 2] = True
        turn = Turn(task="judgement", question=QUESTION, answer=ANSWER)
        self.batch: Batch = {
            "video": torch.randint(256, (*shape[:2], 3, *self.frame), dtype=torch.uint8).to(device), "mask": mask,
            "frames": torch.arange(self.frames).expand(clips, -1), "fps": [FPS] * clips, "name": ["clip"] * clips,
            "turns": [[turn]] * clips,
        }  # fmt: skip
        width = self.lvlm.hidden_size
        with torch.device(device):
            self.decoder = AnomalyHeatmapDecoder(self.lvlm.vision_size, width, self.lvlm.blocks)
            text, scale = torch.randn(2, width), self.lvlm.prompt_scale
            kinds: list[dict[str, Any]] = [{}, {"base_once": True}, {"pool": 4}]
            self.encoders = [RegionAwareAnomalyEncoder(width, scale=scale, **kind) for kind in kinds]
            self.plain, self.first = TVAU(self.lvlm), TVAU(self.lvlm, self.decoder, text=text)
            self.whole, *self.fewer = (TVAU(self.lvlm, self.decoder, encoder, text) for encoder in self.encoders)
        self.hidden: dict[int, Tensor] = {}  # of the clips, for the decoder alone

    # ---- what is measured ----

    @torch.no_grad()
    def library(self) -> None:
        """(a) the library alone."""
        frames = self.frames
        about = {"total_num_frames": frames, "fps": FPS, "frames_indices": list(range(frames)),
                 "duration": frames / FPS}  # fmt: skip
        messages: Any = [
            [{"role": "user", "content": [{"type": "video", "video": video}, {"type": "text", "text": QUESTION}]}]
            for video in self.batch["video"]
        ]
        inputs: Any = self.lvlm.tokens.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
            processor_kwargs={"do_sample_frames": False, "do_resize": False, "video_metadata": [about] * len(messages)},
        )  # fmt: skip
        inputs = inputs.to(self.device)
        self.lvlm.lm.generate(**inputs, max_new_tokens=self.words, min_new_tokens=self.words, do_sample=False)

    def through_tvau(self) -> None:
        """(b) tvau without its modules."""
        converse(self.plain, self.batch, [[QUESTION]] * len(self.batch["name"]), self.words)

    def with_modules(self, model: TVAU | None = None) -> None:
        """(c) tvau."""
        converse(model or self.whole, self.batch, [[QUESTION]] * len(self.batch["name"]), self.words)

    def base_once(self) -> None:
        """(d) tvau, base prompts once and not at every step."""
        self.with_modules(self.fewer[0])

    def pooled(self) -> None:
        """(e) tvau, prompts pooled over four steps."""
        self.with_modules(self.fewer[1])

    def decoder_alone(self) -> None:
        """A training step of the heatmap decoder on hidden states that are there."""
        self.decoder.requires_grad_(True)
        self.hidden = self.hidden or {k: h.clone() for k, h in self.first.glance(self.batch).vision.hidden.items()}
        self._step(self.decoder, lambda: self._maps_loss(self.decoder(self.hidden, self.first.text).logit))

    def heatmap(self) -> None:
        """A training step of stage 1, the tower's pass included."""
        self.decoder.requires_grad_(True)
        self._step(self.decoder, lambda: self._maps_loss(self.first.maps(self.batch).logit))

    def heatmap_cached(self) -> None:
        """A training step of stage 1 on a pass that is read from the disk."""
        if self.lvlm.cache is None:
            self.folder = tempfile.TemporaryDirectory()
            self.lvlm.cache = VisionCache(self.folder.name, self.lvlm.lm, "benchmark")
            self.first.glance(self.batch)  # the first look fills it
        self.heatmap()

    def peft(self) -> None:
        """A LoRA step of the library's own loss, an ordinary token in the place of each anomaly prompt."""
        self._add_lora()
        self._step(self.lvlm.lm, self._librarys_loss)

    def dialog(self) -> None:
        """A training step of stage 2."""
        self._add_lora()
        self._step(self.whole, lambda: self.whole(self.batch))

    def _add_lora(self) -> None:
        self.lvlm.cache = None
        self.decoder.requires_grad_(False)
        if not any("lora_" in name for name, _ in self.lvlm.named_parameters()):
            self.lvlm.add_lora(16, 32)
        self.lvlm.train()

    def _maps_loss(self, logit: Tensor) -> Tensor:
        return map_loss(logit, self.batch["mask"])

    def _librarys_loss(self) -> Tensor:
        prompts = self.encoders[0].prompts(self.grid[0])
        inputs = self.lvlm.prepare(self.batch["video"], self.batch["turns"], prompts, self.batch["fps"])
        del inputs["video"]
        ids = inputs.pop("input_ids")
        return self.lvlm.lm(input_ids=ids.masked_fill(ids == ANOMALY, 0), **inputs, use_cache=False).loss

    def _step(self, module: nn.Module, loss: Callable[[], Tensor]) -> None:
        optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad])
        loss().backward()
        optimizer.step()

    # ---- how it is measured ----

    def seconds(self, work: str) -> float:
        """One run of a method above; on a CPU processor time, which other programs hardly stretch."""
        clock = time.process_time if self.device == "cpu" else time.perf_counter
        self._ready()
        start = clock()
        getattr(self, work)()
        self._ready(clear=False)
        return clock() - start

    def peak(self, work: str) -> float:
        """Bytes that are held at the peak of one run, the weights that it cannot do without included."""
        getattr(self, work)()  # what is made once
        stage_one = work in ("decoder_alone", "heatmap", "heatmap_cached")
        if stage_one and not self.options.get("bits"):
            self.lvlm.mute()
        self._ready()
        model = self.first if stage_one else self.whole
        kept = sum(p.numel() * p.element_size() for p in (self.decoder if work == "decoder_alone" else
                   self.plain if work in ("library", "through_tvau", "peft") else model).parameters())  # fmt: skip
        most = kept + allocated(getattr(self, work), self.device)
        self.lvlm.mute(False)
        return most

    def _ready(self, clear: bool = True) -> None:
        if clear:
            self.decoder.zero_grad()
            self.lvlm.zero_grad()
            self.encoders[0].zero_grad()
        if self.device != "cpu":
            torch.cuda.synchronize()

    @property
    def grid(self) -> tuple[int, int, int]:
        """(T', H', W') of the clips."""
        return self.lvlm.grid(self.frames, *self.frame)

    def computed(self) -> Cost:
        """What `tvau backbones` computes for this."""
        with torch.no_grad():
            dialog = self.lvlm.prepare(self.batch["video"], self.batch["turns"], 0, self.batch["fps"])["input_ids"]
        given = {"checkpoint": "drawn", "size": self.frame, "frames": self.frames, "blocks": self.lvlm.blocks,
                 "dtype": str(self.lvlm.lm.dtype).removeprefix("torch."), **self.options}  # fmt: skip
        config = self.lvlm.lm.config
        adapter = type(self.lvlm)
        fixed = adapter.words[0] + adapter.words[1] * self.grid[0] + adapter.visual_tokens(config, self.grid)
        return cost(given, config, (0, 0), len(self.batch["name"]), dialog.shape[1] - fixed)


def allocated(work: Callable[[], object], device: str = "cpu") -> float:
    """Bytes at the peak of some work beyond those before it."""
    if device != "cpu":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() - before
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            work()
        seen.export_chrome_trace(file.name)
        events = json.loads(Path(file.name).read_text())["traceEvents"]
    held = most = 0
    for event in sorted((e for e in events if e.get("name") == "[memory]"), key=lambda e: e["ts"]):
        held += event["args"]["Bytes"]
        most = max(most, held)
    return most


NAMES = {
    "library": "(a) library's generate", "through_tvau": "(b) through tvau", "with_modules": "(c) with AHD and RAE",
    "base_once": "(d) base prompts once", "pooled": "(e) prompts pooled over 4 steps",
    "decoder_alone": "step of the decoder alone", "heatmap_cached": "stage 1, kept passes", "heatmap": "stage 1",
    "peft": "step of peft's LoRA, library's loss", "dialog": "stage 2",
}  # fmt: skip
GROUPS = {
    "answers": ("library", "through_tvau", "with_modules", "base_once", "pooled"),
    "heatmap": ("decoder_alone", "heatmap_cached"), "dialog": ("peft", "dialog"),
}  # fmt: skip
COMPUTED = {"with_modules": "predict", "heatmap": "heatmap", "dialog": "dialog"}


def measured(
    bench: Bench, rounds: int, groups: Sequence[str] = tuple(GROUPS), memory: bool = True
) -> dict[str, dict[str, float]]:
    """{work: {"seconds": ..., "over": ..., "bytes": ..., "bytes over": ...}}; "over" the first of its group."""
    found: dict[str, dict[str, float]] = {}
    for works in map(GROUPS.__getitem__, groups):
        times: dict[str, list[float]] = {work: [] for work in works}
        for work in works:
            bench.seconds(work)  # warm up
        for _ in range(rounds):
            for work in works:
                times[work].append(bench.seconds(work))
        for work in works:
            ratios = [t / first for t, first in zip(times[work], times[works[0]], strict=True)]
            found[work] = {"seconds": statistics.median(times[work]), "over": statistics.median(ratios)}
        if not memory:
            continue
        bytes_ = {work: bench.peak(work) for work in works}
        for work in works:
            found[work] |= {"bytes": bytes_[work], "bytes over": bytes_[work] / bytes_[works[0]]}
        if "heatmap_cached" in works:
            bench.lvlm.cache = None
            found["heatmap"] = {"bytes": bench.peak("heatmap")}
    return found


def table(bench: Bench, rounds: int, groups: Sequence[str], memory: bool) -> None:
    """Measures one clip and prints its table."""
    found, computed, lvlm = measured(bench, rounds, groups, memory), bench.computed(), bench.lvlm
    visual = lvlm.visual_tokens(lvlm.lm.config, bench.grid)
    prompts = [encoder.prompts(bench.grid[0]) for encoder in bench.encoders]
    parameters = sum(p.numel() for n, p in lvlm.named_parameters() if "lora_" not in n)
    shares = " or ".join(f"{n} prompts ({n / visual:.1%})" for n in prompts)
    print(f"{parameters / 1e6:,.0f} M parameters, {bench.frames} frames of {bench.frame[0]}x{bench.frame[1]}, "
          f"{visual} visual tokens, {shares}, answer of {bench.words}, {bench.device}, torch {torch.__version__}, "
          f"{torch.get_num_threads()} threads, {rounds} rounds\n")  # fmt: skip
    unit = "processor seconds" if bench.device == "cpu" else "seconds"
    print(f"| | {unit} (median) | over the group's first, round by round (median) | peak GB | over the first | "
          "computed GB |\n|---|--:|--:|--:|--:|--:|")  # fmt: skip
    for work, row in found.items():
        times = f"{row['seconds']:.2f} | {row['over']:.3f}" if "seconds" in row else " | "
        held = f"{row['bytes'] / 1e9:.2f}" if "bytes" in row else ""
        share = f"{row['bytes over']:.3f}" if "bytes over" in row else ""
        by_formula = f"{getattr(computed, COMPUTED[work]) / 1e9:.2f}" if work in COMPUTED else ""
        print(f"| {NAMES[work]} | {times} | {held} | {share} | {by_formula} |")
    print(flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("thin", "quarter", "150m", "7b"), default="150m")
    parser.add_argument("--clip", choices=CLIPS, help="default: preset and small, one table each")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--words", type=int, default=24, help="tokens of the answer")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="times alone")
    args = parser.parse_args()
    for clip in [args.clip] if args.clip else ["preset", "small"]:
        table(Bench(args.size, clip, args.device, args.words), args.rounds, args.groups, args.memory)


if __name__ == "__main__":
    main()
