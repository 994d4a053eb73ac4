"""A chain of layers: the activations of one batch, and the gradients of the objective.

The chain rule stands here once, as three loops: ``forward`` fills the activations A, ``backward`` their gradients dA from the
last to the first, ``parameter_gradients`` what each layer learns from both. They write into arrays that the caller provides,
the whole batch or any rows of it.
"""

from __future__ import annotations

import copy
import operator
import os
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import DTypeLike

from .inputs import as_floats
from .kernels.memory import Arrays
from .kernels.reference import Array
from .layers import Layer, ReLU, Sigmoid, TiedDense
from .losses import Loss
from .scaling import Scaling


def forward(layers: Sequence[Layer], A: Sequence[Array]) -> None:
    """A[i + 1] = layer i applied to A[i]; A[0] is the batch."""
    for i in range(len(layers)):
        layers[i].forward(A[i], A[i + 1])


def backward(layers: Sequence[Layer], A: Sequence[Array], dA: Sequence[Array], first: int = 0) -> None:
    """dA[i] = the gradient at the input of layer i, made of dA[i + 1], the one at its output; down to layer ``first``."""
    for i in range(len(layers) - 1, first - 1, -1):
        layers[i].input_gradient(dA[i + 1], A[i], A[i + 1], dA[i])


def parameter_gradients(layers: Sequence[Layer], A: Sequence[Array], dA: Sequence[Array],
                        grads: Sequence[tuple[Array, ...]]) -> None:
    """grads[i] = the gradients of the parameters of layer i, made of its input A[i] and dA[i + 1], the gradient at its output."""
    for i in range(len(layers)):
        layers[i].parameter_gradients(dA[i + 1], A[i], *grads[i])


