"""The card of a model: what it is, what it learned from, how good it is, and what not to expect."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from huggingface_hub import ModelCardData

from tvau import __version__

PARTS = {  # of the state, and what they are
    "model.decoder.": "heatmap decoder",
    "model.encoder.": "region-aware encoder",
    "model.backbone.": "LoRA of the LVLM",
}
LIMITS = """\
- It marks what differs from normal as its training data showed it; of other video it knows nothing. `talk.foreign` and
  the warning of `tvau predict` say when a video is far from the training, and a small distance is no promise.
- Scores are not probabilities of harm, and answers may be wrong or may contradict the heatmap: somebody has to look.
- It is made for research. Do not let it decide about people."""


def card(checkpoint: Mapping[str, Any], results: Mapping[str, Any] | None = None) -> str:
    """README.md of a model's folder.

    Args:
        checkpoint: see `tvau.tasks.pretrained.write_model`.
        results: of a test, {method: {split: scores}} as in test.json; None: not tested.
    """
    backbone, made = checkpoint.get("backbone") or {}, checkpoint.get("lvlm") or {}
    speaks = checkpoint.get("task") == "DialogTask"
    lvlm = made.get("checkpoint", backbone.get("name", "unknown"))
    hub = lvlm if str(lvlm).count("/") == 1 and not str(lvlm).startswith((".", "backbones/")) else None
    data = ModelCardData(
        library_name="tvau", base_model=hub, language="en", pipeline_tag="video-text-to-text",
        tags=["video-anomaly-detection", "heatmap", *(["dialog"] if speaks else [])],
    )  # fmt: skip
    rules = checkpoint.get("rules") or {}
    what = "pixel heatmaps of anomalies in video" + (" and a dialog about them" if speaks else "")
    lines = [
        "---", data.to_yaml(), "---", "", f"# A model of tvau: {what}", "",
        f"Trained parts of T-VAU (`{checkpoint.get('task', 'Task')}`, tvau {__version__}). They belong to the frozen "
        f"LVLM `{lvlm}` ({backbone.get('name', 'unknown')}, blocks {backbone.get('blocks', 'unknown')}), which is not "
        "part of this folder.", "",
        "```python", "import tvau", "", 'model = tvau.load("this/folder")', 'talk = model.open("street.mp4")',
        "talk.events, talk.heatmap", *(['talk.ask("Is there any anomaly in the video?")'] if speaks else []), "```", "",
        "| part | numbers |", "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in _sizes(checkpoint["state_dict"])), "",
        "## Data", "", _data(checkpoint.get("data") or {}), "", "## Figures", "", *_figures(results or {}), "",
        "## Rules", "", "Chosen on validation videos, kept in `config.json`:", "",
        *(f"- {name}: {_numbers(rule)}" for name, rule in rules.items()), "", _probability(rules.get("tvau") or {}), "",
        "## Limits", "", LIMITS,
    ]  # fmt: skip
    return "\n".join(lines)


def _sizes(state: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for prefix, name in PARTS.items():
        if count := sum(prod(value.shape) for key, value in state.items() if key.startswith(prefix)):
            yield name, count


def _data(data: Mapping[str, Any]) -> str:
    if not data:
        return "The checkpoint does not say what it was trained on."
    size = "x".join(map(str, data["size"])) if data.get("size") else "as in the source"
    return f"`{data.get('name')}` as `tvau.data.{data.get('set')}`; clips of {data.get('frames', '?')} frames, {size}."


def _figures(results: Mapping[str, Any]) -> list[str]:
    """A table of the main scores of each split."""
    rows = []
    for method, splits in results.items():
        for split, scores in splits.items():
            auc = scores.get("frame", {}).get("micro_auc")
            region, text = scores.get("region", {}), scores.get("text", {}).get("judgement", {})
            numbers = (auc, region.get("rbdc"), region.get("tbdc"), text.get("yes_no"))
            if any(number is not None for number in numbers):
                shown = ("" if number is None else f"{number:.3f}" for number in numbers)
                rows.append(f"| {method} | {split} | {' | '.join(shown)} |")
    if not rows:
        return ["Not tested yet: `tvau test` measures it."]
    return ["| method | split | frame AUC | RBDC | TBDC | yes or no right |", "|---|---|---|---|---|---|", *rows]


def _probability(rule: Mapping[str, Any]) -> str:
    """What the scores of frames mean."""
    if (rule.get("scale", 1), rule.get("bias", 0)) == (1, 0):
        return "Scores of frames are not calibrated: they have an order, and are no probabilities."
    return (
        "The probability that a frame is abnormal is sigmoid(scale * logit(score) + bias), fitted to the same videos; "
        "thresholds are held against the score."
    )


def _numbers(rule: Mapping[str, Any]) -> str:
    parts = {key: value for key, value in rule.items() if isinstance(value, Mapping)}
    plain = [f"{key} {value:.4g}" for key, value in rule.items() if key not in parts]
    return "; ".join([", ".join(plain), *(f"{key}: {_numbers(part)}" for key, part in parts.items())])
