"""The networks, with torch, timm and FrEIA alone: feature pyramid, flows, fusion flow, maps and scores."""
