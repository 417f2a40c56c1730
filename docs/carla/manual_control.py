"""Drive by keyboard, with a chase camera: W/S or up/down, A/D or left/right, space, Q for reverse, Esc.

Needs pygame for its window. `--script FILE` drives without one: lines of `seconds throttle steer brake [reverse]`,
and `--script demo` shows how; the last picture is saved.
"""

import argparse
import queue
from pathlib import Path

import carla
import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT, STEP_S, WAIT_S = 800, 450, 0.05, 10.0
DEMO = """
2.0 0.6 0.0 0.0
1.0 0.2 -0.03 0.0
1.0 0.2 0.02 0.0
2.0 0.0 0.0 0.5
2.0 0.4 0.0 0.0 reverse
1.0 0.0 0.0 1.0
"""


def scripted(text: str) -> list:
    """A control for each tick."""
    out = []
    for words in (line.split() for line in text.splitlines() if line.strip()):
        seconds, throttle, steer, brake = (float(word) for word in words[:4])
        control = carla.VehicleControl(throttle, steer, brake, reverse="reverse" in words[4:])
        out += [control] * round(seconds / STEP_S)
    return out


class Window:
    """Keys and pictures by pygame."""

    def __init__(self) -> None:
        import pygame

        self.pygame, self.reverse, self.steer = pygame, False, 0.0
        pygame.display.init()
        self.screen, self.clock = pygame.display.set_mode((WIDTH, HEIGHT)), pygame.time.Clock()

    def control(self) -> carla.VehicleControl | None:
        """What the keys ask for; None to leave."""
        key = self.pygame
        for event in key.event.get():
            if event.type == key.QUIT or (event.type == key.KEYDOWN and event.key == key.K_ESCAPE):
                return None
            if event.type == key.KEYDOWN and event.key == key.K_q:
                self.reverse = not self.reverse
        held = key.key.get_pressed()
        wish = 0.5 * ((held[key.K_d] or held[key.K_RIGHT]) - (held[key.K_a] or held[key.K_LEFT]))
        self.steer += min(max(wish - self.steer, -0.05), 0.05)
        return carla.VehicleControl(
            throttle=0.7 * (held[key.K_w] or held[key.K_UP]), brake=float(held[key.K_s] or held[key.K_DOWN]),
            steer=self.steer, hand_brake=bool(held[key.K_SPACE]), reverse=self.reverse,
        )  # fmt: skip

    def show(self, image: Image.Image) -> None:
        picture = self.pygame.image.frombuffer(image.tobytes(), image.size, "RGB")
        self.screen.blit(picture, (0, 0))
        self.pygame.display.flip()
        self.clock.tick(1.0 / STEP_S)


def with_hud(picture: carla.Image, car: carla.Vehicle, hits: set) -> Image.Image:
    """The camera's picture with speed, gear, controls and place written on it."""
    bgra = np.frombuffer(picture.raw_data, np.uint8).reshape(picture.height, picture.width, 4)
    image, c, place = Image.fromarray(bgra[:, :, 2::-1].copy()), car.get_control(), car.get_location()
    gear = "R" if c.reverse else str(max(c.gear, 1))
    lines = [
        f"{3.6 * car.get_velocity().length():4.0f} km/h of {car.get_speed_limit():.0f}   gear {gear}",
        f"throttle {c.throttle:.2f}  brake {c.brake:.2f}  steer {c.steer:+.2f}",
        f"x {place.x:.1f}  y {place.y:.1f}  light {car.get_traffic_light_state()}  hit {', '.join(sorted(hits)) or 'nothing'}",
    ]
    draw = ImageDraw.Draw(image, "RGBA")
    draw.rectangle([8, 8, 390, 62], fill=(0, 0, 0, 150))
    draw.multiline_text((16, 13), "\n".join(lines), fill=(255, 255, 255))
    return image


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2000)
    parser.add_argument("--ticks", type=int, default=0, help="0: until Esc, or the end of the script")
    parser.add_argument("--point", type=int, default=0, help="spawn point")
    parser.add_argument("--script", metavar="FILE|demo", help="drive without a window")
    parser.add_argument("--out", type=Path, default=Path("out/manual_control.png"), help="last picture of a script")
    args = parser.parse_args()
    window, controls = None, []
    if args.script:
        controls = scripted(DEMO if args.script == "demo" else Path(args.script).read_text(encoding="utf-8"))
    else:
        try:
            window = Window()
        except ImportError:
            print("manual_control: found no pygame for the window: pip install pygame, or drive with --script demo")
            return 2
    client = carla.Client(args.host, args.port)
    client.set_timeout(30.0)
    world = client.get_world()
    before, library, actors, hits = world.get_settings(), world.get_blueprint_library(), [], set()
    try:
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, STEP_S
        world.apply_settings(settings)
        start = world.get_map().get_spawn_points()[args.point]
        car = world.spawn_actor(library.find("vehicle.tesla.model3"), start)
        actors.append(car)
        camera = library.find("sensor.camera.rgb")
        camera.set_attribute("image_size_x", str(WIDTH))
        camera.set_attribute("image_size_y", str(HEIGHT))
        behind = carla.Transform(carla.Location(x=-7.0, z=3.2), carla.Rotation(pitch=-12.0))
        actors.append(world.spawn_actor(camera, behind, car, carla.AttachmentType.Rigid))
        actors.append(world.spawn_actor(library.find("sensor.other.collision"), carla.Transform(), car))
        pictures: queue.Queue = queue.Queue()
        actors[1].listen(pictures.put)
        actors[2].listen(lambda event: hits.add(event.other_actor.type_id))
        tick, image = 0, None
        while not args.ticks or tick < args.ticks:
            control = window.control() if window else controls[tick] if tick < len(controls) else None
            if control is None:
                break
            car.apply_control(control)
            frame = world.tick()
            picture = next(p for p in iter(lambda: pictures.get(timeout=WAIT_S), None) if p.frame == frame)
            image = with_hud(picture, car, hits)
            tick += 1
            if window:
                window.show(image)
            elif tick % 20 == 0:
                speed = 3.6 * car.get_velocity().dot(car.get_transform().get_forward_vector())
                print(
                    f"{tick * STEP_S:3.0f} s {speed:4.0f} km/h, {car.get_location().distance(start.location):.0f} m off"
                )
        if image is not None and not window:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            image.save(args.out)
            print(args.out)
        return 0
    finally:
        for sensor in actors[1:]:
            sensor.stop()
        world.tick()  # lets the last callbacks end: a batch would keep them waiting
        client.apply_batch_sync([carla.command.DestroyActor(a) for a in reversed(actors)], True)
        world.apply_settings(before)


if __name__ == "__main__":
    raise SystemExit(main())
