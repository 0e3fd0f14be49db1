"""Evidence of an event: clip, snapshots and event.json in a folder of its own."""
