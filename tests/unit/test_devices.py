"""Devices: which one a name means, and a training loop that never waits for one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from synthpriv.encoding.table_encoder import TableEncoder, learn_encoder
from synthpriv.errors import ConfigurationError
from synthpriv.privacy import devices, processes
from synthpriv.privacy.dpsgd import train_private
from synthpriv.privacy.dpsgd_plan import DPSGDPlan, Optimization
from synthpriv.privacy.processes import Team
from synthpriv.privacy.randomness import NoiseSource
from synthpriv.schema import Schema
from synthpriv.synthesizers import ctgan
from synthpriv.synthesizers.anchor import Anchor
from synthpriv.synthesizers.ctgan import CTGANSynthesizer
from synthpriv.synthesizers.labels import LabelDecoder
from synthpriv.synthesizers.vae import VAESynthesizer
from synthpriv.synthesizers.workload import workload_of

PLAN = DPSGDPlan(noise_multiplier=1.0, max_grad_norm=1.0, sample_rate=0.5, steps=4, expected_batch=50.0)
NOWHERE = torch.device("meta")  # its tensors have shapes and no values: whoever looks at one fails


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("name", "gpus", "meant"),
    [("auto", 0, "cpu"), ("auto", 2, "cuda:0"), ("cpu", 2, "cpu"), ("cuda", 1, "cuda:0")],
)
def test_auto_is_a_gpu_when_there_is_one(
    monkeypatch: pytest.MonkeyPatch, name: str, gpus: int, meant: str
) -> None:
    with_gpus(monkeypatch, gpus)
    assert devices.resolve(name) == torch.device(meant)


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 2)
    monkeypatch.setattr(processes, "team", lambda: Team(rank=5, size=8))
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert devices.resolve("auto") == torch.device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigurationError, match=r"found 2 and process 3; start fewer processes"):
        devices.resolve("auto")
    assert devices.resolve("cpu") == torch.device("cpu")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 0)
    with pytest.raises(ConfigurationError, match="device='cuda' needs a GPU"):
        devices.resolve("cuda")
    with pytest.raises(ConfigurationError, match="device must be one of auto, cpu, cuda, found 'tpu'"):
        VAESynthesizer(epsilon=1.0, device="tpu")


@pytest.fixture(scope="module")
def encoder(people_schema: Schema) -> TableEncoder:
    def flat(level: int, partitions: Any, scales: Any) -> Any:
        return {name: np.full(partition.cells, 9, dtype=np.int64) for name, partition in partitions.items()}

    scales = [dict.fromkeys(people_schema.modelled, 1.0), {}]
    return learn_encoder(people_schema, 100, scales, flat)


def train(
    module: torch.nn.Module, row_loss: Any, encoder: TableEncoder, after_step: Any = None, further: int = 0
) -> None:
    codes = np.random.default_rng(0).integers(0, 2, (100, len(encoder.sizes) + further))
    train_private(module, row_loss, codes, None, 1, PLAN, Optimization(), NoiseSource(), after_step)


def test_the_loop_looks_at_no_value_on_the_device(
    encoder: TableEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the one part that knows its devices by name, and so not this one
    plain = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda *given, fused=False, **named: plain(*given, **named))
    labels = LabelDecoder(encoder.sizes, 5, 8)
    labels.to(NOWHERE)
    train(labels.head, labels.head_loss, encoder, further=encoder.sizes[5])
    train(labels.weighing, labels.weighing_loss, encoder, further=encoder.sizes[5])
    monkeypatch.setattr(devices, "resolve", lambda name: NOWHERE)
    monkeypatch.setattr(devices, "generator_on", lambda device, generator: None)
    monkeypatch.setattr(ctgan, "loss_generator", lambda device: None)
    steps: list[int] = []
    config = CTGANSynthesizer(epsilon=1.0, discriminator_steps=2)
    workload = workload_of(encoder.schema)
    counts = [np.ones([encoder.sizes[at] for at in group], dtype=np.int64) for group in workload.groups]
    anchor = Anchor(workload, counts, encoder.shares, 100, 1.0)
    game = ctgan._Game(config, encoder, anchor, torch.Generator())
    game.learn_marginals(2, 0.01, lambda *_: None)
    game.begin(100, PLAN.steps)

    def after_step(step: int) -> None:
        steps.append(step)
        game.generator_step()

    train(game.discriminator, game.pair_loss, encoder, after_step)
    assert steps == list(range(PLAN.steps))


def test_a_loop_that_does_look_is_noticed(encoder: TableEncoder) -> None:
    labels = LabelDecoder(encoder.sizes, 5, 8)
    labels.to(NOWHERE)

    def looking(codes: torch.Tensor) -> torch.Tensor:
        losses = labels.head_loss(codes)
        return losses if bool(losses.isfinite().all()) else losses * 0

    with pytest.raises(RuntimeError, match="meta"):
        train(labels.head, looking, encoder, further=encoder.sizes[5])


def test_mixed_precision_is_refused(encoder: TableEncoder) -> None:
    labels = LabelDecoder(encoder.sizes, 5, 8)

    def hidden(codes: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return labels.head_loss(codes).float()

    with pytest.raises(ConfigurationError, match="found autocast switched on"):
        train(labels.head, hidden, encoder, further=encoder.sizes[5])
    with (
        torch.autocast("cuda", dtype=torch.float16) if torch.cuda.is_available() else torch.autocast("cpu"),
        pytest.raises(ConfigurationError, match="found autocast switched on"),
    ):
        train(labels.head, labels.head_loss, encoder, further=encoder.sizes[5])
