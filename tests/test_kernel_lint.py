"""What the source of compiled code must not contain: fast-math, parallel loops of Numba's, and, where threads run, exceptions.

The functions that threads run are found from the roots: what a function names is looked up in its file and among its imports;
an operation leads to its compiled form. ``test_engine`` compares them with what Numba really compiles.
"""

import ast
import functools
import pathlib

import pytest

import ae_scratch

PACKAGE = pathlib.Path(ae_scratch.__file__).parent
FILES = [path.relative_to(PACKAGE).as_posix() for pattern in ("kernels/*.py", "engine/*.py") for path in PACKAGE.glob(pattern)]
FILES += ["network.py", "layers.py", "losses.py", "penalties.py", "optimizers.py"]
METHODS = "forward", "input_gradient", "parameter_gradients"
ROOTS = [*(("engine/steps.py", name) for name in ("steps", "apply", "assess")), ("kernels/linked.py", "matrix_product"),
         ("kernels/linked.py", "matrix_adam"),
         *(("kernels/reference.py", loss) for loss in ("cross_entropy", "squared_error")),  # an intrinsic chooses one
         *(("engine/tables.py", item) for item in ("_activations", "_columns", "_gradients", "_descents", "_record"))]

# Room for intermediate numbers, whose size no caller knows. That it may be missing is tested: test_L4_want_of_memory...
MAY_ALLOCATE = {"add_matmul", "cross_entropy", "squared_error", "l1", "squares", "add_noise", "replace", "row_penalties",
                "penalty_of_means", "from_file", "matmul_6_panel", "matmul_transposed"}
ALLOCATE = {"empty", "zeros", "ones", "full", "empty_like", "zeros_like", "ones_like", "full_like", "array", "arange", "copy",
            "concatenate", "ascontiguousarray", "astype", "append", "list", "dict", "set", "str", "repr", "print"}
FAST = {"fast", "nnan", "ninf", "nsz", "arcp", "contract", "afn", "reassoc"}  # what LLVM may be allowed to do to floats
PARALLEL = {"prange", "pndindex", "vectorize", "guvectorize", "stencil"}
LEAVES = (ast.Raise, ast.Assert, ast.Try, ast.With, ast.Yield, ast.YieldFrom)
OBJECTS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp, ast.JoinedStr)
FUNCTIONS = (ast.FunctionDef, ast.Lambda)


