"""What a scene learns after its first fit: what people said of its events, its versions, and whether it still fits."""
