"""Chains of layers: one buffer, slices that share it, copies that do not, and clear refusals."""

import copy
import pickle

import numpy as np
import pytest

from ae_scratch import (BinaryCrossEntropy, Dense, Identity, L1Activity, MeanSquaredError, Network, ReLU, Sigmoid, Tanh,
                        TiedDense)


def small(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return Network([Dense(5, 4, rng, dtype), Tanh(), L1Activity(0.1), Dense(4, 3, rng, dtype), Sigmoid()])


def test_glorot_uniform_weights_and_zero_biases():
    layer = Dense(300, 500, np.random.default_rng(0))
    limit = np.sqrt(6 / 800)
    assert layer.W.dtype == np.float32 and 0.99 * limit < np.abs(layer.W).max() <= limit
    assert layer.W.std() == pytest.approx(limit / np.sqrt(3), rel=0.01) and not layer.b.any()


def test_parameters_live_in_one_vector():
    network = small()
    network.params.vector[:] = 0.5
    assert (network.layers[0].W == 0.5).all() and (network.layers[3].b == 0.5).all()
    assert list(network.params) == ["0.W", "0.b", "1.W", "1.b"] and network.params.count == 5 * 4 + 4 + 4 * 3 + 3


def test_the_cache_is_every_activation():
    network = small()
    X = np.random.default_rng(1).normal(size=(6, 5))
    Y, A = network.forward(X)
    assert [a.shape for a in A] == [(6, 5), (6, 4), (6, 4), (6, 4), (6, 3), (6, 3)]
    assert A[0] is X and A[-1] is Y and np.allclose(A[2], np.tanh(A[1]))


def test_two_forwards_before_a_backward_do_not_disturb_each_other():
    network, rng = small(), np.random.default_rng(2)
    X, other, dY = rng.normal(size=(6, 5)), rng.normal(size=(6, 5)), rng.normal(size=(6, 3))
    expected = network.backward(dY, network.forward(X)[1])
    cache = network.forward(X)[1]
    network.forward(other)
    dX, grads = network.backward(dY, cache)
    assert dX.tobytes() == expected[0].tobytes() and grads.vector.tobytes() == expected[1].vector.tobytes()


@pytest.mark.parametrize("rows", [1, 2, 1023, 1024, 1025])
def test_predict_in_batches_is_forward(rows):
    network = small()
    X = np.random.default_rng(3).normal(size=(rows, 5))
    assert np.allclose(network.predict(X), network.forward(X)[0], rtol=1e-14)
    assert np.allclose(network.predict(X, batch_size=7), network.forward(X)[0], rtol=1e-14)


def test_slices_share_their_numbers():
    network = small()
    front, back = network[:3], network[3:]
    X = np.random.default_rng(4).normal(size=(6, 5))
    assert np.allclose(back.predict(front.predict(X)), network.predict(X), rtol=1e-14)
    assert list(front.params) == ["0.W", "0.b"] and list(back.params) == ["1.W", "1.b"] and back.widths == [4, 3, 3]
    back.params.vector[:] = 0
    assert not network.layers[3].W.any() and network.layers[0].W.any()
    assert len(network[1:3].params) == 0 and network[1:3].predict(X[:, :4]).shape == (6, 4)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_copies_have_a_vector_of_their_own(duplicate):
    network = small()
    other = duplicate(network)
    X = np.random.default_rng(5).normal(size=(6, 5))
    assert other.predict(X).tobytes() == network.predict(X).tobytes()
    other.params.vector[:] = 0
    assert not other.layers[0].W.any() and network.layers[0].W.any()


def test_astype_is_a_copy_in_another_precision():
    network = small(np.float32)
    double = network.astype("float64")
    assert double.dtype == np.float64 and double.params["0.W"].tolist() == network.params["0.W"].tolist()
    double.params.vector[:] = 0
    assert network.params["0.W"].any() and list(double.params) == list(network.params)


def test_kink_distance_looks_at_relus_and_penalised_units():
    relu = Network([Dense(1, 1, np.random.default_rng(0), np.float64), ReLU(), L1Activity(1.0)])
    relu.params["0.W"][:], relu.params["0.b"][:] = 1, 0
    assert relu.kink_distance(np.array([[2.0], [-0.5], [0.0]])).tolist() == [2.0, 0.5, 0.0]
    plain = Network([Dense(1, 1, np.random.default_rng(0), np.float64), Identity(), L1Activity(1.0)])
    plain.params["0.W"][:], plain.params["0.b"][:] = 1, 0
    assert plain.kink_distance(np.array([[2.0], [0.0]])).tolist() == [2.0, 0.0]
    above_0 = Network([Dense(1, 1, np.random.default_rng(0), np.float64), Sigmoid(), L1Activity(1.0)])
    assert above_0.kink_distance(np.array([[2.0], [-30.0]])).tolist() == [np.inf, np.inf]


def test_what_cannot_be_chained_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"Dense\(3, 2\) expects 3 inputs, got 4"):
        Network([Dense(5, 4, rng), ReLU(), Dense(3, 2, rng)])
    with pytest.raises(ValueError, match="nothing to learn"):
        Network([ReLU()])
    with pytest.raises(ValueError, match="one dtype, got float32, float64"):
        Network([Dense(2, 2, rng, np.float32), Dense(2, 2, rng, np.float64)])
    dense = Dense(2, 2, rng)
    with pytest.raises(ValueError, match="in one network, once"):
        Network([dense, dense])
    Network([dense])
    with pytest.raises(ValueError, match="in one network, once"):
        Network([dense])


