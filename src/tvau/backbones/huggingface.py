"""What all Hugging Face video LVLMs share: their parts, the one vision pass (eq. 4), and what of them is trained.

How they read prompts and answer is `speaking.py`, what a text becomes `tokens.py`, where weights come from
`checkpoint.py`.
"""

import platform
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, ClassVar

import torch
from peft import LoraConfig
from torch import Tensor, nn
from torch.backends.cpu import get_cpu_capability
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize
from transformers import PreTrainedConfig
from transformers.utils import ModelOutput

from tvau.backbones.base import Inputs, SeenOutput, VisionPass
from tvau.backbones.cache import VisionCache
from tvau.backbones.checkpoint import Bits, DType, context, fingerprint, read_config, read_model, read_processor
from tvau.backbones.speaking import Speaker
from tvau.backbones.tokens import DialogTokens
from tvau.errors import BackboneError
from tvau.shipped import found
from tvau.types import Turn

DEPTHS = (1, 8, 16, 32)  # the blocks that the paper reads, of 32


class HuggingFaceLVLM(Speaker):
    """Shared part of all adapters; a family says where its tower is and where its hidden states lie on the picture.

    Args:
        checkpoint: hub id or folder, loaded without remote code.
        blocks: vision blocks to read, 1-based (the paper's are 1, 8, 16, 32); None: the same relative depths.
        dtype: of the weights; "auto": as the checkpoint was saved.
        attention: attention implementation of transformers ("sdpa", "eager", "flash_attention_2").
        size: (height, width) to which frames are resized before the tower sees them, pixels; None: the tower's own
            size where it has one, else as the frames come.
        frames: number of frames of a clip that suits the model; `tvau backbones` counts with it.
        bits: 4 or 8: the language model is quantized by bitsandbytes (QLoRA); the vision tower is left alone.
        gradient_checkpointing: keep no activations of the language model's layers in training.
        random_weights: draw the weights anew instead of loading them: to pretrain, or as a baseline. A number is the
            seed of the draw; true: the seed of the run.
        options: further arguments of `from_pretrained`.
        cache: a folder in which the frozen vision tower's passes are kept, so that each clip is encoded only once,
            whatever is trained behind it; None: none.

    Raises:
        BackboneError: no such checkpoint, one of another family, or blocks beyond the tower's depth.
    """

    family: str  # model type in the checkpoint's configuration
    tower: str  # name of the vision tower in the library's model
    words = (16, 0)  # tokens of the template around a first question, and of the text around each time step, at most
    answer_prefix = ""
    in_front = 0  # visual tokens of a time step that stand in front of its picture
    template: ClassVar[Mapping[str, Any]] = {}  # further variables of the chat template
    processor_options: ClassVar[Mapping[str, Any]] = {}  # what only this family's processor takes
    lora_targets = r"layers\..*\.(q|k|v|o|gate|up|gate_up|down)_proj"  # of the language model

    def __init__(
        self,
        checkpoint: str,
        blocks: Sequence[int] | None = None,
        dtype: DType = "auto",
        attention: str = "sdpa",
        size: tuple[int, int] | None = None,
        frames: int = 16,
        bits: Bits | None = None,
        gradient_checkpointing: bool = False,
        random_weights: bool | int = False,
        options: Mapping[str, Any] | None = None,
        cache: str | None = None,
    ) -> None:
        super().__init__()
        options, given, checkpoint = options or {}, checkpoint, found(checkpoint)
        config = read_config(checkpoint, options)
        if config.model_type != self.family:
            raise BackboneError(
                f"{checkpoint} is a {config.model_type} model, {type(self).__name__} takes {self.family}: "
                "tvau.backbones.load takes any"
            )
        self.made = {
            "checkpoint": given, "blocks": blocks, "dtype": dtype, "attention": attention, "size": size,
            "frames": frames, "bits": bits, "random_weights": random_weights, "options": dict(options),
        }  # fmt: skip
        self.name = name(config)
        self.hidden_size = config.get_text_config().hidden_size
        self.depth = config.vision_config.num_hidden_layers
        self.blocks = tuple(blocks) if blocks is not None else relative(self.depth)
        if not self.blocks or min(self.blocks) < 1 or max(self.blocks) > self.depth:
            raise BackboneError(f"blocks {list(self.blocks)} of {checkpoint}: expected numbers from 1 to {self.depth}")
        self.tokens = DialogTokens(
            read_processor(checkpoint, options), self.modality, getattr(config, f"{self.modality}_token_id"),
            self.answer_prefix, self.template,
        )  # fmt: skip
        self.lm: Any = read_model(checkpoint, config, dtype, attention, bits, random_weights, options)
        self.lm.model.get_submodule(self.tower).config.tie_last_hidden_states = False  # else of what lies behind it
        self.vision_size = self.vision_width(config)
        self.size, self.frames = tuple(size) if size else self.native_size(config), frames
        ends = getattr(self.lm.generation_config, "eos_token_id", None)
        self.ends = {self.tokens.eos_id, *(ends if isinstance(ends, list) else [ends] if ends is not None else [])}
        words: Any = self.lm.get_input_embeddings()
        self.prompt_scale = float(words.weight.detach().float().pow(2).mean().sqrt())
        self.prompt_scale *= getattr(words, "scalar_embed_scale", 1.0)  # Gemma's
        self.fingerprint = fingerprint(self.lm)
        self.checkpointing = gradient_checkpointing
        if gradient_checkpointing:
            self.lm.activation_checkpointing_enable({"use_reentrant": False})
            self.lm.disable_input_require_grads()  # gradients reach prompts and LoRA without it
        self.frozen = True
        self.language: dict[str, nn.Module] = {}  # while it is muted, by its parts' names in `lm`
        self.lm.requires_grad_(False)
        self.cache = None if cache is None else VisionCache(cache, self.lm, f"{attention} {self.seeing()}")
        self.train(False)

    # ---- what a family says ----

    @classmethod
    def vision_width(cls, config: PreTrainedConfig) -> int:
        """Width Dv of the vision tower."""
        return config.vision_config.hidden_size

    @classmethod
    def native_size(cls, config: PreTrainedConfig) -> tuple[int, int] | None:
        """(height, width) of the only frames that the tower takes; None where it takes many sizes."""
        return None

    @classmethod
    @abstractmethod
    def patches(cls, config: PreTrainedConfig, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """(T', H', W') for frames as the tower sees them. Raises BackboneError where it cannot hold them."""

    @classmethod
    @abstractmethod
    def token_grid(cls, config: PreTrainedConfig, grid: tuple[int, int, int]) -> tuple[int, int, int]:
        """(T', h, w) of the visual tokens that a clip of (T', H', W') patches becomes in the language model."""

    @classmethod
    def visual_tokens(cls, config: PreTrainedConfig, grid: tuple[int, int, int]) -> int:
        """Number of those tokens, with what stands beside the picture."""
        return prod(cls.token_grid(config, grid))

    @abstractmethod
    def features(self, inputs: Inputs) -> ModelOutput:
        """The library's one pass of its vision tower, with the hidden states of `blocks`."""

    @abstractmethod
    def raster(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        """A block's hidden states in the tower's own order -> [B, T', Dv, H', W']."""

    def position_ids(self, inputs: Inputs) -> Tensor:
        """Positions [B, L] (or [3, B, L]) of the prepared tokens."""
        return (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)

    # ---- tokens ----

    def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        return self.patches(self.lm.config, frames, *(self.size or (height, width)))

    def prepare(self, video: Tensor, dialogs: Sequence[Sequence[Turn]], prompts: int, fps: Sequence[float]) -> Inputs:
        frames, grid = video.shape[1], self.grid(video.shape[1], *video.shape[-2:])
        questions = [dialog[0]["question"] for dialog in dialogs]
        inputs, places = self.tokens.process(self.resized(video), questions, fps, self.as_it_is())
        inputs["video"] = video
        inputs |= self.tokens.append(inputs, [self.tokens.tail(dialog) for dialog in dialogs], prompts, places)
        self.tokens.check(inputs, self.visual_tokens(self.lm.config, grid))
        most = context(self.lm.config)
        if (length := inputs["input_ids"].shape[1]) > most:
            raise BackboneError(
                f"clips of {frames} frames and their dialogs are {length} tokens, {self.name} was trained on at most "
                f"{most}: use fewer frames (for example --data.frames={max(frames // 2, 1)}) or shorter dialogs"
            )
        inputs["position_ids"] = self.position_ids(inputs)
        return inputs

    # ---- pixels ----

    def resized(self, video: Tensor) -> Tensor:
        """Clips in the size that the tower sees."""
        if self.size and self.size != tuple(video.shape[-2:]):
            video = resize(video, list(self.size), InterpolationMode.BICUBIC, antialias=True)
        return video

    def as_it_is(self) -> dict[str, Any]:
        """Options of the library's processors: no frame is left out or resized."""
        return {"do_sample_frames": False, "do_resize": False, "return_tensors": "pt", **self.processor_options}

    def pixels(self, video: Tensor) -> Inputs:
        """What the tower gets of clips, the same as `prepare` finds beside their words."""
        made = self.tokens.processor.video_processor(list(self.resized(video)), **self.as_it_is())
        return {key: value.to(video.device) for key, value in made.items() if isinstance(value, Tensor)}

    def seeing(self) -> str:
        """All that decides how clips become pixels."""
        return f"{self.size} {self.as_it_is()} {self.tokens.processor.video_processor.to_json_string()}"

    # ---- the vision pass (eq. 4) ----

    def encode(self, inputs: Inputs) -> VisionPass:
        warn_if_emulated(self.lm.dtype, self.lm.device)
        if self.cache is None:
            return self._encode(inputs)
        return self.cache.encode(self.lm, inputs, self.blocks, self._encode)

    def _encode(self, inputs: Inputs) -> VisionPass:
        if len(inputs) == 1:  # nobody has prepared words, and the pixels with them
            self.grid(inputs["video"].shape[1], *inputs["video"].shape[-2:])
            inputs = inputs | self.pixels(inputs["video"])
        made = self.features(inputs)
        states, output = list(made["hidden_states"]), SeenOutput.of(made)
        del made
        hidden = {}
        for k in self.blocks:  # each is let go when it lies on the raster, so that only one is there twice
            hidden[k], states[k] = self.raster(states[k], inputs), None
        return VisionPass(hidden, output)

    def picture_tokens(self, vision: VisionPass) -> Tensor:
        clips, times, _, rows, columns = vision.hidden[self.blocks[0]].shape
        tokens = torch.cat(list(vision.output["pooler_output"])).reshape(clips, -1, self.hidden_size)
        return self.on_picture(tokens, (times, rows, columns)).movedim(-1, 2)

    def picture_places(self, inputs: Inputs) -> Tensor:
        visual, video = inputs["input_ids"] == self.tokens.placeholder, inputs["video"]
        places = visual.nonzero()[:, 1].reshape(len(visual), -1)
        return self.on_picture(places, self.grid(video.shape[1], *video.shape[-2:]))

    def on_picture(self, tokens: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """What belongs to the visual tokens of clips of (T', H', W') patches, where it lies.

        In the order of the tokens [B, n, ...] -> [B, T', h, w, ...].
        """
        times, rows, columns = self.token_grid(self.lm.config, grid)
        each = tokens.shape[1] // times  # what is left, LLaVA-OneVision's new line, stands behind all
        steps = tokens[:, : times * each].unflatten(1, (times, each))[:, :, self.in_front :]
        return steps[:, :, : rows * columns].unflatten(2, (rows, columns))

    def mute(self, muted: bool = True) -> None:
        if muted and not self.language:
            parts = (self.lm.get_decoder(), self.lm.get_output_embeddings())
            self.language = {name: m for name, m in self.lm.named_modules() if any(m is part for part in parts)}
            for name in self.language:
                self.lm.set_submodule(name, nn.Identity().eval())
        elif not muted:
            for name, part in self.language.items():
                self.lm.set_submodule(name, part)
            self.language = {}

    # ---- the text encoder (eq. 2) ----

    def encode_text(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        language = self.lm.get_decoder()
        tokens = self.tokens.tokenizer(list(texts), padding=True, return_tensors="pt").to(language.device)
        with self._untuned():
            hidden = language(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        return hidden.last_hidden_state, tokens["attention_mask"]

    @contextmanager
    def _untuned(self) -> Iterator[None]:
        """Inside, the language model is without LoRA, as the decoder of stage 1 knows its words."""
        language = self.lm.get_decoder()
        tuned = language._hf_peft_config_loaded
        if tuned:
            language.disable_adapters()
        try:
            yield
        finally:
            if tuned:
                language.enable_adapters()

    # ---- what is trained ----

    def add_lora(self, rank: int, alpha: int, dropout: float = 0.0) -> None:
        language = self.lm.get_decoder()
        if language._hf_peft_config_loaded:  # that of an earlier task on this backbone
            language.delete_adapter("default")
        if rank:
            language.add_adapter(
                LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=self.lora_targets)
            )
        for name, weight in self.lm.named_parameters():
            if "lora_" in name:  # they come in the precision of the frozen weights; small steps would round to nothing
                weight.data = weight.data.float()
        self.train(self.training)

    def unfreeze(self) -> None:
        self.frozen, self.fingerprint = False, ()  # what is trained cannot be known again
        self.lm.requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> "HuggingFaceLVLM":
        """Training mode reaches LoRA only: what is frozen stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            for name, module in self.lm.named_modules():
                module.training = mode and "lora_" in name
            for layer in self.lm.get_decoder().layers if self.checkpointing and not self.language else ():
                layer.training = mode  # the library asks the layer itself; the dropouts inside it stay asleep
        return self


def relative(depth: int) -> tuple[int, ...]:
    """The paper's blocks at the same relative depths of a tower of `depth` blocks."""
    return tuple(sorted({max(round(block * depth / DEPTHS[-1]), 1) for block in DEPTHS}))


def name(config: PreTrainedConfig) -> str:
    """What a checkpoint of tvau remembers an LVLM by: its family and the size of its language model."""
    text = config.get_text_config()
    return f"{config.model_type}:{text.hidden_size}x{text.num_hidden_layers}"


def warn_if_emulated(dtype: torch.dtype, device: torch.device) -> None:
    """Warns where weights of `dtype`, or autocast, round to 16 bits and the device only emulates arithmetic with them.

    x86 processors multiply such matrices from AVX-512 on, cards in bfloat16 from NVIDIA's Ampere on.
    """
    autocast = torch.is_autocast_enabled(device.type)
    dtype = torch.get_autocast_dtype(device.type) if autocast else dtype
    if device.type == "cuda":
        emulated = dtype == torch.bfloat16 and not torch.cuda.is_bf16_supported(including_emulation=False)
        what, mixed, whole = torch.cuda.get_device_name(device), "16-mixed", "float16"
    else:
        old = platform.machine() in ("x86_64", "AMD64") and not get_cpu_capability().startswith("AVX512")
        emulated = dtype.itemsize == 2 and old
        what, mixed, whole = "this processor has no AVX-512 and", "32-true", "float32"
    if emulated:
        flag = (
            f"--trainer.precision {mixed}" if autocast
            else f"--model.backbone.dtype {whole}, or `dtype: {whole}` in the preset"
        )  # fmt: skip
        warnings.warn(
            f"{what} only emulates {str(dtype).removeprefix('torch.')}: the LVLM runs ten times slower or worse; "
            f"use {flag}",
            stacklevel=3,
        )
