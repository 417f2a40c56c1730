"""Record a drive of TrafficManager cars, ask the file what happened, replay it and follow one of them."""

import argparse

import carla

STEP_S = 0.05

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=2000)
parser.add_argument("--tm-port", type=int, default=8000)
parser.add_argument("--ticks", type=int, default=200)
parser.add_argument("--cars", type=int, default=10)
parser.add_argument("--file", default="example.log", help="kept where the server keeps its recordings")
args = parser.parse_args()
client = carla.Client(args.host, args.port)
client.set_timeout(30.0)
world = client.get_world()
before = world.get_settings()
manager = client.get_trafficmanager(args.tm_port)
command = carla.command


def destroy_vehicles() -> None:
    client.apply_batch_sync([command.DestroyActor(car) for car in world.get_actors().filter("vehicle.*")], True)


def hero_of() -> carla.Actor:
    """The replay gives it another number: it is known by its role."""
    return next(car for car in world.get_actors().filter("vehicle.*") if car.attributes["role_name"] == "hero")


try:
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, STEP_S
    world.apply_settings(settings)
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(1)
    print("recording to", client.start_recorder(args.file, True))
    library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
    cars = []
    for k in range(args.cars):
        blueprint = library.find("vehicle.audi.tt" if k else "vehicle.tesla.model3")
        blueprint.set_attribute("role_name", "autopilot" if k else "hero")
        car = world.try_spawn_actor(blueprint, points[k * len(points) // args.cars])
        if car:
            car.set_autopilot(True, args.tm_port)
            cars.append(car)
    way = []
    for _ in range(args.ticks):
        world.tick()
        way.append(cars[0].get_location())
    client.stop_recorder()
    hero = cars[0].id
    destroy_vehicles()
    manager.set_synchronous_mode(False)

    lines = client.show_recorder_file_info(args.file, False).splitlines()
    created = sum(" Create " in line for line in lines)
    print(*lines[:3], f"{created} actors created", *lines[-2:], sep="\n  ")
    print(client.show_recorder_collisions(args.file, "v", "a"))

    print(client.replay_file(args.file, 0.0, 0.0, hero, False))
    apart, follows = [], []
    for _ in way[1:]:  # the replay begins on the first frame
        world.tick()
        again = hero_of().get_location()
        apart.append(min(again.distance(p) for p in way))
        follows.append(world.get_spectator().get_location().distance(again))
    print(
        f"the hero's way again: never more than {max(apart):.2f} m off it, its end {again.distance(way[-1]):.2f} m off"
    )
    print(f"the spectator stayed within {max(follows):.1f} m of it")
finally:
    client.stop_recorder()
    client.stop_replayer(False)
    destroy_vehicles()
    manager.set_synchronous_mode(False)
    world.apply_settings(before)
