"""Training against plain Python, its history, its order, and how it ends when it must."""

import math
import os
import signal
import threading

import numpy as np
import pytest

from ae_scratch import (SGD, Adam, BinaryCrossEntropy, Dense, DivergedError, GaussianNoise, KLActivity, L1Activity,
                        MaskingNoise, MeanSquaredError, Network, ReLU, SaltAndPepperNoise, Sigmoid)
from ae_scratch.kernels import philox
from ae_scratch.training import Job, evaluate, interrupt_deferred, train


def plain_training(W1, b1, W2, b2, batches, lr, lam):
    """A 2-3-2 autoencoder (ReLU, L1 on the code added up over rows, cross-entropy from a sigmoid) by Adam, in Python floats.

    Written from the scalar rules, one example and one weight at a time. Returns the parameters and (loss, penalty) of each batch.
    """
    theta = [*(w for row in W1 for w in row), *b1, *(w for row in W2 for w in row), *b2]
    m, v, figures = [0.0] * 17, [0.0] * 17, []
    for t, batch in enumerate(batches, start=1):
        w1, c1, w2, c2 = theta[0:6], theta[6:9], theta[9:15], theta[15:17]
        g, loss, penalty = [0.0] * 17, 0.0, 0.0
        for x in batch:
            z = [x[0] * w1[j] + x[1] * w1[3 + j] + c1[j] for j in range(3)]
            a = [max(value, 0.0) for value in z]
            logit = [sum(a[j] * w2[2 * j + k] for j in range(3)) + c2[k] for k in range(2)]
            p = [1 / (1 + math.exp(-value)) for value in logit]
            loss -= sum(x[k] * math.log(p[k]) + (1 - x[k]) * math.log(1 - p[k]) for k in range(2)) / (2 * len(batch))
            penalty += lam * sum(a)
            d_logit = [(p[k] - x[k]) / (2 * len(batch)) for k in range(2)]
            d_z = [(sum(d_logit[k] * w2[2 * j + k] for k in range(2)) + lam) if z[j] > 0 else 0.0 for j in range(3)]
            for j in range(3):
                g[j] += x[0] * d_z[j]
                g[3 + j] += x[1] * d_z[j]
                g[6 + j] += d_z[j]
                for k in range(2):
                    g[9 + 2 * j + k] += a[j] * d_logit[k]
            for k in range(2):
                g[15 + k] += d_logit[k]
        figures.append((loss, penalty))
        for i in range(17):
            m[i] = 0.9 * m[i] + 0.1 * g[i]
            v[i] = 0.999 * v[i] + 0.001 * g[i] ** 2
            theta[i] -= lr * (m[i] / (1 - 0.9 ** t)) / (math.sqrt(v[i] / (1 - 0.999 ** t)) + 1e-8)
    return theta, figures


def test_three_epochs_of_a_2_3_2_autoencoder_against_plain_python():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(7, 2))
    network = Network([Dense(2, 3, rng, np.float64), ReLU(), L1Activity(0.01, "sum"), Dense(3, 2, rng, np.float64)])
    start = [network.params[name].tolist() for name in ("0.W", "0.b", "1.W", "1.b")]
    orders = [philox.permutation(5, epoch, 7).tolist() for epoch in range(3)]
    batches = [[X[i].tolist() for i in order[s:s + 3]] for order in orders for s in (0, 3, 6)]
    theta, figures = plain_training(*start, batches, 0.05, 0.01)

    history = {}
    train(Job(network, BinaryCrossEntropy(), Adam(0.05), X, X, 3, 5), 3, history)
    got = np.concatenate([network.params[name].ravel() for name in network.params])
    assert got.tolist() == pytest.approx(theta, rel=1e-12, abs=1e-14)
    for epoch in range(3):
        rows = figures[3 * epoch:3 * epoch + 3]
        loss, penalty = ((3 * rows[0][i] + 3 * rows[1][i] + 1 * rows[2][i]) / 7 for i in (0, 1))  # weighted by rows
        assert history["loss"][epoch] == pytest.approx(loss, rel=1e-12)
        assert history["penalty"][epoch] == pytest.approx(penalty, rel=1e-12)
        assert history["objective"][epoch] == pytest.approx(loss + penalty, rel=1e-12)


@pytest.fixture
def seen(monkeypatch):
    """The inputs of all batches, in the order in which training takes them."""
    from ae_scratch import training

    batches, original = [], training.objective_and_gradients

    def spy(network, loss, X, T, grads):
        batches.append(X)
        return original(network, loss, X, T, grads)
    monkeypatch.setattr(training, "objective_and_gradients", spy)
    return batches


