"""A car that finds its way on the client's map and drives it: pure pursuit, stops at red and behind who is ahead.

It gives way to nobody that is not in front of it: at junctions without lights the others have to look out.
"""

import argparse
import heapq
import itertools
import math

import carla
import numpy as np

STEP_S, STEP_M, CHANGE_M = 0.05, 2.0, 12.0
ACCEL_MPS2, ASIDE_MPS2 = 2.0, 2.0  # braking that is planned with, and acceleration to the side in bends
STAND_M = {"light": 1.0, "ahead": 3.0}  # to a stop line, and to another bumper


def onwards(w: carla.Waypoint) -> list:
    """Where one can go from a waypoint, and what that costs: along the lane, or over to a neighbour."""
    out = [(n, STEP_M) for n in w.next(STEP_M)]
    sides = (w.get_left_lane(), carla.LaneChange.Left), (w.get_right_lane(), carla.LaneChange.Right)
    for side, needed in sides:
        if (
            side
            and side.lane_type == carla.LaneType.Driving
            and side.lane_id * w.lane_id > 0
            and w.lane_change & needed
        ):
            out += [(n, CHANGE_M + 5.0) for n in side.next(CHANGE_M)]
    return out


def route(start: carla.Waypoint, goal: carla.Waypoint) -> np.ndarray:
    """(N, 2) points 1 m apart from start to goal, by A*. ValueError where there is no way."""

    def cell(w: carla.Waypoint) -> tuple:
        return w.road_id, w.section_id, w.lane_id, int(w.s / STEP_M)

    end, order = goal.transform.location, itertools.count()
    waiting = [(0.0, next(order), 0.0, start, None)]
    came: dict = {}
    while waiting:
        _, _, cost, w, before = heapq.heappop(waiting)
        if cell(w) in came:
            continue
        came[cell(w)] = w, before
        if cell(w)[:3] == cell(goal)[:3] and w.transform.location.distance(end) <= STEP_M:
            break
        for n, more in onwards(w):
            if cell(n) not in came:
                left = n.transform.location.distance(end)
                heapq.heappush(waiting, (cost + more + left, next(order), cost + more, n, cell(w)))
    else:
        raise ValueError("there is no way to the goal")
    at, way = cell(w), []
    while at is not None:
        w, at = came[at]
        way.append((w.transform.location.x, w.transform.location.y))
    xy = np.array(way[::-1])
    s = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
    return np.column_stack([np.interp(np.arange(0.0, s[-1], 1.0), s, axis) for axis in xy.T])


