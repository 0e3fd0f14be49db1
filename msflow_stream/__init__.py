"""Anomaly detection in fixed-camera video with multi-scale normalizing flows (MSFlow)."""

__version__ = "0.1.0"
