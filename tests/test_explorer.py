"""The explorer: what is in the file, that its JavaScript computes what the library does, and the page in a real browser."""

import base64
import json
import re
import shutil
import subprocess
import time

import numpy as np
import pytest
from browser import Browser, missing

from ae_scratch import Autoencoder, GaussianNoise, MaskingNoise, NotFittedError, SaltAndPepperNoise
from ae_scratch.cli import main
from ae_scratch.datasets import as_rows, make_digits
from ae_scratch.explorer import LIMIT, export
from ae_scratch.explorer.description import describe

IMAGES, LABELS = make_digits(200, 0)
IMAGES = as_rows(IMAGES)
TABLE = np.random.default_rng(0).normal([20, 1e4, -3, 0.5, 7], [2, 500, 1, 0.01, 3], (100, 5))
# whatever a column may be called
NAMES = ["bearing_temperature_of_the_second_pump_c", "pressure", "flow", "</script><b>", "{{model}}"]

MODELS = {
    "relu": (dict(code_size=6, noise=GaussianNoise(0.3, clip=(0, 1)), l1_activity=1e-4), IMAGES),
    "tied, tanh, minmax": (dict(code_size=2, tied_weights=True, activation="tanh", code_activation="identity",
                                scaling="minmax"), TABLE),
    "sigmoid, standard, float64": (dict(hidden_sizes=(7, 5), code_size=3, activation=["sigmoid", "relu"], loss="mse",
                                        code_activation="sigmoid", kl_beta=0.1, scaling="standard", dtype="float64"), TABLE),
    "bytes": (dict(hidden_sizes=(), code_size=1, noise=SaltAndPepperNoise(0.2), scaling="bytes"),
              np.round(255 * IMAGES).astype(np.uint8)),
}


def fitted(name):
    settings, X = MODELS[name]
    return Autoencoder(**{"hidden_sizes": (16,), "epochs": 2, "engine": "numpy", "random_state": 0, **settings}).fit(X), X


def model_of(page):
    """What a page is told, from its file."""
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="model">(.*?)</script>', text, re.DOTALL)[1])