class Source:
    """The functions of the package, by file and name, and what the names in a file mean."""

    def __init__(self, texts):
        self.nodes = {file: parsed(text) for file, text in texts.items()}
        self.functions, self.imports, self.forms, self.aliases = {}, {}, {}, {}
        for file, nodes in self.nodes.items():
            methods = {node for owner in nodes if isinstance(owner, ast.ClassDef) for node in owner.body}
            for node in nodes:
                if isinstance(node, ast.FunctionDef) and node not in methods:
                    self.functions.setdefault((file, node.name), []).append(node)
                elif isinstance(node, ast.ImportFrom) and node.level:
                    self._import(file, node)
        for file, nodes in self.nodes.items():
            for node in nodes:
                if isinstance(node, ast.FunctionDef):
                    for operation in self._operations(file, node):
                        self.forms.setdefault(operation, []).extend([*((file, inner) for inner in within(node)),
                                                                     *self._returned(file, node)])
                elif isinstance(node, ast.Assign):
                    self._alias(file, node)

    def _import(self, file, node):
        folder = pathlib.PurePosixPath(file).parents[node.level - 1]
        for alias in node.names:
            parent = folder / (node.module or "").replace(".", "/")
            module = (parent / alias.name).as_posix() + ".py"
            self.imports[file, alias.asname or alias.name] = (
                (module, None) if module in self.nodes else (parent.as_posix() + ".py", alias.name))

    def _alias(self, file, node):
        """``a, b = map(jit, (module.f, module.g))``: either may be either."""
        maker = [node.value.func] if isinstance(node.value, ast.Call) else []  # its result has the name, not itself
        functions = [found for part in ast.walk(node.value) if part not in maker for found in self.meant(file, part)]
        for target in (name for whole in node.targets for name in getattr(whole, "elts", [whole]) if isinstance(name, ast.Name)):
            self.aliases.setdefault((file, target.id), set()).update(functions)

    def _returned(self, file, node):
        """The functions of the package that a function returns by their names."""
        values = [part.value for part in body_of(node) if isinstance(part, ast.Return) and part.value]
        return [(function[0], code) for value in values if not isinstance(value, (ast.Call, ast.Lambda))
                for part in ast.walk(value) for function in self.meant(file, part) for code in self.functions[function]]

    def _operations(self, file, node):
        """Of which operations a function returns the compiled form; None for one that is not of the package."""
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and called(call) in ("compiles", "overload", "overload_method"):
                yield from self.meant(file, call.args[0]) or [None]

    def meant(self, file, node):
        """The functions of the package, as file and name, that a name or ``module.name`` stands for."""
        found = None
        if isinstance(node, ast.Name):
            found = self.imports.get((file, node.id), (file, node.id))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module, name = self.imports.get((file, node.value.id), (None, None))
            found = module and (module, node.attr)
        return [*([found] if found in self.functions else []), *self.aliases.get(found, ())]

    def threads_run(self, roots):
        """All functions, as file and node, that the roots lead to, and the methods of layers, which are called by their kind."""
        waiting = [(file, node) for file, nodes in self.nodes.items() for owner in nodes
                   if isinstance(owner, ast.ClassDef) and owner.bases for node in owner.body
                   if isinstance(node, ast.FunctionDef) and node.name in METHODS]
        waiting += self.forms.get(None, []) + [code for function in roots for code in self.code_of(function)]
        found = {}
        while waiting:
            file, node = waiting.pop()
            emits = file == "kernels/simd.py" or "intrinsic" in map(called, getattr(node, "decorator_list", []))
            if not emits and (file, node) not in found:
                found[file, node] = None
                functions = {function for part in body_of(node) for function in self.meant(file, part)}
                waiting += [code for function in functions for code in self.code_of(function)]
        return found

    def code_of(self, function):
        """What is compiled where a function is called: its compiled form, or itself."""
        return self.forms.get(function) or [(function[0], node) for node in self.functions[function]]


@functools.cache
def parsed(text):
    return list(ast.walk(ast.parse(text)))


