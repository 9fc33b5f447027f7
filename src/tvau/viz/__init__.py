"""Pictures of what the model sees: overlays and curves, the files of a prediction, the report of a run."""
