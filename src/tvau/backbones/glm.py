"""GLM-4.1V, GLM-4.5V and GLM-4.6V."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tvau.backbones.qwen import Qwen3VL


class GLM41V(Qwen3VL):
    """GLM-4.1V and GLM-4.6V-Flash: a tower as Qwen's; each time step stands as an image in front of its time.

    Times are in whole seconds, or in tenths where the checkpoint's processor is that of GLM-4.6V. Answers come without
    thinking where the template has a switch for it: GLM-4.1V's has none.
    """

    family = "glm4v"
    modality = "image"
    words = (20, 8)
    template: ClassVar[Mapping[str, Any]] = {"enable_thinking": False}
    processor_options: ClassVar[Mapping[str, Any]] = {}


class GLM45V(GLM41V):
    """GLM-4.5V and GLM-4.6V: the same with experts; LoRA reaches attention and the shared expert."""

    family = "glm4v_moe"


class GLM46V(GLM41V):
    """What transformers makes by the name of GLM-4.6V; the published checkpoints are of the two types above."""

    family = "glm46v"
