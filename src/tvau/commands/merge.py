"""`tvau merge`: the tuned LVLM as a folder that plain transformers loads."""

from pathlib import Path


def merge(model: str, out: str, backbone: str | None = None) -> Path:
    """Write the LVLM of a trained model with its LoRA merged into the weights, as transformers loads it.

    It is the LVLM alone: without heatmap decoder, anomaly prompts and dialog flow, which stay in the model's folder.

    Args:
        model: a model's folder, a checkpoint of stage 2, or a hub id.
        out: the folder to write; new, or empty.
        backbone: the LVLM it belongs to, where it is another than the model names.
    """
    from tvau.backbones.merging import merge as merged
    from tvau.conversation.model import read
    from tvau.errors import OptionError
    from tvau.files import replaceable, whole_folder

    folder = Path(out)
    replaceable(folder, None)
    tuned = read(model, backbone, "cpu")
    if not tuned.speaks:
        raise OptionError(f"{model} is of stage 1, which tunes no LVLM: give a model of stage 2")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder, None) as temporary:
        count = merged(tuned.tvau.backbone, temporary)
    print(f"{out}: the LVLM, {count} of its matrices with LoRA merged; AutoModelForImageTextToText loads it")
    return folder