def script_of(page):
    return re.search(r'<script id="network">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)[1]


# ---- the file --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """The article's deep model, hardly trained, and its page."""
    ae = Autoencoder(noise=GaussianNoise(0.4, clip=(0, 1)), epochs=1, engine="numpy", random_state=0).fit(IMAGES)
    return ae, export(ae, tmp_path_factory.mktemp("deep") / "explorer.html", IMAGES, LABELS)


def test_the_articles_deep_model_fits_with_exact_weights(deep):
    ae, page = deep
    assert page.stat().st_size < LIMIT == 1_500_000
    parameters = np.frombuffer(base64.b64decode(model_of(page)["parameters"]), "<f4")
    expected = np.concatenate([array.ravel() for array in ae.get_weights().values()])
    assert parameters.tobytes() == expected.tobytes() and len(parameters) == 209_968


def test_nothing_in_the_file_comes_from_anywhere_else(deep):
    text = re.sub(r'<script type="application/json".*?</script>', "", deep[1].read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.findall(r"https?:|//[a-z]|src=|url\(|fetch|XMLHttp|WebSocket|import\b|<link", text)
    assert "default-src 'none'" in text


def test_a_larger_model_is_refused_with_its_size(tmp_path):
    ae = Autoencoder((200,), 32, epochs=1, batch_size=200, engine="numpy", random_state=0).fit(IMAGES)
    page = tmp_path / "explorer.html"
    page.write_text("mine")
    with pytest.raises(ValueError, match=r"1,500,000 bytes; 784-200-32-200-784 has 327,616 parameters and makes one of [12],\d"):
        export(ae, page, IMAGES)
    assert page.read_text() == "mine" and list(tmp_path.iterdir()) == [page]


def test_names_and_titles_are_text(tmp_path):
    ae, X = fitted("tied, tanh, minmax")
    page = export(ae, tmp_path / "explorer.html", X, np.full(len(X), "<i>"), "<u> & {{page}}", NAMES)
    text = page.read_text(encoding="utf-8")
    assert text.count("</script>") == 3 and "<h1>&lt;u&gt; &amp; {{page}}</h1>" in text
    assert model_of(page)["features"] == NAMES and model_of(page)["map"]["classes"] == ["<i>"]


@pytest.mark.parametrize("settings, error, message", [
    (dict(X=TABLE[:, :4]), ValueError, "X has 4 features"),
    (dict(X=TABLE * np.nan), ValueError, "X contains NaN"),
    (dict(X=TABLE, labels=[1, 2]), ValueError, r"a label for each of the 100 rows of X, got shape \(2,\)"),
    (dict(X=TABLE, labels=np.arange(100)), ValueError, "at most 26 classes, got 100"),
    (dict(labels=[1, 2]), ValueError, "expected X too"),
    (dict(feature_names=["a"]), ValueError, "feature_names of 5 features, got 1"),
    (dict(image_shape=(2, 3)), ValueError, r"\(height, width\) of 5 pixels, got \(2, 3\)"),
    (dict(image_shape=(1, 5), feature_names=NAMES), ValueError, "got both"),
])
def test_what_does_not_fit_is_an_error(tmp_path, settings, error, message):
    with pytest.raises(error, match=message):
        export(fitted("tied, tanh, minmax")[0], tmp_path / "explorer.html", **settings)
    assert not list(tmp_path.iterdir())


def test_only_a_fitted_autoencoder_can_be_explored(tmp_path):
    with pytest.raises(NotFittedError):
        export(Autoencoder(), tmp_path / "explorer.html")
    with pytest.raises(TypeError, match="expected a fitted Autoencoder, got ndarray"):
        export(TABLE, tmp_path / "explorer.html")


def test_sliders_go_from_quantile_to_quantile_and_the_map_is_the_plane_of_pca(tmp_path):
    ae, X = fitted("relu")
    model, codes = model_of(export(ae, tmp_path / "explorer.html", X)), ae.encode(X).astype(float)
    assert np.allclose(model["codeRanges"], np.quantile(codes, (0.01, 0.99), axis=0).T)
    variances, axes = np.linalg.eigh(np.cov(codes.T))
    assert np.allclose(np.abs(np.array(model["map"]["axes"]) @ axes[:, ::-1][:, :2]), np.eye(2), atol=1e-6)
    assert np.isclose(model["map"]["explained"], variances[-2:].sum() / variances.sum())


def test_without_data_there_are_sliders_but_no_samples_map_or_step(tmp_path):
    for name in MODELS:
        ae, _ = fitted(name)
        model = model_of(export(ae, tmp_path / "explorer.html"))
        assert model["samples"]["values"] == "" and model["map"] is None and model["step"] is None
        assert np.shape(model["codeRanges"]) == (ae.code_size, 2)


def test_the_step_is_the_librarys(tmp_path):
    ae, X = fitted("relu")
    step, expected = model_of(export(ae, tmp_path / "explorer.html", X))["step"], ae.trace(X[:1].astype(float))
    assert [entry["name"] for entry in step["entries"]] == [entry.name for entry in expected.entries]
    places = {entry["name"]: entry["column"] for entry in step["entries"]}
    assert [places[name] for name in ("x", "x_noisy", "a1", "dcode", "dcode_l1", "decoder.0.W", "dlogits", "y", "loss")] == [
        0, 0, 1, 2, 2, 3, 4, 4, 5]
    for entry, original in zip(step["entries"], expected.entries):
        if entry["values"] is not None:
            assert base64.b64decode(entry["values"]) == np.asarray(original.value, "<f4").tobytes()


def test_the_command_writes_a_page_and_replaces_none_unasked(tmp_path, capsys):
    ae, X = fitted("relu")
    ae.save(tmp_path / "model.safetensors")
    np.savez(tmp_path / "data.npz", X=X, y=LABELS)
    arguments = ["explore", str(tmp_path / "model.safetensors"), f"{tmp_path}/data.npz:X", "--labels", f"{tmp_path}/data.npz:y",
                 "--title", "Digits", "-o", str(tmp_path / "page.html")]
    assert main(arguments) == 0
    assert model_of(tmp_path / "page.html")["map"]["classes"] == list("0123456789")
    assert main(arguments) == 1 and "--force" in capsys.readouterr().err
    assert main([*arguments, "--force", "--image-shape", "28", "29"]) == 1
    assert "784 pixels, got (28, 29)" in capsys.readouterr().err


# ---- JavaScript against NumPy, without a browser ---------------------------------------------------------------------

NODE = """
const {script, model, rows} = JSON.parse(require("fs").readFileSync(0));
const compute = new Function("model", "rows", script + `
  const layers = buildLayers(model.layers, floats(model.parameters));
  return rows.map((x) => {
    const passes = forward(layers, scaleData(x, model.scaling));
    return [...passes[model.encoderLayers - 1].a, ...unscaleData(passes.at(-1).a, model.scaling)];
  })`);
console.log(JSON.stringify(compute(model, rows)));
"""


def computed(script, model, rows):
    """Code and reconstruction of each row, by the page's script in Node."""
    content = json.dumps({"script": script, "model": model, "rows": rows.tolist()})
    done = subprocess.run(["node", "-e", NODE], input=content, capture_output=True, text=True, check=True, timeout=60)
    return np.array(json.loads(done.stdout))


def difference(script, model, ae, X):
    """How far codes and reconstructions are from NumPy's; in units of the feature's scale."""
    scale = 1 if ae.scaling_ is None else ae.scaling_.scale
    k, got = ae.code_size, computed(script, model, X)
    return max(np.abs(got[:, :k] - ae.encode(X)).max(), (np.abs(got[:, k:] - ae.reconstruct(X)) / scale).max())


@pytest.mark.skipif(shutil.which("node") is None, reason="no node: JavaScript is compared with NumPy in the browser only")
@pytest.mark.parametrize("name", MODELS)
def test_javascript_equals_numpy(name, tmp_path):
    ae, X = fitted(name)
    page = export(ae, tmp_path / "explorer.html", X)
    script, model = script_of(page), model_of(page)
    assert difference(script, model, ae, X[:20]) < 1e-5
    for right, wrong in [("layer.b)", "layer.b.map(() => 0.01))"), ("x = a;", "x = z.map((v) => v + 1e-3);"),
                         ("x[i] * layer.W", "x[i] * 1.001 * layer.W")]:
        assert right in script
        assert difference(script.replace(right, wrong), model, ae, X[:20]) > 1e-5, f"{wrong} goes unnoticed"


# ---- the page in a browser -------------------------------------------------------------------------------------------

in_browser = pytest.mark.skipif(missing() is not None, reason=f"{missing()}: the page was not tried in a browser")


@pytest.fixture(scope="module")
def desktop():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def phone():
    browser = Browser(phone=True)
    yield browser
    browser.close()


@pytest.fixture
def opened(desktop, deep):
    """The deep model's page, fresh, in the browser; at the end there is nothing that it complains of."""
    desktop.open(deep[1])
    yield desktop
    assert desktop.complaints() == []


OUTPUT = "return Array.from(unscaleData(passes.at(-1).a, model.scaling))"


@in_browser
def test_the_page_asks_for_nothing_and_every_control_has_a_name(opened, deep):
    opened.requests()
    opened.open(deep[1])
    assert {url.split("#")[0] for url in opened.requests()} == {deep[1].as_uri()}
    nameless = opened.run("""return Array.from(document.querySelectorAll("button, input, select, canvas[tabindex]"))
        .filter((e) => !(e.getAttribute("aria-label") || e.labels?.[0]?.textContent.trim() || e.textContent.trim()))
        .map((e) => e.outerHTML)""")
    assert nameless == []


@in_browser
def test_samples_in_the_page_are_reconstructed_as_by_numpy(opened, deep):
    for i in range(20):
        opened.run("document.querySelectorAll('#samples button')[arguments[0]].click()", i)
        assert np.abs(opened.run(OUTPUT) - deep[0].reconstruct(IMAGES[i:i + 1])).max() < 1e-5


def as_mnist(drawn):
    """A drawing fitted into 20 x 20, at most 1.5 times larger, its centre of mass in the middle: interpolated by two matrices."""
    there, mass = np.argwhere(drawn > 0), drawn.sum()
    scale = min(1.5, 20 / (np.ptp(there, axis=0) + 1).max())
    middle = [(drawn.sum(axis=1 - axis) * np.arange(28)).sum() / mass for axis in (0, 1)]
    rows, columns = (np.maximum(0, 1 - np.abs(m + (np.arange(28)[:, None] - 13.5) / scale - np.arange(28))) for m in middle)
    return rows @ drawn @ columns.T


@in_browser
@pytest.mark.parametrize("path", [((0.1, 0.1), (0.6, 0.1), (0.2, 0.95)), ((0.7, 0.6), (0.8, 0.7))], ids=["large", "small"])
def test_a_drawing_is_centred_as_digits_of_mnist_are(opened, deep, path):
    opened.click("#clear")
    opened.drag("#drawing", *path)
    drawn = np.array(opened.run("return Array.from(state.x)")).reshape(28, 28)
    expected, seen = as_mnist(drawn), np.array(opened.run("return Array.from(passes[0].x)")).reshape(28, 28)
    assert np.abs(seen - expected).max() < 1e-6 and np.abs(seen - drawn).max() > 0.5
    centre = [(seen.sum(axis=axis) * np.arange(28)).sum() / seen.sum() for axis in (0, 1)]
    assert np.allclose(centre, 13.5, atol=0.3)  # interpolation moves it a little
    assert np.abs(opened.run(OUTPUT) - deep[0].reconstruct(expected.reshape(1, -1))).max() < 1e-5
    opened.run("document.querySelector('#samples button').click()")  # what is no drawing stays as it is
    assert np.abs(opened.run("return Array.from(passes[0].x)") - IMAGES[0]).max() < 1e-6


def test_drawings_are_centred_where_the_data_are_like_digits(deep, tmp_path):
    assert model_of(deep[1])["centre"] is True
    spread = np.random.default_rng(0).random((50, 784))
    assert model_of(export(deep[0], tmp_path / "spread.html", spread))["centre"] is False
    assert model_of(export(deep[0], tmp_path / "none.html"))["centre"] is False
    assert model_of(export(deep[0], tmp_path / "wide.html", IMAGES, image_shape=(14, 56)))["centre"] is False


@in_browser
def test_names_are_broken_behind_punctuation_alone(phone, tmp_path):
    ae, X = fitted("tied, tanh, minmax")
    phone.open(export(ae, tmp_path / "explorer.html", X, feature_names=NAMES))
    lines = """return Array.from(document.querySelectorAll(arguments[0]), (cell) => {
        const tops = [];
        for (const text of cell.childNodes) if (text.nodeType === 3) {
          const range = document.createRange();
          range.selectNodeContents(text);
          tops.push([text.data, range.getClientRects().length]);
        }
        return tops;
    })"""
    for cells in ("#arithmetic tbody th", "#answer-features th"):
        parts = [part for cell in phone.run(lines, cells) for part in cell]
        assert ["temperature_", 1] in parts and all(count == 1 for text, count in parts if "_" in text)


@in_browser
def test_a_drawing_goes_through_the_network(opened, deep):
    opened.click("#clear")
    opened.click("#centre")
    empty = opened.run(OUTPUT)
    opened.drag("#drawing", (0.3, 0.3), (0.7, 0.3), (0.5, 0.7))
    drawn = np.array(opened.run("return Array.from(state.x)")).reshape(28, 28)
    assert drawn[8, 8:20].min() > 0.9 and drawn[:5].max() == 0 and drawn[15, 20] == 0
    assert np.abs(opened.run(OUTPUT) - deep[0].reconstruct(drawn.reshape(1, -1))).max() < 1e-5
    assert not np.allclose(opened.run(OUTPUT), empty)
    shades = """const pen = document.getElementById(arguments[0]).getContext("2d");
        return new Set(pen.getImageData(0, 0, 392, 392).data).size"""
    assert opened.run(shades, "drawing") > 5 and opened.run(shades, "layer-3") > 5


@in_browser
def test_a_drawing_by_keyboard(opened):
    opened.click("#clear")
    opened.press("#drawing", "Space", "ArrowRight", "ArrowRight", "ArrowDown", "Space", "ArrowDown", "ArrowDown", "ArrowDown",
                 "ArrowDown")
    drawn = np.array(opened.run("return Array.from(state.x)")).reshape(28, 28)
    assert drawn[13:15, 13:17].min() > 0.9 and drawn[18:].max() == 0


@in_browser
def test_the_decoder_answers_to_a_slider_until_the_code_is_released(opened, deep):
    before, unit = opened.run(OUTPUT), "#sliders label:not(.dead)"
    opened.drag(f"{unit} input", (0.5, 0.5), (0.9, 0.5))
    code = np.array(opened.run("return Array.from(state.code)"))
    changed = np.flatnonzero(np.abs(code - deep[0].encode(IMAGES[:1])[0]) > 1e-4)
    assert len(changed) == 1
    assert np.abs(opened.run(OUTPUT) - deep[0].decode(code.reshape(1, -1))).max() < 1e-5
    opened.click("#release")
    assert opened.run(OUTPUT) == before


@in_browser
def test_walking_on_the_map_decodes(opened, deep):
    opened.drag("#map", (0.5, 0.5), (0.25, 0.75))
    map_ = model_of(deep[1])["map"]
    low, high = np.array(map_["low"]), np.array(map_["high"])
    expected = np.maximum(0, map_["origin"] + (low + 0.25 * (high - low)) @ np.array(map_["axes"]))
    code = np.array(opened.run("return Array.from(state.code)"))
    assert np.abs(code - expected).max() < 0.01 * (high - low).max()  # a pixel of the screen is 1 / 400 of the map
    assert np.abs(opened.run(OUTPUT) - deep[0].decode(code.reshape(1, -1))).max() < 1e-5
    opened.press("#map", "ArrowLeft")
    assert np.allclose(opened.run("return state.place"), [low[0] + 0.24 * (high - low)[0], low[1] + 0.25 * (high - low)[1]],
                       atol=0.01 * (high - low).max())


@in_browser
def test_a_click_on_a_unit_writes_out_its_arithmetic(opened, deep):
    opened.click("#layer-0", 3.5 / 16, 2.5 / 8)  # column 3, row 2 of 16 columns
    W, b = deep[0].get_weights()["encoder.0.W"][:, 35], deep[0].get_weights()["encoder.0.b"][35]
    products = IMAGES[0] * W
    assert opened.run("return document.getElementById('unit-title').textContent").startswith("Unit 35 of encoder.0: ")
    rows = opened.run("return Array.from(document.querySelectorAll('#arithmetic tbody tr'), (row) => "
                      "Array.from(row.cells, (cell) => cell.textContent.replace('−', '-')))")
    order = np.argsort(-np.abs(products))
    assert rows[0][0] == f"pixel {order[0] // 28}, {order[0] % 28}"
    assert np.allclose([float(row[-1]) for row in rows[:8]], products[order[:8]], rtol=1e-3)
    z = products.sum() + b
    assert np.allclose([float(row[-1]) for row in rows[8:]], [products[order[8:]].sum(), products.sum(), b, z, max(z, 0)],
                       rtol=1e-3, atol=1e-5)
    opened.press("#layer-0", "ArrowDown", "ArrowRight")
    assert opened.run("return state.unit") == {"layer": 0, "index": 52}


@in_browser
def test_noise_is_added_for_the_network_and_kept_in_the_address(opened, deep):
    opened.drag("#noise-amount", (0.02, 0.5), (0.5, 0.5))
    amount = opened.run("return state.noise.amount")
    assert 0.3 < amount < 0.7
    seen = np.array(opened.run("return Array.from(passes[0].x)"))
    assert 0 <= seen.min() < seen.max() <= 1 and 0.05 < np.abs(seen - IMAGES[0]).mean() < amount
    assert np.abs(opened.run(OUTPUT) - deep[0].reconstruct(seen.reshape(1, -1))).max() < 1e-5
    time.sleep(0.5)  # the page waits for 0.3 s of rest
    assert f"amount={amount}" in opened.run("return location.hash")
    opened.run("location.reload()")
    assert opened.run("return state.noise.amount") == amount


@in_browser
def test_noise_in_the_page_has_the_distribution_it_says(opened):
    draw = "return Array.from(addNoise(new Float64Array(20000).fill(0.5), arguments[0], 1))"
    gaussian = np.array(opened.run(draw, {"kind": "gaussian", "amount": 0.3, "clip": None}))
    assert abs(gaussian.mean() - 0.5) < 5 * 0.3 / 20000**0.5 and abs(gaussian.std() - 0.3) < 5 * 0.3 / 40000**0.5
    salt = np.array(opened.run(draw, {"kind": "salt_and_pepper", "amount": 0.4, "low": 0, "high": 1}))
    assert all(abs((salt == value).mean() - share) < 0.02 for value, share in [(0, 0.2), (0.5, 0.6), (1, 0.2)])
    masked = np.array(opened.run(draw, {"kind": "masking", "amount": 0.4, "low": 0}))
    assert all(abs((masked == value).mean() - share) < 0.02 for value, share in [(0, 0.4), (0.5, 0.6)])


@in_browser
def test_the_training_step_is_walked_through(opened, deep):
    names = [entry.name for entry in deep[0].trace(IMAGES[:1]).entries]
    shown = "return document.getElementById('step-name').textContent"
    assert opened.run(shown) == f"1 of {len(names)}: x"
    opened.click("#step-next")
    assert opened.run(shown) == f"2 of {len(names)}: {names[1]}"
    for i in range(len(names)):
        opened.run("model.step.entries[arguments[0]].chip.click()", i)
        assert opened.run(shown) == f"{i + 1} of {len(names)}: {names[i]}"
    opened.click("#step-back")
    opened.click("#step-play")
    assert opened.run("return document.getElementById('step-play').textContent") == "Pause"


@in_browser
def test_a_table_is_typed_into(desktop, tmp_path):
    ae, X = fitted("tied, tanh, minmax")
    desktop.open(export(ae, tmp_path / "explorer.html", X, feature_names=NAMES))
    assert desktop.run("return Array.from(document.querySelectorAll('#features tbody th'), (e) => e.textContent)") == NAMES
    desktop.run("document.querySelector('#features input[type=number]').value = ''")
    desktop.press("#features input[type=number]", *"21.5")
    row = np.array([[21.5, *X[0, 1:]]])
    got = np.array(desktop.run(OUTPUT))
    assert (np.abs(got - ae.reconstruct(row)) / ae.scaling_.scale).max() < 1e-5
    assert desktop.run("return Array.from(document.querySelectorAll('section'), (e) => e.scrollWidth - e.clientWidth)") == [0] * 4
    assert desktop.complaints() == []


@in_browser
def test_the_unit_does_not_lie_over_the_training_step(desktop, deep):
    desktop.open(deep[1])
    covered = """document.getElementById("step-section").scrollIntoView({block: "center"});
        const box = document.getElementById("step-section").getBoundingClientRect();
        return document.elementFromPoint(box.right - 60, innerHeight / 2).closest("section").id"""
    assert desktop.run(covered) == "step-section"
    desktop.run("document.getElementById('step-section').style.zIndex = -1")
    assert desktop.run(covered) == "unit-section"  # as it would be, were it not lifted


@in_browser
@pytest.mark.parametrize("name", MODELS)
def test_on_a_phone_nothing_is_wider_than_the_screen(phone, tmp_path, name):
    ae, X = fitted(name)
    phone.open(export(ae, tmp_path / "explorer.html", X, feature_names=NAMES if X is TABLE else None))
    assert phone.run("return [innerWidth, document.documentElement.scrollWidth]") == [390, 390]
    if ae.n_features_in_ == 784:
        phone.drag("#drawing", (0.3, 0.5), (0.7, 0.5))
        assert phone.run("return state.sample === null && Math.max(...state.x) === model.levels[1]")
    assert phone.complaints() == []


# ---- what the page is told ------------------------------------------------------------------------------------------------


def described(X, labels=None, **settings):
    return describe(Autoencoder(**{"hidden_sizes": (), "code_size": 2, "epochs": 1, "engine": "numpy", "random_state": 0,
                                   **settings}).fit(X), X, labels)


def test_masking_noise_is_the_models_own():
    noise = described(IMAGES, noise=MaskingNoise(0.3))["noise"]
    assert (noise["kind"], noise["trained"]) == ("masking", 0.3)


def test_rows_that_cannot_be_targets_show_no_step():
    ae = Autoencoder((), 2, epochs=1, engine="numpy", random_state=0).fit(IMAGES)
    assert describe(ae, IMAGES)["step"]["row"] == 0 and describe(ae, IMAGES + 2)["step"] is None


def test_whole_numbers_are_shown_as_such():
    labels = described(TABLE, np.arange(100) % 3 + 7.0, scaling="minmax")["samples"]["labels"]
    assert labels[:4] == ["7", "8", "9", "7"]
    assert described(TABLE, np.arange(100) % 3 + 0.5, scaling="minmax")["samples"]["labels"][:2] == ["0.5", "1.5"]
