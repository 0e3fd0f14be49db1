"""`bench peers`: other detectors and ours on the same clips, each in a process of its own."""
