"""The synthetic world: procedurally drawn surveillance scenes, their id maps, and what is said about them."""

from tvau.world.actors import Actor
from tvau.world.facts import surroundings, targets
from tvau.world.kinds import ACTIVITIES, KINDS, NORMAL, PRETRAINING, Kind, kinds_of
from tvau.world.plan import Plan, abnormal, plan
from tvau.world.render import Clip, render
from tvau.world.scenes import SCENES, ZONES, Scene, scene, scene_for_pretraining
from tvau.world.splits import BENCHMARK, MORE, SETS, SPLITS, Split, jobs
from tvau.world.write import write

__all__ = [
    "ACTIVITIES", "BENCHMARK", "KINDS", "MORE", "NORMAL", "PRETRAINING", "SCENES", "SETS", "SPLITS", "ZONES", "Actor",
    "Clip", "Kind", "Plan", "Scene", "Split", "abnormal", "jobs", "kinds_of", "plan", "render", "scene",
    "scene_for_pretraining", "surroundings", "targets", "write",
]  # fmt: skip