def test_slices_are_the_only_index():
    for index in (0, slice(None, None, 2), slice(None, None, -1)):
        with pytest.raises(TypeError, match="expected a slice"):
            small()[index]


def test_lists_and_integers_are_taken_in_the_networks_dtype():
    network, data = small(np.float32), [[1, 2, 3, 4, 5]]
    Y, cache = network.forward(data)
    dX, _ = network.backward(np.ones_like(Y), cache)
    assert Y.dtype == dX.dtype == np.float32 and np.array_equal(network.predict(data), Y)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"shape \(rows, 5\), got \(2, 4\)"):
        small().forward(np.zeros((2, 4)))
    for loss in (BinaryCrossEntropy(), MeanSquaredError()):
        with pytest.raises(ValueError, match=r"shape \(2, 3\), got \(1, 3\)"):
            loss.forward(np.zeros((2, 3)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="'sum' or 'mean', got 'total'"):
        L1Activity(0.1, "total")


def test_the_penalty_of_a_batch_and_of_a_larger_one_like_it():
    A = np.array([[1.0, -2.0], [3.0, 0.0]])
    assert L1Activity(0.5, "sum").penalty(A) == 3.0 and L1Activity(0.5, "mean").penalty(A) == 1.5
    for reduction, expected in (("sum", 15.0), ("mean", 1.5)):
        layer = L1Activity(0.5, reduction)
        assert layer.penalty_of(layer.statistic(A) / 2, rows=10) == pytest.approx(expected)


# ---- tied weights ----------------------------------------------------------------------------------------------------------


def tied(dtype=np.float64):
    rng = np.random.default_rng(0)
    first, second = Dense(5, 4, rng, dtype), Dense(4, 3, rng, dtype)
    return Network([first, Tanh(), second, Sigmoid(), TiedDense(second), Tanh(), TiedDense(first)])


@pytest.mark.parametrize("duplicate", [
    lambda network: network, copy.copy, copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network)),
    lambda network: network.astype("float32"), lambda network: network[:-1].astype("float32").root,
    lambda network: copy.deepcopy(network[4:]).root, lambda network: pickle.loads(pickle.dumps(network[4:][1:])).root])
def test_a_tied_layer_has_the_weights_of_its_source_always(duplicate):
    network, X = tied(), np.random.default_rng(1).normal(size=(6, 5))
    other = duplicate(network)
    assert list(other.params) == ["0.W", "0.b", "1.W", "1.b", "2.b", "3.b"]
    assert other.params.count == 5 * 4 + 4 + 4 * 3 + 3 + 4 + 5
    assert np.allclose(other.predict(X), network.predict(X), atol=1e-6)
    before = other.predict(X)
    other.params["0.W"][:] *= 2
    assert other.layers[6].W is other.layers[0].W and np.shares_memory(other.layers[0].W, other.params.vector)
    hidden = other[:6].predict(X)
    assert np.allclose(other.predict(X), hidden @ other.params["0.W"].T + other.params["3.b"], atol=1e-6)
    assert not np.allclose(other.predict(X), before)


def test_a_part_with_a_tied_layer_works_in_another_precision_and_gives_no_half_gradients():
    network = tied()
    decoder, codes = network[4:], np.random.default_rng(2).uniform(size=(6, 3))
    assert list(decoder.params) == ["2.b", "3.b"] and decoder.params.count == 9
    single = decoder.astype("float32")
    assert single.dtype == np.float32 and np.allclose(single.predict(codes), decoder.predict(codes), atol=1e-6)
    Y, cache = decoder.forward(codes)
    with pytest.raises(ValueError, match=r"TiedDense\(3, 4\) has its weights from outside of this part"):
        decoder.backward(np.ones_like(Y), cache)
    dY, cache = np.ones((6, 5)), network.forward(np.ones((6, 5)))[1]
    assert list(network.backward(dY, cache)[1]) == list(network.params)


def test_a_tied_layer_without_its_source_in_front_is_refused():
    rng = np.random.default_rng(0)
    source = Dense(4, 3, rng)
    for layers in ([TiedDense(source)], [Dense(5, 3, rng), TiedDense(source)], [TiedDense(source), source]):
        with pytest.raises(ValueError, match="not in front of it"):
            Network(layers)
    with pytest.raises(ValueError, match=r"TiedDense\(3, 4\) expects 3 inputs, got 2"):
        Network([source, Dense(3, 2, rng), TiedDense(source)])


def test_summary_counts_parameters():
    text = small().summary()
    assert "Dense(5, 4)" in text and " 24" in text and text.endswith("39 parameters, float64")
