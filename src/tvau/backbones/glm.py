"""GLM-4.1V, GLM-4.5V and GLM-4.6V."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tvau.backbones.qwen import Qwen3VL


class GLM41V(Qwen3VL):
    """GLM-4.1V: a tower as Qwen's; each time step stands as an image in front of its time, in whole seconds."""

    family = "glm4v"
    modality = "image"
    words = (16, 4)
    processor_options: ClassVar[Mapping[str, Any]] = {}


class GLM45V(GLM41V):
    """GLM-4.5V: the same with experts; LoRA reaches attention and the shared expert."""

    family = "glm4v_moe"


class GLM46V(GLM41V):
    """GLM-4.6V: the same with times in tenths of a second."""

    family = "glm46v"
    words = (16, 8)
