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
    """From logits, as a mean over everything: -T log P - (1 - T) log(1 - P), where neither P nor 1 - P is rounded to 1."""
    return np.mean(np.where(Z.real > 0, (1 - T) * Z, -T * Z) + np.log1p(np.exp(-absolute(Z))))


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


def conditions(model, loss, X, T):
    """Of each parameter in turn, and of X: what its gradient's error may be in units of rounding, entry by entry, to first order.

    A product's error is at most a small multiple of u |A||B|, plus that of its operands (Higham 2002, ch. 3): so every number
    goes with the sum of the sizes of all that it is made of. S is that of an activation, R of a gradient.
    """
    A, S, inputs = X.real, np.abs(X.real), []
    for kind, *args in model:
        inputs.append((A, S))
        if kind in ("dense", "tied"):
            W, b = _weights(kind, args)
            A, S = A @ W + b, S @ np.abs(W) + np.abs(b)
        elif kind in ACTIVATIONS:
            Y = ACTIVATIONS[kind](A)
            A, S = Y, np.abs(SLOPES[kind](Y)) * S + np.abs(Y)
    D, R = _residual(loss, A, S, np.asarray(T))
    found = []
    for (kind, *args), (X, S) in zip(model[::-1], inputs[::-1]):
        if kind in ("dense", "tied"):
            W, b = _weights(kind, args)
            own = S.T @ np.abs(D) + np.abs(X).T @ R + (args[2] * np.abs(W) if kind == "dense" else 0)
            found[:0] = [(id(args[0]), own if kind == "dense" else own.T), (id(args[1]), R.sum(axis=0))]
            D, R = D @ W.T, R @ np.abs(W).T
        elif kind in ACTIVATIONS:
            Y, slope = ACTIVATIONS[kind](X), SLOPES[kind](ACTIVATIONS[kind](X))
            bend = {"sigmoid": np.abs(1 - 2 * Y), "tanh": 2 * np.abs(Y)}.get(kind, 0)
            D, R = D * slope, R * slope + np.abs(D) * bend * (slope * S + np.abs(Y))
        else:
            push, size = _penalty_slope(kind, args, X, S)
            D, R = D + push, R + size
    sums = {}
    for key, value in found:  # a tied W adds up both paths
        sums[key] = sums.get(key, 0) + value
    return [*sums.values(), R]


SLOPES = {"relu": lambda Y: 1.0 * (Y > 0), "sigmoid": lambda Y: Y * (1 - Y), "tanh": lambda Y: 1 - Y * Y,
          "identity": np.ones_like}


def _weights(kind, args):
    return (args[0].real if kind == "dense" else args[0].real.T), args[1].real


def _residual(loss, Y, S, T):
    """The gradient at the output, and the sizes it is made of."""
    if loss == "mse":
        return 2 * (Y - T) / Y.size, 2 * (S + np.abs(T)) / Y.size
    P = sigmoid(Y)
    return (P - T) / Y.size, (P * (1 - P) * S + P + np.abs(T)) / Y.size


def _penalty_slope(kind, args, X, S):
    """What a penalty adds to the gradient, and the sizes that is made of."""
    if kind == "l1":
        strength = args[0] / (len(X) if args[1] == "mean" else 1)
        return strength * np.sign(X), strength * (X != 0)
    beta, rho = args
    m, size = X.mean(axis=0), S.mean(axis=0)
    slope = beta / len(X) * ((1 - rho) / (1 - m) - rho / m)
    rest = beta / len(X) * ((1 - rho) / (1 - m) * (1 + (size + 1) / (1 - m)) + rho / m * (1 + size / m))
    return np.broadcast_to(slope, X.shape), np.broadcast_to(rest, X.shape)


def adam(theta, gradients, lr, beta1, beta2, eps):
    """Algorithm 1 of Kingma & Ba 2015 on Python floats, one parameter at a time."""
    theta = [float(x) for x in theta]
    for i in range(len(theta)):
        m = v = 0.0
        for t, g in enumerate((float(step[i]) for step in gradients), start=1):
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g * g
            theta[i] -= lr * (m / (1 - beta1**t)) / ((v / (1 - beta2**t))**0.5 + eps)
    return theta


def sgd(theta, gradients, lr, momentum):
    """Gradient descent whose velocity is the sum of all gradients so far, each weighing less by a factor for every step."""
    return [float(x) - lr * sum(momentum**(t - s) * float(gradients[s][i]) for t in range(len(gradients)) for s in range(t + 1))
            for i, x in enumerate(theta)]
