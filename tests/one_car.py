"""One vehicle in an open field, and its pedals."""

import numpy as np
from plain_graph import plain_graph

from sim.batch import Batch
from sim.state import Driver
from stack.messages import Control
from stack.vehicle import VehicleParams, load_vehicle, pedals

FIELD = plain_graph()


class Car:
    """One vehicle in an open field."""

    def __init__(self, model: str | VehicleParams = "sedan", friction: float = 1.0, **row: float) -> None:
        self.params = load_vehicle(model) if isinstance(model, str) else model
        self.batch = Batch(FIELD, [self.params], 1, 1)
        rows = {"kind": int(self.params.kind_id), "driver": int(Driver.EXTERNAL)} | row
        self.batch.reset_world(0, {key: [value] for key, value in rows.items()}, seed=1, friction=friction)

    @property
    def side_speed_mps(self) -> float:
        """Of the centre of gravity."""
        return self.vy_mps + self.params.rear_axle_m * self.yaw_rate_radps

    @property
    def centre_xy_m(self) -> tuple[float, float]:
        """Of the centre of gravity."""
        b = self.params.rear_axle_m
        return self.x_m + b * np.cos(self.yaw_rad), self.y_m + b * np.sin(self.yaw_rad)

    def __getattr__(self, name: str) -> float:
        return float(self.batch.state.numpy(name)[0, 0])

    def drive(self, throttle: float, brake: float, steer: float, ticks: int = 1) -> None:
        self.batch.set_pedals(0, 0, np.array([throttle, brake, steer], np.float32))
        for _ in range(ticks):
            self.batch.step()

    def control(self, wheel_angle_rad: float, accel_mps2: float, ticks: int = 1) -> None:
        for _ in range(ticks):
            self.drive(*pedals(Control(wheel_angle_rad, accel_mps2), self.vx_mps, self.pitch_rad, self.params))

    def hold_speed(self, wheel_angle_rad: float, speed_mps: float, ticks: int) -> None:
        for _ in range(ticks):
            self.control(wheel_angle_rad, 4.0 * (speed_mps - self.vx_mps))
