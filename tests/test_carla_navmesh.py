"""The pedestrians' navigation mesh: its bytes read back, and CARLA's own client walking on it."""

from __future__ import annotations

import importlib.util
import json
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from shared_maps import graph_of, map_of

from sim.carla.grounds import EDGE_M, Area
from sim.carla.navmesh import name, navmesh
from sim.scenery import FOOT, PAVED
from stack.opendrive import build_graph, find_map, load_map
from stack.opendrive.roads import Strip

TOWN01 = Path(__file__).parents[2] / "shared/data/maps/Town01.xodr"
MAPS = [
    "town_a",
    pytest.param("oldtown", marks=pytest.mark.slow),
    pytest.param("highway", marks=pytest.mark.slow),
    pytest.param(TOWN01, id="Town01", marks=pytest.mark.skipif(not TOWN01.exists(), reason="Town01 is not here")),
]
ONE_ROAD = """<OpenDRIVE><header revMajor="1" revMinor="6"/><road id="0" length="200" junction="-1" name="">
<planView><geometry s="0" x="10" y="20" hdg="0.5" length="200"><line/></geometry></planView>
<lanes><laneSection s="0"><left><lane id="1" type="driving"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></left>
<center><lane id="0" type="none"/></center>
<right><lane id="-1" type="driving"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></right></laneSection></lanes>
</road></OpenDRIVE>"""
POLYGON = [("link", "<u4"), ("corner", "<u2", 6), ("next", "<u2", 6), ("flags", "<u2"), ("n", "u1"), ("area", "u1")]
DETAIL = [("vertex", "<u4"), ("triangle", "<u4"), ("vertices", "u1"), ("triangles", "u1"), ("pad", "<u2")]


@dataclass(frozen=True)
class Tile:
    """What stands in the file, in our axes: x, y, z up."""

    counts: dict[str, int]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    vertices: NDArray[np.float32]  # (V, 3)
    polygons: NDArray[Any]
    details: NDArray[Any]
    own: NDArray[np.float32]  # (D, 3) vertices of details
    triangles: NDArray[np.uint8]  # (T, 4)

    def outline(self, p: int) -> NDArray[np.float32]:
        """Its corners with the heights that walkers get there."""
        polygon, detail = self.polygons[p], self.details[p]
        if detail["vertices"]:
            return self.own[detail["vertex"] : detail["vertex"] + detail["vertices"]]
        return self.vertices[polygon["corner"][: polygon["n"]]]

    def shapes(self, *areas: Area) -> NDArray[Any]:
        return np.array([shapely.Polygon(self.outline(p)[:, :2]) for p in self.of(*areas)])

    def of(self, *areas: Area) -> NDArray[np.int64]:
        return np.flatnonzero(np.isin(self.polygons["area"], areas))

    def components(self, *areas: Area) -> list[float]:
        """Sizes in m2 of what hangs together by shared edges alone."""
        chosen = np.isin(self.polygons["area"], areas)
        mine, place = np.nonzero(self.polygons["next"])
        other = self.polygons["next"][mine, place].astype(int) - 1
        both = chosen[mine] & chosen[other]
        size = len(chosen)
        links = coo_matrix((np.ones(both.sum()), (mine[both], other[both])), shape=(size, size))
        label = connected_components(links, directed=False)[1]
        total = np.zeros(size)
        np.add.at(total, label[chosen], shapely.area(self.shapes(*areas)))
        return sorted(total[total > 0.1], reverse=True)


def parsed(data: bytes) -> Tile:
    magic, version, tiles, *_, width, depth, max_tiles, max_polygons = struct.unpack_from("<3i3f2f2i", data)
    assert (magic, version, tiles, max_tiles) == (0x4D534554, 1, 1, 1)
    reference, size = struct.unpack_from("<Ii", data, 40)
    tile = data[48:]
    assert len(tile) == size
    names = "magic version x y layer user polygons vertices links details own triangles nodes connections base"
    counts = dict(zip(names.split(), struct.unpack_from("<15i", tile), strict=True))
    assert (counts["magic"], counts["version"], counts["x"], counts["y"]) == (0x444E4156, 7, 0, 0)
    assert counts["polygons"] == counts["details"] <= min(max_polygons, 0x7FFE)
    salt = reference // max_polygons  # above the bits of polygons; no salt, no tile for this client
    assert max_polygons & (max_polygons - 1) == 0
    assert salt == 1
    box = np.frombuffer(tile, "<f4", 6, 72)
    assert width == pytest.approx(box[3] - box[0])
    assert depth == pytest.approx(box[5] - box[2])
    at, parts = 100, []
    for kind, number in (
        (np.dtype(("<f4", 3)), "vertices"), (np.dtype(POLYGON), "polygons"), (np.dtype(("V", 12)), "links"),
        (np.dtype(DETAIL), "details"), (np.dtype(("<f4", 3)), "own"), (np.dtype(("u1", 4)), "triangles"),
    ):  # fmt: skip
        parts.append(np.frombuffer(tile, kind, counts[number], at))
        at += kind.itemsize * counts[number]
    assert at == size, "nothing may stand behind the triangles"
    vertices, polygons, _, details, own, triangles = parts
    turn = np.array([1.0, -1.0, 1.0], np.float32)
    low, high = box[[0, 5, 1]] * turn, box[[3, 2, 4]] * turn
    return Tile(
        counts, low, high, vertices[:, [0, 2, 1]] * turn, polygons, details, own[:, [0, 2, 1]] * turn, triangles
    )


