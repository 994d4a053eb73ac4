"""A deep, sparse autoencoder in NumPy, all of it on one page: forward, backward, Adam, training, and a check of the gradients.

It learns to put out what it was given, through a code that is smaller than the data:

    x -> relu(x W1 + b1) -> ... -> code -> ... -> z = a W + b,    p = sigmoid(z) as close to x as possible

Rows are examples. dQ is the gradient of the objective with respect to Q, and has Q's shape. Run it: it takes seconds.
"""

import numpy as np


def initialize(sizes, rng):
    """Weights and biases from each size to the next: Glorot's uniform weights, no bias."""
    limits = [np.sqrt(6 / (n_in + n_out)) for n_in, n_out in zip(sizes, sizes[1:])]
    return [[rng.uniform(-limit, limit, (n_in, n_out)), np.zeros(n_out)]
            for limit, n_in, n_out in zip(limits, sizes, sizes[1:])]


def forward(params, X):
    """The input of each layer, A, and at the end the logits Z: A[i + 1] = relu(A[i] W + b), but for the last layer."""
    A = [X]
    for i, (W, b) in enumerate(params):
        Z = A[i] @ W + b                                    # (N, n_out) = (N, n_in)(n_in, n_out) + (n_out,)
        A.append(np.maximum(Z, 0) if i < len(params) - 1 else Z)
    return A


def sigmoid(Z):
    return 1 / (1 + np.exp(-Z))


def objective(A, code, lam):
    """Binary cross-entropy of the logits, a mean over numbers, and the L1 penalty on the code, a mean over rows.

    The loss of a perfect reconstruction is not 0 but the mean of -x log x - (1 - x) log(1 - x): 0 only where x is 0 or 1.
    """
    Z, X = A[-1], A[0]
    loss = np.mean(np.maximum(Z, 0) - Z * X + np.log1p(np.exp(-np.abs(Z))))     # -x log p - (1 - x) log(1 - p)
    return loss, lam * np.abs(A[code]).sum() / len(X)


def backward(params, A, code, lam):
    """dW and db of every layer, from the last to the first."""
    grads = []
    dZ = (sigmoid(A[-1]) - A[0]) / A[0].size                # the derivatives of log and sigmoid cancel to p - x
    for i in range(len(params) - 1, -1, -1):
        W, b = params[i]
        grads.insert(0, [A[i].T @ dZ, dZ.sum(axis=0)])      # (n_in, n_out) = (n_in, N)(N, n_out)
        if i == 0:
            return grads
        dA = dZ @ W.T                                       # (N, n_in) = (N, n_out)(n_out, n_in)
        if i == code:
            dA = dA + lam / len(dA) * np.sign(A[i])
        dZ = dA * (A[i] > 0)                                # relu' is 1 where it let its input through, else 0


class Adam:
    """Each number moves by lr m / sqrt(v): m, v are running means of its gradient and squared gradient (Kingma & Ba 2015)."""

    def __init__(self, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.beta1, self.beta2, self.eps, self.t, self.moments = lr, beta1, beta2, eps, 0, None

    def step(self, params, grads):
        arrays = [(p, g) for layer, layer_grads in zip(params, grads) for p, g in zip(layer, layer_grads)]
        self.moments = self.moments or [(np.zeros_like(p), np.zeros_like(p)) for p, _ in arrays]
        self.t += 1
        for (p, g), (m, v) in zip(arrays, self.moments):
            m += (1 - self.beta1) * (g - m)
            v += (1 - self.beta2) * (g * g - v)
            m_hat, v_hat = m / (1 - self.beta1**self.t), v / (1 - self.beta2**self.t)   # they began at zero
            p -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


def train(params, X, batches, optimizer, code, lam=0.0):
    """Take a step for each batch of row numbers; return loss + penalty before each."""
    history = []
    for rows in batches:
        A = forward(params, X[rows])
        history.append(sum(objective(A, code, lam)))
        optimizer.step(params, backward(params, A, code, lam))
    return history


def worst_gradient(params, X, code, lam, h=1e-5):
    """The largest difference between backprop and (f(w + h) - f(w - h)) / 2h, over all parameters."""
    grads, worst = backward(params, forward(params, X), code, lam), 0.0
    for layer, layer_grads in zip(params, grads):
        for p, g in zip(layer, layer_grads):
            for i in np.ndindex(p.shape):
                value, f = p[i], []
                for p[i] in (value + h, value - h):
                    f.append(sum(objective(forward(params, X), code, lam)))
                p[i] = value
                worst = max(worst, abs(g[i] - (f[0] - f[1]) / (2 * h)))
    return worst


def main():
    rng = np.random.default_rng(0)
    sizes, code = [16, 12, 3, 12, 16], 2                    # the code is the input of layer 2
    angles = rng.uniform(0, 2 * np.pi, (1000, 1)) + np.linspace(0, 2 * np.pi, 16)
    X = 0.5 + 0.4 * np.sin(angles)                          # waves: 16 numbers that are one, a phase
    params = initialize(sizes, rng)
    optimizer = Adam(lr=0.01)
    for epoch in range(12):
        history = train(params, X, np.split(rng.permutation(1000), range(50, 1000, 50)), optimizer, code, lam=1e-5)
        if epoch % 2:
            print(f"epoch {epoch + 1:2}: objective {np.mean(history):.4f}")
    print(f"gradients agree with differences to {worst_gradient(params, X[:5], code, 1e-3):.1e}")
    error = np.abs(sigmoid(forward(params, X)[-1]) - X).mean()
    print(f"mean error of a reconstruction {error:.3f}, of the mean wave {np.abs(X.mean(axis=0) - X).mean():.3f}")


if __name__ == "__main__":
    main()
