"""The life of a scene: fit, calibration, saving and loading."""