@cache
def bytes_of(which: str | Path) -> bytes:
    return navmesh(map_of(which), graph_of(which))


@cache
def tile_of(which: str | Path) -> Tile:
    return parsed(bytes_of(which))


def ground(strips: list[Strip], *kinds: str) -> Any:
    """What strips of these kinds cover."""
    chosen = [s for s in strips if s.kind in kinds]
    rings = [np.concatenate([s.left_m[:, :2], s.right_m[::-1, :2]]) for s in chosen]
    return shapely.union_all(shapely.buffer(shapely.make_valid([shapely.Polygon(r) for r in rings]), 0.02))


@pytest.mark.parametrize("which", MAPS)
def test_polygons_are_what_detour_takes(which: str | Path) -> None:
    tile = tile_of(which)
    polygons = tile.polygons
    count = polygons["n"]
    assert count.min() >= 3
    assert count.max() <= 6
    inside = np.arange(6) < count[:, None]
    assert polygons["corner"].max() < len(tile.vertices)
    assert polygons["next"].max() <= len(polygons)
    assert set(polygons["area"]) <= {1, 2, 3}
    assert (polygons["flags"] == 1 << polygons["area"]).all()
    assert tile.counts["links"] >= np.count_nonzero(polygons["next"])
    assert ((tile.vertices >= tile.low) & (tile.vertices <= tile.high)).all()
    assert (polygons["next"][~inside] == 0).all()
    for row in polygons:
        corner = np.rint(100.0 * tile.vertices[row["corner"][: row["n"]], :2].astype(float))  # whole cm, as they were
        ahead, behind = np.roll(corner, -1, axis=0) - corner, corner - np.roll(corner, 1, axis=0)
        bends = behind[:, 0] * ahead[:, 1] - behind[:, 1] * ahead[:, 0]
        assert (bends > 0.0).all(), "convex, counter-clockwise in our frame"


@pytest.mark.parametrize("which", MAPS)
def test_neighbours_share_their_edge_and_know_each_other(which: str | Path) -> None:
    tile = tile_of(which)
    for p, row in enumerate(tile.polygons):
        for k in np.flatnonzero(row["next"]):
            other = tile.polygons[row["next"][k] - 1]
            a, b = row["corner"][k], row["corner"][(k + 1) % row["n"]]
            m = other["corner"][: other["n"]].tolist().index(b)
            assert other["corner"][(m + 1) % other["n"]] == a
            assert other["next"][m] == p + 1


@pytest.mark.parametrize("which", MAPS)
def test_triangles_fill_their_polygon_and_mark_its_outline(which: str | Path) -> None:
    tile = tile_of(which)
    for row, detail in zip(tile.polygons, tile.details, strict=True):
        triangles = tile.triangles[detail["triangle"] : detail["triangle"] + detail["triangles"]]
        assert len(triangles) == row["n"] - 2
        corners = triangles[:, :3].astype(int)
        if detail["vertices"]:
            corners = corners - row["n"]  # those of its own come after the polygon's
            assert detail["vertices"] == row["n"]
            assert detail["vertex"] + detail["vertices"] <= len(tile.own)
        outline = {(k, (k + 1) % int(row["n"])) for k in range(row["n"])}
        seen = set()
        for (a, b, c), flags in zip(corners.tolist(), triangles[:, 3].tolist(), strict=True):
            for edge, shift in (((a, b), 0), ((b, c), 2), ((c, a), 4)):
                assert (flags >> shift & 3) == (edge in outline)
                seen.add(edge)
        assert outline <= seen


