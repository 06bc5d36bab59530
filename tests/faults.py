"""One thing changed in a program: signs, terms, constants, comparisons, axes, arguments, keys, detachment."""

import ast
import re
from typing import NamedTuple


class Fault(NamedTuple):
    """A fault.

    Attributes:
        path: of the file, in the repository.
        line: where it is planted.
        name: file, function, and what becomes of what; by this it is known again.
        content: of the file with the fault.
    """

    path: str
    line: int
    name: str
    content: str


ARITHMETIC = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.Pow: [ast.Mult],
}
COMPARED = {ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.LtE]}
COMPARED |= {ast.GtE: [ast.Gt, ast.Lt], ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot]}
COMPARED |= {ast.IsNot: [ast.Is]}
OTHERS = {
    "sum": "mean",
    "mean": "sum",
    "max": "min",
    "min": "max",
    "maximum": "minimum",
    "minimum": "maximum",
}
OTHERS |= {"argmax": "argmin", "zeros": "ones", "ones": "zeros", "sin": "cos", "any": "all", "all": "any"}
OTHERS |= {"softmax": "sigmoid", "cumsum": "cumprod", "evaluation": "data", "data": "evaluation"}
IDENTITIES = {"stop_gradient", "named_key", "fold_in", "log", "exp", "square", "sqrt", "abs", "clip"}
"""Functions whose first argument has the shape of the result, and may stand in its place."""


ELSEWHERE = ("jnp.", "np.", "jax.", "isinstance", "getattr", "range", "partial", "zip", "map", "min", "max")
"""Functions of others, most of which refuse swapped arguments or know no order."""


def copied(node, **changes):
    """The same node with other fields."""
    fields = {name: value for name, value in ast.iter_fields(node)} | changes
    return type(node)(**fields)


def instead_of(node, keys):
    """What may stand in place of an expression, given the names of keys in its function."""
    if isinstance(node, ast.BinOp):
        yield from (copied(node, op=other()) for other in ARITHMETIC.get(type(node.op), ()))
        if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
            yield node.left
        if isinstance(node.op, ast.Add | ast.Mult):
            yield node.right
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        yield node.operand
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield from (copied(node, ops=[other()]) for other in COMPARED.get(type(node.ops[0]), ()))
    elif isinstance(node, ast.BoolOp):
        yield copied(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.IfExp):
        yield copied(node, body=node.orelse, orelse=node.body)
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Constant) and type(node.value) is float:
        yield ast.Constant(2 * node.value if node.value else 1.0)
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Name) and node.id in keys:
        yield from (ast.Name(other) for other in sorted(keys - {node.id}))
    elif isinstance(node, ast.Attribute) and node.attr in OTHERS:
        yield copied(node, attr=OTHERS[node.attr])
    elif isinstance(node, ast.Call):
        yield from instead_of_a_call(node)


def instead_of_a_call(node):
    """What may stand in place of a call: other arguments, or one of them alone."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    plain = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
    if called in IDENTITIES and plain:
        yield plain[0]
    if called == "where" and len(plain) == 3:
        yield copied(node, args=[plain[0], plain[2], plain[1]])
    elif len(plain) == len(node.args) >= 2 and not ast.unparse(node.func).startswith(ELSEWHERE):
        yield copied(node, args=[node.args[1], node.args[0], *node.args[2:]])
    for i, keyword in enumerate(node.keywords):
        if keyword.arg in ("axis", "keepdims", "has_aux", "where"):
            yield copied(node, keywords=[*node.keywords[:i], *node.keywords[i + 1 :]])


def expressions(node, function=""):
    """Expressions within functions that decide what is computed, each with the function it stands in."""
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or name in (
                "annotation",
                "returns",
                "decorator_list",
                "type_params",
            ):
                continue
            if isinstance(child, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.Expr) and re.match(r"chex\.|check_", ast.unparse(child)):
                continue
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                yield from expressions(child, f"{function}.{child.name}".strip("."))
                continue
            inner = isinstance(node, ast.FunctionDef) or "(" in function
            within = function if "(" in function or not inner else f"{function}()"
            if isinstance(child, ast.expr) and "(" in within and name not in ("defaults", "kw_defaults"):
                yield within, child
            yield from expressions(child, within)


def keys_of(tree):
    """Names of keys that a function can see, by the expressions that stand in it."""
    found = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            names = {argument.arg for argument in function.args.args}
            names |= {
                n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
            keys = {name for name in names if name == "key" or name.endswith("_key")}
            for node in ast.walk(function):
                found[id(node)] = found.get(id(node), set()) | keys
    return found


def faults_in(path, source):
    """Every fault that may be planted in a file."""
    content = source.encode()
    starts = [0, *(match.end() for match in re.finditer(b"\n", content))]
    tree = ast.parse(source)
    keys, known = keys_of(tree), {}
    for function, node in expressions(tree):
        if isinstance(getattr(node, "ctx", None), ast.Store):
            continue
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        for fault in instead_of(node, keys.get(id(node), set())):
            changed = ast.unparse(ast.fix_missing_locations(fault))
            name = f"{path}, {function}: {ast.unparse(node)} -> {changed}"
            known[name] = known.get(name, 0) + 1
            name += f" ({known[name]})" if known[name] > 1 else ""
            written = content[:begin] + f"({changed})".encode() + content[end:]
            try:
                ast.parse(written)
            except SyntaxError:
                continue
            yield Fault(path, node.lineno, name, written.decode())
