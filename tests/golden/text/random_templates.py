"""Random small templates over make_templates.DATA, by seed: a grammar of what the engine knows.

Most of them fail in Jinja too, which is as good a test. SEEDS are some that render and do much in
little; make_templates.py puts those into the golden file.
"""

import random

TEXTS = [
    "'a'", "'Hello, Wörld'", "''", "'  x y '", "'a,b,,c'", '"it\'s"', "'<b>&\"'", "'中文😀'", "'A B-c(d)'",
    r"'line1\nline2\n'", "'12'", "'-3.5'", "'%s'", "'x'", "'ß'", "'ab' * 2", "'{}'"]
NUMBERS = ["0", "1", "2", "7", "-3", "2.5", "-0.5", "1e3", "10", "100", "1.0", "3.0"]
VARIABLES = [
    "s", "empty", "n", "neg", "f", "zero", "t", "x", "list", "words", "nested", "mixed", "d", "deep", "people", "multi",
    "spaces", "quote", "messages", "missing", "one", "third", "tools"]
LITERALS = [
    "none", "true", "false", "[]", "{}", "()", "[1, 2, 3]", "['b', 'a']", "{'k': 1, 'b': 'v'}", "(1, 'a')",
    "[[1], [2, 3]]", "[none, 0, 'x']", "range(3)", "namespace(a=1)"]
ATTRIBUTES = ["name", "age", "tags", "k", "role", "content", "a", "b", "C", "nothing", "x", "y"]
LOOP = [
    "index", "index0", "first", "last", "length", "revindex", "previtem", "nextitem", "depth", "cycle('a','b')",
    "changed(1)", "revindex0"]
METHODS = [
    "upper()", "lower()", "strip()", "split()", "split(',')", "split('a')", "strip('ax ')", "lstrip()", "rstrip()",
    "title()", "capitalize()", "startswith('a')", "endswith('b')", "replace('a', 'ZZ')", "replace('a', 'z', 1)",
    "find('l')", "count('a')", "splitlines()", "join(['p', 'q'])", "items()", "keys()", "values()", "get('k')",
    "get('zz', 4)", "rsplit(' ', 1)", "split(none, 1)", "partition(',')", "isdigit()", "isalpha()", "zfill(4)",
    "swapcase()", "format('q')", "ljust(6, '.')", "index('a')", "count(1)", "index(1)", "copy()", "islower()",
    "isupper()", "removeprefix('a')", "casefold()", "center(9)", "rfind('a')", "isspace()", "isnumeric()",
    "rpartition('a')"]
FILTERS = [
    "upper", "lower", "trim", "length", "string", "list", "join", "join(', ')", "join('-', attribute='name')", "first",
    "last", "default('D')", "default('D', true)", "int", "float", "abs", "round", "round(1)", "tojson",
    "tojson(indent=2)", "tojson(ensure_ascii=true)", "sort", "sort(reverse=true)", "sort(attribute='age')",
    "unique | list", "reverse | list", "reverse", "map('upper') | list", "map(attribute='name') | list",
    "map('string') | join('+')", "select | list", "reject('none') | list", "select('string') | list",
    "selectattr('age') | list", "selectattr('age', 'gt', 26) | map(attribute='name') | list",
    "rejectattr('tags') | list", "rejectattr('age', 'equalto', 31) | list", "dictsort", "items | list", "sum",
    "sum(attribute='age')", "min", "max", "capitalize", "title", "replace('a', 'o')", "indent", "indent(2, true)",
    "wordcount", "truncate(8)", "center(10)", "batch(2) | list", "slice(2) | list", "groupby('age')", "e", "safe",
    "urlencode", "count", "d('q')", "tojson | safe", "escape", "select('defined') | list", "map('length') | list",
    "map('int') | list", "selectattr('role', 'in', ['user']) | list", "map('trim') | list", "attr('name')", "items",
    "select", "map('upper')", "selectattr('name')", "forceescape", "unique", "batch(2)", "max(attribute='age')",
    "min(attribute='name')", "unique(attribute='age') | list", "groupby('name') | length", "format(1)",
    "last | string", "tojson(sort_keys=true)", "tojson(separators=(',', ':'))", "truncate(5, true, '!')", "int(5)",
    "float(1.5)", "round(2, 'floor')", "round(0, 'ceil')", "map(attribute='content', default='z') | list",
    "dictsort(by='value')", "dictsort(true)"]