@pytest.mark.parametrize("which", MAPS)
def test_sidewalks_are_sidewalks_and_lanes_are_roads(which: str | Path) -> None:
    tile, strips = tile_of(which), map_of(which).strips()
    kinds = FOOT if any(s.kind in FOOT for s in strips) else ("shoulder",)
    walks, lanes = ground(strips, *kinds), ground(strips, "driving")
    mine = shapely.union_all(shapely.buffer(tile.shapes(Area.SIDEWALK), 0.005))
    assert shapely.difference(mine, walks.buffer(0.1)).area < 0.01 * mine.area  # but for joints between strips
    if which != "highway":  # there, roads run above roads
        assert shapely.intersection(mine, lanes.buffer(-0.1)).area < 0.001 * mine.area
    wanted = walks.buffer(-EDGE_M - 0.05).difference(lanes)
    assert shapely.difference(wanted, mine).area < 0.01 * wanted.area
    every = shapely.union_all(shapely.buffer(tile.shapes(*Area), 0.005))
    assert shapely.difference(ground(strips, *PAVED).buffer(-EDGE_M - 0.05), every).area < 0.001 * every.area


@pytest.mark.parametrize("which", ["town_a", pytest.param("oldtown", marks=pytest.mark.slow)])
def test_crosswalks_lead_from_sidewalk_to_sidewalk(which: str) -> None:
    tile = tile_of(which)
    assert len(tile.components(Area.SIDEWALK)) > 5
    assert len(tile.components(Area.SIDEWALK, Area.CROSSWALK)) == 1
    walks = shapely.union_all(shapely.buffer(tile.shapes(Area.SIDEWALK), 0.005))
    crossings = shapely.get_parts(shapely.union_all(shapely.buffer(tile.shapes(Area.CROSSWALK), 0.005)))
    for quad in graph_of(which).crosswalk_xyz_m:
        middle = shapely.Point(*quad[:, :2].mean(axis=0))
        crossing = next(c for c in crossings if c.contains(middle))
        assert len(shapely.get_parts(shapely.intersection(crossing, walks))) >= 2


@pytest.mark.parametrize("which", MAPS)
def test_all_ground_hangs_together(which: str | Path) -> None:
    """Who may cross roads gets anywhere."""
    sizes = tile_of(which).components(*Area)
    assert sizes[0] > 0.999 * sum(sizes)


@pytest.mark.parametrize("which", ["town_a", "rural", pytest.param("highway", marks=pytest.mark.slow)])
def test_heights_are_those_of_the_strips(which: str) -> None:
    """On sidewalks, and on the road beside them, a kerb lower."""
    tile, strips = tile_of(which), map_of(which).strips(0.5)
    for areas, kinds in (((Area.SIDEWALK,), (*FOOT, "shoulder")), ((Area.CROSSWALK, Area.ROAD), PAVED)):
        edges = np.concatenate([np.concatenate([s.left_m, s.right_m]) for s in strips if s.kind in kinds])
        tree = shapely.STRtree(shapely.points(edges[:, :2]))
        for p in tile.of(*areas)[::7]:
            corners = tile.outline(int(p)).astype(float)
            point, near = tree.query(shapely.points(corners[:, :2]), predicate="dwithin", distance=1.2)
            off = np.full(len(corners), np.inf)
            np.minimum.at(off, point, np.abs(edges[near, 2] - corners[point, 2]))
            assert (off[np.isfinite(off)] < 0.06).all()


@pytest.mark.slow
def test_bridges_stay_above_what_they_cross() -> None:
    tile = tile_of("highway")
    for p, row in enumerate(tile.polygons):
        low = tile.outline(p)
        for k in np.flatnonzero(row["next"]):
            other = tile.polygons[row["next"][k] - 1]
            m = other["corner"][: other["n"]].tolist().index(row["corner"][k])
            high = tile.outline(int(row["next"][k]) - 1)
            assert abs(low[k, 2] - high[m, 2]) < 0.2
    shapes = tile.shapes(*Area)
    a, b = shapely.STRtree(shapes).query(shapes, predicate="overlaps")
    height = np.array([tile.outline(p)[:, 2].mean() for p in range(len(shapes))])
    deep = shapely.area(shapely.intersection(shapes[a], shapes[b])) > 1.0
    assert deep.any(), "the highway has bridges"
    assert (np.abs(height[a] - height[b])[deep] > 4.0).all()


def test_roads_without_sidewalks_have_ground_beside_them() -> None:
    road_map = load_map(ONE_ROAD, name="one_road")
    tile = parsed(navmesh(road_map, build_graph(road_map)))
    assert len(tile.components(Area.SIDEWALK)) == 2
    assert sum(tile.components(Area.SIDEWALK)) == pytest.approx(2 * 200.0 * (2.0 - 2 * EDGE_M), rel=0.01)
    assert len(tile.components(*Area)) == 1


def test_same_map_same_bytes_and_the_name_tells_what_is_inside() -> None:
    again = navmesh(load_map(find_map("town_a")), build_graph(map_of("town_a")))
    assert again == bytes_of("town_a")
    assert name("town_a", again) == name("town_a", bytes_of("town_a"))
    assert name("town_a", again).startswith("Nav/town_a_")
    assert name("town_a", again) != name("town_a", again[:-1] + b"\1")
    assert len(again) < 20e6


