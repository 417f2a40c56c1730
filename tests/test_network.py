"""The network learns, its boxes survive the way through targets and back, and its files are checked."""

from pathlib import Path

import numpy as np
import pytest
import torch

from perception.detector import decode, targets
from perception.export import ready
from perception.lights import LightNet
from perception.network import (
    CLASS_OF_SEMANTIC,
    CLASSES,
    SEMANTIC_OF_CLASS,
    Network,
    Outputs,
    Seeing,
    load_network,
    peaks,
    save_network,
)
from perception.train import heat_loss, losses, mirror, recolour
from stack.labels import Semantic

H, W = 45, 80


def test_targets_decode_to_the_boxes_they_were_made_of() -> None:
    boxes = torch.tensor([[20.0, 40.0, 60.0, 80.0], [200.0, 90.0, 215.0, 130.0], [100.0, 60.0, 180.0, 150.0]])
    kinds, distance = torch.tensor([1.0, 4.0, 2.0]), torch.tensor([12.0, 25.0, 7.0])
    yaw = torch.tensor([0.1, -1.5, 3.0])
    t = targets(boxes, kinds, distance, yaw, H, W, 160.0)[None]
    heat = torch.logit((t[:, :4] * 0.98).clamp(1e-4, 0.98))
    semantic = torch.zeros(1, H, W, dtype=torch.uint8)
    (found,) = decode(Outputs(*peaks(heat), t[:, 4:8], t[:, 8:9], t[:, 9:11], semantic), [160.0])
    order = np.argsort(found.distance_m)
    np.testing.assert_allclose(found.box_px[order], boxes[[2, 0, 1]], atol=1e-3)
    np.testing.assert_array_equal(found.kind[order], [2, 1, 4])
    np.testing.assert_allclose(found.distance_m[order], [7.0, 12.0, 25.0], rtol=1e-4)
    np.testing.assert_allclose(np.cos(found.yaw_rad[order] - np.array([3.0, 0.1, -1.5])), 1.0, atol=1e-5)


def test_targets_in_the_mirror_are_those_of_mirrored_boxes() -> None:
    boxes = torch.tensor([[21.0, 40.0, 60.0, 80.0], [201.0, 90.0, 216.0, 130.0]])
    kinds, distance, yaw = torch.tensor([1.0, 3.0]), torch.tensor([12.0, 25.0]), torch.tensor([0.1, -1.5])
    mirrored = boxes.clone()
    mirrored[:, [0, 2]] = W * 4.0 - boxes[:, [2, 0]]
    seen = mirror(targets(boxes, kinds, distance, yaw, H, W, 160.0)[None])[0]
    torch.testing.assert_close(seen, targets(mirrored, kinds, distance, -yaw, H, W, 160.0), atol=1e-4, rtol=0.0)


def test_other_colours_leave_grey_and_brightness_alone() -> None:
    grey = torch.full((8, 3, 4, 4), 90, dtype=torch.uint8)
    torch.testing.assert_close(recolour(grey, torch.Generator().manual_seed(1)), grey)
    paint = torch.tensor([150, 110, 100], dtype=torch.uint8).view(1, 3, 1, 1).expand(64, 3, 2, 2)
    other = recolour(paint, torch.Generator().manual_seed(1)).float()
    assert (other.mean(dim=1) - 120.0).abs().max() < 1.0
    assert other.std(dim=0).max() > 10.0  # they do differ


def test_every_semantic_id_has_a_class_and_classes_map_back() -> None:
    assert len(CLASS_OF_SEMANTIC) == len(Semantic)
    for k, semantic in enumerate(CLASSES):
        assert CLASS_OF_SEMANTIC[int(semantic)] == k and SEMANTIC_OF_CLASS[k] == int(semantic)


def test_a_perfect_heat_map_costs_almost_nothing() -> None:
    heat = targets(
        torch.tensor([[20.0, 40.0, 60.0, 80.0]]), torch.tensor([1.0]), torch.tensor([9.0]), torch.zeros(1), H, W, 160.0
    )
    heat = heat[None, :4]
    good, bad = torch.logit((heat == 1.0).float().clamp(1e-4, 1 - 1e-4)), torch.zeros_like(heat)
    assert heat_loss(good, heat) < 0.01 < 10.0 < heat_loss(bad, heat)


def test_a_few_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    net = Network().train()
    rgb = torch.randint(0, 255, (2, 3, 180, 320), dtype=torch.uint8)
    want = targets(
        torch.tensor([[20.0, 40.0, 60.0, 80.0]]), torch.tensor([1.0]), torch.tensor([9.0]), torch.zeros(1), H, W, 160.0
    )
    want, classes = want[None].expand(2, -1, -1, -1), torch.randint(0, 15, (2, 1, 1)).expand(2, 90, 160)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    values = []
    for _ in range(6):
        loss = sum(losses(net(rgb), want, classes).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(float(loss.detach()))
    assert values[-1] < 0.8 * values[0]


def test_weights_round_trip_and_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    with pytest.raises(ValueError, match="not found"):
        load_network(Network(), path)
    torch.manual_seed(0)
    net = Network().eval()
    save_network(net, path, {"command": "test"})
    again = load_network(Network(), path)
    for name, value in net.state_dict().items():
        assert torch.allclose(value.float(), again.state_dict()[name].float(), atol=2e-3), name
    path.write_bytes(b"garbage" * 10)
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_network(Network(), path)


@pytest.mark.parametrize(
    ("net", "shape"), [(Network(), (3, 180, 320)), (Seeing(Network()), (3, 180, 320)), (LightNet(), (3, 24, 24))]
)
def test_the_session_says_what_torch_says_for_any_number_of_pictures(
    net: torch.nn.Module, shape: tuple[int, int, int]
) -> None:
    run = ready(net, torch.zeros((1, *shape), dtype=torch.uint8), "cpu")
    for n in (1, 3):
        pictures = torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
        with torch.inference_mode():
            wanted = net(pictures)
        for found, want in zip(*((v if isinstance(v, tuple) else (v,)) for v in (run(pictures), wanted)), strict=True):
            assert found.shape == want.shape and found.dtype == want.dtype
            off = (found.float() - want.float()).abs() > 2e-4 + 1e-3 * want.float().abs()
            assert off.float().mean() < 0.005  # neighbours that are equal but for rounding: either is the peak
