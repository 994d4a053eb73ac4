"""PyTorch: as one writes it, compiled, and by hand on tensors that are allocated once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, linear

from .worker import BETA1, BETA2, EPS, LEARNING_RATE, Job

ROWS = 1024  # encoded at a time


class Eager:
    """nn.Sequential, autograd and torch.optim.Adam with its defaults."""

    fused = False

    def __init__(self, job: Job):
        torch.set_num_threads(job.threads)
        self.X, self.batch = torch.from_numpy(job.X), job.batch
        layers: list[torch.nn.Module] = []
        for W, b in job.weights:
            dense = torch.nn.Linear(*W.shape)
            dense.weight.data, dense.bias.data = torch.from_numpy(W.T.copy()), torch.from_numpy(b.copy())
            layers += [dense, torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1])
        self.adam = torch.optim.Adam(self.model.parameters(), LEARNING_RATE, (BETA1, BETA2), EPS, fused=self.fused or None)

    def epoch(self, order: np.ndarray) -> float:
        total = torch.zeros(())
        for rows in torch.from_numpy(order).split(self.batch):
            total += self.step(self.X[rows]) * len(rows)
        return float(total) / len(order)

    def step(self, x: torch.Tensor) -> torch.Tensor:
        self.adam.zero_grad()
        loss = binary_cross_entropy_with_logits(self.model(x), x)
        loss.backward()
        self.adam.step()
        return loss.detach()

    @torch.inference_mode()
    def encode(self) -> np.ndarray:
        encoder = self.model[:len(self.model) // 2 + 1]
        return torch.cat([encoder(x) for x in self.X.split(ROWS)]).numpy()


class EagerFused(Eager):
    """The same with Adam as one fused operation."""

    fused = True


class Compiled(Eager):
    """Forward, backward and a fused Adam, compiled as one step."""

    fused = True

    def __init__(self, job: Job):
        super().__init__(job)
        self.step = torch.compile(self.step, dynamic=False)  # type: ignore[method-assign]


class ByHand:
    """Backprop by hand into preallocated tensors; parameters are one tensor, which the fused kernel of Adam moves."""

    def __init__(self, job: Job):
        torch.set_num_threads(job.threads)
        torch.set_flush_denormal(True)
        self.X, self.batch = torch.from_numpy(job.X), job.batch
        shapes = [array.shape for pair in job.weights for array in pair]
        self.theta = torch.from_numpy(np.concatenate([array.ravel() for pair in job.weights for array in pair]))
        self.gradient, self.m, self.v = (torch.zeros_like(self.theta) for _ in range(3))
        self.t = torch.zeros(())
        self.params, self.grads = views(self.theta, shapes), views(self.gradient, shapes)
        self.widths = [job.X.shape[1]] + [W.shape[1] for W, _ in self.params]
        self.buffers: dict[int, Any] = {}

    @torch.inference_mode()
    def epoch(self, order: np.ndarray) -> float:
        total = torch.zeros(())
        for rows in torch.from_numpy(order).split(self.batch):
            total += self.step(rows)
        return float(total) / (len(order) * self.widths[-1])

    def step(self, rows: torch.Tensor) -> torch.Tensor:
        """One step; returns the sum of losses."""
        n = len(rows)
        if n not in self.buffers:
            self.buffers[n] = [[torch.empty((n, width)) for width in self.widths] for _ in range(2)]
        A, D = self.buffers[n]
        torch.index_select(self.X, 0, rows, out=A[0])
        self.forward(A)
        loss = binary_cross_entropy_with_logits(A[-1], A[0], reduction="sum")
        torch.sigmoid(A[-1], out=D[-1])
        D[-1].sub_(A[0]).mul_(1 / D[-1].numel())
        for i in range(len(self.params) - 1, -1, -1):
            dW, db = self.grads[i]
            torch.mm(A[i].t(), D[i + 1], out=dW)
            torch.sum(D[i + 1], 0, out=db)
            if i:
                torch.mm(D[i + 1], self.params[i][0].t(), out=D[i])
                torch.ops.aten.threshold_backward(D[i], A[i], 0, grad_input=D[i])
        self.t += 1
        torch._fused_adam_([self.theta], [self.gradient], [self.m], [self.v], [], [self.t], lr=LEARNING_RATE, beta1=BETA1,
                           beta2=BETA2, weight_decay=0.0, eps=EPS, amsgrad=False, maximize=False)
        return loss

    def forward(self, A: list[torch.Tensor]) -> None:
        for i, (W, b) in enumerate(self.params[:len(A) - 1]):
            torch.addmm(b, A[i], W, out=A[i + 1])
            if i < len(self.params) - 1:
                A[i + 1].relu_()

    @torch.inference_mode()
    def encode(self) -> np.ndarray:
        codes = []
        for x in self.X.split(ROWS):
            for W, b in self.params[:len(self.params) // 2]:
                x = linear(x, W.t(), b).relu_()
            codes.append(x)
        return torch.cat(codes).numpy()


def views(vector: torch.Tensor, shapes: list[tuple[int, ...]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The parts of a vector as (W, b) of each layer."""
    arrays = [part.view(shape) for part, shape in zip(vector.split([int(np.prod(shape)) for shape in shapes]), shapes)]
    return list(zip(arrays[::2], arrays[1::2]))
