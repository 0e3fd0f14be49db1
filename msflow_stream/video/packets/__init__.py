"""Coded packets: kept, and copied into clips without encoding them again."""
