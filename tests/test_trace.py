"""The trace: every number against an independent computation, the step it shows against the step that training takes."""

import copy
import functools
import inspect
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import oracle
import pytest

from ae_scratch import SGD, Adam, Autoencoder, Dense, GaussianNoise, MaskingNoise, SaltAndPepperNoise
from ae_scratch.kernels import reference as ops
from ae_scratch.kernels.memory import Arrays
from ae_scratch.kernels.philox import permutation
from ae_scratch.penalties import KLActivity, L1Activity
from ae_scratch.trace.source import formula_of, source_of

SETTINGS = {
    "the article's": dict(l1_activity=1e-2, activity_reduction="sum"),
    "mean over rows": dict(l1_activity=0.3, code_activation="tanh", optimizer="sgd"),
    "shallow": dict(hidden_sizes=(), learning_rate=0.1),
    "deep": dict(hidden_sizes=(6, 5), decoder_sizes=(4,), activation="tanh", loss="mse", optimizer=SGD(0.1, momentum=0.9)),
    "tied": dict(hidden_sizes=(6, 5), tied_weights=True, weight_decay=0.05, code_activation="sigmoid", kl_beta=0.3, loss="mse"),
    "all penalties": dict(code_activation="sigmoid", kl_beta=0.2, kl_rho=0.1, l1_activity=0.1, weight_decay=0.1),
    "sigmoid with mse": dict(loss="mse", output_activation="sigmoid", optimizer=Adam(0.01, 0.8, 0.9, 1e-3)),
    "identity": dict(activation="identity", code_activation="identity", loss="mse", scaling="standard"),
    "bytes": dict(scaling="bytes"),
    "minmax and noise": dict(scaling="minmax", noise=GaussianNoise(0.3), loss="mse"),
    "masking": dict(noise=MaskingNoise(0.4, redraw="once")),
    "salt and pepper": dict(noise=SaltAndPepperNoise(0.4)),
}


def data(rows=7, features=6, seed=0):
    return np.random.default_rng(seed).uniform(0.05, 0.95, (rows, features))


def autoencoder(name, **changes):
    settings = dict(hidden_sizes=(5,), code_size=3, dtype="float64", engine="numpy", random_state=3, epochs=2)
    return Autoencoder(**{**settings, **SETTINGS[name], **changes})


def oracle_model(ae, weights):
    """The oracle's model with these weights, complex, and the arrays in it by name."""
    arrays = {name: array.astype(complex) for name, array in weights.items()}
    model = []
    there, back = len(ae.hidden_sizes) + 1, len(ae._sizes_back()) + 1
    for part, count in (("encoder", there), ("decoder", back)):
        for i in range(count):
            last = i == count - 1
            W, b = arrays.get(f"{part}.{i}.W"), arrays[f"{part}.{i}.b"]
            model.append(["tied", arrays[f"encoder.{there - 1 - i}.W"], b] if W is None else ["dense", W, b, ae.weight_decay])
            kind = ae.activation if not last else ae.code_activation if part == "encoder" else ae.output_activation
            model += [[kind]] if kind else []
            if last and part == "encoder":
                model += [["l1", ae.l1_activity, ae.activity_reduction]] if ae.l1_activity else []
                model += [["kl", ae.kl_beta, ae.kl_rho]] if ae.kl_beta else []
    return model, arrays


def close(got, expected, tol=1e-11):
    """Within tol of the largest number, or of 1e-3 where terms of that size cancel: sums of a few terms, in another order."""
    expected = np.asarray(expected)
    return np.shape(got) == expected.shape and bool(np.all(np.abs(got - expected) <= tol * max(np.abs(expected).max(), 1e-3)))


