"""Forward passes that share no code with the package and accept complex numbers; every branch looks at the real part only.

With them the complex step gives derivatives free of cancellation: Im f(x + ih) / h with h = 1e-30 is exact to rounding
(Squire & Trapp 1998). A model is a list of ("dense", W, b, weight_decay), ("tied", W, b) with the W of a dense one, ("relu",),
("sigmoid",), ("tanh",), ("identity",), ("l1", lam, reduction), ("kl", beta, rho).
"""

import numpy as np


def relu(X):
    return np.where(X.real > 0, X, 0)


def sigmoid(X):
    return 1 / (1 + np.exp(-X))


def tanh(X):
    return (np.exp(X) - np.exp(-X)) / (np.exp(X) + np.exp(-X))


def identity(X):
    return X


def absolute(X):
    return np.where(X.real < 0, -X, X)


ACTIVATIONS = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh, "identity": identity}


def binary_crossentropy(Z, T):
    """From logits, as a mean over everything; for |Z| of a few units, where the textbook formula is accurate."""
    P = sigmoid(Z)
    return -np.mean(T * np.log(P) + (1 - T) * np.log(1 - P))


def mse(Y, T):
    return np.mean((Y - T) * (Y - T))


LOSSES = {"binary_crossentropy": binary_crossentropy, "mse": mse}


def forward(model, X):
    """Output and penalty."""
    penalty = 0
    for kind, *args in model:
        if kind == "dense":
            W, b, weight_decay = args
            X = np.einsum("ni,ij->nj", X, W) + b
            penalty = penalty + weight_decay * sum(w * w for w in W.ravel()) / 2
        elif kind == "tied":
            W, b = args
            X = np.einsum("ni,ji->nj", X, W) + b
        elif kind == "l1":
            lam, reduction = args
            penalty = penalty + lam * absolute(X).sum() / (len(X) if reduction == "mean" else 1)
        elif kind == "kl":
            beta, rho = args
            means = [sum(column) / len(column) for column in X.T]
            penalty = penalty - beta * sum(rho * np.log(m / rho) + (1 - rho) * np.log((1 - m) / (1 - rho)) for m in means)
        else:
            X = ACTIVATIONS[kind](X)
    return X, penalty


def objective(model, loss, X, T):
    Y, penalty = forward(model, X)
    return LOSSES[loss](Y, T) + penalty


def complex_step(f, x, h=1e-30):
    """The gradient of f() with respect to x, which f reads and which is moved along the imaginary axis, entry by entry."""
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        value = x[index]
        x[index] = value + 1j * h
        gradient[index] = f().imag / h
        x[index] = value
    return gradient
