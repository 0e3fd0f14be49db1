"""HTTP: metrics, health and readiness of a watch."""
