"""The networks, in torch alone: backbone and feature pyramid, parallel flows, fusion flow, maps and scores."""
