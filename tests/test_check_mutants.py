"""How much do the checks see? Each solution is changed in one place; the check must notice.

What stays unnoticed is nearly all the same function, or what no exercise asks for: a default, an
equal sign beside a random number, the released code's form of the sinusoid.
"""

import ast
import contextlib
import io
import signal
import sys
from collections import Counter
from idc_nb.lab import checks

OTHER = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Mod: ast.FloorDiv, ast.FloorDiv: ast.Mod,
    ast.Pow: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def changed(node):  # in place; False: nothing to change
    if isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in OTHER:
        node.op = OTHER[type(node.op)]()
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in OTHER:
        node.ops[0] = OTHER[type(node.ops[0])]()
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        node.value = not node.value
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        node.value += 1
    elif isinstance(node, ast.IfExp):
        node.body, node.orelse = node.orelse, node.body
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else ast.Not()
        if isinstance(node.op, ast.Not):
            node.operand = ast.UnaryOp(ast.Not(), node.operand)
    else:
        return False
    return True


def mutants(source):
    for i in range(len(list(ast.walk(ast.parse(source))))):
        mutant = ast.parse(source)
        if changed(list(ast.walk(mutant))[i]):
            yield ast.fix_missing_locations(mutant)


class Endless(BaseException):
    pass


def stop(*_):
    raise Endless


def noticed(name, mutant) -> bool:
    module = sys.modules[checks.SOLUTIONS[name].__module__]
    space = dict(vars(module))
    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, 5)  # processor seconds
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(mutant, name, 'exec'), space)
            getattr(checks, f'check_{name}')(space[f'my_{name}'])
    except (checks.Wrong, Endless):
        return True
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return False


def test_checks_notice_mutants():
    made, missed = Counter(), Counter()
    for name in checks.SOLUTIONS:
        for mutant in mutants(checks.solution(name)):
            made[name] += 1
            missed[name] += not noticed(name, mutant)
    print(sum(made.values()), 'mutants,', sum(missed.values()), 'not noticed:', dict(+missed))
    assert sum(made.values()) > 250
    assert sum(missed.values()) < 0.15 * sum(made.values())
