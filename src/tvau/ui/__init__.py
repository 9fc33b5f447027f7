"""The web page: a video with its heatmap, its events, and a conversation beside it."""