@cache
def walked(which: str | Path, walkers: int, seconds: int, crossing: float) -> dict[str, NDArray[np.float64]]:
    """What the client says, in our frame: places (n, 3), targets (walkers, 3), tracks (seconds, walkers, 3)."""
    if importlib.util.find_spec("carla") is None:
        pytest.skip("CARLA's client is not installed")
    data = bytes_of(which)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mesh.bin"
        file.write_bytes(data)
        script = Path(__file__).parent / "carla_walk.py"
        args = [file, name("map", data), Path(folder) / "cache", 200, walkers, seconds, crossing]
        done = subprocess.run(
            [sys.executable, script, *map(str, args)], capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stderr
        assert [p.read_bytes() for p in Path(folder, "cache").rglob("*.bin")] == [data], "fetched and kept"
    return {k: np.array(v) * (1.0, -1.0, 1.0) for k, v in json.loads(done.stdout).items()}


@pytest.mark.parametrize("which", MAPS)
def test_random_places_lie_all_over_the_sidewalks(which: str | Path) -> None:
    places = walked(which, 20, 60, 0.0)["places"]
    strips = map_of(which).strips()
    kinds = FOOT if any(s.kind in FOOT for s in strips) else ("shoulder",)
    walks = ground(strips, *kinds)
    assert len(places) == 200
    assert shapely.distance(walks, shapely.points(places[:, :2])).max() < 0.3
    x0, y0, x1, y1 = walks.bounds
    assert (np.ptp(places[:, :2], axis=0) > 0.8 * np.array([x1 - x0, y1 - y0])).all()
    edges = np.concatenate([np.concatenate([s.left_m, s.right_m]) for s in strips if s.kind in kinds])
    tree = shapely.STRtree(shapely.points(edges[:, :2]))
    place, near = tree.query(shapely.points(places[:, :2]), predicate="dwithin", distance=3.0)
    off = np.full(len(places), np.inf)
    np.minimum.at(off, place, np.abs(places[place, 2] - edges[near, 2]))
    assert off.max() < 0.15


@pytest.mark.parametrize("which", MAPS)
def test_walkers_walk_at_their_speed_and_stay_off_the_road(which: str | Path) -> None:
    tracks = walked(which, 20, 60, 0.0)["tracks"]
    tile = tile_of(which)
    allowed = shapely.union_all(shapely.buffer(tile.shapes(Area.SIDEWALK, Area.CROSSWALK), 0.05))
    assert shapely.contains_xy(allowed, *tracks[1:, :, :2].reshape(-1, 2).T).all()
    speed = np.linalg.norm(np.diff(tracks[3:], axis=0), axis=2)
    assert np.median(speed) == pytest.approx(1.5, abs=0.05)
    assert speed.max() < 1.6
    most = np.linalg.norm(tracks - tracks[0], axis=2).max(axis=0)
    assert (most > 30.0).sum() >= 18
    ten = np.linalg.norm(tracks[10:] - tracks[:-10], axis=2)
    assert (np.maximum.accumulate(ten[::-1])[::-1][: len(ten) // 2] > 3.0).all(), "nobody stands still for ever"


def test_walkers_cross_on_crosswalks() -> None:
    tracks = walked("town_a", 20, 60, 0.0)["tracks"]
    crossings = shapely.union_all(tile_of("town_a").shapes(Area.CROSSWALK))
    there = shapely.contains_xy(crossings, *tracks.reshape(-1, 3)[:, :2].T).reshape(tracks.shape[:2])
    assert there.any(axis=0).sum() >= 3


@pytest.mark.slow
def test_walkers_who_may_cross_roads_do_so() -> None:
    tracks = walked("town_a", 20, 200, 1.0)["tracks"]
    road = shapely.union_all(tile_of("town_a").shapes(Area.ROAD)).buffer(-0.3)
    every = shapely.union_all(shapely.buffer(tile_of("town_a").shapes(*Area), 0.05))
    there = shapely.contains_xy(road, *tracks.reshape(-1, 3)[:, :2].T).reshape(tracks.shape[:2])
    assert there.any(axis=0).sum() >= 2
    assert shapely.contains_xy(every, *tracks[1:, :, :2].reshape(-1, 2).T).all()


@pytest.mark.slow
def test_walkers_arrive_where_they_are_sent() -> None:
    walk = walked("town_a", 10, 700, 0.0)
    nearest = np.linalg.norm(walk["tracks"][:, :, :2] - walk["targets"][None, :, :2], axis=2).min(axis=0)
    assert (nearest < 3.0).sum() >= 9
