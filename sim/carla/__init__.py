"""CARLA, both ways: its wire protocol spoken by our worlds, and its servers as our world."""
