"""The synthetic world: procedurally drawn surveillance scenes, their id maps, and what is said about them."""

from tvau.data.synthetic.actors import Actor
from tvau.data.synthetic.facts import surroundings, targets
from tvau.data.synthetic.kinds import ACTIVITIES, KINDS, NORMAL, PRETRAINING, Kind, kinds_of
from tvau.data.synthetic.plan import Plan, abnormal, plan
from tvau.data.synthetic.render import Clip, render
from tvau.data.synthetic.scenes import SCENES, Scene, scene, scene_for_pretraining
from tvau.data.synthetic.write import SPLITS, write

__all__ = [
    "ACTIVITIES", "KINDS", "NORMAL", "PRETRAINING", "SCENES", "SPLITS", "Actor", "Clip", "Kind", "Plan", "Scene",
    "abnormal", "kinds_of", "plan", "render", "scene", "scene_for_pretraining", "surroundings", "targets", "write",
]  # fmt: skip
