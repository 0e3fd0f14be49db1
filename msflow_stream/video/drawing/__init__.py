"""Drawing: heat map, scores, timeline and alarm on a frame; JPEG."""
