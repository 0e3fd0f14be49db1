"""Extreme values of scores: the rate of false alarms that a threshold has."""
