"""Cars of the TrafficManager and walkers of the client's crowd, for --ticks or until Ctrl-C; then all is as it was."""

import argparse
import random

import carla

STEP_S = 0.05

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=2000)
parser.add_argument("--tm-port", type=int, default=8000)
parser.add_argument("--ticks", type=int, default=0, help="0: until Ctrl-C")
parser.add_argument("--cars", type=int, default=20)
parser.add_argument("--walkers", type=int, default=10)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
random.seed(args.seed)
client = carla.Client(args.host, args.port)
client.set_timeout(30.0)
world = client.get_world()
before = world.get_settings()
manager = client.get_trafficmanager(args.tm_port)
command = carla.command


def made(batch: list) -> list:
    """The numbers of those that found room."""
    return [reply.actor_id for reply in client.apply_batch_sync(batch, True) if not reply.error]


def spawn_cars() -> list:
    """Four-wheelers at random spawn points, driven by the TrafficManager."""
    blueprints = [b for b in world.get_blueprint_library().filter("vehicle.*") if int(b.get_attribute("number_of_wheels"))
                  == 4]  # fmt: skip
    points = world.get_map().get_spawn_points()
    random.shuffle(points)
    autopilot = command.SetAutopilot(command.FutureActor, True, args.tm_port)
    return made([command.SpawnActor(random.choice(blueprints), at).then(autopilot) for at in points[: args.cars]])


def spawn_walkers() -> tuple:
    """Walkers on the pavements, and a controller on each."""
    library, batch = world.get_blueprint_library(), []
    for _ in range(args.walkers):
        place = world.get_random_location_from_navigation()
        if place is not None:
            place.z += 1.0
            batch.append(command.SpawnActor(random.choice(library.filter("walker.*")), carla.Transform(place)))
    walkers = made(batch)
    mind = library.find("controller.ai.walker")
    return walkers, made([command.SpawnActor(mind, carla.Transform(), walker) for walker in walkers])


cars, walkers, minds = [], [], []
try:
    settings = world.get_settings()  # another object than `before`, which is handed back in the end
    settings.synchronous_mode, settings.fixed_delta_seconds = True, STEP_S
    world.apply_settings(settings)
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(args.seed)
    world.set_pedestrians_seed(args.seed)
    world.set_pedestrians_cross_factor(0.2)
    cars = spawn_cars()
    walkers, minds = spawn_walkers()
    world.tick()
    for mind in world.get_actors(minds):
        mind.start()
        mind.go_to_location(world.get_random_location_from_navigation())
        mind.set_max_speed(1.0 + random.random())
    print(f"{len(cars)} cars, {len(walkers)} walkers", flush=True)
    driven, tick = 0.0, 0
    while not args.ticks or tick < args.ticks:
        world.tick()
        tick += 1
        speeds = [car.get_velocity().length() for car in world.get_actors(cars)]
        driven += sum(speeds) * STEP_S
        if tick % 100 == 0 and speeds:
            mean = 3.6 * sum(speeds) / len(speeds)
            print(f"{tick * STEP_S:6.0f} s  {mean:4.0f} km/h on average  {driven:6.0f} m driven", flush=True)
except KeyboardInterrupt:
    print()
finally:
    for mind in world.get_actors(minds):
        mind.stop()
    client.apply_batch_sync([command.DestroyActor(i) for i in (*minds, *walkers, *cars)], True)
    manager.set_synchronous_mode(False)
    world.apply_settings(before)
    print(f"{len(cars) + len(walkers)} actors destroyed, settings as before")
