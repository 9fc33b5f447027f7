"""What an LVLM costs: presets against published figures, and memory against what autograd really keeps."""

import importlib
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
import yaml
from peft import LoraConfig
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AutoConfig, AutoModelForImageTextToText

from families import FAMILIES
from real import ROOT as REAL_FILES
from real import needs_real
from tvau import backbones
from tvau.annotate.describe import fitting_size
from tvau.backbones.huggingface import HuggingFaceLVLM, context, relative
from tvau.cli import main
from tvau.costs import RANK, cost, for_published, kept_activations, lora_parameters, read_measured, read_presets
from tvau.errors import BackboneError
from tvau.heatmap_decoder import AnomalyHeatmapDecoder

ROOT = Path(__file__).parents[2]
PUBLISHED: dict[str, Any] = yaml.safe_load((ROOT / "backbones" / "published.yaml").read_text())
PRESETS = [path.stem for path in sorted((ROOT / "backbones").glob("*_*.yaml"))]


def preset(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "backbones" / f"{name}.yaml").read_text())["init_args"]


def adapter_of(sizes: dict[str, Any]) -> type[HuggingFaceLVLM]:
    return next(a for a in backbones.FAMILIES if a.family == sizes["model_type"])


def test_every_family_has_a_preset() -> None:
    families = {PUBLISHED[preset(name)["checkpoint"]]["config"]["model_type"] for name in PRESETS}
    assert families == set(FAMILIES) - {"glm46v"}  # the library's own; GLM-4.6V came out under the types before it
    assert {preset(name)["checkpoint"] for name in PRESETS} == set(PUBLISHED)


@pytest.mark.parametrize("checkpoint", PUBLISHED)
def test_sizes_give_the_published_number_of_parameters(checkpoint: str) -> None:
    config = for_published(PUBLISHED[checkpoint]["config"])
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == pytest.approx(float(PUBLISHED[checkpoint]["parameters"]), rel=0.01)


@pytest.mark.parametrize("checkpoint", PUBLISHED)
@pytest.mark.parametrize("size", [(240, 360), (480, 856), (1080, 1920)])
def test_a_describer_finds_a_size_for_every_published_tower(checkpoint: str, size: tuple[int, int]) -> None:
    sizes = PUBLISHED[checkpoint]["config"]
    config, adapter = for_published(sizes), adapter_of(sizes)
    own = adapter.native_size(config)  # to which the adapter itself resizes
    lvlm: Any = SimpleNamespace(
        name=checkpoint, grid=lambda times, *shape: adapter.patches(config, times, *own or shape)
    )
    height, width = fitting_size(lvlm, size)
    least = min(size[0], 448)
    assert 0.85 * least < height <= 1.15 * least
    assert width / height == pytest.approx(size[1] / size[0], rel=0.1)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fits_the_published_configuration(name: str) -> None:
    given = preset(name)
    sizes = PUBLISHED[given["checkpoint"]]["config"]
    config, adapter = for_published(sizes), adapter_of(sizes)
    assert tuple(given["blocks"]) == relative(config.vision_config.num_hidden_layers)
    assert adapter.native_size(config) in (None, tuple(given["size"]))
    grid = adapter.patches(config, given["frames"], *given["size"])
    assert adapter.visual_tokens(config, grid) + 600 < context(config)  # beside prompts and a dialog


def test_the_page_says_of_every_preset_whether_its_sizes_are_confirmed() -> None:
    page = (ROOT / "docs" / "train" / "lvlms.md").read_text()
    table = page.partition("| family | sizes of the presets |")[2].partition("\n\n")[0]
    parts = [part for row in table.splitlines()[2:] for part in row.split(" | ")[1].split(";")]
    said = {name: "not: " not in part for part in parts for name in re.findall(r"`(\w+)`", part)}
    assert said == {name: "sizes" in PUBLISHED[preset(name)["checkpoint"]].get("confirmed", "") for name in PRESETS}
    assert all(re.search(r"confirmed|not: \w+", part) for part in parts)


def test_the_papers_blocks_are_those_of_qwen() -> None:
    assert preset("qwen2_5_vl_7b")["blocks"] == [1, 8, 16, 32]


@pytest.mark.parametrize(("kind", "dtype"), [("Qwen/Qwen2.5-VL-3B-Instruct", torch.bfloat16),
                                             ("LanguageBind/Video-LLaVA-7B-hf", torch.float32)])  # fmt: skip
