"""Writes line tables with what the interpreter itself says of them: run by each version, see lines.rs.

    for python in python3.8 ... python3.14; do $python tables.py; done > tables.txt
"""
import dis
import sys
import types

SOURCE = '''
def plain(a, b=1):
    """Documentation."""
    c = [a,
         b]
    return {k: v
            for k, v in zip(c, c)}

def loops(n):
    for i in range(n):
        try:
            yield i + 1
        except ValueError:
            continue
        finally:
            n -= 1


''' + "\n" * 300 + '''
    # Far down, and back up.
class Far:
    x = (lambda: 1,
         lambda:
             2)
    async def f(self):
        async with self as g:
            return await g(
                *self.x,
                **{"a": 1, "b": 2})
''' + "long = [" + ",\n".join(f"'{i}' + str({i})" for i in range(90)) + "]\n"


def codes(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


minor = sys.version_info[1]
for code in codes(compile(SOURCE, "tables", "exec")):
    if minor <= 9:
        starts = dict(dis.findlinestarts(code))
        lines, line = [], code.co_firstlineno
        for at in range(0, len(code.co_code), 2):
            line = starts.get(at, line)
            lines.append((at, line))
        table = code.co_lnotab
    else:
        lines = [(at // 2, line) for start, end, line in code.co_lines() for at in range(start, end, 2)]
        table = code.co_linetable
    print(minor, code.co_firstlineno, table.hex(), ",".join(f"{at}:{'-' if line is None else line}" for at, line in lines))
