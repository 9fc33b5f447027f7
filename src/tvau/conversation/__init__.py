"""A video as events and answers: what Python users, chat, ui and watch share.

model = tvau.load()
talk = model.open("street.mp4", stride=6)
talk.ask("Is there any anomaly in the video?")
talk.about(talk.events[0]).ask("How does it move?")
"""

from tvau.conversation.model import Model, load
from tvau.conversation.talk import Talk, View
from tvau.events import Event

__all__ = ["Event", "Model", "Talk", "View", "load"]
