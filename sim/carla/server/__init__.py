"""A CARLA 0.9.16 server: the stock `carla` client talks to an embedded world (docs/carla.md)."""