def trace_is_right(name):
    """Whether activations, loss, penalties, every gradient and the update agree with what the oracle says."""
    ae = autoencoder(name)
    X = data() * (255 if ae.scaling == "bytes" else 1)
    ae.fit(X)
    weights, optimizer = ae.get_weights(), copy.deepcopy(ae.optimizer_)
    trace = ae.trace(X)
    model, arrays = oracle_model(ae, weights)
    batch = trace["x_noisy" if ae.noise else "x_scaled" if ae.scaling else "x"].value.astype(complex)
    T = trace["x_scaled" if ae.scaling else "x"].value
    outputs = [e for e in trace.entries if e.kind == "forward" and e.operation in
               ("affine", "relu", "sigmoid", "tanh", "copy")]
    A, ok = batch, True
    for i, step in enumerate(model):
        A = oracle.forward(model[i:i + 1], A)[0]
        ok &= close(outputs[i].value, A.real)
    objective = lambda: oracle.objective(model, ae.loss, batch, T)  # noqa: E731
    ok &= close(trace["objective"].value, objective().real)
    ok &= close(trace["penalty"].value, np.real(oracle.forward(model, batch)[1]))
    ok &= close(trace["loss"].value, oracle.LOSSES[ae.loss](A, T).real)
    for parameter, array in arrays.items():
        ok &= close(trace[f"d{parameter}"].value, oracle.complex_step(objective, array))
    ok &= activations_gradients_are_right(trace, model, batch, T, ae.loss)
    return ok and update_is_right(trace, weights, optimizer)


def activations_gradients_are_right(trace, model, batch, T, loss):
    """The gradient at every activation: the complex step of what comes behind it."""
    names = [e.name for e in trace.entries if e.kind == "backward" and e.name.removeprefix("d") in
             {f.name for f in trace.entries if f.kind == "forward"} and "." not in e.name][::-1]
    ok = len(names) == len(model) + 1
    for i, name in enumerate(names):
        point = np.array(oracle.forward(model[:i], batch)[0], complex)
        expected = oracle.complex_step(lambda: oracle.objective(model[i:], loss, point, T), point)
        if model[i:] and model[i][0] == "l1":  # |a|' (0) = 0 by convention
            without = oracle.complex_step(lambda: oracle.objective(model[i + 1:], loss, point, T), point)
            expected = np.where(point == 0, without, expected)
        ok &= close(trace[name].value, expected)
    return ok


