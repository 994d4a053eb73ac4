"""The estimator: an encoder, a code and a decoder, trained to reproduce their input."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import inputs, scaling
from .callbacks import Training
from .errors import NotFittedError
from .fitting import Fitted, Fitting, compiled, pair, without_output
from .gradcheck import Report, check_gradients
from .kernels.reference import Array
from .losses import LOSSES, Loss
from .network import Network, objective, objective_and_gradients
from .scaling import Scaling
from .streaming import parts, release
from .training import Figures, Job

if TYPE_CHECKING:
    from typing_extensions import Self

    from .checkpoints import Run
    from .trace import Trace

BLOCK = 8192  # rows whose reconstruction errors are computed at a time
KINK_MARGIN = 1e-3  # a hundred times the step of the gradient check


class Autoencoder(Fitting):
    """A fully connected autoencoder: layers of ``hidden_sizes``, a code of ``code_size`` units, and the way back.

    hidden_sizes
        Units of the encoder's hidden layers; () for a shallow autoencoder.
    code_size
        Units of the code; more than there are inputs is allowed (overcomplete).
    decoder_sizes
        Units of the decoder's hidden layers; None mirrors the encoder.
    activation, code_activation
        Of the hidden layers and of the code: "relu", "sigmoid", "tanh" or "identity". The first may be one name per hidden layer
        of the encoder, which the decoder mirrors (unless ``decoder_sizes`` is given), or per hidden layer of both.
    tied_weights
        Whether the decoder's layers use the encoder's weights, transposed, and own biases only ("decoder.0.b", ...); it has to
        mirror the encoder. See ``TiedDense``.
    output_activation
        Of the last layer; None is "sigmoid" for cross-entropy and "identity" for squared error.
    loss
        "binary_crossentropy" (targets in [0, 1], nats) or "mse"; both are means over features and samples.
    l1_activity, activity_reduction
        Strength of the L1 penalty on the code, and whether it is added up over the rows of a batch ("sum", the article's
        convention: ``batch_size`` times stronger) or averaged ("mean"). See ``L1Activity``.
    kl_beta, kl_rho
        Strength of the penalty that pulls each code unit's mean activation over a batch towards ``kl_rho``, between 0 and 1;
        needs code_activation="sigmoid". See ``KLActivity``.
    weight_decay
        Adds weight_decay / 2 times the sum of all squared weights, biases apart, to the objective. See ``Dense``.
    scaling
        What is done to inputs and targets as they are read, and undone in what ``decode`` and ``reconstruct`` return: None;
        "bytes": x / 255; "minmax": each feature of the data that ``fit`` sees to [0, 1]; "standard": each to mean 0 and standard
        deviation 1. Losses, errors and scores are in scaled units.
    noise
        None, or a ``GaussianNoise``, ``MaskingNoise`` or ``SaltAndPepperNoise`` that corrupts the scaled inputs while training;
        the targets stay clean.
    optimizer, learning_rate
        "adam" or "sgd" with this rate; or an ``Adam`` or ``SGD`` object, whose own rate then holds.
    batch_size, epochs
        Rows of a step; passes over the data.
    validation_fraction, early_stopping
        Share of the rows, drawn at random, that is held out, and whose figures are measured after each epoch; an
        ``EarlyStopping``, which ends the training when they get no better.
    dtype
        "float32", or "float64" for checking.
    engine, threads
        "numba": compiled, on that many threads (None: as many as turn out to pay), with the same result for any number; the
        first use on a machine compiles for some seconds. "numpy": the same source as plain Python over NumPy, which a debugger
        can step through; quicker than compiling where there is little to do.
    random_state
        None, or an integer from 0 to 2**32 - 1: the same seed on the same machine gives the same bytes.
    verbose
        0 nothing, 1 progress on standard error, 2 one line per epoch.

    After ``fit``: ``network_`` (all layers), ``encoder`` and ``decoder`` (parts of it), ``history_`` (a list per figure, an
    entry per epoch: objective, loss, penalty, and with validation data val_objective, val_loss, val_penalty), ``optimizer_``,
    ``scaling_``, ``n_features_in_``, ``feature_names_in_`` (the columns of a data frame, if it was fitted to one), ``seed_`` (the
    random state in use). A ``fit`` that fails leaves an earlier fit as it was; one that is interrupted from the keyboard leaves
    the model fitted up to a completed step.

    >>> X = np.random.default_rng(0).random((64, 6))
    >>> ae = Autoencoder(hidden_sizes=(5,), code_size=2, epochs=3, random_state=0).fit(X)
    >>> ae.encode(X).shape, ae.reconstruct(X).shape, len(ae.history_["loss"])
    ((64, 2), (64, 6), 3)
    """

    # ---- training ---------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, validation_data: Any = None,
            callbacks: Sequence[Callable[[Training], Any]] = (), checkpoint: str | os.PathLike[str] | None = None,
            checkpoint_every: int | None = None, resume: bool = False) -> Self:
        """Train on X (n, features) to reproduce X, or to produce y where y has X's shape: ``fit(X_noisy, X)``.

        A 1-D y (labels that a pipeline hands on) is ignored. Arrays are never written to; uint8 is kept as it is and read batch
        by batch, other types are converted to ``dtype`` once. A memory-mapped file, as from ``np.load(path, mmap_mode="r")``, is
        read as it is needed and may be larger than memory. So may a sequence of batches, anything with a length and ``X[i]`` a
        matrix: each is one step, read once per epoch, whatever ``batch_size`` is; it has no y and no ``validation_fraction``.

        validation_data: X_val or (X_val, y_val), whose figures ``history_`` gains as val_objective, val_loss and val_penalty.
        callbacks: are called with a ``Training`` after each epoch, and end the training by returning True; see ``callbacks``.

        checkpoint: a file that the training is saved to after every epoch, or every ``checkpoint_every`` steps, and when Ctrl-C
        stops it. With ``resume=True`` it goes on from there, if the file exists, and ends with the same bytes as one that was
        never interrupted; ``epochs``, ``threads`` and ``verbose`` may have changed. ``load`` reads the file as a model.

        Raises TypeError or ValueError, before anything is changed, for settings or data that make no sense; CheckpointError (a
        ValueError) for a checkpoint that exists but is not to be gone on with, or is of other data or settings; OSError if it
        cannot be written; and DivergedError if the objective does not stay finite.
        """
        self._check_settings()
        run = self._run(checkpoint, checkpoint_every, resume)
        X, T, model = self._start(X, y)
        if run is not None:
            model = run.begin(model, X, T)
        watched = self._validation(X, T, validation_data, model)
        stopping = () if self.early_stopping is None else (copy.deepcopy(self.early_stopping),)
        done = len(model.history.get("objective", ()))
        return self._train(model, X, T, self.epochs - done, *watched, [*stopping, *callbacks], run)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train for one more epoch, on X or on X and y as in ``fit``; the first call begins a model.

        Parameters, the optimizer's state and the number of the epoch, hence order and noise, go on where the last epoch ended:
        after ``fit`` for 3 epochs, or for 1 and two calls of this, the bytes are the same. What is learned of the data at the
        start, a ``scaling`` of "minmax" or "standard", stays. There is no validation and no early stopping.
        """
        X, T, model = self._go_on(X, y)
        return self._train(model, X, T, 1)

    # ---- use --------------------------------------------------------------------------------------------------------

    def encode(self, X: Any, out: Array | None = None) -> Array:
        """Return the codes of X: (n, code_size).

        out: an array of that shape and of the model's dtype to write them to, such as ``np.lib.format.open_memmap`` makes for
        codes that are larger than memory.
        """
        return self._predict(self.encoder, self._pair(X)[0], self.scaling_, None, out)

    def decode(self, codes: Any, out: Array | None = None) -> Array:
        """Return what the decoder makes of codes (n, code_size): (n, features). out: as in ``encode``."""
        decoder = self.decoder
        codes = inputs.as_data(codes, decoder.dtype, decoder.widths[0], "codes")
        return self._predict(decoder, codes, None, self.scaling_, out)

    def reconstruct(self, X: Any, out: Array | None = None) -> Array:
        """Return ``decode(encode(X))``: (n, features). out: as in ``encode``."""
        X = self._pair(X)[0]
        return self._predict(self.network_, X, self.scaling_, self.scaling_, out)

    def evaluate(self, X: Any, y: Any = None) -> Figures:
        """Return {"objective", "loss", "penalty"} of X, or of inputs X and targets y, with the parameters as they are.

        loss: mean over features and samples. penalty: that of a batch of ``batch_size`` average rows. objective: their sum.
        """
        self._fitted()
        X, T = self._pair(X, y, self.loss_)
        return self._figures(self.network_, self.loss_, self.scaling_, X, T)

    def reconstruction_error(self, X: Any, per_feature: bool = False) -> Array:
        """Return the squared error of each sample's reconstruction: its mean over features (n,), or that of each feature (n,
        features)."""
        X = self._pair(X)[0]
        return self._squared_errors(X, X, per_feature)

    def score(self, X: Any, y: Any = None) -> float:
        """Return minus the mean squared reconstruction error: higher is better.

        y: the target where it has X's shape, as in ``fit``; a 1-D y is ignored.
        """
        X, T = self._pair(X, y)
        return -float(np.mean(self._squared_errors(X, T), dtype=np.float64))

    @property
    def encoder(self) -> Network:
        """The layers from the input to the code, a ``Network`` of its own over the same parameters; it knows no ``scaling``."""
        return self._fitted()[:self._encoder_layers]

    @property
    def decoder(self) -> Network:
        """The layers from the code to the output, a ``Network`` of its own over the same parameters; it knows no ``scaling``."""
        return self._fitted()[self._encoder_layers:]

    # ---- files ------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file: settings, parameters, history, and the state of the training.

        The file replaces one of that name as a whole, or not at all. It is in the safetensors layout, described in
        docs/model-files.md. Raises NotFittedError before ``fit``; ValueError if settings were changed since, so that they no
        longer lead to this network; TypeError for settings of classes other than the package's own; OSError if the file cannot be
        written.
        """
        from . import persistence  # which imports this module

        persistence.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], engine: str | None = None, threads: int | None = None) -> Autoencoder:
        """Return the model that ``save`` wrote to a file: the same bits come out of it, and training goes on where it stood.

        engine, threads: in place of those of the file, such as "numpy" where there is no numba. No file can run code. Raises
        DataFormatError for a file that is damaged, changed, of a newer format, or no autoencoder's, and OSError if it cannot be
        read.

        >>> import os, tempfile
        >>> X = np.random.default_rng(0).random((64, 6))
        >>> ae = Autoencoder(hidden_sizes=(5,), code_size=2, epochs=3, engine="numpy").fit(X)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ae.save(os.path.join(folder, "model.safetensors"))
        ...     loaded = Autoencoder.load(os.path.join(folder, "model.safetensors"))
        >>> bool((loaded.encode(X) == ae.encode(X)).all())
        True
        """
        from . import persistence

        return persistence.load(path, engine, threads, cls)

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write a stand-alone predictor: a Python file of that name, such as "predictor.py", with ``encode``, ``decode`` and
        ``reconstruct``, which needs NumPy alone; and beside it "predictor.weights.npz".

        Its results are the model's up to rounding. Raises NotFittedError before ``fit``, ValueError for a name that does not
        end in .py, OSError if a file cannot be written.
        """
        from .export import export

        export(self, path)

    # ---- looking inside ---------------------------------------------------------------------------------------------

    def get_weights(self) -> dict[str, Array]:
        """Return copies of all parameters: {"encoder.0.W": (features, units), "encoder.0.b": (units,), ..., "decoder.0.W":
        ...}."""
        return {name: array.copy() for name, array in self._fitted().params.items()}

    def set_weights(self, weights: Mapping[str, Any]) -> Self:
        """Set all parameters, named and shaped as ``get_weights`` returns them; a model that was never fitted is ready for
        use then.

        Raises ValueError, before anything is changed, for missing, unknown, misshapen or non-finite arrays.
        """
        if not hasattr(self, "network_"):
            self._check_settings()
            if np.ndim(weights.get("encoder.0.W", 0)) != 2:
                raise ValueError("expected a matrix 'encoder.0.W' in the weights")
            if self.scaling in ("minmax", "standard"):
                raise ValueError(f"scaling={self.scaling!r} is learned from data: call fit(X) before set_weights")
            network, encoder_layers = self._build(len(weights["encoder.0.W"]), seed=None)
        else:
            network, encoder_layers = self.network_, self._encoder_layers
        for name, array in _matching(weights, network).items():
            network.params[name][...] = array
        if not hasattr(self, "network_"):
            learned = None if self.scaling is None else Scaling(scaling.BYTES)
            self._adopt(Fitted(network, encoder_layers, LOSSES[self.loss](), learned, self._optimizer(), {}, 0))
        return self

    def summary(self) -> str:
        """Return a table of the layers, their output widths and numbers of parameters."""
        return f"{self._fitted().summary()}, {self.loss_!r}"

    def gradcheck(self, X: Any, y: Any = None, entries: int | None = 50, seed: int = 0) -> Report:
        """Compare the gradients of the objective at the fitted parameters with central differences, in float64; ``print`` the
        result.

        entries: so many numbers of each parameter, drawn by ``seed``; None for all of them, which takes two forward passes
        each. Uses the first rows of X, up to 8, that keep ReLUs and the penalty away from their kink at 0; ValueError if
        there are none.
        """
        network, loss = without_output(self._fitted(), self.loss_).astype("float64"), self.loss_
        X, T = (inputs.as_floats(part, network.dtype, self.scaling_)
                for part in pair(X, y, loss, network.dtype, self.scaling_, network.widths[0]))
        if entries is not None:
            inputs.whole(entries, "entries")
        rows = np.flatnonzero(network.kink_distance(X) > KINK_MARGIN)[:8]
        if not len(rows):
            raise ValueError("every row of X brings some unit too close to a kink, where the derivative jumps: use other rows")
        X, T, grads = X[rows], T[rows], network.params.zeros_like()
        objective_and_gradients(network, loss, X, T, grads)
        return check_gradients(lambda: objective(network, loss, X, T), network.params, grads, entries=entries, seed=seed)

    def trace(self, X: Any, y: Any = None) -> Trace:
        """Return every intermediate of the step that ``partial_fit(X, y)`` would take first, which is not taken; ``print`` it,
        or look at ``to_html("step.html")``. See ``docs/trace.md``.

        A model that was never fitted shows the first step of its training.
        """
        from .trace import trace  # reads the source as well: slow to import

        X, T, model = self._go_on(X, y)
        job = Job(without_output(model.network, model.loss), model.loss, model.optimizer, X, T, self.batch_size, model.seed,
                  self.noise, model.scaling)
        return trace(job, model, repr(self))

    # ---- scikit-learn's conventions ---------------------------------------------------------------------------------

    inverse_transform, predict = decode, reconstruct

    def transform(self, X: Any) -> Any:
        """Return the codes of X: (n, code_size), as ``encode`` does, or as ``set_output`` has asked for."""
        codes = self.encode(X)
        if getattr(self, "_sklearn_output_config", {}).get("transform", "default") == "default":
            return codes
        from pandas import DataFrame

        return DataFrame(codes, getattr(X, "index", None), self.get_feature_names_out())

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Train on X, with y as in ``fit``, and return ``transform(X)``."""
        return self.fit(X, y).transform(X)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Let ``transform`` return arrays ("default") or data frames with named columns ("pandas"); None changes nothing."""
        if transform is not None:  # the attribute that scikit-learn's clone hands on
            self._sklearn_output_config = {"transform": inputs.choose(transform, ("default", "pandas"), "transform")}
        return self

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the names of the code's units, "autoencoder0", "autoencoder1" ...; input_features is ignored."""
        units = self.encoder.widths[-1]
        return np.array([f"autoencoder{i}" for i in range(units)], object)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags  # it is scikit-learn that calls this

        return Tags(estimator_type=None, target_tags=TargetTags(required=False), input_tags=InputTags(),
                    transformer_tags=TransformerTags(preserves_dtype=[self.dtype]))

    # ---- private ----------------------------------------------------------------------------------------------------

    def _run(self, checkpoint: str | os.PathLike[str] | None, every: int | None, resume: bool) -> Run | None:
        """The file that a training is saved to, if it is to one."""
        if checkpoint is None:
            if every is not None or resume:
                raise ValueError("checkpoint_every and resume need a checkpoint, the name of its file")
            return None
        from .checkpoints import Run  # which imports this module

        return Run(checkpoint, None if every is None else inputs.whole(every, "checkpoint_every"), resume, self)

    def _predict(self, network: Network, X: Array, learned: Scaling | None, undo: Scaling | None = None,
                 out: Array | None = None) -> Array:
        """The network's output for checked data, scaled by ``learned``, with the scaling ``undo`` undone."""
        Y = inputs.output(out, (len(X), network.widths[-1]), network.dtype)
        for part in parts(len(X), X, Y):
            if self.engine == "numba":
                compiled().predict(network, X[part], self.threads, learned, Y[part])
            else:
                network.predict(X[part], scaling=learned, out=Y[part])
            if undo is not None:
                undo.undo(Y[part])
        return Y if out is None else out

    def _squared_errors(self, X: Array, T: Array, per_feature: bool = False) -> Array:
        """The squared differences of X's reconstruction from T, in scaled units, or each row's mean of them."""
        errors = []
        for start in range(0, len(X), BLOCK):
            Y = self._predict(self.network_, X[start:start + BLOCK], self.scaling_)
            error = (inputs.as_floats(T[start:start + BLOCK], Y.dtype, self.scaling_) - Y) ** 2
            errors.append(error if per_feature else error.mean(axis=1))
            release(X, T)
        return np.concatenate(errors)

    def _fitted(self) -> Network:
        if not hasattr(self, "network_"):
            raise NotFittedError("this Autoencoder is not fitted yet: call fit(X) or set_weights(weights) first")
        return self.network_

    def _pair(self, X: Any, y: Any = None, loss: Loss | None = None) -> tuple[Array, Array]:
        network = self._fitted()
        inputs.require_names(X, getattr(self, "feature_names_in_", None), stacklevel=4)
        return pair(X, y, loss, network.dtype, self.scaling_, network.widths[0])


def _matching(weights: Mapping[str, Any], network: Network) -> dict[str, Array]:
    """The weights as arrays of the network's dtype; ValueError unless names and shapes are the network's and all is finite."""
    shapes = network.params.shapes
    if set(weights) != set(shapes):
        missing, unknown = sorted(set(shapes) - set(weights)), sorted(set(weights) - set(shapes))
        raise ValueError(f"expected the weights {', '.join(shapes)}; missing: {missing or 'none'}, unknown: {unknown or 'none'}")
    arrays = {name: np.asarray(weights[name]) for name in shapes}
    for name, array in arrays.items():
        if array.dtype.kind not in "buif" or array.shape != shapes[name]:
            raise ValueError(f"expected {name} as real numbers of shape {shapes[name]}, got {array.dtype} {array.shape}")
        with np.errstate(over="ignore"):
            arrays[name] = array.astype(network.dtype)
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} contains NaN, infinity or a value too large for {network.dtype}")
    return arrays
