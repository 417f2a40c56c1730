"""Steps of highway-env, for `ringroad bench --beside highway-env`; runs in an environment of its own, without Ringroad.

    python drive_highway.py SECONDS ENV

Prints one JSON object: {"times_ms": [...], "vehicles": mean number of vehicles beside the agent}. Each step is one decision
of the environment as it comes; its random actions are drawn from a fixed seed.
"""

import json
import sys
import time

import gymnasium
import highway_env

seconds, name = float(sys.argv[1]), sys.argv[2]
gymnasium.register_envs(highway_env)
env = gymnasium.make(name)
env.action_space.seed(0)
env.reset(seed=0)
times, vehicles = [], []
end = time.perf_counter() + seconds
while time.perf_counter() < end or len(times) < 5:
    action = env.action_space.sample()
    start = time.perf_counter()
    _, _, terminated, truncated, _ = env.step(action)
    times.append(1e3 * (time.perf_counter() - start))
    vehicles.append(len(env.unwrapped.road.vehicles) - 1)
    if terminated or truncated:
        env.reset()
print(json.dumps({"times_ms": times, "vehicles": sum(vehicles) / len(vehicles)}))