TESTS = [
    "defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "true", "false", "mapping",
    "iterable", "sequence", "callable", "odd", "even", "divisibleby(2)", "in(list)", "in 'abc'", "eq(1)", "ne 1",
    "gt(0)", "lt 3", "sameas(none)", "lower", "upper", "escaped", "not defined", "not none", "not string", "== 1"]
LOOPED = [
    "list", "words", "messages", "people", "nested", "mixed", "d", "d.items()", "range(4)", "'abc'", "d | dictsort",
    "missing", "[]", "people | selectattr('age')", "messages[::-1]", "d.keys()", "words | map('upper')"]
SLICES = ["0", "-1", "1:", "::-1", ":2", "-2:", "1:2", "::2", "5", "none", "none:none", "0:0"]


class Grammar:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.loops = 0
        self.names = []
        self.macros = []

    def one_of(self, rows):
        return self.random.choice(rows)

    def chance(self, probability):
        return self.random.random() < probability

    def atom(self):
        kind = self.random.random()
        if kind < .25:
            return self.one_of(TEXTS)
        if kind < .4:
            return self.one_of(NUMBERS)
        if kind < .75:
            return self.one_of(VARIABLES + self.names * 2)
        if kind < .8 and self.loops:
            return "loop." + self.one_of(LOOP)
        return self.one_of(LITERALS)

    def operand(self, depth):
        return self.atom() if self.chance(.6) else f"({self.expression(depth + 1)})"

    def expression(self, depth=0):
        if depth > 3 or self.chance(.15):
            return self.atom()
        of = lambda: self.expression(depth + 1)  # noqa: E731
        rows = [
            (22, lambda: f"{self.operand(depth)} | {self.one_of(FILTERS)}"),
            (12, lambda: f"({of()} | {self.one_of(FILTERS)}).{self.one_of(METHODS)}"),
            (10, lambda: f"{self.operand(depth)}.{self.one_of(METHODS)}"),
            (6, lambda: f"{self.operand(depth)}.{self.one_of(ATTRIBUTES)}"),
            (7, lambda: f"{self.operand(depth)}[{self.one_of([of(), repr(self.one_of(ATTRIBUTES))] + SLICES)}]"),
            (11, lambda: f"{of()} {self.one_of(['+', '-', '*', '/', '//', '%', '**', '~'])} {of()}"),
            (8, lambda: f"{of()} {self.one_of(['==', '!=', '<', '>', '<=', '>=', 'in', 'not in'])} {of()}"),
            (7, lambda: f"{of()} is {self.one_of(TESTS)}"),
            (5, lambda: f"{of()} {self.one_of(['and', 'or'])} {of()}"),
            (2, lambda: f"not {of()}"),
            (3, lambda: f"{of()} if {of()} else {of()}"),
            (2, lambda: f"{of()} if {of()}"),
            (1, lambda: f"-{self.operand(depth)}"),
            (2, lambda: f"[{of()}, {of()}]"),
            (1, lambda: "{'p': %s, 'q': %s}" % (of(), of())),
            (1, lambda: f"({of()},)"),
            (1, lambda: f"dict(a={of()}, b=2)"),
        ]
        if self.macros:
            rows.append((2, lambda: f"{self.one_of(self.macros)}({self.one_of(['', of(), 'b=' + of(), 'z=1'])})"))
        return self.random.choices([make for _, make in rows], [weight for weight, _ in rows])[0]()

    def tag(self, body):
        signs = ["", "", "", "-", "-", "+"]
        return "{%" + self.one_of(signs) + f" {body} " + self.one_of(signs) + "%}"

    def output(self, expression):
        return "{{" + self.one_of(["", "", "-"]) + f" {expression} " + self.one_of(["", "", "-"]) + "}}"

    def text(self):
        return self.one_of(["", "x", "\n", "  \n", " a ", "\n  ", "\n\n", "T: ", "\t", "é\n"])

    def body(self, depth):
        return "".join(self.text() + self.statement(depth) + self.text() for _ in range(self.random.randint(1, 3)))

    def if_(self, depth):
        out = self.tag(f"if {self.expression()}") + self.body(depth)
        if self.chance(.3):
            out += self.tag(f"elif {self.expression()}") + self.body(depth)
        if self.chance(.5):
            out += self.tag("else") + self.body(depth)
        return out + self.tag("endif")

    def for_(self, depth):
        name, over = self.one_of(["i", "m", "p"]), self.one_of(LOOPED + [self.expression(2)])
        target = "p, i" if over in ("d.items()", "d | dictsort") else name
        condition = f" if {self.expression(1)}" if self.chance(.2) else ""
        self.names.append(name)
        self.loops += 1
        body = self.body(depth)
        if self.chance(.15):
            control = self.tag(self.one_of(["break", "continue"]))
            body += self.tag("if " + self.expression(1)) + control + self.tag("endif") + self.body(depth)
        self.loops -= 1
        out = self.tag(f"for {target} in {over}{condition}") + body
        if self.chance(.2):
            out += self.tag("else") + self.body(depth)
        self.names.remove(name)
        return out + self.tag("endfor")

    def set_(self, _):
        name = self.one_of(["u", "v", "w"])
        out = self.tag(f"set {name} = {self.expression()}")
        self.names.append(name)
        return out

    def set_block(self, depth):
        name = self.one_of(["u", "v", "w"])
        filters = self.one_of(["", "", " | upper", " | trim", ' | replace("a","b")'])
        out = self.tag(f"set {name}{filters}") + self.body(depth) + self.tag("endset")
        self.names.append(name)
        return out

    def space(self, _):
        return (self.tag(f"set ns = namespace(a={self.expression(1)}, b=0)") + self.tag(f"set ns.a = {self.expression(1)}") +
                self.output("ns.a") + self.output("ns.b"))

    def macro(self, depth):
        name, signature = self.one_of(["mm", "nn"]), self.one_of(["", "a", "a, b=2", "a='q', b=none"])
        around, self.loops = self.loops, 0
        parameters = [p for p in ("a", "b") if p in signature]
        self.names += parameters
        out = self.tag(f"macro {name}({signature})") + self.body(depth)
        if self.chance(.2):
            out += self.output("caller()")
        if self.chance(.1):
            out += self.output("varargs")
        for parameter in parameters:
            self.names.remove(parameter)
        self.loops = around
        self.macros.append(name)
        arguments = self.one_of(["", self.expression(1), "1, 2", "b=3"])
        return out + self.tag("endmacro") + self.output(f"{name}({arguments})")

    def block(self, depth):
        if self.macros and self.chance(.4):
            opening, end = f"call {self.one_of(self.macros)}({self.one_of(['', self.expression(1)])})", "endcall"
        elif self.chance(.5):
            name = self.one_of(["upper", "trim", "indent", "replace('a','b')", "title", "e"])
            opening, end = f"filter {name}", "endfilter"
        elif self.chance(.6):
            opening, end = f"with q = {self.expression(1)}", "endwith"
        else:
            opening, end = "generation", "endgeneration"
        return self.tag(opening) + self.body(depth) + self.tag(end)

    def silent(self, _):
        if self.chance(.5):
            return "{#" + self.one_of(["", "-"]) + " c " + self.one_of(["", "-"]) + "#}"
        return "{%" + self.one_of(["", "-", "+"]) + " raw %} {{ r }} \n{% endraw " + self.one_of(["", "-", "+"]) + "%}"

    def statement(self, depth):
        if depth > 2 or self.chance(.42):
            return self.output(self.expression())
        makers = {self.if_: 12, self.for_: 16, self.set_: 10, self.space: 4, self.set_block: 3, self.macro: 5,
                  self.block: 6, self.silent: 2}
        return self.random.choices(list(makers), list(makers.values()))[0](depth + 1)


def template(seed):
    grammar = Grammar(seed)
    return grammar.body(0) if grammar.chance(.6) else grammar.text() + grammar.output(grammar.expression()) + grammar.text()


SEEDS = (
    67, 192, 218, 721, 726, 776, 848, 1046, 1077, 1149, 1247, 1511, 1812, 2062, 2170, 2409, 2444, 2459, 2540,
    2776, 2810, 2877, 2886, 3011, 3056, 3589, 3620, 3655, 3866, 3909, 4023, 4121, 4483, 4527, 4717, 4806,
    4931, 5025, 5044, 5103, 5271, 5375, 5739, 5854, 5885, 6123, 6127, 6180, 6213, 6254, 6290, 6311, 6451,
    6496, 6509, 6514, 6528, 6594, 6597, 6602, 6758, 6917, 7092, 7126, 7215, 7367, 7410, 7597, 7598, 7617,
    7664, 7771, 7773, 7784, 7870, 7883, 7977, 8121, 8167, 8173, 8227, 8398, 8523, 8718, 8776, 8872, 8976,
    9001, 9033, 9042, 9097, 9112, 9152, 9264, 9562, 9807, 9942, 10079, 10100, 10226)
