"""Sensors on any actor, or free in space: cameras, event cameras, LiDAR, radar, inertial units, satellite fixes.

All of them read a world's `State`, and its `Geometry` with every actor placed (`geometry.update(state, world, viewer=-1)`)
after each tick. Frames are right-handed, units SI and radians; cameras are optical (x right, y down, z ahead). A mount is a
(4, 4) matrix: carrier from sensor, or world from sensor where nobody carries it; a sensor's own frame is x ahead, y left, z up.
Noise is drawn by (seed, stream, sample), so that the same world gives the same samples again.
"""