def update_is_right(trace, weights, optimizer):
    """Adam's paper and textbook momentum, written out number by number."""
    ok = True
    start = 0
    for name, W in weights.items():
        theta, g = W.ravel().tolist(), trace[f"d{name}"].value.ravel().tolist()
        slot = slice(start, start + len(theta))
        start += -(-len(theta) // 8) * 8  # every array begins at a multiple of 64 bytes
        if isinstance(optimizer, SGD):
            velocity = [optimizer.momentum * u + d for u, d in zip(optimizer.velocity[slot].tolist(), g)]
            after = [p - optimizer.lr * u for p, u in zip(theta, velocity)]
            moments = {"velocity": velocity}
        else:
            m = [optimizer.beta1 * u + (1 - optimizer.beta1) * d for u, d in zip(optimizer.m[slot].tolist(), g)]
            v = [optimizer.beta2 * u + (1 - optimizer.beta2) * d * d for u, d in zip(optimizer.v[slot].tolist(), g)]
            c1, c2 = 1 - optimizer.beta1_t * optimizer.beta1, 1 - optimizer.beta2_t * optimizer.beta2
            after = [p - optimizer.lr * (a / c1) / ((b / c2) ** 0.5 + optimizer.eps) for p, a, b in zip(theta, m, v)]
            moments = {"m": m, "v": v}
        ok &= close(trace[f"new {name}"].value.ravel(), after)
        ok &= all(close(trace[f"{moment} {name}"].value.ravel(), values) for moment, values in moments.items())
    return ok


@pytest.mark.parametrize("name", list(SETTINGS))
def test_every_number_agrees_with_the_oracle(name):
    assert trace_is_right(name)


@pytest.mark.parametrize("bug", [
    (ops, "relu_backward", lambda dY, Y, out=None: np.multiply(dY, 1, out=out)),
    (ops, "l1_backward", lambda dY, A, s, out=None: np.multiply(dY, 1, out=out)),
    (L1Activity, "penalty_of", lambda self, mean, rows: 0.0),
    (ops, "sum_rows", lambda A, out=None: np.mean(A, axis=0, out=out)),
    (ops, "affine", lambda X, W, b, out=None: np.matmul(X, W, out=out)),
    (ops, "adam", lambda theta, g, m, v, *_: theta.__isub__(g))], ids=lambda bug: bug[1])
def test_a_planted_fault_is_seen(monkeypatch, bug):
    owner, name, planted = bug
    monkeypatch.setattr(owner, name, functools.wraps(getattr(owner, name))(planted))
    assert not trace_is_right("the article's")


@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize("name", list(SETTINGS))
def test_the_step_is_the_one_that_training_takes(name, fitted):
    """To the byte: the parameters after it, the optimizer's moments, and the figures; and the trace itself changes nothing."""
    for dtype in ("float64", "float32"):
        ae = autoencoder(name, dtype=dtype, batch_size=16, epochs=1)
        X = data(16) * (255 if ae.scaling == "bytes" else 1)
        if fitted:
            ae.fit(X)
        before = copy.deepcopy(vars(ae))
        trace = ae.trace(X)
        assert set(vars(ae)) == set(before) and (not fitted or all(
            np.array_equal(ae.network_.params[name], before["network_"].params[name]) for name in ae.network_.params))
        if fitted:
            assert _state(ae.optimizer_) == _state(before["optimizer_"]) and ae.history_ == before["history_"]
        ae.partial_fit(X)
        for parameter, array in ae.get_weights().items():
            assert trace[f"new {parameter}"].value.tobytes() == array.tobytes()
        moments = {"m", "v"} if isinstance(ae.optimizer_, Adam) else {"velocity"}
        assert {e.name.split()[0] for e in trace.entries if e.kind == "update"} == moments | {"new", "old"}
        for moment in moments:  # before the step
            vector = getattr(before["optimizer_"], moment) if fitted else np.zeros_like(ae.network_.params.vector)
            for parameter, old in Arrays(ae.network_.params.shapes, vector.dtype, vector).items():
                assert np.array_equal(trace[f"old {moment} {parameter}"].value, old)
        for figure in ("objective", "loss", "penalty"):
            assert float(trace[figure].value) == pytest.approx(ae.history_[figure][-1], rel=1e-14, abs=1e-300)


def _state(optimizer):
    return {name: value.tobytes() if isinstance(value, np.ndarray) else value for name, value in vars(optimizer).items()}


def test_the_batch_is_the_first_that_training_visits():
    ae = autoencoder("shallow", batch_size=4)
    X = data(10)
    for epoch in range(3):
        trace = ae.trace(X)
        rows = permutation(3, epoch, 10)[:4]
        assert trace.rows == rows.tolist() and np.array_equal(trace["x"].value, X[rows]) and trace.epoch == epoch
        ae.partial_fit(X)


def test_targets_of_their_own_and_sequences_of_batches():
    ae = autoencoder("deep")
    X, y = data(5), data(5, seed=1)
    trace = ae.trace(X, y)
    assert np.array_equal(trace["t"].value, y[trace.rows]) and trace["residual"].inputs["T"] == "t"
    assert close(trace["residual"].value, trace["y"].value - trace["t"].value)
    batches = [X[:3], X[3:]]
    trace = autoencoder("deep").trace(batches)
    assert len(trace.rows) == 1 and np.array_equal(trace["x"].value, batches[trace.rows[0]])


def test_the_clean_data_and_the_noisy_are_both_there():
    trace = autoencoder("minmax and noise").trace(data())
    assert np.array_equal(trace["x"].value, data()[trace.rows])
    low, high = data().min(axis=0), data().max(axis=0)
    assert close(trace["x_scaled"].value, (trace["x"].value - low) / (high - low))
    assert np.array_equal(trace["offset"].value, low) and close(trace["scale"].value, high - low)
    assert trace["x_noisy"].value.std() > 0.2 and trace["z1"].inputs["X"] == "x_noisy"
    assert trace["residual"].inputs["T"] == "x_scaled"


@pytest.mark.parametrize("name", list(SETTINGS))
def test_every_source_line_stands_where_it_says(name):
    root = Path(inspect.getsourcefile(Dense)).parents[1]
    for entry in autoencoder(name).trace(data()).entries:
        for source in filter(None, (entry.source, entry.definition)):
            lines = (root / source.file).read_text().splitlines()[source.line - 1:]
            assert all(want.strip() == line.strip() for want, line in zip(source.text.splitlines(), lines))
        assert (entry.operation is None) == (entry.definition is None)
        assert entry.operation is None or f"ops.{entry.operation}(" in entry.source.text


def test_the_right_lines_are_found():
    trace = autoencoder("all penalties").trace(data())
    assert {name: (trace[name].operation, trace[name].formula) for name in (
        "z1", "a1", "residual", "dlogits", "dcode", "dcode_l1", "dz1", "dencoder.0.W", "dencoder.0.b", "new encoder.0.W")} == {
        "z1": ("affine", "Y = X W + b"), "a1": ("relu", "Y = 0 if X < 0 else X"), "residual": ("cross_entropy", "D = P - T"),
        "dlogits": ("scale", "dY = slope D / (N n)"), "dcode": ("l1_backward", "dX = dY + strength sign(X)"),
        "dcode_l1": ("kl_backward", "dX = dY + beta / N ((1 - rho) / (1 - m) - rho / m)"),
        "dz1": ("relu_backward", "dX = dY where Y > 0, else 0"),
        "dencoder.0.W": ("weight_gradient", "dW = X^T dY + weight_decay W"),
        "dencoder.0.b": ("sum_rows", "db = sum over n of dY[n]"),
        "new encoder.0.W": ("adam", "theta -= lr m_hat / (sqrt(v_hat) + eps),"
                            "  m_hat = m / (1 - beta1_t),  v_hat = v / (1 - beta2_t)")}
    m = trace["m encoder.0.W"].inputs  # those letters that the formula has, and no others
    assert m == {"g": "dencoder.0.W", "beta1": 0.9, "m": "old m encoder.0.W"} and set(trace["new encoder.0.W"].inputs) == {
        "theta", "m", "v", "lr", "eps", "beta1_t", "beta2_t"}
    assert source_of(Dense.input_gradient).text == "return ops.matmul(dY, self.W.T, out)"
    assert formula_of(Dense.input_gradient) == "dX = dY W^T"
    assert source_of(KLActivity.penalty_of).text.startswith("return self.beta *")


def product(trace, entry):
    """left @ right + scale * add, as the description of the dictionary says."""
    p = entry["product"]
    values = {e["name"]: np.array(e["values"]) for e in trace["entries"]}
    left = values[p["left"]].T if p["left_transposed"] else values[p["left"]]
    if p["right"] is None:
        return [sum(column) for column in left.T]
    right = values[p["right"]].T if p["right_transposed"] else values[p["right"]]
    return np.einsum("ik,kj->ij", left, right) + p["scale"] * (0 if p["add"] is None else values[p["add"]])


@pytest.mark.parametrize("name", list(SETTINGS))
def test_products_and_inputs_say_how_entries_are_made(name):
    trace = json.loads(autoencoder(name).trace(data()).to_json(values=True))
    names = [entry["name"] for entry in trace["entries"]]
    assert len(set(names)) == len(names)
    for i, entry in enumerate(trace["entries"]):
        assert all(value in names[:i] or entry["name"] == "residual" or value == "y" for value in entry["inputs"].values()
                   if isinstance(value, str)), entry
        assert (entry["product"] is not None) == (entry["operation"] in ("affine", "matmul", "weight_gradient", "add_matmul",
                                                                         "sum_rows"))
        if entry["product"]:
            assert close(np.array(entry["values"]), product(trace, entry))
    kinds = [entry["kind"] for entry in trace["entries"]]
    assert kinds == sorted(kinds, key=["forward", "backward", "update"].index)


def test_the_statistics():
    entry = autoencoder("the article's").trace(data())["code"]
    value = entry.value
    assert (value == 0).any() and entry.stats == pytest.approx({
        "min": min(value.ravel()), "mean": sum(value.ravel()) / value.size, "max": max(value.ravel()),
        "zeros": sum(v == 0 for v in value.ravel()) / value.size, "norm": sum(v * v for v in value.ravel()) ** 0.5})


def test_the_dictionary_holds_the_numbers_that_were_asked_for():
    trace = autoencoder("the article's", dtype="float32").trace(data())
    for values, wanted in ((True, lambda size: True), (False, lambda size: False), (20, lambda size: size <= 20)):
        for entry, original in zip(trace.to_dict(values)["entries"], trace.entries):
            assert ("values" in entry) == wanted(original.value.size)
            if "values" in entry:
                assert np.array_equal(np.array(entry["values"], original.value.dtype), original.value)
            assert entry["shape"] == list(original.value.shape) and entry["dtype"] == str(original.value.dtype)
    assert json.loads(trace.to_json(True)) == trace.to_dict(True)
    assert '"values": [[0.1, 0.2]]' in Autoencoder((), 1, engine="numpy").trace([[0.1, 0.2]]).to_json()


def test_json_without_numbers_for_what_is_none():
    ae = autoencoder("shallow").fit(data())
    with np.errstate(all="ignore"):
        ae.network_.params["encoder.0.W"][0, 0] = np.inf
        entry = next(e for e in json.loads(ae.trace(data()).to_json())["entries"] if e["name"] == "encoder.0.W")
    assert entry["values"][0][0] is None and entry["stats"]["max"] is None and entry["values"][0][1] is not None


def test_the_text_tells_all_in_order():
    trace = autoencoder("all penalties").trace(data())
    text = str(trace)
    at = [text.index(f"\n{entry.name}:  {entry.formula}") for entry in trace.entries]
    assert at == sorted(at)
    assert "z2:  Y = X W + b    [X = a1, W = encoder.1.W, b = encoder.1.b]" in text
    assert "ops.affine(X, self.W, self.b, out)  -> ae_scratch/kernels/reference.py:" in text
    assert np.array2string(trace["dencoder.1.b"].value, precision=5) in text


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(KeyError, match="no entry 'z9': there are x, encoder.0.W"):
        autoencoder("shallow").trace(data())["z9"]


def test_bad_data_are_refused_as_by_partial_fit():
    ae = autoencoder("shallow").fit(data())
    with pytest.raises(ValueError, match="X has 2 features, but Autoencoder is expecting 6"):
        ae.trace(np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        ae.trace(data() * 2)


def test_the_page_of_the_documents_names_every_key():
    page = (Path(__file__).parents[1] / "docs" / "trace.md").read_text(encoding="utf-8")
    trace = autoencoder("shallow").trace(data()).to_dict()
    for key in [*trace, *trace["entries"][0], *next(e["product"] for e in trace["entries"] if e["product"])]:
        assert f"`{key}`" in page
    exec(re.search("```python\n(.*?)```", page, re.S)[1].replace('trace.to_html("step.html")', "trace.to_html()"), {"print": str})


# ---- the page -------------------------------------------------------------------------------------------------------


def test_the_page_is_complete_in_itself_and_replaces_its_file_whole(tmp_path):
    ae = autoencoder("all penalties", dtype="float32")
    page = ae.trace(data()).to_html(tmp_path / "step.html")
    assert (tmp_path / "step.html").read_text(encoding="utf-8") == page and [p.name for p in tmp_path.iterdir()] == ["step.html"]
    assert not any(word in page for word in ("http:", "https:", "src=", "@import", "<link"))
    with pytest.raises(FileNotFoundError):
        ae.trace(data()).to_html(tmp_path / "missing" / "step.html")


def test_no_text_of_a_model_can_end_the_script():
    class Odd(GaussianNoise):
        def __repr__(self):
            return "</script><b>"
    page = Autoencoder((), 1, engine="numpy", noise=Odd(0.1)).trace(data()).to_html()
    assert page.count("</script>") == 1


LOOK = """<script>
let most = 0, dots = 0, texts = [];
for (const entry of STEP.entries.filter(entry => entry.product))
  for (let i = 0; i < entry.rows; i++) for (let j = 0; j < entry.columns; j++) {
    let sum = 0;
    for (const [k, left, right] of terms(entry.product, i, j)) sum += at(...left) * (right ? at(...right) : 1);
    if (entry.product.add) sum += entry.product.scale * at(entries.get(entry.product.add), i, j);
    most = Math.max(most, Math.abs(sum - at(entry, i, j)));
    dots++;
  }
const text = () => document.querySelector("main").innerText;
const press = target => new Promise(done => { addEventListener("hashchange", () => setTimeout(done), {once: true}); target(); });
(async () => {
  for (const name of order) {
    location.hash = encodeURIComponent(name);
    render();
    if (!text().includes("How this number")) throw name;
  }
  location.hash = "z1/0/0"; render();
  const canvas = document.querySelector("canvas"), box = canvas.getBoundingClientRect();
  await press(() => canvas.dispatchEvent(new MouseEvent("click", {clientX: box.x + 2.5 * 58, clientY: box.y + 1.5 * 26})));
  texts.push(document.getElementById("value").innerText);
  await press(() => canvas.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"})));
  texts.push(document.getElementById("value").innerText, document.querySelectorAll("#terms tbody tr").length);
  await press(() => document.querySelector("#terms tbody .link").click());
  texts.push(document.getElementById("value").innerText);
  for (const place of ["dz1/1/3", "loss_rows/0/3"]) {
    await press(() => { location.hash = place; });
    texts.push(document.getElementById("sum").innerText);
  }
  document.body.innerHTML = "<pre id=result>" + JSON.stringify({most, dots, texts}) + "</pre>";
})();
</script>"""


def browse(page, folder):
    """What the script above finds on a page, in a real browser."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("the page was not looked at: no chromium or google-chrome is installed")
    (folder / "step.html").write_text(page.replace("</body>", LOOK + "</body>"), encoding="utf-8")
    dom = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
                          "--virtual-time-budget=10000", "--dump-dom", (folder / "step.html").as_uri()],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120, text=True).stdout
    return json.loads(re.search('<pre id="result">(.*?)</pre>', dom)[1])


def test_a_click_shows_the_dot_product_term_by_term(tmp_path):
    trace = autoencoder("tied").trace(data())
    found = browse(trace.to_html(), tmp_path)
    products = [entry for entry in trace.entries if entry.product]
    assert found["dots"] == sum(entry.value.size for entry in products) and found["most"] < 1e-13
    z1, x = trace["z1"].value, trace["x"].value
    clicked, moved, rows, linked, mask, loss = found["texts"]
    assert clicked.startswith("z1[1, 2] = ") and float(clicked.split("= ")[1]) == pytest.approx(z1[1, 2], rel=1e-4)
    assert moved.startswith("z1[1, 3] = ") and float(moved.split("= ")[1]) == pytest.approx(z1[1, 3], rel=1e-4) and rows == 6
    assert linked.startswith("x[1, 0] = ") and float(linked.split("= ")[1]) == pytest.approx(x[1, 0], rel=1e-4)
    given, slope = trace["da1"].value[1, 3], float(f"{trace['a1'].value[1, 3]:.6g}")
    assert re.search(r"\n= (\S+) where (\S+) &gt; 0, else 0\n", mask)[2] == f"{slope:g}"
    assert trace["dz1"].value[1, 3] in (0, given)
    residual, table = trace["residual"].value[3], re.findall(r"\[3, \d\]\t(\S+)\t(\S+)\t\(?(\S+?)\)?\^2", loss)
    assert np.allclose([float(term) for *_, term in table], residual, rtol=1e-4) and len(table) == 6
    assert float(table[-1][1]) == pytest.approx(trace["loss_rows"].value[3], rel=1e-4)


def test_the_browser_sees_a_wrong_number(tmp_path):
    trace = autoencoder("tied").trace(data())
    trace["dz1"].value[2, 1] += 1e-3
    assert browse(trace.to_html(), tmp_path)["most"] > 1e-4


FORMULAS = """
const {script, step} = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(new Function("step", script.replace("const STEP = null", "const STEP = step") + `
let off = 0, formulas = {};
for (const entry of STEP.entries.filter(entry => !entry.product))
  for (let i = 0; i < entry.rows; i++) for (let j = 0; j < entry.columns; j++) {
    const made = summed(entry, entry.shape.length ? j : 0) || written(entry, i, j);
    if (!made) continue;
    const value = at(entry, i, j);
    off = Math.max(off, Math.abs(made.value - value) / Math.max(Math.abs(value), 1e-6));
    formulas[entry.name] ??= made.lines;
  }
  return {off, formulas};`)(step)));
"""


def worked_out(trace):
    """What the page makes of all formulas of numbers: how far they are off, relatively, and the text of each, by Node."""
    page = trace.to_html()
    script = page[page.index('"use strict"'):page.index('document.getElementById("about")')]
    step = re.search("const STEP = (.*);\n", script)[1]
    content = json.dumps({"script": script.replace(step, "null"), "step": json.loads(step)})
    return json.loads(subprocess.run(["node", "-e", FORMULAS], input=content, capture_output=True, text=True, check=True).stdout)


WITHOUT = re.compile(r"x = rows|t = rows|[Wb] of|\w+ before the|\w+ of each|x\w* corrupted|penalty = sum of the|m = mean")


@pytest.mark.skipif(shutil.which("node") is None, reason="no node: formulas with their numbers were not worked out")
@pytest.mark.parametrize("name", list(SETTINGS))
def test_formulas_with_their_numbers_give_the_number(name):
    """Each formula of numbers in each place: what the page reckons with it is what the library computed."""
    X = data() * (255 if name == "bytes" else 1)
    trace = autoencoder(name).fit(X).trace(X)
    found = worked_out(trace)
    assert found["off"] < 1e-9
    for entry in trace.entries:
        assert entry.name in found["formulas"] or entry.product or WITHOUT.match(entry.formula), entry.formula
    for lines in found["formulas"].values():  # the text, to the six digits it shows, says the same
        *_, text, value = [line.removeprefix("= ") for line in lines] or ["0", "0"]
        expression = text.replace("×", "*").replace("^", "**")
        expression = re.sub("(.*) if (.*), else (.*)", r"\1 if \2 else \3", expression.replace(" where ", " if "))
        names = {"sign": np.sign, "abs": abs, **{f: getattr(np, f) for f in ("exp", "log", "sqrt", "tanh")}}
        assert eval(expression, names) == pytest.approx(float(value), rel=1e-4, abs=1e-5)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node: formulas with their numbers were not worked out")
def test_a_formula_that_is_not_the_number_s_is_seen():
    trace = autoencoder("all penalties").trace(data())
    trace["dcode"].value[1, 1] *= 1 + 1e-6
    assert worked_out(trace)["off"] > 1e-7
