"""The `bench` verbs and their instruments."""
