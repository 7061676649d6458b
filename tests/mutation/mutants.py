"""The mutants of a source file: copies of it with one change in one function."""

import ast
import functools
import types
from pathlib import Path

OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
             ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or,
             ast.Or: ast.And, ast.USub: ast.UAdd, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
             ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn,
             ast.NotIn: ast.In}  # fmt: skip
NAMES = {"max": "min", "maximum": "minimum", "any": "all", "zeros": "ones", "zeros_like": "ones_like", "ceil": "floor",
         "argmax": "argmin", "sum": "mean"}  # fmt: skip
NAMES |= {new: old for old, new in NAMES.items()}


def changes(node):
    """Yield (field, new value) for each mutant of one node of the syntax tree."""
    op = getattr(node, "op", None)
    if type(op) in OPERATORS:
        yield "op", OPERATORS[type(op)]()
    for field in ("attr", "id"):
        if getattr(node, field, None) in NAMES:
            yield field, NAMES[getattr(node, field)]
    match node:
        case ast.Compare() if type(node.ops[0]) in OPERATORS:
            yield "ops", [OPERATORS[type(node.ops[0])](), *node.ops[1:]]
        case ast.If() | ast.IfExp() | ast.While() if not is_equality(node.test):  # its operator is replaced already
            yield "test", ast.UnaryOp(ast.Not(), node.test)
        case ast.Constant(value=bool()):
            yield "value", not node.value
        case ast.Constant(value=int() | float()):
            yield "value", node.value + 1
        case ast.Call():
            for keyword in node.keywords:
                if keyword.arg != "strict":  # of zip: a guard against mistakes in the package
                    yield "keywords", [other for other in node.keywords if other is not keyword]
        case ast.comprehension(ifs=[_, *_]):
            yield "ifs", []
    for field, body in ast.iter_fields(node):
        for k, statement in enumerate(body if isinstance(body, list) else []):
            if is_removable(statement):
                yield field, [*body[:k], ast.copy_location(ast.Pass(), statement), *body[k + 1 :]]


def is_equality(test):
    return isinstance(test, ast.Compare) and not isinstance(test.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE)


def is_removable(statement):
    match statement:
        case ast.Raise() | ast.AugAssign() | ast.Break() | ast.Continue() | ast.Expr(value=ast.Call()):
            return True
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return True
    return False


def nodes(node):
    """Yield the nodes of a function, except annotations, messages and what follows ``raise``."""
    yield node
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            message = isinstance(child, ast.JoinedStr | ast.Raise) or getattr(child, "arg", "") == "strict"
            if field not in ("annotation", "returns", "decorator_list") and isinstance(child, ast.AST) and not message:
                yield from nodes(child)


def functions(tree, prefix=""):
    """Yield (qualified name, node) of the functions of a module and the methods of its classes."""
    for child in tree.body:
        if isinstance(child, ast.ClassDef):
            yield from functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef):
            yield prefix + child.name, child


def sites(tree):
    """Return (name, function, node, field, new value) of each mutant of a module."""
    return [(*function, node, *change) for function in functions(tree) for node in nodes(function[1])
            for change in changes(node)]  # fmt: skip


class Mutant:
    """Mutant ``number`` of a file. ``text`` says what changed. ``install`` changes the running code."""

    def __init__(self, path: Path, number: int):
        self.path, self.tree = path, ast.parse(path.read_text(encoding="utf-8"))
        self.name, self.function, node, field, new = sites(self.tree)[number]
        self.in_arguments = any(child is node for child in ast.walk(self.function.args))
        changed = getattr(node, field)
        if isinstance(changed, list) and len(changed) == len(new):  # a statement became pass
            (changed,) = (a for a, b in zip(changed, new, strict=True) if a is not b)
        place = changed if hasattr(changed, "lineno") else node if hasattr(node, "lineno") else self.function
        self.lines = range(place.lineno, place.end_lineno + 1)
        before = ast.unparse(self.function).splitlines()
        setattr(node, field, new)
        ast.fix_missing_locations(self.tree)
        after = ast.unparse(self.function).splitlines()
        old, new = next((a, b) for a, b in zip(before, after, strict=False) if a != b)
        self.text = f"{self.name}: {old.strip()} -> {new.strip()}"

    def install(self, found):
        """Give the changed code to the functions of this process, ``found[file, qualified name, first line]``."""
        first = min(node.lineno for node in [self.function, *self.function.decorator_list])
        functions = found[str(self.path), self.name, first]
        # A function keeps its free variables, such as __class__, also if the change removed their only use.
        free = [ast.Expr(ast.Name(name, ast.Load())) for name in functions[0].__code__.co_freevars]
        self.function.body.append(ast.If(ast.Constant(False), free or [ast.Pass()], []))
        codes = [compile(ast.fix_missing_locations(self.tree), str(self.path), "exec", dont_inherit=True)]
        for code in codes:
            codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
            if f"{code.co_qualname}.".startswith(f"{self.name}."):  # the function, and functions that it returned
                for f in found.get((code.co_filename, code.co_qualname, code.co_firstlineno), ()):
                    f.__code__ = code
        if self.in_arguments:
            args = self.function.args
            by_name = [(a.arg, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d]
            for f in functions:
                value = functools.partial(value_of, names=f.__globals__)
                f.__defaults__ = tuple(map(value, args.defaults))
                f.__kwdefaults__ = {name: value(d) for name, d in by_name}


def value_of(expression, names):
    return eval(compile(ast.Expression(expression), "<default>", "eval"), names)