def test_activations_are_those_that_autograd_keeps(kind: str, dtype: torch.dtype) -> None:
    small = {"hidden_size": 256, "intermediate_size": 700, "num_hidden_layers": 2, "num_attention_heads": 2,
             "num_key_value_heads": 1, "vocab_size": 512, "bos_token_id": 0, "eos_token_id": 1}  # fmt: skip
    sizes = PUBLISHED[kind]["config"]
    vision = {**sizes["vision_config"], ("depth" if "depth" in sizes["vision_config"] else "num_hidden_layers"): 1}
    config = for_published({**sizes, "text_config": {**sizes["text_config"], **small}, "vision_config": vision})
    model = AutoModelForImageTextToText.from_config(config, dtype=dtype)
    model.requires_grad_(False)
    model.get_decoder().add_adapter(LoraConfig(r=RANK, target_modules=adapter_of(sizes).lora_targets))
    lora = sum(p.numel() for p in model.parameters() if p.requires_grad)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    tokens = torch.randn(1, 256, 256, dtype=dtype, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        model.get_decoder()(inputs_embeds=tokens, use_cache=False)
    measured = sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in weights)
    assert kept_activations(config.get_text_config(), 256, dtype.itemsize) == pytest.approx(measured, rel=0.1)
    with torch.device("meta"):
        plain = AutoModelForImageTextToText.from_config(config)
    assert lora_parameters(adapter_of(sizes), plain) == lora


