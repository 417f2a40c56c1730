"""Worlds: the embedded simulator, a CARLA server, a recording."""