def called(node):
    """The last name of what is called, or of a name."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)


def within(node):
    """The functions written inside of another."""
    return [inner for inner in ast.walk(node) if inner is not node and isinstance(inner, FUNCTIONS)]


def body_of(node):
    return [part for statement in (node.body if isinstance(node.body, list) else [node.body]) for part in ast.walk(statement)]


def faults(texts, roots=ROOTS):
    """Return what is wrong with these sources."""
    source, found = Source(texts), []
    for file, nodes in source.nodes.items():
        found += [f"{file}:{node.lineno} {what}" for node in nodes if (what := fault_anywhere(node))]
    for file, node in source.threads_run(roots):
        name = getattr(node, "name", "lambda")
        found += [f"{file}:{part.lineno} {name}: {what}" for part in body_of(node) if (what := fault_in_threads(part, name))]
    return found


def fault_anywhere(node):
    if isinstance(node, ast.keyword) and node.arg in ("fastmath", "parallel") and getattr(node.value, "value", 1) is not False:
        return node.arg
    if isinstance(node, ast.Constant) and node.value in FAST | {"fastmath", "parallel"}:
        return f"fast-math flag {node.value!r}"
    if isinstance(node, (ast.Name, ast.Attribute)) and called(node) in PARALLEL:
        return called(node)
    if isinstance(node, ast.Call) and called(node) in ("njit", "cached_jit", "cached_cfunc") and no_numpy_errors(node):
        return "division by zero would raise: error_model='numpy' is missing"


def no_numpy_errors(call):
    return not any(keyword.arg == "error_model" and keyword.value.value == "numpy"
                   or keyword.arg is None and called(keyword.value) in ("OPTIONS", "INNER", "options")
                   for keyword in call.keywords)


def fault_in_threads(node, function):
    if isinstance(node, LEAVES):
        return f"{type(node).__name__.lower()}, where other threads may wait"
    if isinstance(node, OBJECTS) or isinstance(node, ast.Call) and allocates(node.func) and function not in MAY_ALLOCATE:
        return "allocation"


def allocates(function):
    return called(function) in ALLOCATE and not (isinstance(function, ast.Attribute) and called(function.value) == "ops")


@functools.cache
def texts():
    return {file: (PACKAGE / file).read_text() for file in FILES}


def test_B2_the_kernels_are_clean():
    assert faults(texts()) == []


def test_B2_what_threads_run_is_found():
    found = {(file, getattr(node, "name", "lambda")) for file, node in Source(texts()).threads_run(ROOTS)}
    names = {name for _, name in found}
    expected = {"meet", "gather", "from_file", "matmul_6_panel", "column_of_tiles", "adam", "_logistic_of", "quantiles", "affine",
                "log_near_1", "row_sum", "read_row", "backward", "adam_step"} | MAY_ALLOCATE
    assert not expected - names
    assert not {"load_overload", "train", "permutation", "predict", "n_out"} & names and len(found) > 80


PLANTED = {
    "fastmath": ("kernels/inner.py", '"error_model": "numpy"}', '"error_model": "numpy", "fastmath": True}'),
    "a flag": ("kernels/matmul.py", "register_jitable(", 'register_jitable(fastmath={"reassoc"}, '),
    "a keyword": ("engine/steps.py", "@cached_jit(**OPTIONS,", "@cached_jit(fastmath=True, **OPTIONS,"),
    "parallel": ("engine/steps.py", "@cached_jit(**OPTIONS,", "@cached_jit(parallel=True, **OPTIONS,"),
    "prange": ("kernels/compiled.py", "for i in range(C.shape[0])", "for i in numba.prange(C.shape[0])"),
    "error model": ("kernels/linked.py", 'numba.njit(error_model="numpy", ', "numba.njit("),
    "raise in the step": ("engine/steps.py", "        corrupt(A[0], noise, order, place)\n",
                          "        if place < 0:\n            raise ValueError\n        corrupt(A[0], noise, order, place)\n"),
    "assert in a kernel": ("kernels/matmul.py", "    m, i, left = C.shape[0]", "    assert len(C)\n    m, i, left = C.shape[0]"),
    "assert in the noise": ("kernels/philox.py", "    r = root - 1.6\n", "    assert root > 0\n    r = root - 1.6\n"),
    "raise in a layer": ("layers.py", "        return ops.relu_backward(dY, Y, out)",
                         "        if not len(Y):\n            raise ValueError\n        return ops.relu_backward(dY, Y, out)"),
    "allocation": ("kernels/compiled.py", "    acc = vector(A)\n", "    acc, copy = vector(A), np.empty(A.shape[1])\n"),
    "a list": ("kernels/compiled.py", "    acc = vector(A)\n", "    acc, parts = vector(A), [1]\n"),
    "allocation in an overload": ("engine/steps.py", "    def per_feature(x, j, scaling, number):\n",
                                  "    def per_feature(x, j, scaling, number):\n        room = np.zeros(1)\n")}


@pytest.mark.parametrize("fault", PLANTED)
def test_B2_planted_faults_are_found(fault):
    file, old, new = PLANTED[fault]
    assert old in texts()[file]
    assert any(found.startswith(file) for found in faults({**texts(), file: texts()[file].replace(old, new)}))