@pytest.fixture(scope="module")
def bench(root: Path) -> Any:
    """benchmarks/backbones.py as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "benchmarks"))
        return importlib.import_module("backbones")


@torch.no_grad()
def test_the_decoder_holds_one_block_in_single_precision_at_a_time(bench: Any) -> None:
    hidden = {block: torch.randn(1, 4, 64, 16, 16, dtype=torch.bfloat16) for block in (1, 2, 3, 4)}
    most = {}
    for blocks in ([1], [1, 2, 3, 4]):
        decoder, text = AnomalyHeatmapDecoder(64, 32, blocks), torch.randn(2, 32)
        most[len(blocks)] = bench.allocated(lambda made=decoder, given=text: made(hidden, given))
    block = 4 * 64 * 16 * 16 * 4  # bytes in float32
    assert most[1] > 2 * block
    assert most[4] < most[1] + 0.5 * block


@pytest.mark.parametrize("options", [{}, {"gradient_checkpointing": True}], ids=["plain", "checkpointing"])
def test_memory_is_what_the_allocator_holds(options: dict[str, Any], bench: Any) -> None:
    made = bench.Bench("thin", "small", words=4, **options)  # 480 visual tokens: what is seen outweighs what is known
    computed = made.computed()
    for work, stage in bench.COMPUTED.items():
        assert getattr(computed, stage) == pytest.approx(made.peak(work), rel=0.2), stage


def test_the_script_for_a_card_runs_on_a_thin_model_and_goes_on_behind_a_failure(
    bench: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    gpu = importlib.import_module("gpu")
    monkeypatch.setitem(gpu.PARTS, "broken", (gpu.ratios, {}))  # unknown to the process of its own: it ends there
    gpu.main(["--thin", "--parts", "broken", "1 clip", f"--out={tmp_path}", "--rounds=1", "--words=2"])
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert parts["broken"]["error"] == "exit status 2, see log.txt"
    assert all(stage["bytes"] > 1e6 and stage["seconds"] > 0 for stage in parts["1 clip"]["found"].values())
    assert "| broken | failed: exit status 2" in (tmp_path / "gpu.md").read_text()
    with mock.patch.object(gpu, "alone", return_value={"wall": 0.0, "found": {}}) as alone:
        gpu.main(["--thin", "--parts", "1 clip", f"--out={tmp_path}"])
        assert not alone.called  # it is done
        (tmp_path / "card").mkdir()
        (tmp_path / "card" / "gpu.json").write_text(json.dumps({"size": "7b", "device": "a card", "parts": parts}))
        gpu.main(["--thin", "--parts", "1 clip", f"--out={tmp_path / 'card'}"])
    alone.assert_called_once()  # what a card measured is nothing that a CPU did
    assert [*json.loads((tmp_path / "card" / "gpu.json").read_text())["parts"]] == ["1 clip"]
    rows = json.loads((tmp_path / "measured.json").read_text())
    assert [(row["preset"], row["clips"], row["bits"]) for row in rows] == [("thin", 1, None)]
    (tmp_path / "thin.yaml").write_text(yaml.safe_dump({"init_args": preset("qwen2_vl_2b")}))
    (tmp_path / "published.yaml").write_text(yaml.safe_dump(PUBLISHED))
    capsys.readouterr()
    main(["backbones", f"--folder={tmp_path}"])
    assert "| 0.0 / 0.0 / 0.1 |" in capsys.readouterr().out
    main(["backbones", f"--folder={tmp_path}", "--clips=2"])  # which nobody measured
    assert "|  | sizes and words |" in capsys.readouterr().out


def test_a_file_that_measured_nothing(tmp_path: Path) -> None:
    (tmp_path / "measured.json").write_text("3")
    for path, needed in ((tmp_path / "measured.json", False), (tmp_path / "absent.json", True)):
        with pytest.raises(BackboneError, match=r"expected the measured.json of benchmarks/gpu.py"):
            read_measured(path, needed)
    assert read_measured(tmp_path / "absent.json", needed=False) == []


def test_stages_cost_more_than_the_weights_alone() -> None:
    given = preset("qwen2_5_vl_7b")
    needed = cost(given, for_published(PUBLISHED[given["checkpoint"]]["config"]), (96, 160))
    assert needed.heatmap < needed.parameters * 2 < needed.predict < needed.dialog < 80e9  # stage 1 has the tower alone
    small = cost({**given, "bits": 4}, for_published(PUBLISHED[given["checkpoint"]]["config"]), (96, 160))
    assert needed.heatmap < small.heatmap


def test_the_table_names_every_preset(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(root)
    main(["backbones"])
    printed = capsys.readouterr().out
    rows = {row.split(" | ")[0].strip("| "): row for row in printed.splitlines() if row.startswith("| ")}
    assert {*PRESETS, "nano"} <= set(rows)
    assert "qwen2_5_vl | 8,292 M | 1, 8, 16, 32 of 32 | 8x24x42 | 2016 + 21 |" in rows["qwen2_5_vl_7b"]
    assert {name: row.split(" | ")[-1].strip(" |") for name, row in rows.items() if not row.endswith("| no |")} == {
        "preset": "confirmed", "nano": "read from it", "qwen2_vl_2b": "sizes and words", "qwen2_5_vl_7b": "sizes",
        "qwen3_vl_4b": "sizes and words", "qwen3_vl_8b": "sizes", "glm4_1v_9b": "sizes",
        "gemma4_e2b": "sizes",
    }  # fmt: skip


@needs_real
@pytest.mark.parametrize(
    ("checkpoint", "file"),
    [("Qwen/Qwen2-VL-2B-Instruct", "qwen2_vl/config.json"), ("Qwen/Qwen3-VL-4B-Instruct", "qwen3_vl/config.json"),
     ("Qwen/Qwen2.5-VL-7B-Instruct", "configs/qwen2_5_vl_7b.json"),
     ("Qwen/Qwen3-VL-8B-Instruct", "configs/qwen3_vl_8b.json"),
     ("zai-org/GLM-4.1V-9B-Thinking", "glm4v/config.json"), ("google/gemma-4-E2B-it", "gemma4/config.json")],
)  # fmt: skip
def test_confirmed_sizes_are_those_of_the_release(checkpoint: str, file: str, tmp_path: Path) -> None:
    assert "sizes" in PUBLISHED[checkpoint]["confirmed"]
    release = json.loads((REAL_FILES / file).read_text())
    if release["model_type"] == "glm4v":  # of a version that kept them outside, where the installed library looks past
        rope = {"rope_type": "default", **release.pop("rope_scaling")}
        rope |= {key: release[key] for key in ("rope_theta", "partial_rotary_factor")}
        release["text_config"] = {**release, "model_type": "glm4v_text", "rope_parameters": rope}
    (tmp_path / "config.json").write_text(json.dumps(release))
    given, real = for_published(PUBLISHED[checkpoint]["config"]), AutoConfig.from_pretrained(tmp_path)
    local = {"max_position_embeddings"} if "8b" in file else set()  # a change of the copy's owner, as its README says
    for ours, theirs in ((given.get_text_config(), real.get_text_config()), (given.vision_config, real.vision_config)):
        sizes = {key for key, value in theirs.to_dict().items() if isinstance(value, int | list)} & set(ours.to_dict())
        sizes -= {"architectures", "tie_word_embeddings"} | local
        sizes -= {"max_window_layers", "sliding_window"}  # of no effect without use_sliding_window
        sizes -= {key for key in sizes if key.endswith("_token_id") or key.startswith(("output_", "return_"))}
        assert {"num_hidden_layers", "hidden_size"} & sizes
        assert {k: ours.to_dict()[k] for k in sizes} == {k: theirs.to_dict()[k] for k in sizes}
    ropes = [dict(config.get_text_config().rope_parameters) for config in (given, real)]
    assert ropes[0] == {key: value for key, value in ropes[1].items() if key != "type"}
    assert given.tie_word_embeddings == real.tie_word_embeddings


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="no such folder"):
        read_presets(tmp_path / "absent")
