"""Exercises in backpropagation: forward passes that work, and backward passes that are yours to write.

Fill in the functions below, in any order, and run this file: every answer is judged, number by number. dQ is the gradient of
the objective with respect to Q, and has Q's shape; rows are examples, N of them. NumPy is all you need.
"""

import numpy as np

from ae_scratch.exercises import main


def affine_forward(X, W, b):
    return X @ W + b                                        # (N, n_out) = (N, n_in)(n_in, n_out) + (n_out,)


def affine_backward(dY, X, W):
    """Return dX, dW and db."""
    return dY @ W.T, X.T @ dY, dY.sum(axis=0)


def relu_forward(X):
    return np.maximum(X, 0)


def relu_backward(dY, Y):
    """Return dX; Y is what the forward pass put out."""
    return dY * (Y > 0)


def sigmoid_forward(X):
    return 1 / (1 + np.exp(-X))


def sigmoid_backward(dY, Y):
    """Return dX; Y is what the forward pass put out."""
    return dY * Y * (1 - Y)


def tanh_forward(X):
    return np.tanh(X)


def tanh_backward(dY, Y):
    """Return dX; Y is what the forward pass put out."""
    return dY * (1 - Y**2)


def squared_error_forward(Y, T):
    return np.mean((Y - T)**2)                              # over rows and features


def squared_error_backward(Y, T):
    """Return dY."""
    return 2 * (Y - T) / Y.size


def cross_entropy_forward(Z, T):
    P = sigmoid_forward(Z)
    return np.mean(-T * np.log(P) - (1 - T) * np.log(1 - P))


def cross_entropy_backward(Z, T):
    """Return dZ: through the logarithms and the sigmoid."""
    return (sigmoid_forward(Z) - T) / Z.size


def l1_forward(A, lam):
    return A, lam * np.abs(A).sum() / len(A)                # passes A on, and adds a penalty to the objective


def l1_backward(dY, A, lam):
    """Return dA; dY is the gradient at what was passed on."""
    return dY + lam / len(A) * np.sign(A)


def kl_forward(A, beta, rho):
    m = A.mean(axis=0)
    return A, beta * np.sum(rho * np.log(rho / m) + (1 - rho) * np.log((1 - rho) / (1 - m)))


def kl_backward(dY, A, beta, rho):
    """Return dA; dY is the gradient at what was passed on."""
    m = A.mean(axis=0)
    return dY + beta / len(A) * ((1 - rho) / (1 - m) - rho / m)


def tied_forward(X, W, b1, b2):
    """Out and back through one W: code = X W + b1, Y = code W^T + b2."""
    code = X @ W + b1
    return code, code @ W.T + b2


def tied_backward(dY, X, W, code):
    """Return dW, db1 and db2: W is used twice."""
    dcode = dY @ W
    return X.T @ dcode + dY.T @ code, dcode.sum(axis=0), dY.sum(axis=0)


def autoencoder_forward(X, W1, b1, W2, b2, lam):
    """A sparse autoencoder: returns z1, the code, the logits, and the objective of reproducing X."""
    z1 = affine_forward(X, W1, b1)
    code, penalty = l1_forward(relu_forward(z1), lam)
    logits = affine_forward(code, W2, b2)
    return z1, code, logits, cross_entropy_forward(logits, X) + penalty


def autoencoder_backward(X, W1, W2, lam, z1, code, logits):
    """Return dlogits, dW2, db2, dcode (with the penalty's share), dz1, dW1 and db1."""
    dlogits = cross_entropy_backward(logits, X)
    dcode, dW2, db2 = affine_backward(dlogits, code, W2)
    dcode = l1_backward(dcode, code, lam)
    dz1 = relu_backward(dcode, code)
    _, dW1, db1 = affine_backward(dz1, X, W1)
    return dlogits, dW2, db2, dcode, dz1, dW1, db1


if __name__ == "__main__":
    raise SystemExit(main(globals()))
