"""NumPy and BLAS by hand: every array is allocated once, every operation writes into one of them."""

from __future__ import annotations

import numpy as np

from .worker import BETA1, BETA2, EPS, LEARNING_RATE, Job

BLOCK = 1 << 15  # parameters that Adam moves at a time: small enough for the cache
ROWS = 1024  # encoded at a time


class ByHand:
    """Parameters, gradients and moments are one vector each; the moments are kept without the factors (1 - beta), as sums."""

    def __init__(self, job: Job):
        self.X, self.batch, self.t = job.X, job.batch, 0
        shapes = [array.shape for pair in job.weights for array in pair]
        self.theta = np.concatenate([array.ravel() for pair in job.weights for array in pair])
        self.gradient, self.m, self.v = (np.zeros_like(self.theta) for _ in range(3))
        self.params, self.grads = views(self.theta, shapes), views(self.gradient, shapes)
        self.room = np.empty(BLOCK, np.float32)
        self.widths = [job.X.shape[1]] + [W.shape[1] for W, _ in self.params]
        self.buffers: dict[int, list[list[np.ndarray]]] = {}

    def epoch(self, order: np.ndarray) -> float:
        total = 0.0
        for start in range(0, len(order), self.batch):
            total += self.step(order[start:start + self.batch])
        return total / (len(order) * self.widths[-1])

    def step(self, rows: np.ndarray) -> float:
        """One step; returns the sum of losses."""
        n = len(rows)
        if n not in self.buffers:
            self.buffers[n] = [[np.empty((n, width), np.float32) for width in self.widths] for _ in range(2)]
        A, D = self.buffers[n]
        np.take(self.X, rows, axis=0, out=A[0], mode="clip")
        self.forward(A)
        loss = cross_entropy(A[-1], A[0], D[-1], D[0])
        np.multiply(D[-1], 1 / D[-1].size, out=D[-1])
        for i in range(len(self.params) - 1, -1, -1):
            dW, db = self.grads[i]
            np.matmul(A[i].T, D[i + 1], out=dW)
            np.sum(D[i + 1], axis=0, out=db)
            if i:
                np.matmul(D[i + 1], self.params[i][0].T, out=D[i])
                np.multiply(D[i], np.greater(A[i], 0, out=A[i]), out=D[i])
        self.adam()
        return loss

    def forward(self, A: list[np.ndarray]) -> None:
        for i, (W, b) in enumerate(self.params[:len(A) - 1]):
            np.matmul(A[i], W, out=A[i + 1])
            np.add(A[i + 1], b, out=A[i + 1])
            if i < len(self.params) - 1:
                np.maximum(A[i + 1], 0, out=A[i + 1])

    def adam(self) -> None:
        self.t += 1
        root = ((1 - BETA2 ** self.t) / (1 - BETA2)) ** 0.5
        rate, eps = LEARNING_RATE * root * (1 - BETA1) / (1 - BETA1 ** self.t), EPS * root
        for start in range(0, self.theta.size, BLOCK):
            theta, g, m, v = (array[start:start + BLOCK] for array in (self.theta, self.gradient, self.m, self.v))
            move = self.room[:theta.size]
            np.multiply(m, BETA1, out=m)
            np.add(m, g, out=m)
            np.multiply(g, g, out=g)
            np.multiply(v, BETA2, out=v)
            np.add(v, g, out=v)
            np.sqrt(v, out=move)
            np.add(move, eps, out=move)
            np.divide(m, move, out=move)
            np.multiply(move, rate, out=move)
            np.subtract(theta, move, out=theta)

    def encode(self) -> np.ndarray:
        half = len(self.params) // 2
        codes = np.empty((len(self.X), self.widths[half]), np.float32)
        A = [np.empty((ROWS, width), np.float32) for width in self.widths[:half]]
        for start in range(0, len(self.X), ROWS):
            rows = self.X[start:start + ROWS]
            self.forward([rows] + [a[:len(rows)] for a in A[1:]] + [codes[start:start + ROWS]])
        return codes


def cross_entropy(Z: np.ndarray, T: np.ndarray, D: np.ndarray, room: np.ndarray) -> float:
    """Return the sum of max(Z, 0) - Z T + log(1 + exp(-|Z|)) and write sigmoid(Z) - T into D; Z is used up."""
    np.abs(Z, out=D)
    np.negative(D, out=D)
    np.exp(D, out=D)
    np.log1p(D, out=room)
    total = room.sum()
    np.multiply(Z, T, out=room)
    total -= room.sum()
    np.add(D, 1, out=room)  # 1 + e
    np.copyto(D, 1, where=np.greater_equal(Z, 0))
    np.divide(D, room, out=D)
    np.subtract(D, T, out=D)
    np.maximum(Z, 0, out=Z)
    return float(total + Z.sum())


def views(vector: np.ndarray, shapes: list[tuple[int, ...]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The parts of a vector as (W, b) of each layer."""
    parts = np.split(vector, np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1])
    arrays = [part.reshape(shape) for part, shape in zip(parts, shapes)]
    return list(zip(arrays[::2], arrays[1::2]))
