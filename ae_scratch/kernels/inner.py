"""Compiled functions that only compiled functions call: parts of their callers, with no machine code of their own.

Numba optimises every function by itself and makes machine code of it, also if it is then made a part of its callers, where it is
optimised again. Here that is done once, for the function that Python calls: its compilation takes a fifth less time.
"""

from __future__ import annotations

from typing import Any

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class InnerLibrary(JITCodeLibrary):  # type: ignore[misc]
    """The code of a function and of all that it calls, to be linked into its callers as it is."""

    def _optimize_functions(self, module: Any) -> None:
        """Left to the callers, but for what the optimisation of whole modules takes for granted."""
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        """Left to the callers."""

    def _finalize_final_module(self) -> None:
        """As Numba's own, without handing the code to the engine, which would make machine code of it."""
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True


class PartLibrary(InnerLibrary):
    """Code that is optimised by itself before it is linked."""

    _optimize_functions = JITCodeLibrary._optimize_functions
    _optimize_final_module = JITCodeLibrary._optimize_final_module


@register_pass(mutates_CFG=True, analysis_only=False)
class InnerLowering(NativeLowering):  # type: ignore[misc]
    """Numba's translation to LLVM's language, into such a library."""

    _name = "inner_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = state.pipeline.library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags = state.flags.copy()
        state.flags.no_compile = True
        super().run_pass(state)
        code = state.cr.fndesc
        # what compiled callers know the function by: a Python function that cannot be called
        handle = _dynfunc.make_function(code.lookup_module(), code.qualname, "", 0, state.cr.env, (state.library,))
        state.targetctx.insert_user_function(handle, code, [state.library])
        state.cr = state.cr._replace(cfunc=handle)
        return True


# Steps of Numba's compiler for what no function here has: closures, ``with``, ``raise``, expressions of arrays, code that depends
# on a literal or on whether an argument is None. They look for it at length.
NOT_NEEDED = {"with_lifting", "inline_closure_likes", "make_function_op_code_to_jit_function", "Rewrite dynamic raises",
              "nopython_rewrites", "inline_overloads", "find_literally", "literal_unroll", "LiteralPropagation",
              "rewrite_semantic_constants", "dump_parfor_diagnostics"}


class InnerCompiler(CompilerBase):  # type: ignore[misc]
    """Numba's compiler but for its last step, and for what is not needed."""

    library = InnerLibrary

    def define_pipelines(self) -> list[Any]:
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        pipeline.passes = [(InnerLowering if step is NativeLowering else step, why) for step, why in pipeline.passes
                           if step.name() not in NOT_NEEDED]
        pipeline.finalize()
        return [pipeline]


class PartCompiler(InnerCompiler):
    """The same for functions that are to be optimised by themselves first."""

    library = PartLibrary


OPTIONS = {"nogil": True, "error_model": "numpy"}  # a division by zero gives infinity, as in NumPy; no fast-math flag anywhere
# Without reference counts, a tenth less to compile: whoever calls keeps the arrays alive. Numba then refuses to allocate any, or
# to return one.
OUTER = {**OPTIONS, "_nrt": False, "no_cfunc_wrapper": True}
INNER = {**OUTER, "no_cpython_wrapper": True, "pipeline_class": InnerCompiler}
PART = {**INNER, "pipeline_class": PartCompiler}
COUNTED = {**INNER, "_nrt": True}  # what allocates or returns an array