class Driver:
    """Drives one car along a way; `step` gives the control of the next tick."""

    def __init__(self, world: carla.World, car: carla.Vehicle, way: np.ndarray) -> None:
        self.world, self.car, self.way = world, car, way
        self.at, self.reason = 0, "road"
        self.wheelbase_m = 1.2 * car.bounding_box.extent.x
        self.most_rad = math.radians(car.get_physics_control().wheels[0].max_steer_angle)
        self.lights = []
        for light in world.get_actors().filter("traffic.traffic_light"):
            for stop in light.get_stop_waypoints():
                off = np.hypot(*(way - (stop.transform.location.x, stop.transform.location.y)).T)
                if off.min() < 1.5:
                    self.lights.append((int(off.argmin()), light))
        turn = np.diff(np.unwrap(np.arctan2(*np.diff(way, axis=0).T[::-1])), append=0.0)[:-1]
        bend = np.abs(np.convolve(turn, np.ones(5) / 5.0, "same"))
        self.fastest = np.sqrt(ASIDE_MPS2 / np.maximum(bend, 1e-3))

    def step(self) -> carla.VehicleControl:
        place, v = self.car.get_transform(), self.car.get_velocity().length()
        here = np.array([place.location.x, place.location.y])
        self.at += int(np.hypot(*(self.way[self.at : self.at + 20] - here).T).argmin())
        wanted = self.speed(v)
        target = self.way[min(self.at + int(4.0 + 0.4 * v), len(self.way) - 1)]
        yaw = math.radians(place.rotation.yaw)
        dx, dy = target - here + 0.5 * self.wheelbase_m * np.array([math.cos(yaw), math.sin(yaw)])  # from the rear axle
        angle = math.atan2(dy, dx) - yaw
        wheels = math.atan(2.0 * self.wheelbase_m * math.sin(angle) / math.hypot(dx, dy))
        push = 0.4 * (wanted - v)
        stop = wanted < 0.3
        return carla.VehicleControl(
            throttle=0.0 if stop else min(max(push, 0.0), 0.8), brake=0.6 if stop else min(max(-push, 0.0), 1.0),
            steer=min(max(wheels / self.most_rad, -1.0), 1.0),
        )  # fmt: skip

    def speed(self, v: float) -> float:
        """m/s that road, lights and others allow; `reason` says which."""
        found = [(self.car.get_speed_limit() / 3.6, "road")]
        ahead = np.arange(self.at, min(self.at + 60, len(self.fastest)))
        if len(ahead):
            allowed = np.sqrt(self.fastest[ahead] ** 2 + 2.0 * ACCEL_MPS2 * (ahead - self.at))
            found.append((float(allowed.min()), "bend"))
        nose = self.at + self.car.bounding_box.extent.x
        for at, light in self.lights:
            left = at - nose
            late = light.state == carla.TrafficLightState.Yellow and left < v * v / (4.0 * ACCEL_MPS2)
            if -1.0 < left < 60.0 and light.state != carla.TrafficLightState.Green and not late:
                found.append((math.sqrt(2.0 * ACCEL_MPS2 * max(left - STAND_M["light"], 0.0)), "red light"))
        near = self.way[self.at : self.at + 60]
        for other in (a for kind in ("vehicle.*", "walker.*") for a in self.world.get_actors().filter(kind)):
            place, half = other.get_location(), other.bounding_box.extent
            off = np.hypot(*(near - (place.x, place.y)).T)
            k = int(off.argmin())
            if other.id != self.car.id and off[k] < half.y + 1.1 and k > 0:
                left, speed = self.at + k - nose - half.x - STAND_M["ahead"], other.get_velocity().length()
                found.append((math.sqrt(max(2.0 * ACCEL_MPS2 * left + speed * speed, 0.0)), other.type_id))
        found.append((math.sqrt(2.0 * ACCEL_MPS2 * max(len(self.way) - 1 - self.at, 0)), "goal"))
        allowed, self.reason = min(found)
        return allowed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2000)
    parser.add_argument("--tm-port", type=int, default=8000)
    parser.add_argument("--ticks", type=int, default=6000, help="at most")
    parser.add_argument("--start", type=int, default=0, help="spawn point")
    parser.add_argument("--goal", type=int, default=-1, help="spawn point")
    parser.add_argument("--cars", type=int, default=10, help="of the TrafficManager")
    args = parser.parse_args()
    client = carla.Client(args.host, args.port)
    client.set_timeout(30.0)
    world = client.get_world()
    before, town, library = world.get_settings(), world.get_map(), world.get_blueprint_library()
    points = town.get_spawn_points()
    manager = client.get_trafficmanager(args.tm_port)
    cars, sensor, hits, stops, standing, driven = [], None, set(), 0, False, 0.0
    try:
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, STEP_S
        world.apply_settings(settings)
        manager.set_synchronous_mode(True)
        manager.set_random_device_seed(1)
        way = route(*(town.get_waypoint(points[k].location) for k in (args.start, args.goal)))
        for k in (args.start, *range(0, len(points), max(len(points) // max(args.cars, 1), 1))[: args.cars]):
            blueprint = library.find("vehicle.audi.tt" if cars else "vehicle.tesla.model3")
            blueprint.set_attribute("role_name", "autopilot" if cars else "hero")
            car = world.try_spawn_actor(blueprint, points[k])
            cars += [car] if car else []
        car = cars[0]
        sensor = world.spawn_actor(library.find("sensor.other.collision"), carla.Transform(), attach_to=car)
        sensor.listen(lambda event: hits.add(event.other_actor.type_id))
        for other in cars[1:]:
            other.set_autopilot(True, args.tm_port)
        world.tick()
        driver = Driver(world, car, way)
        print(f"{len(way)} m to go, {len(driver.lights)} lights on the way", flush=True)
        for tick in range(1, args.ticks + 1):
            car.apply_control(driver.step())
            world.tick()
            v = car.get_velocity().length()
            driven += v * STEP_S
            stops += v < 0.1 and not standing and driver.reason == "red light"
            standing = v < (0.5 if standing else 0.1)
            if tick % 100 == 0:
                left = len(way) - 1 - driver.at
                print(f"{tick * STEP_S:4.0f} s {3.6 * v:4.0f} km/h {left:5d} m to go  {driver.reason}", flush=True)
            if driver.at >= len(way) - 3 and v < 0.5:
                break
        else:
            print("not there in time")
            return 1
        print(f"arrived: {driven:.0f} m in {tick * STEP_S:.0f} s, {stops} stops at red, {len(hits)} collisions")
        return 1 if hits else 0
    finally:
        if sensor is not None:
            sensor.stop()
        world.tick()  # lets the last callbacks end: a batch would keep them waiting
        client.apply_batch_sync([carla.command.DestroyActor(a) for a in (sensor, *cars) if a is not None], True)
        manager.set_synchronous_mode(False)
        world.apply_settings(before)


if __name__ == "__main__":
    raise SystemExit(main())
