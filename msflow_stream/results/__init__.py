"""Files that one scored source leaves: scores, maps, timeline, overlay, events, run.json."""
