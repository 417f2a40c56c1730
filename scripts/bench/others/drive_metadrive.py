"""Steps of MetaDrive, for `ringroad bench --beside metadrive`; runs in an environment of its own, without Ringroad.

    python drive_metadrive.py SECONDS WIDTH HEIGHT    0 0: no camera, the lidar observation that is its default

Prints one JSON object: {"times_ms": [...], "vehicles": mean number of vehicles beside the agent}.
"""

import json
import sys
import time

from metadrive import MetaDriveEnv

seconds, width, height = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
config = {"use_render": False, "traffic_density": 0.1}
if width:
    camera = {"image_source": "rgb_camera", "rgb_camera": (width, height), "stack_size": 1}
    config |= {"image_observation": True, "vehicle_config": camera}
env = MetaDriveEnv(config)
observation = env.reset()
times, vehicles = [], []
env.step([0.0, 0.3])  # the first one compiles shaders
end = time.perf_counter() + seconds
while time.perf_counter() < end or len(times) < 2:
    start = time.perf_counter()
    observation, _, done, _ = env.step([0.0, 0.3])
    times.append(1e3 * (time.perf_counter() - start))
    vehicles.append(len(env.engine.traffic_manager.vehicles) - 1)
    if done:
        env.reset()
if width and observation["image"].std() == 0.0:
    sys.exit("MetaDrive drew an empty picture")
print(json.dumps({"times_ms": times, "vehicles": sum(vehicles) / len(vehicles)}))
