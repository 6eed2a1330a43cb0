"""The checkpoint shapes of common training programs load, or the error says what to write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from capture.recordings import Wrapping
from fastcka.capture import load_state, load_weights
from fastcka.errors import CorruptFileError, InputError, UnsafeFileError


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.head = nn.Linear(6, 2)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 3)
        self.output = nn.Linear(3, 4, bias=False)
        self.output.weight = self.embedding.weight


NET = Net()
STATE = NET.state_dict()
OTHER = {name: value + 1 for name, value in STATE.items()}


def prefixed(prefix: str, state: dict[str, torch.Tensor] = STATE) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in state.items()}


def within(part: str) -> dict[str, torch.Tensor]:
    return {name.replace("features.", f"features.{part}."): value for name, value in STATE.items()}


def saved(tmp_path: Path, content: object, name: str = "c.pth") -> Path:
    torch.save(content, tmp_path / name)
    return tmp_path / name


def loaded(path: Path, **options: Any) -> dict[str, torch.Tensor]:
    """The weights of a new network after the file was loaded into it."""
    reading = {"weights_key", "strip", "trust_pickle"}
    state = load_state(path, **{key: options.pop(key) for key in reading & options.keys()})
    net = Net()
    load_weights(net, state, where=path, **options)
    return net.state_dict()


def assert_loaded(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        prefixed("module._orig_mod."),
        prefixed("_fsdp_wrapped_module.") | {},
        within("module"),
        within("_orig_mod"),
        within("_checkpoint_wrapped_module"),
        within("module._orig_mod"),
        {"model": STATE, "optimizer": {}, "iter_num": 5},
        {"model": STATE, "optimizer": {"state": {0: {"m": torch.ones(2)}}, "param_groups": []}},
        {"model": "resnet18", "state_dict": STATE, "arch": "net"},
        {"model": STATE, "rng": {"torch": torch.get_rng_state()}, "scaler": {"scale": 2.0}},
        {"state_dict": prefixed("model."), "global_step": 5},
        {"state_dict": prefixed("net._orig_mod."), "global_step": 5},
        {"state_dict": prefixed("_orig_mod.net.module."), "global_step": 5},
        {"model_state_dict": STATE, "run_id": "wandb-3f", "step": 7},
        torch.optim.swa_utils.AveragedModel(NET).state_dict(),
        {"model": prefixed("_orig_mod.", torch.optim.swa_utils.AveragedModel(NET).state_dict())},
    ],
)
def test_shapes_that_load_without_an_option(tmp_path: Path, content: object) -> None:
    assert_loaded(loaded(saved(tmp_path, content)), dict(STATE))


def test_which_field_contains_the_weights(tmp_path: Path) -> None:
    path = saved(tmp_path, {"student": prefixed("module.", OTHER), "teacher": STATE, "epoch": 3})
    with pytest.raises(InputError, match=r"2 of its fields .*'student', 'teacher'; .*weights_key"):
        load_state(path)
    assert_loaded(loaded(path, weights_key="teacher"), dict(STATE))
    assert_loaded(loaded(path, weights_key="student"), OTHER)
    with pytest.raises(InputError, match=r"no field 'techer'; expected one of: 'student', 'teach"):
        load_state(path, weights_key="techer")

    # A single field with an unknown name is proposed, not used.
    path = saved(tmp_path, {"net": STATE, "epoch": 3})
    with pytest.raises(InputError, match=r"may contain the weights: 'net'; .*weights_key: net"):
        load_state(path)
    assert_loaded(loaded(path, weights_key="net"), dict(STATE))

    # The averaged weights have the same names, also if they are wrapped.
    average = torch.optim.swa_utils.AveragedModel(NET).state_dict()
    path = saved(tmp_path, {"model": OTHER, "model_ema": average})
    with pytest.raises(InputError, match=r"'model', 'model_ema'"):
        load_state(path)
    assert_loaded(loaded(path, weights_key="model"), OTHER)
    assert_loaded(loaded(path, weights_key="model_ema"), dict(STATE))
    with pytest.raises(InputError, match="'model_state_dict', 'model'"):
        load_state(saved(tmp_path, {"model_state_dict": STATE, "model": {"w": torch.ones(1)}}))

    # Fields within fields.
    path = saved(tmp_path, {"state_dict": {"gen": STATE, "disc": {"w": torch.ones(1)}}})
    with pytest.raises(InputError, match=r"'state_dict.gen', 'state_dict.disc'"):
        load_state(path)
    assert_loaded(loaded(path, weights_key="state_dict.gen"), dict(STATE))


def test_prefixes(tmp_path: Path) -> None:
    # Two encoders and a queue, as in MoCo.
    moco = prefixed("module.encoder_q.") | prefixed("module.encoder_k.", OTHER)
    path = saved(tmp_path, {"state_dict": moco | {"module.queue": torch.ones(4)}})
    with pytest.raises(
        InputError, match=r"strip: \[encoder_k\.\] and strict: false; encoder_q\. w"
    ):
        loaded(path)
    with pytest.raises(InputError, match=r"under each of encoder_k\., encoder_q\. fit"):
        loaded(path, strict=False)
    assert_loaded(loaded(path, strip=["encoder_k"], strict=False), OTHER)
    with pytest.raises(InputError, match=r"strip: expected names that begin with 'encoder\.'"):
        loaded(path, strip=["encoder"])
    # Nested prefixes with a wrapper between them.
    path = saved(tmp_path, prefixed("net._orig_mod.backbone."))
    assert_loaded(loaded(path, strip=["backbone.", "net"]), dict(STATE))
    # No weight replaces another.
    path = saved(tmp_path, prefixed("model.") | STATE)
    with pytest.raises(InputError, match=r"two weights would have the name 'features\.0\.weight'"):
        loaded(path, strip=["model"])
    with pytest.raises(InputError, match="a list of prefixes such as"):
        load_state(path, strip="model")


def test_a_part_called_module_keeps_its_name(tmp_path: Path) -> None:
    net, expected = Wrapping(), Wrapping().state_dict()
    for content in (expected, prefixed("module.", expected), prefixed("_orig_mod.", expected)):
        load_weights(net, load_state(saved(tmp_path, content)), where="c")
        assert torch.equal(net.module.weight, expected["module.weight"])
        net.module.weight.data.zero_()
    wrapped = nn.Sequential(nn.DataParallel(nn.Linear(3, 2)), nn.Linear(2, 2))
    plain = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    load_weights(wrapped, plain.state_dict(), where="c")
    assert torch.equal(wrapped[0].module.weight, plain[0].weight)


def test_names_that_differ_are_listed(tmp_path: Path) -> None:
    extra = {**STATE, "criterion.weight": torch.ones(2)}
    path = saved(tmp_path, extra)
    with pytest.raises(
        InputError, match=r"does not have criterion\.weight; strict: false ignores them"
    ):
        loaded(path)
    net = Net()
    result = load_weights(net, load_state(path), where=path, strict=False)
    assert (result.ignored, result.missing) == (("criterion.weight",), ())
    assert_loaded(net.state_dict(), dict(STATE))

    headless = {name: value for name, value in OTHER.items() if not name.startswith("head")}
    for strict in (True, False):  # strict does not concern missing weights
        with pytest.raises(InputError, match=r"lacks head\.weight, head\.bias; .*allow_missing"):
            load_weights(net, headless, where=path, strict=strict)
    before = net.head.weight.clone()
    result = load_weights(net, headless, where=path, allow_missing=["head.*"])
    assert (result.ignored, result.missing) == ((), ("head.weight", "head.bias"))
    assert torch.equal(net.head.weight, before)
    assert torch.equal(net.features[0].weight, OTHER["features.0.weight"])
    with pytest.raises(InputError, match=r"lacks features"):
        load_weights(Net(), {}, where=path, allow_missing=["head.*"])


def test_a_shared_weight_is_needed_once(tmp_path: Path) -> None:
    """A file of Hugging Face has a tied embedding, but no output layer."""
    value = torch.arange(12.0).reshape(4, 3)
    for name in ("embedding.weight", "output.weight"):
        for prefix in ("", "model."):
            save_file({prefix + name: value}, tmp_path / "model.safetensors")
            net = Tied()
            if prefix and name == "output.weight":
                continue
            state = load_state(tmp_path, strip=["model"] if prefix else ())
            assert load_weights(net, state, where="c").missing == ()
            assert torch.equal(net.output.weight, value)


def test_numbers_that_would_be_converted_wrongly(tmp_path: Path) -> None:
    for wrong, message in (
        (torch.ones(2, 6, dtype=torch.int8), "head.weight: expected float32 .* got int8; conv"),
        (torch.ones(2, 6, dtype=torch.complex64), "head.weight: expected float32 .* got complex64"),
        (torch.ones(2, 5), "size mismatch for head.weight"),
    ):
        with pytest.raises(InputError, match=message):
            loaded(saved(tmp_path, {**STATE, "head.weight": wrong}))
    half = {name: value.to(torch.bfloat16) for name, value in STATE.items()}
    half["features.1.num_batches_tracked"] = STATE["features.1.num_batches_tracked"]
    weight = loaded(saved(tmp_path, half))["head.weight"]
    assert torch.equal(weight, half["head.weight"].float())


def test_counters_that_old_files_lack_are_added(tmp_path: Path) -> None:
    """PyTorch before 0.4.1 counted no batches."""
    old = {name: value for name, value in STATE.items() if "num_batches" not in name}
    for content in (old, prefixed("model.", old)):
        assert_loaded(loaded(saved(tmp_path, content)), dict(STATE))


def test_whole_networks(tmp_path: Path) -> None:
    for content in (NET, {"model": NET, "epoch": 3}, nn.DataParallel(NET)):
        path = saved(tmp_path, content)
        with pytest.raises(UnsafeFileError, match=r"Net; save only tensors.*--trust-pickle|Data"):
            load_state(path)
        assert_loaded(loaded(path, trust_pickle=True), dict(STATE))
    path = saved(tmp_path, NET)
    with pytest.raises(InputError, match="omit weights_key"):
        load_state(path, weights_key="model", trust_pickle=True)


def test_a_class_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, NET)
    monkeypatch.delattr(f"{__name__}.Net")
    with pytest.raises(InputError, match=r"class cannot be imported: .*PYTHONPATH.*state_dict\(\)"):
        load_state(path, trust_pickle=True)


def test_numpy_arrays(tmp_path: Path) -> None:
    arrays = {name: value.numpy() for name, value in STATE.items()}
    path = saved(tmp_path, {"model": arrays})
    with pytest.raises(UnsafeFileError, match=r"NumPy values .*torch\.as_tensor.*trust_pickle=Tr"):
        load_state(path)
    assert_loaded(loaded(path, trust_pickle=True), dict(STATE))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: torch.eye(3).to_sparse(),
            r"layout torch\.sparse_coo: convert it with \.to_dense\(\)",
        ),
        (lambda: torch.eye(3).to_sparse_csr(), r"layout torch\.sparse_csr"),
        (lambda: torch.empty(3, device="meta"), r"device 'meta', whose values are not in the file"),
        (
            lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
            r"quantized tensor \(torch\.qint8\): convert it with \.dequantize\(\)",
        ),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "got a nested tensor"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_without_plain_values(
    tmp_path: Path, make: Callable[[], torch.Tensor], message: str
) -> None:
    with pytest.raises(InputError, match=f"c.pth: w.*{message}"):
        load_state(saved(tmp_path, {"model": {"w": make()}}))


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    with pytest.raises(InputError, match="no such file"):
        load_state(path)
    for content in (b"", b"PK", b"PK\x03\x04 and no more", b"<!DOCTYPE html>" * 50, bytes(1000)):
        path.write_bytes(content)
        for trust in (False, True):
            with pytest.raises(CorruptFileError, match=r"c\.pth: cannot be read as a checkpoint"):
                load_state(path, trust_pickle=trust)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"c\.pth: no weights; expected one of model\.safetensors"):
        load_state(path)
    (path / "model.safetensors").mkdir()
    with pytest.raises(InputError, match=r"model\.safetensors: is a folder; expected a checkpoint"):
        load_state(path)
