"""The estimator: an encoder, a code and a decoder, trained to reproduce their input."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import inputs, scaling
from .callbacks import Callbacks, EarlyStopping, Training
from .errors import NotFittedError
from .gradcheck import Report, check_gradients
from .kernels.philox import Stream, permutation
from .kernels.reference import Array
from .layers import ACTIVATIONS, Dense, Layer, TiedDense, Uniform
from .losses import LOSSES, BinaryCrossEntropy, Loss
from .network import Network, objective, objective_and_gradients
from .noise import Noise
from .optimizers import OPTIMIZERS, SGD, Adam
from .penalties import REDUCTIONS, KLActivity, L1Activity
from .progress import Progress
from .scaling import SCALINGS, Scaling
from .streaming import Batches, is_sequence_of_batches, mapping, parts, release
from .training import Figures, History, Job, evaluate, train

if TYPE_CHECKING:
    from typing_extensions import Self

ENGINES = ("numpy", "numba")
HELD_OUT = 2**32 - 1  # the epoch whose shuffle says which rows are for validation: none is ever trained
BLOCK = 8192  # rows whose reconstruction errors are computed at a time
KINK_MARGIN = 1e-3  # a hundred times the step of the gradient check


class Fitted(NamedTuple):
    """What ``fit`` makes: taken over as a whole, at its end."""

    network: Network
    encoder_layers: int
    loss: Loss
    scaling: Scaling | None
    optimizer: SGD | Adam
    history: History
    seed: int
    feature_names: Array | None = None


class Autoencoder:
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

    def __init__(self, hidden_sizes: Sequence[int] = (128,), code_size: int = 32, *, decoder_sizes: Sequence[int] | None = None,
                 activation: str | Sequence[str] = "relu", code_activation: str = "relu", output_activation: str | None = None,
                 tied_weights: bool = False, loss: str = "binary_crossentropy", l1_activity: float = 0.0,
                 activity_reduction: str = "mean", kl_beta: float = 0.0, kl_rho: float = 0.05, weight_decay: float = 0.0,
                 scaling: str | None = None, noise: Noise | None = None, optimizer: str | SGD | Adam = "adam",
                 learning_rate: float = 1e-3, batch_size: int = 32, epochs: int = 10, validation_fraction: float = 0.0,
                 early_stopping: EarlyStopping | None = None, dtype: str = "float32", engine: str = "numba",
                 threads: int | None = None, random_state: int | None = None, verbose: int = 0):
        self.hidden_sizes = hidden_sizes
        self.code_size = code_size
        self.decoder_sizes = decoder_sizes
        self.activation = activation
        self.code_activation = code_activation
        self.output_activation = output_activation
        self.tied_weights = tied_weights
        self.loss = loss
        self.l1_activity = l1_activity
        self.activity_reduction = activity_reduction
        self.kl_beta = kl_beta
        self.kl_rho = kl_rho
        self.weight_decay = weight_decay
        self.scaling = scaling
        self.noise = noise
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.dtype = dtype
        self.engine = engine
        self.threads = threads
        self.random_state = random_state
        self.verbose = verbose

    # ---- training ---------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, validation_data: Any = None,
            callbacks: Sequence[Callable[[Training], Any]] = ()) -> Self:
        """Train on X (n, features) to reproduce X, or to produce y where y has X's shape: ``fit(X_noisy, X)``.

        A 1-D y (labels that a pipeline hands on) is ignored. Arrays are never written to; uint8 is kept as it is and read batch
        by batch, other types are converted to ``dtype`` once. A memory-mapped file, as from ``np.load(path, mmap_mode="r")``, is
        read as it is needed and may be larger than memory. So may a sequence of batches, anything with a length and ``X[i]`` a
        matrix: each is one step, read once per epoch, whatever ``batch_size`` is; it has no y and no ``validation_fraction``.

        validation_data: X_val or (X_val, y_val), whose figures ``history_`` gains as val_objective, val_loss and val_penalty.
        callbacks: are called with a ``Training`` after each epoch, and end the training by returning True; see ``callbacks``.

        Raises TypeError or ValueError, before anything is changed, for settings or data that make no sense, and DivergedError if
        the objective does not stay finite.
        """
        self._check_settings()
        X, T, model = self._start(X, y)
        watched = self._validation(X, T, validation_data, model)
        stopping = () if self.early_stopping is None else (copy.deepcopy(self.early_stopping),)
        return self._train(model, X, T, self.epochs, *watched, [*stopping, *callbacks])

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train for one more epoch, on X or on X and y as in ``fit``; the first call begins a model.

        Parameters, the optimizer's state and the number of the epoch, hence order and noise, go on where the last epoch ended:
        after ``fit`` for 3 epochs, or for 1 and two calls of this, the bytes are the same. What is learned of the data at the
        start, a ``scaling`` of "minmax" or "standard", stays. There is no validation and no early stopping.
        """
        self._check_settings()
        if hasattr(self, "network_"):
            names = getattr(self, "feature_names_in_", None)
            inputs.require_names(X, names, stacklevel=3)
            model = Fitted(self.network_, self._encoder_layers, self.loss_, self.scaling_, self.optimizer_, self.history_,
                           self.seed_, names)
            X, T = self._training_data(X, y, model.loss, model.network.dtype, model.scaling, self.n_features_in_)
        else:
            X, T, model = self._start(X, y)
        return self._train(model, X, T, 1)

    # ---- use --------------------------------------------------------------------------------------------------------

    def encode(self, X: Any, out: Array | None = None) -> Array:
        """Return the codes of X: (n, code_size).

        out: an array of that shape and of the model's dtype to write them to, such as ``np.lib.format.open_memmap`` makes for
        codes that are larger than memory.
        """
        return self._predict(self.encoder, self._matrix(X), self.scaling_, None, out)

    def decode(self, codes: Any, out: Array | None = None) -> Array:
        """Return what the decoder makes of codes (n, code_size): (n, features). out: as in ``encode``."""
        decoder = self.decoder
        codes = inputs.as_matrix(codes, decoder.dtype, decoder.widths[0], "codes", inputs.kept(codes))
        return self._predict(decoder, codes, None, self.scaling_, out)

    def reconstruct(self, X: Any, out: Array | None = None) -> Array:
        """Return ``decode(encode(X))``: (n, features). out: as in ``encode``."""
        X = self._matrix(X)
        return self._predict(self.network_, X, self.scaling_, self.scaling_, out)

    def evaluate(self, X: Any, y: Any = None) -> Figures:
        """Return {"objective", "loss", "penalty"} of X, or of inputs X and targets y, with the parameters as they are.

        loss: mean over features and samples. penalty: that of a batch of ``batch_size`` average rows. objective: their sum.
        """
        X = self._matrix(X)
        T = self._target(X, y, self.loss_, self.network_.dtype, self.scaling_)
        return self._figures(self.network_, self.loss_, self.scaling_, X, T)

    def reconstruction_error(self, X: Any, per_feature: bool = False) -> Array:
        """Return the squared error of each sample's reconstruction: its mean over features (n,), or that of each feature (n,
        features)."""
        X = self._matrix(X)
        return self._squared_errors(X, X, per_feature)

    def score(self, X: Any, y: Any = None) -> float:
        """Return minus the mean squared reconstruction error: higher is better.

        y: the target where it has X's shape, as in ``fit``; a 1-D y is ignored.
        """
        X = self._matrix(X)
        T = _second(X, y, self.network_.dtype, self.scaling_)
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
        network, loss = _without_output(self._fitted(), self.loss_).astype("float64"), self.loss_
        X = inputs.as_matrix(X, network.dtype, network.widths[0])
        T = inputs.as_floats(self._target(X, y, loss, network.dtype, self.scaling_), network.dtype, self.scaling_)
        X = inputs.as_floats(X, network.dtype, self.scaling_)
        if entries is not None:
            inputs.whole(entries, "entries")
        rows = np.flatnonzero(network.kink_distance(X) > KINK_MARGIN)[:8]
        if not len(rows):
            raise ValueError("every row of X brings some unit too close to a kink, where the derivative jumps: use other rows")
        X, T, grads = X[rows], T[rows], network.params.zeros_like()
        objective_and_gradients(network, loss, X, T, grads)
        return check_gradients(lambda: objective(network, loss, X, T), network.params, grads, entries=entries, seed=seed)

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

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments and their values."""
        return {name: getattr(self, name) for name in _arguments()}

    def set_params(self, **params: Any) -> Self:
        """Set constructor arguments by name; a fitted model keeps what it learned until the next ``fit``."""
        known = _arguments()
        for name in params:
            inputs.choose(name, known, "parameter")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = _arguments()
        changed = {name: value for name, value in self.get_params().items() if repr(value) != repr(defaults[name])}
        return f"Autoencoder({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    # ---- private ----------------------------------------------------------------------------------------------------

    def _check_settings(self) -> None:
        """Raise TypeError or ValueError for a constructor argument that makes no sense."""
        inputs.whole_numbers(self.hidden_sizes, "hidden_sizes")
        inputs.whole_numbers(() if self.decoder_sizes is None else self.decoder_sizes, "decoder_sizes")
        for name in ("code_size", "batch_size", "epochs"):
            inputs.whole(getattr(self, name), name)
        if self.random_state is not None:
            inputs.whole(self.random_state, "random_state", 0, 2**32 - 1)
        if self.threads is not None:
            inputs.whole(self.threads, "threads")
            if self.engine == "numpy":
                raise ValueError("threads belongs to engine='numba'; NumPy's are set by variables such as OPENBLAS_NUM_THREADS")
        for name in ("l1_activity", "kl_beta", "weight_decay"):
            inputs.number(getattr(self, name), name)
        inputs.number(self.kl_rho, "kl_rho", positive=True, below=1)
        inputs.number(self.learning_rate, "learning_rate", positive=True)
        inputs.choose(self.loss, LOSSES, "loss")
        if self.scaling is not None:
            inputs.choose(self.scaling, SCALINGS, "scaling")
        inputs.choose(self.activity_reduction, REDUCTIONS, "activity_reduction")
        inputs.choose(self.dtype, ("float32", "float64"), "dtype")
        inputs.choose(self.engine, ENGINES, "engine")
        self._hidden_activations()
        inputs.choose(self.code_activation, ACTIVATIONS, "code_activation")
        if self.output_activation is not None:
            inputs.choose(self.output_activation, ACTIVATIONS, "output_activation")
        if not isinstance(self.optimizer, (SGD, Adam)):
            inputs.choose(self.optimizer, OPTIMIZERS, "optimizer")
        if self.noise is not None and not isinstance(self.noise, Noise):
            raise TypeError(f"noise must be None or a noise object such as GaussianNoise(0.4), got {self.noise!r}")
        inputs.number(self.validation_fraction, "validation_fraction", below=1)
        if self.early_stopping is not None and not isinstance(self.early_stopping, EarlyStopping):
            raise TypeError(f"early_stopping must be None or an EarlyStopping, got {self.early_stopping!r}")
        if self.kl_beta and self.code_activation != "sigmoid":
            raise ValueError(f"kl_beta needs code_activation='sigmoid', with outputs from 0 to 1, got {self.code_activation!r}")
        if self.tied_weights and self._sizes_back() != list(self.hidden_sizes)[::-1]:
            raise ValueError("tied_weights needs a decoder that mirrors the encoder: leave out decoder_sizes, got "
                             f"{self.decoder_sizes!r}")
        if self.loss == "binary_crossentropy" and self.output_activation not in (None, "sigmoid"):
            raise ValueError("loss='binary_crossentropy' needs output_activation='sigmoid' (or None), got "
                             f"{self.output_activation!r}; use loss='mse' for other outputs")

    def _build(self, n_features: int, seed: int | None) -> tuple[Network, int]:
        """A network of all layers, output activation included, and how many of its layers are the encoder. The weights are fresh,
        or zero for no seed."""
        rng, dtype = _NoWeights() if seed is None else Stream(seed), np.dtype(self.dtype)
        hidden, back = list(self.hidden_sizes), self._sizes_back()
        output = ACTIVATIONS[self.output_activation] if self.output_activation else LOSSES[self.loss].output_activation
        between, code = self._hidden_activations(), ACTIVATIONS[self.code_activation]
        there = _dense([n_features, *hidden, self.code_size], rng, dtype, self.weight_decay)
        encoder = _activated(there, [*between[:len(hidden)], code])
        if self.l1_activity:
            encoder.append(L1Activity(self.l1_activity, self.activity_reduction))
        if self.kl_beta:
            encoder.append(KLActivity(self.kl_beta, self.kl_rho))
        home = [TiedDense(layer) for layer in there[::-1]] if self.tied_weights else _dense(
            [self.code_size, *back, n_features], rng, dtype, self.weight_decay)
        decoder = _activated(home, [*between[len(hidden):], output])
        names = [f"encoder.{i}" for i in range(len(hidden) + 1)] + [f"decoder.{i}" for i in range(len(back) + 1)]
        return Network(encoder + decoder, names), len(encoder)

    def _sizes_back(self) -> list[int]:
        """The units of the decoder's hidden layers."""
        return list(self.hidden_sizes)[::-1] if self.decoder_sizes is None else list(self.decoder_sizes)

    def _hidden_activations(self) -> list[type[Layer]]:
        """The activations of the hidden layers, those of the encoder first; ValueError for unknown ones or a wrong number."""
        there, back, given = len(self.hidden_sizes), len(self._sizes_back()), self.activation
        each = isinstance(given, (Sequence, np.ndarray)) and not isinstance(given, str)
        known = [ACTIVATIONS[inputs.choose(name, ACTIVATIONS, "activation")] for name in (given if each else [given])]
        if not each:
            return known * (there + back)
        if len(known) == there and self.decoder_sizes is None:
            return known + known[::-1]
        if len(known) != there + back:
            raise ValueError(f"expected activation as one name, or one for each of the {there} + {back} hidden layers of encoder "
                             f"and decoder, got {given!r}")
        return known

    def _optimizer(self) -> SGD | Adam:
        """A fresh optimizer; a given one is copied, so that its moments never carry over from one fit to the next."""
        if isinstance(self.optimizer, str):
            return OPTIMIZERS[self.optimizer](self.learning_rate)
        return copy.deepcopy(self.optimizer)

    def _start(self, X: Any, y: Any) -> tuple[Array | Batches, Array | Batches, Fitted]:
        """The data as training reads them, and a model that has seen nothing yet."""
        loss, dtype, names = LOSSES[self.loss](), np.dtype(self.dtype), inputs.column_names(X)
        seed = int.from_bytes(os.urandom(4), "little") if self.random_state is None else int(self.random_state)
        learned = None if self.scaling is None else scaling.learn(self.scaling, self._training_data(X, None, None, dtype)[0])
        X, T = self._training_data(X, y, loss, dtype, learned)
        network, encoder_layers = self._build(X.shape[1], seed)
        return X, T, Fitted(network, encoder_layers, loss, learned, self._optimizer(), {}, seed, names)

    def _training_data(self, X: Any, y: Any, loss: Loss | None, dtype: np.dtype[Any], learned: Scaling | None = None,
                       n_features: int | None = None) -> tuple[Array | Batches, Array | Batches]:
        """Inputs and targets, checked; the targets' range too, if there is a loss."""
        exact = self.scaling in ("minmax", "standard")

        def read(part: Any, name: str) -> Array:
            matrix = inputs.as_matrix(part, dtype, n_features, name, inputs.kept(part, exact))
            return matrix if loss is None else self._target(matrix, None, loss, dtype, learned, name)

        if is_sequence_of_batches(X):
            if y is not None and np.ndim(y) != 1:
                raise ValueError("a sequence of batches is its own target: expected y=None")
            batches = Batches(X, read)
            n_features = batches.shape[1]
            return batches, batches
        X = inputs.as_matrix(X, dtype, n_features, keep=inputs.kept(X, exact))
        return X, X if loss is None else self._target(X, y, loss, dtype, learned)

    def _validation(self, X: Array | Batches, T: Array | Batches, given: Any, model: Fitted) -> tuple[Array | None, Any]:
        """The rows to train on, None for all, and inputs and targets to measure on, None for none."""
        if given is not None:
            pair = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
            dtype, n_features = model.network.dtype, model.network.widths[0]
            X = inputs.as_matrix(pair[0], dtype, n_features, "validation data", inputs.kept(pair[0], _has_offset(model.scaling)))
            return None, (X, self._target(X, pair[1], model.loss, dtype, model.scaling, "validation data"))
        if not self.validation_fraction:
            return None, None
        if isinstance(X, Batches) or isinstance(T, Batches):
            raise ValueError("validation_fraction needs rows to draw from, not a sequence of batches: use validation_data")
        order, held = permutation(model.seed, HELD_OUT, len(X)), max(1, round(self.validation_fraction * len(X)))
        if held == len(X):
            raise ValueError(f"validation_fraction={self.validation_fraction} leaves nothing of {len(X)} rows to train on")
        rows = np.sort(order[:held])
        return np.sort(order[held:]), (X[rows], X[rows] if T is X else T[rows])

    def _train(self, model: Fitted, X: Array | Batches, T: Array | Batches, epochs: int, rows: Array | None = None,
               validation: Any = None, callbacks: Sequence[Callable[[Training], Any]] = ()) -> Self:
        """Train the model for so many more epochs, and take it over."""
        network, loss, noise = model.network, model.loss, self.noise
        once = noise is not None and noise.redraw == "once" and model.scaling is None and mapping(X) is None
        if noise and once and isinstance(X, np.ndarray) and X.dtype == network.dtype:  # others: per epoch, rather than a copy
            X, noise = noise.corrupt(X, model.seed), None
        job = Job(_without_output(network, loss), loss, model.optimizer, X, T, self.batch_size, model.seed, noise, model.scaling,
                  rows)
        first = len(model.history.get("objective", ()))
        told = Callbacks(callbacks, Training(copy.copy(self)._adopt(model), job, model.history, first + epochs))

        def after(epoch: int, figures: Figures) -> bool:
            if validation is not None:
                measured = self._figures(network, loss, model.scaling, *validation)
                figures.update({f"val_{name}": value for name, value in measured.items()})
            return told.epoch(figures)

        progress = Progress(first + epochs, lines=self.verbose > 1) if self.verbose else None
        try:
            told.tell("begin")
            if self.engine == "numba":
                _compiled().train(job, epochs, model.history, progress, first, after, self.threads)
            else:
                train(job, epochs, model.history, progress, first, after)
            told.tell("end")
        except KeyboardInterrupt:
            self._adopt(model)
            raise
        finally:
            if progress:
                progress.close()
        return self._adopt(model)

    def _figures(self, network: Network, loss: Loss, learned: Scaling | None, X: Array, T: Array) -> Figures:
        """Objective, loss and penalty of checked data, by the engine that is set."""
        network = _without_output(network, loss)
        if self.engine == "numba":
            figures: Figures = _compiled().evaluate(network, loss, X, T, self.batch_size, self.threads, learned)
            return figures
        return evaluate(network, loss, X, T, self.batch_size, scaling=learned)

    def _predict(self, network: Network, X: Array, learned: Scaling | None, undo: Scaling | None = None,
                 out: Array | None = None) -> Array:
        """The network's output for checked data, scaled by ``learned``, with the scaling ``undo`` undone."""
        Y = inputs.output(out, (len(X), network.widths[-1]), network.dtype)
        for part in parts(len(X), X, Y):
            if self.engine == "numba":
                _compiled().predict(network, X[part], self.threads, learned, Y[part])
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

    def _target(self, X: Array, y: Any, loss: Loss, dtype: np.dtype[Any], learned: Scaling | None, name: str = "X") -> Array:
        """The target of X, checked, in scaled units where the loss cares."""
        T = _second(X, y, dtype, learned)
        if isinstance(loss, BinaryCrossEntropy):
            inputs.require_unit_interval(T, name if T is X else "y", dtype, learned)
        return T

    def _adopt(self, model: Fitted) -> Self:
        """Take over what ``fit`` has made, all at once."""
        self.network_, self._encoder_layers, self.loss_, self.scaling_, self.optimizer_, self.history_, self.seed_ = model[:-1]
        self.n_features_in_ = model.network.widths[0]
        vars(self).pop("feature_names_in_", None)  # there is one after a fit to a data frame only
        if model.feature_names is not None:
            self.feature_names_in_ = model.feature_names
        return self

    def _fitted(self) -> Network:
        if not hasattr(self, "network_"):
            raise NotFittedError("this Autoencoder is not fitted yet: call fit(X) or set_weights(weights) first")
        return self.network_

    def _matrix(self, X: Any) -> Array:
        network = self._fitted()
        inputs.require_names(X, getattr(self, "feature_names_in_", None), stacklevel=4)
        return inputs.as_matrix(X, network.dtype, network.widths[0], keep=inputs.kept(X, _has_offset(self.scaling_)))