def job(rows=20, batch_size=8, optimizer=None, noise=None, seed=0, scale=1.0):
    rng = np.random.default_rng(1)
    network = Network([Dense(6, 4, rng), ReLU(), Dense(4, 6, rng)])
    X = scale * rng.uniform(size=(rows, 6)).astype(np.float32)
    return Job(network, MeanSquaredError(), optimizer or Adam(0.01), X, X, batch_size, seed, noise)


def test_overfits_eight_samples():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (8, 20)).astype(np.float32)
    network = Network([Dense(20, 32, rng), ReLU(), Dense(32, 20, rng)])
    history = {}
    train(Job(network, BinaryCrossEntropy(), Adam(0.01), X, X, 8, 0), 300, history)
    assert history["loss"][0] == pytest.approx(math.log(2), abs=0.1) and history["loss"][-1] < 0.01


@pytest.mark.parametrize("batch_size", [1, 8, 20, 100])
def test_every_row_is_used_once_per_epoch(batch_size, seen):
    task = job(batch_size=batch_size)
    train(task, 2, {})
    first, second = np.concatenate(seen[:len(seen) // 2]), np.concatenate(seen[len(seen) // 2:])
    key = sorted(map(tuple, task.X.tolist()))
    assert sorted(map(tuple, first.tolist())) == key == sorted(map(tuple, second.tolist()))
    assert not np.array_equal(first, second) and max(map(len, seen)) == min(batch_size, 20)


def test_same_seed_same_bytes_and_another_seed_other_bytes():
    vectors = []
    for seed in (0, 0, 1):
        task = job(seed=seed, noise=GaussianNoise(0.1))
        train(task, 2, {})
        vectors.append(task.network.params.vector.tobytes())
    assert vectors[0] == vectors[1] != vectors[2]


def test_evaluate_takes_the_means_of_all_rows_for_kl():
    """Whatever the chunks: the divergence of a mean is not the mean of divergences."""
    rng = np.random.default_rng(0)
    encoder = [Dense(4, 3, rng, np.float64, weight_decay=0.1), Sigmoid(), KLActivity(0.5, 0.1)]
    network = Network([*encoder, Dense(3, 4, rng, np.float64)])
    X = rng.normal(scale=3, size=(23, 4))
    X[:5] += 4
    m = network[:2].predict(X).mean(axis=0)
    kl = 0.5 * (0.1 * np.log(0.1 / m) + 0.9 * np.log(0.9 / (1 - m))).sum()
    for chunk, batch_size in ((1, 8), (5, 8), (22, 23), (1024, 1)):
        figures = evaluate(network, MeanSquaredError(), X, X, batch_size, chunk)
        assert figures["penalty"] == pytest.approx(kl + 0.05 * (network.layers[0].W**2).sum(), rel=1e-12)
    A = network[:2].predict(X)
    separately = np.mean([network.layers[2].penalty(A[i:i + 1]) for i in range(23)])
    assert abs(separately - kl) > 0.1 * kl  # taking it row by row would be seen


def test_evaluate_does_not_depend_on_its_chunks_and_weighs_the_penalty_as_a_batch():
    rng = np.random.default_rng(2)
    X = rng.uniform(size=(23, 5))
    for reduction, expected_rows in (("sum", 8), ("mean", 1)):
        network = Network([Dense(5, 4, rng, np.float64), ReLU(), L1Activity(0.1, reduction), Dense(4, 5, rng, np.float64)])
        code = network[:2].predict(X)
        figures = [evaluate(network, MeanSquaredError(), X, X, batch_size=8, chunk=chunk) for chunk in (1, 7, 23, 1024)]
        assert figures[0]["penalty"] == pytest.approx(0.1 * expected_rows * np.abs(code).sum() / 23, rel=1e-12)
        assert figures[0]["loss"] == pytest.approx(np.mean((network.predict(X) - X) ** 2), rel=1e-12)
        for other in figures:
            assert other == pytest.approx(figures[0], rel=1e-12)
            assert other["objective"] == other["loss"] + other["penalty"]


@pytest.mark.parametrize("optimizer", [SGD(1e8), Adam(1e30)])
def test_divergence_is_a_typed_error_that_says_when(optimizer):
    with pytest.raises(DivergedError, match=r"epoch \d+, step \d+; try a smaller learning_rate") as error:
        train(job(optimizer=optimizer, scale=1e10), 50, {})
    assert error.value.epoch >= 0 and error.value.step >= 0


def test_divergence_in_the_very_last_step_is_seen():
    with pytest.raises(DivergedError, match="a parameter"):
        train(job(rows=8, optimizer=SGD(1e38, momentum=0.9), scale=100), 1, {})


@pytest.mark.skipif(os.name == "nt", reason="signals differ on Windows")
def test_ctrl_c_stops_after_a_completed_step(monkeypatch):
    """The signal arrives in the middle of a step; the parameters are those after that whole step."""
    from ae_scratch import training

    steps, original = [], training.objective_and_gradients

    def interrupting(*args):
        steps.append(1)
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*args)
    expected = job()
    for rows in np.split(philox.permutation(0, 0, 20), [8, 16])[:2]:
        grads = expected.network.params.zeros_like()
        original(expected.network, expected.loss, expected.X[rows], expected.X[rows], grads)
        expected.optimizer.step(expected.network.params.vector, grads.vector)
    monkeypatch.setattr(training, "objective_and_gradients", interrupting)
    task, history = job(), {}
    with pytest.raises(KeyboardInterrupt):
        train(task, 5, history)
    assert len(steps) == 2 and not history
    assert task.network.params.vector.tobytes() == expected.network.params.vector.tobytes()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(os.name == "nt", reason="signals differ on Windows")
def test_ctrl_c_in_the_last_moments_is_not_lost():
    class Late:
        def batch(self, *_):
            pass

        def epoch(self, epoch, figures):
            if epoch == 1:
                os.kill(os.getpid(), signal.SIGINT)
    history = {}
    with pytest.raises(KeyboardInterrupt):
        train(job(), 2, history, Late())
    assert len(history["loss"]) == 2


def test_a_second_ctrl_c_strikes_at_once():
    with interrupt_deferred() as interrupted:
        signal.raise_signal(signal.SIGINT)
        assert interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_training_in_a_thread_leaves_signals_alone():
    task, errors = job(), []

    def run():
        try:
            train(task, 1, {})
        except BaseException as error:
            errors.append(error)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not errors and signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("noise", [lambda redraw: GaussianNoise(0.1, redraw=redraw), lambda redraw: MaskingNoise(0.3, redraw),
                                   lambda redraw: SaltAndPepperNoise(0.3, redraw=redraw)])
def test_noise_is_redrawn_or_not(noise):
    X = np.full((40, 9), 0.5, np.float32)
    batch, once = noise("batch"), noise("once")
    assert np.array_equal(once.corrupt(X, 0, epoch=0), once.corrupt(X, 0, epoch=3))
    assert not np.array_equal(batch.corrupt(X, 0, epoch=0), batch.corrupt(X, 0, epoch=3))
    rows = np.array([7, 3])
    assert np.array_equal(batch.corrupt(X[rows], 0, 2, rows), batch.corrupt(X, 0, 2)[rows])
    assert (X == 0.5).all() and batch.corrupt(X, 0).dtype == np.float32
    with pytest.raises(TypeError, match="floating-point"):
        batch.corrupt(np.ones((2, 3), np.uint8), 0)
    with pytest.raises(ValueError, match="seed must be from 0"):
        batch.corrupt(X, -1)


def test_the_noise_on_a_row_is_its_own_in_whatever_batch_it_comes(seen):
    noise = GaussianNoise(0.1)
    task = job(noise=noise)
    train(task, 1, {})
    assert np.array_equal(np.concatenate(seen), noise.corrupt(task.X, 0, 0)[philox.permutation(0, 0, 20)])


def test_noise_has_its_sigma_and_clips():
    X = np.zeros((1000, 100))
    noisy = GaussianNoise(0.4).corrupt(X, 1)
    assert noisy.std() == pytest.approx(0.4, rel=0.01) and abs(noisy.mean()) < 0.005
    clipped = GaussianNoise(0.4, clip=(0, 1)).corrupt(X, 1)
    assert np.array_equal(clipped, np.clip(noisy, 0, 1))


@pytest.mark.parametrize("noise, arguments, message", [
    (GaussianNoise, (-1,), "at least 0"), (GaussianNoise, (float("nan"),), "finite"),
    (GaussianNoise, (0.1, (1, 0)), "low < high"), (GaussianNoise, (0.1, None, "always"), "'batch' or 'once'"),
    (MaskingNoise, (1.0,), "below 1"),
    (MaskingNoise, (0.1, "always"), "'batch' or 'once'"), (SaltAndPepperNoise, (-0.1,), "at least 0"),
    (SaltAndPepperNoise, (0.1, 1, 0), "low < high"), (SaltAndPepperNoise, (0.1, 0, float("inf")), "finite")])
def test_nonsense_noise_is_refused(noise, arguments, message):
    with pytest.raises(ValueError, match=message):
        noise(*arguments)