class Network:
    """Layers applied one after the other.

    The network moves the parameters of its layers into one vector, ``params.vector``; W and b of each layer become views of
    it. In ``params`` they are called ``"0.W", "0.b", "1.W", ...``, counting the layers that have any, or by ``names`` in
    place of the numbers. A slice ``network[a:b]`` is a network of those layers over the same numbers: an encoder is the front
    part of an autoencoder.

    Raises ValueError if nothing has parameters, sizes do not fit, or a layer belongs to another network already.

    >>> from ae_scratch import Dense, ReLU
    >>> rng = np.random.default_rng(0)
    >>> network = Network([Dense(4, 2, rng), ReLU(), Dense(2, 4, rng)])
    >>> Y, cache = network.forward(np.ones((3, 4), np.float32))
    >>> dX, grads = network.backward(np.ones((3, 4), np.float32), cache)
    >>> dX.shape, {name: g.shape for name, g in grads.items()}
    ((3, 4), {'0.W': (4, 2), '0.b': (2,), '1.W': (2, 4), '1.b': (4,)})
    """

    whole: tuple[Network, slice] | None = None  # the network that a slice was taken from, and where

    def __init__(self, layers: Sequence[Layer], names: Sequence[str] | None = None):
        self.layers = tuple(layers)
        learning = [layer for layer in self.layers if layer.parameters]
        if not learning:
            raise ValueError("expected at least one layer with parameters, such as Dense: there is nothing to learn")
        if len(set(map(id, learning))) < len(learning) or any(layer.in_network for layer in learning):
            raise ValueError("a layer can be in one network, once: share it by a slice network[a:b], or make a new one")
        prefixes = names or [str(i) for i in range(len(learning))]
        for i, layer in enumerate(self.layers):
            if isinstance(layer, TiedDense) and not any(layer.source is before for before in self.layers[:i]):
                raise ValueError(f"{layer!r} has its weights from a layer that is not in front of it: put that in too")
        keys = [f"{prefix}.{name}" for prefix, layer in zip(prefixes, learning) for name in layer.parameters]
        self.widths = _widths(self.layers, learning[0])
        self.params = _gather(self.layers, keys)

    @property
    def root(self) -> Network:
        """The network that this is a slice of, or the network itself: its vector has all the numbers that the layers use."""
        return self if self.whole is None else self.whole[0].root

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64: the dtype of the parameters, hence of the arithmetic."""
        return self.params.dtype

    def __getitem__(self, part: slice) -> Network:
        if not isinstance(part, slice) or part.step not in (None, 1):
            raise TypeError(f"expected a slice such as network[:3], got {part!r}; single layers are in network.layers")
        start, stop, _ = part.indices(len(self.layers))
        counts = [len(layer.parameters) for layer in self.layers]
        section = object.__new__(Network)  # neither the constructor nor a copy: both would gather the parameters anew
        section.layers = self.layers[start:stop]
        section.widths = self.widths[start:stop + 1]
        section.params = self.params.part(sum(counts[:start]), sum(counts[:stop]))
        section.whole = self, part
        return section

    def __copy__(self) -> Network:
        return self[:]

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Copy or pickle a slice as a slice of the copied whole, so that both go on sharing their numbers."""
        return super().__reduce_ex__(protocol) if self.whole is None else (operator.getitem, self.whole)

    def __getstate__(self) -> dict[str, Any]:
        return {"layers": self.layers, "widths": self.widths, "names": list(self.params)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Gather the parameters anew: the layers of a copy or of an unpickled network hold arrays of their own."""
        self.layers, self.widths = state["layers"], state["widths"]
        self.params = _gather(self.layers, state["names"])

    def astype(self, dtype: DTypeLike) -> Network:
        """Return a copy of the network with parameters of another dtype; of a slice, a slice of a copy of the whole."""
        if self.whole is not None:
            return self.whole[0].astype(dtype)[self.whole[1]]
        layers = copy.deepcopy(self.layers)
        for layer in layers:
            for name in layer.parameters:
                setattr(layer, name, getattr(layer, name).astype(dtype))
        converted = object.__new__(Network)
        converted.__setstate__({**self.__getstate__(), "layers": layers})
        return converted

    def forward(self, X: Array) -> tuple[Array, list[Array]]:
        """Return the output Y (N, n_out) for X (N, n_in), and the cache: all activations, [X, output of layer 0, ..., Y]."""
        A = self.activations(X)
        forward(self.layers, A)
        return A[-1], A

    def backward(self, dY: Array, cache: list[Array]) -> tuple[Array, Arrays]:
        """Return dX, shaped like X, and the gradients of the parameters, named like ``params``; penalties included.

        dY: the gradient of the loss with respect to the output Y, (N, n_out).
        """
        dA = [np.empty_like(a) for a in cache[:-1]] + [dY]
        grads = self.params.zeros_like()
        backward(self.layers, cache, dA)
        parameter_gradients(self.layers, cache, dA, self.per_layer(grads))
        return dA[0], grads

    def penalty(self, cache: list[Array]) -> float:
        """Return the sum of the layers' penalties for these activations, those of a batch."""
        return sum(layer.penalty(A) for layer, A in zip(self.layers, cache[1:]))

    def statistics(self, cache: list[Array]) -> list[Array | float]:
        """Return what each layer's penalty depends on, as a sum over the rows of these activations."""
        return [layer.statistic(A) for layer, A in zip(self.layers, cache[1:])]

    def penalty_of(self, means: list[Array | float], rows: int) -> float:
        """Return the sum of the layers' penalties in a batch of so many rows with these means of ``statistics`` over the rows."""
        return sum(layer.penalty_of(mean, rows) for layer, mean in zip(self.layers, means))

    def predict(self, X: Array, batch_size: int = 1024, scaling: Scaling | None = None, out: Array | None = None) -> Array:
        """Return the output for X (N, n_in), computed batch by batch: no more than one batch of activations is held.

        scaling: what is done to X, if anything, as it is read.
        """
        X = np.asarray(X)
        Y = np.empty((len(X), self.widths[-1]), self.dtype) if out is None else out
        for start in range(0, len(X), batch_size):
            Y[start:start + batch_size] = self.forward(as_floats(X[start:start + batch_size], self.dtype, scaling))[0]
        return Y

    def kink_distance(self, X: Array) -> Array:
        """Return how close any ReLU's input or penalised activation comes to 0, where the derivative jumps, per row: (N,).

        The zeros that a ReLU puts out are not close to the kink of a penalty behind it: they stay zeros if their input moves
        a little. Nor is what a sigmoid puts out: it stays above 0.
        """
        A = self.forward(X)[1]
        distance = np.full(len(X), np.inf)
        for before, layer, inputs in zip((None, *self.layers), self.layers, A):
            if layer.kinked:
                safe = (inputs == 0) & isinstance(before, ReLU) | isinstance(before, Sigmoid)
                distance = np.minimum(distance, np.where(safe, np.inf, np.abs(inputs)).min(axis=1))
        return distance

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write layers and parameters to one file, which replaces one of that name as a whole, or not at all.

        The file is in the safetensors layout, described in docs/model-files.md. Raises TypeError for layers other than the
        package's own, ValueError for a part of a network without any parameters, OSError if the file cannot be written.
        """
        from . import architecture  # which imports this module

        architecture.save(self, path)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Network:
        """Return the network that ``save`` wrote to a file.

        Raises DataFormatError for a file that is damaged, changed, of a newer format, or not of a network alone, and OSError if
        it cannot be read.

        >>> import tempfile
        >>> from ae_scratch import Dense, ReLU
        >>> network = Network([Dense(4, 2, np.random.default_rng(0)), ReLU()])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     network.save(os.path.join(folder, "encoder.safetensors"))
        ...     loaded = Network.load(os.path.join(folder, "encoder.safetensors"))
        >>> loaded, bool((loaded.layers[0].W == network.layers[0].W).all())
        (Network([Dense(4, 2), ReLU()]), True)
        """
        from . import architecture

        return architecture.load(path)

    def summary(self) -> str:
        """Return a table of the layers, their output widths and numbers of parameters."""
        names = iter(self.params)
        lines = [f"{'name':<12}{'layer':<32}{'output':>8}{'parameters':>12}", f"{'':<12}{'input':<32}{self.widths[0]:>8}{'':>12}"]
        for layer, width in zip(self.layers, self.widths[1:]):
            own = [next(names) for _ in layer.parameters]
            name, count = (own[0].rpartition(".")[0], f"{sum(self.params[n].size for n in own):,}") if own else ("", "")
            lines.append(f"{name:<12}{layer!r:<32}{width:>8}{count:>12}")
        return "\n".join([*lines, f"{self.params.count:,} parameters, {self.dtype}"])

    def activations(self, X: Array) -> list[Array]:
        """Return [X, and an uninitialised array for the output of each layer]."""
        X = np.asarray(X, self.dtype)
        if X.ndim != 2 or X.shape[1] != self.widths[0]:
            raise ValueError(f"expected X of shape (rows, {self.widths[0]}), got {X.shape}")
        return [X] + [np.empty((len(X), width), self.dtype) for width in self.widths[1:]]

    def per_layer(self, grads: Arrays) -> list[tuple[Array, ...]]:
        """Return the arrays of ``grads`` in groups, a tuple for each layer; a tied layer shares dW with its source.

        Raises ValueError for a part of a network that has a tied layer without its source: dW would be lost.
        """
        arrays = iter(grads.values())
        groups = [tuple(next(arrays) for _ in layer.parameters) for layer in self.layers]
        for i, layer in enumerate(self.layers):
            if isinstance(layer, TiedDense):
                if layer.source not in self.layers:
                    raise ValueError(f"{layer!r} has its weights from outside of this part: take the whole network's gradients")
                groups[i] = (groups[self.layers.index(layer.source)][0], *groups[i])
        return groups

    def __repr__(self) -> str:
        return f"Network([{', '.join(map(repr, self.layers))}])"


def objective(network: Network, loss: Loss, X: Array, T: Array) -> float:
    """Return loss + penalty of one batch."""
    Y, A = network.forward(X)
    return loss.forward(Y, T)[0] + network.penalty(A)


def objective_and_gradients(network: Network, loss: Loss, X: Array, T: Array, grads: Arrays) -> tuple[float, float]:
    """Return loss and penalty of one batch, and write the gradient of their sum, the objective, into ``grads``.

    What ``Network.backward`` does, without dX: nobody learns from the gradient at the data.
    """
    Y, A = network.forward(X)
    value, D = loss.forward(Y, T)
    dA = [np.empty_like(a) for a in A[:-1]] + [loss.backward(D)]
    backward(network.layers, A, dA, first=1)
    parameter_gradients(network.layers, A, dA, network.per_layer(grads))
    return value, network.penalty(A)


def _widths(layers: Sequence[Layer], learning: Layer) -> list[int]:
    """The number of columns of the input and of each layer's output."""
    widths = [len(getattr(learning, learning.parameters[0]))]
    for layer in layers:
        widths.append(layer.n_out(widths[-1]))
    return widths


def _gather(layers: Sequence[Layer], names: Sequence[str]) -> Arrays:
    """Copy the parameters of all layers into one buffer and make the layers' attributes views of it."""
    slots = [(layer, attribute) for layer in layers for attribute in layer.parameters]
    arrays = {name: getattr(layer, attribute) for name, (layer, attribute) in zip(names, slots)}
    dtypes = {array.dtype for array in arrays.values()}
    if len(dtypes) > 1:
        raise ValueError(f"expected layers of one dtype, got {', '.join(sorted(map(str, dtypes)))}")
    params = Arrays({name: array.shape for name, array in arrays.items()}, dtypes.pop())
    for name, (layer, attribute) in zip(names, slots):
        params[name][...] = arrays[name]
        setattr(layer, attribute, params[name])
        layer.in_network = True
    return params
