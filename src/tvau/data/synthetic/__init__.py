"""The synthetic world: procedurally drawn surveillance scenes, their id maps, and what is said about them."""

from tvau.data.synthetic.actors import Actor
from tvau.data.synthetic.facts import surroundings, targets
from tvau.data.synthetic.kinds import ACTIVITIES, KINDS, NORMAL, PRETRAINING, Kind, kinds_of
from tvau.data.synthetic.plan import Plan, abnormal, plan
from tvau.data.synthetic.render import Clip, render
from tvau.data.synthetic.scenes import SCENES, Scene, scene, scene_for_pretraining
from tvau.data.synthetic.splits import BENCHMARK, SETS, SPLITS, Split, jobs
from tvau.data.synthetic.write import write

__all__ = [
    "ACTIVITIES", "BENCHMARK", "KINDS", "NORMAL", "PRETRAINING", "SCENES", "SETS", "SPLITS", "Actor", "Clip", "Kind",
    "Plan", "Scene", "Split", "abnormal", "jobs", "kinds_of", "plan", "render", "scene", "scene_for_pretraining",
    "surroundings", "targets", "write",
]  # fmt: skip