def _has_offset(learned: Scaling | None) -> bool:
    return learned is not None and learned.offset is not None


class _NoWeights:
    """A source of zeros, which takes no time, for a network whose weights are set next."""

    def uniform(self, low: float, high: float, size: tuple[int, ...]) -> Array:
        return np.broadcast_to(0.0, size)


def _compiled() -> Any:
    """The compiled engine, which imports numba: only when asked for."""
    from . import engine

    return engine


def _second(X: Array, y: Any, dtype: np.dtype[Any], learned: Scaling | None) -> Array:
    """What a second argument stands for: a target of X's shape; X itself if it is None, or labels that a pipeline hands on."""
    shape = X.shape if y is None else np.asarray(y).shape
    if y is None or len(shape) == 1:
        return X
    if shape and shape != X.shape:
        raise ValueError(f"expected y of X's shape {X.shape}, or 1-D (labels, ignored), got shape {shape}")
    return inputs.as_matrix(y, dtype, X.shape[1], "y", inputs.kept(y, _has_offset(learned)))


def _dense(sizes: list[int], rng: Uniform, dtype: np.dtype[Any], weight_decay: float) -> list[Dense]:
    """A Dense layer from each size to the next."""
    return [Dense(n_in, n_out, rng, dtype, weight_decay) for n_in, n_out in zip(sizes, sizes[1:])]


def _activated(layers: Sequence[Layer], activations: list[type[Layer]]) -> list[Layer]:
    """Each layer, followed by its activation."""
    return [step for layer, activation in zip(layers, activations) for step in (layer, activation())]


def _without_output(network: Network, loss: Loss) -> Network:
    """The network that the loss is applied to: a loss that contains the output activation takes what comes before it."""
    return network[:-1] if isinstance(network.layers[-1], loss.output_activation) else network


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


def _arguments() -> dict[str, Any]:
    """The constructor's arguments and their defaults."""
    import inspect  # slow to import, and training needs none of it

    return {name: parameter.default for name, parameter in inspect.signature(Autoencoder).parameters.items()}
