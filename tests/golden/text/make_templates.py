"""Makes templates.json: what Jinja answers for templates of our own, set up as transformers does it.

    python tests/golden/text/make_templates.py           (needs `pip install jinja2`)

A case is {name, template | file, context, want}, or {…, fails: true} where Jinja fails (our messages
differ and are tested elsewhere). The examples of the GLM layouts are written down by hand in EXPECTED
and checked against Jinja here, so that neither can drift alone.
"""

import datetime
import json
import pathlib
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

import random_templates

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(lineno)

    def _body(self, caller):
        return caller()


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                       extensions=[Generation, jinja2.ext.loopcontrols])

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(format):
        return datetime.datetime.now().strftime(format)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


# The structure of other families' templates, over conversations of ours; what Jinja gives is the golden.
def structures():
    call_one = {"role": "assistant", "content": "", "tool_calls": [call("get_weather", "abcdefghi", city="Paris \u00e9", days=2)]}
    call_two = {"role": "assistant", "content": "Both.", "reasoning_content": "why", "tool_calls": [
        call("get_weather", "abcdefghi", city="Rome", opts={"n": None, "b": True, "x": 1.0}), call("f", "123456789")]}
    result = {"role": "tool", "content": "18C", "tool_call_id": "abcdefghi"}
    result_two = {"role": "tool", "content": "{\"t\": 22}", "tool_call_id": "123456789"}
    system = {"role": "system", "content": " You are terse.\n"}
    user, answer = {"role": "user", "content": " Hi <b> \u4f60 \n"}, {"role": "assistant", "content": " Hello. "}
    inline = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes"}
    oddities = {"type": "function", "function": {"name": "odd", "description": "Odd", "return": {"type": "null"}, "parameters": {
        "type": "object", "required": ["a"], "properties": {
            "a": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "boolean"}}}}, "b": {"type": ["string", "null"]},
            "c": {"oneOf": [{"type": "string", "enum": ["x", "y"]}, {"type": "number", "default": 1.5}]},
            "d": {"type": "string", "default": "z", "description": "D"}, "e": {"type": "array"}, "f": {"type": "array", "items": {"type": "integer"}}}}}}
    conversations = {
        "one": [user], "system": [system, user], "turns": [system, user, answer, user], "inline": [user, inline, user, inline],
        "call": [user, call_one, result], "calls": [system, user, call_two, result, result_two, answer, user],
        "after": [user, call_one, result, answer], "thought": [user, TWO_TURNS[1]], "two_users": [user, user],
        "developer": [{"role": "developer", "content": "Dev."}, user], "null": [user, {"role": "assistant", "content": None}]}
    settings = {"": {}, "tools": {"tools": [WEATHER]}, "odd": {"tools": [WEATHER, oddities, {"type": "function", "function": {"name": "n", "description": ""}}]},
                "off": {"enable_thinking": False, "add_generation_prompt": False, "in_user": False, "tools": [WEATHER]},
                "more": {"builtin_tools": ["get_weather", "code_interpreter"], "reasoning_effort": "high", "today": "1 Jan"}}
    for family in ("qwen3", "llama3", "deepseek_v3", "mistral", "gpt_oss"):
        for name, messages in conversations.items():
            for setting, extra in settings.items():
                if setting in ("", "tools") or (len(name) + len(setting)) % 2:
                    yield f"{family}_{name}_{setting}".rstrip("_"), family, {
                        "messages": messages, "tools": None, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>", **extra}


DATA = {
    "s": "Hello, Wörld! 中文 😀", "empty": "", "n": 7, "neg": -3, "f": 2.5, "zero": 0, "t": True, "x": None,
    "list": [3, 1, 2], "words": ["pear", "Apple", "fig", "apple"], "nested": [[1, 2], [3]], "mixed": [1, "a", None, 2.0, True],
    "d": {"b": 1, "a": 2, "C": "three"}, "deep": {"k": [{"x": 1}, {"x": 2, "y": "é"}]},
    "people": [{"name": "Ann", "age": 31, "tags": ["x"]}, {"name": "bob", "age": 25}, {"name": "Cy", "age": 31, "tags": []}],
    "multi": "one\ntwo\n\nthree\r\nfour", "spaces": " \t x y  z\n ", "quote": "it's \"q\" \\ \n\t\u0001\u00e9\u2028\U0001f600",
    "big": 12345678901234567890, "small": 1e-05, "large": 1e+16, "third": 0.1, "one": 1.0, "huge": 1e300,
    "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}],
}

# Each line is a template over DATA; a case of its own.
LINES = r"""
{{ s }}|{{ n }}|{{ f }}|{{ t }}|{{ x }}|{{ list }}|{{ d }}|{{ missing }}|{{ mixed }}|{{ nested }}
{{ big }} {{ small }} {{ large }} {{ third }} {{ one }} {{ huge }} {{ 1e15 }} {{ 123456789.5 }} {{ -0.0 }} {{ 5e-324 }} {{ 1.5e-4 }} {{ 0.00001234 }}
{{ 1 + 2 * 3 - 4 }} {{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }}
{{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 7.5 % -2 }} {{ 1 / 3 }} {{ 1e3 }} {{ 6 / 2 }} {{ 2 * 1.5 }} {{ 0.1 + 0.2 }} {{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }}
{{ 'a' + 'b' }} {{ 'a' ~ 1 ~ none ~ 2.0 ~ missing }} {{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ [1] + [2, 3] }} {{ [0] * 3 }} {{ (1,) + (2,) }} {{ True + 1 }} {{ 'a' 'b' "c" }}
{{ 1 == 1.0 }} {{ 1 == '1' }} {{ true == 1 }} {{ none == false }} {{ [1, 2] == [1, 2] }} {{ (1, 2) == [1, 2] }} {{ {'a': 1} == {'a': 1.0} }} {{ missing == other }} {{ none != missing }}
{{ 1 < 2 < 3 }} {{ 1 < 2 > 5 }} {{ 'a' < 'b' }} {{ 'Z' < 'a' }} {{ 'é' > 'z' }} {{ [1, 2] < [1, 3] }} {{ [1] < [1, 0] }} {{ 2 >= 2.0 }} {{ true > false }} {{ 1 <= 1 }}
{{ 'a' in 'cat' }} {{ 'x' not in 'cat' }} {{ 1 in list }} {{ 'b' in d }} {{ 'z' in d }} {{ 1 in missing }} {{ '' in 'a' }} {{ 1.0 in [1] }} {{ none in mixed }} {{ not 1 in list }}
{{ not none }} {{ not '' }} {{ not [] }} {{ not {} }} {{ not 0.0 }} {{ not missing }} {{ not 'a' }} {{ 1 and 0 }} {{ 0 or 'x' }} {{ none or missing or 5 }} {{ 1 and 2 and 3 }} {{ '' and 1 }}|
{{ 'y' if t else 'n' }} {{ 'y' if x else 'n' }} {{ 'only' if x }} {{ 1 if 0 else 2 if 0 else 3 }} {{ ('a' if t) is defined }} {{ ('a' if x) is defined }}
{{ list[0] }} {{ list[-1] }} {{ list[7] }} {{ s[0] }} {{ s[-1] }} {{ s[7] }} {{ d['b'] }} {{ d.b }} {{ d['zz'] }} {{ d.zz }} {{ deep.k[1].y }} {{ deep['k'][0]['x'] }} {{ messages[0]['role'] }} {{ list.0 }} {{ nested.0.1 }}
{{ list[1:] }} {{ list[:-1] }} {{ list[::-1] }} {{ list[::2] }} {{ s[1:5] }} {{ s[::-1] }} {{ s[-3:] }} {{ s[10:2:-2] }} {{ list[5:] }} {{ list[-100:2] }} {{ list[2:0:-1] }} {{ s[:0] }}| {{ (1,2,3)[1:] }} {{ list[:][0] }} {{ list[::-2] }}
{{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.get('b') }} {{ d.get('q') }} {{ d.get('q', 5) }} {{ d['items'] is defined }} {{ d.items is defined }} {{ d | length }} {{ d | list }}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %} {% for k in d %}{{ k }}{% endfor %} {% for k, v in d | dictsort %}{{ k }}={{ v }};{% endfor %} {% for k, v in d | items %}{{ loop.index }}{{ k }}{% endfor %}
{% for a in list %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }}/{{ loop.previtem }}/{{ loop.nextitem }};{% endfor %}
{% for a in [] %}x{% else %}none{% endfor %} {% for a in missing %}x{% else %}undef{% endfor %} {% for a in list if a > 1 %}{{ a }}{{ loop.last }}{% else %}e{% endfor %} {% for a in list if a > 9 %}x{% else %}none>9{% endfor %}
{% for (a, b) in [(1, 2), (3, 4)] %}{{ a }}{{ b }}{% endfor %} {% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %} {% for c in 'aé😀' %}{{ c }}.{% endfor %} {% for i in range(3) %}{{ i }}{% endfor %} {{ range(1, 10, 3) | list }} {{ range(5, 0, -2) | list }}
{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}|{% for i in [1,2] %}{% for j in [1,2] %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}
{% for i in [1,2,3] %}{{ loop.cycle('a', 'b') }}{{ loop.changed(i // 2) }}{% endfor %} {% for a in nested %}{% set outer = loop %}{% for b in a %}{{ outer.index }}.{{ loop.index }} {% endfor %}{% endfor %}
{% for item in [{'n': 1, 'c': [{'n': 2, 'c': [{'n': 3}]}]}, {'n': 4}] recursive %}{{ loop.depth }}:{{ item.n }}{% if item.c %}({{ loop(item.c) }}){% endif %}{% endfor %}
{% set a = 1 %}{% for i in [1, 2] %}{{ a }}{% set a = a + 1 %}{{ a }}{% endfor %}{{ a }} {% if true %}{% set a = 9 %}{% endif %}{{ a }} {% set p, q = 1, 2 %}{{ p }}{{ q }} {% set tup = 1, %}{{ tup }}
{% set ns = namespace(x=1, y='a') %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.y }}{{ ns.z }}|{% set ns.new = [1] %}{{ ns.new }} {% set ns = namespace({'k': 5}, j=6) %}{{ ns.k + ns.j }} {% set ns.k, b = 1, 2 %}{{ ns.k }}{{ b }}
{% set text %}a {{ n }} b{% endset %}[{{ text }}] {% set up | upper | trim %} x{{ s }} {% endset %}[{{ up }}] {% set q %}{% set inner = 1 %}{% endset %}{{ inner is defined }}
{% macro m(a, b=2, c='x' ~ a) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 5) }}{{ m(a=3, c=4) }}{{ m() }}{{ m.name }}{{ m(1, c=none) }}
{% macro v() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ v(1, 'a', z=3) }}{{ v() }} {% macro f(n) %}{{ n }}{% if n > 0 %},{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
{% macro w(t) %}<{{ t }}>{{ caller('x', 2) }}</{{ t }}>{% endmacro %}{% call(a, b=1) w('p') %}{{ a }}{{ b }}{% endcall %} {% macro o() %}{% if caller %}{{ caller() }}{% else %}no{% endif %}{% endmacro %}{{ o() }}{% call o() %}yes{% endcall %}
{% set g = 5 %}{% macro r() %}{{ g }}{{ late }}{% set g = 6 %}{{ g }}{% endmacro %}{% set late = 'L' %}{{ r() }}{{ g }} {% for i in [1] %}{% macro l() %}{{ i }}{% endmacro %}{{ l() }}{% endfor %}
{% filter upper %}abc {{ s }}{% endfilter %} {% filter replace('a', 'o') | title %}banana split{% endfilter %} {% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a is defined }} {% generation %}gen {{ n }}{% set inside = 1 %}{% endgeneration %}{{ inside is defined }}
{{ x is none }} {{ x is not none }} {{ missing is defined }} {{ missing is undefined }} {{ s is string }} {{ n is number }} {{ t is number }} {{ t is integer }} {{ n is integer }} {{ f is float }} {{ t is boolean }} {{ t is true }} {{ t is false }} {{ 1 is true }}
{{ d is mapping }} {{ list is mapping }} {{ list is iterable }} {{ s is iterable }} {{ n is iterable }} {{ d is iterable }} {{ list is sequence }} {{ s is sequence }} {{ d is sequence }} {{ n is sequence }} {{ x is iterable }} {{ missing is iterable }} {{ x is string }} {{ range is callable }}
{{ 3 is odd }} {{ 3 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 1 is in [1] }} {{ 1 is not in [1] }} {{ 'a' is in 'abc' }} {{ 2 is eq 2 }} {{ 2 is gt 1 }} {{ 2 is lessthan 1 }} {{ 2 is ge(2) }} {{ 'abc' is lower }} {{ 'ABC' is upper }} {{ none is sameas none }} {{ 1 is sameas true }} {{ 'upper' is filter }} {{ 'odd' is test }} {{ not n is odd }}
{{ s | length }} {{ list | length }} {{ d | count }} {{ missing | length }} {{ '  a b ' | trim }}| {{ 'xxaxx' | trim('x') }} {{ s | upper }} {{ s | lower }} {{ 'hELLO wORLD' | capitalize }} {{ "hello-world it's (a) x" | title }} {{ "it's" .title() }}
{{ missing | default('d') }} {{ x | default('d') }} {{ x | default('d', true) }} {{ '' | d('e', boolean=True) }} {{ zero | default(5) }} {{ missing | default }}| {{ missing.foo | default('u') if missing else 'no' }} {{ d.zz | default('attr') }}
{{ list | join }} {{ list | join(', ') }} {{ people | join('; ', attribute='name') }} {{ 'abc' | join('-') }} {{ mixed | join('|') }} {{ list | first }} {{ list | last }} {{ [] | first }}| {{ 'abc' | first }} {{ 'abc' | last }}
{{ list | sort }} {{ words | sort }} {{ words | sort(case_sensitive=true) }} {{ list | sort(reverse=true) }} {{ people | sort(attribute='age') | map(attribute='name') | join(',') }} {{ people | sort(attribute='age', reverse=true) | map(attribute='name') | list }} {{ words | unique | list }} {{ [1, 1.0, 2] | unique | list }}
{{ list | sum }} {{ list | max }} {{ list | min }} {{ words | max }} {{ people | sum(attribute='age') }} {{ [] | max }}| {{ [0.5, 1] | sum }} {{ list | reverse | list }} {{ 'abc' | reverse }} {{ people | max(attribute='age') == people[0] }}
{{ people | map(attribute='name') | list }} {{ people | map(attribute='tags', default='none') | list }} {{ words | map('upper') | list }} {{ ['1', '2'] | map('int') | sum }} {{ nested | map('join', '+') | list }} {{ people | map(attribute='tags.0', default='-') | list }} {{ nested | map(attribute=0) | list }} {{ words | map('replace', 'p', 'b') | join(' ') }}
{{ list | select('odd') | list }} {{ list | reject('odd') | list }} {{ mixed | select | list }} {{ list | select('gt', 1) | list }} {{ people | selectattr('age', 'equalto', 31) | map(attribute='name') | list }} {{ people | selectattr('tags') | list | length }} {{ people | rejectattr('tags', 'defined') | map(attribute='name') | list }} {{ people | selectattr('age', '>', 30) | list | length }} {{ messages | selectattr('role', 'in', ['user', 'tool']) | list | length }}
{{ d | dictsort }} {{ d | dictsort(by='value') if false else '' }}{{ {'b': 2, 'a': 3} | dictsort(by='value') }} {{ d | dictsort(true) }} {{ d | dictsort(reverse=true) }} {{ d | items | list }} {{ missing | items | list }}
{{ 'a-b-a' | replace('a', 'x') }} {{ 'aaa' | replace('a', 'b', 2) }} {{ 'abc' | replace('', '-') }} {{ 5 | replace('5', '6') }} {{ n | string ~ 'x' }} {{ s | safe }} {{ '<a href="x">&\'</a>' | e }} {{ x | string }} {{ [1] | string }} {{ 'a b/c?é' | urlencode }}
{{ '12' | int }} {{ '12.7' | int }} {{ 'x' | int }} {{ 'x' | int(5) }} {{ '0x1f' | int(base=16) }} {{ 3.9 | int }} {{ -3.9 | int }} {{ '1_0' | int }} {{ none | int(default=3) }} {{ '2.5' | float }} {{ 'a' | float }} {{ 3 | float }} {{ ' 7 ' | int }} {{ true | int }} {{ '1e3' | float }} {{ -5 | abs }} {{ -2.5 | abs }}
{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 42.55 | round(1, 'floor') }} {{ 42.55 | round(1, 'ceil') }} {{ 5 | round }} {{ 1234.5 | round(-2) }} {{ 2.4 | round | int }} {{ 0.5 | round }}
{{ multi | indent }}#{{ multi | indent(2, true) }}#{{ multi | indent('> ', blank=true) }}#{{ '' | indent }}#{{ 'a\n' | indent(1) }}#
{{ [1,2,3,4,5] | batch(2) | list }} {{ [1,2,3] | batch(2, 'x') | list }} {{ [1,2,3,4,5] | slice(3) | list }} {{ [1,2,3,4] | slice(3, 'f') | list }} {{ people | groupby('age') | map('first') | list }} {% for k, g in people | groupby('age') %}{{ k }}:{{ g | map(attribute='name') | join(',') }};{% endfor %}
{{ 'hello big wide world' | truncate(12) }} {{ 'hello big wide world' | truncate(12, true, leeway=0) }} {{ 'short' | truncate(3) }} {{ 'a b  c' | wordcount }} {{ 'mid' | center(9) }}| {{ '%s-%d-%5.2f-%x' | format('a', 3, 2.5, 255) }} {{ '%(k)s' | format(k='v') }} {{ '%s and %r' % ('a', 'b') }} {{ '%05d|%-4s|%+d|%%' % (42, 'l', 7) }} {{ '%s' % 5 }} {{ 'x%sx' % s }} {{ '%e %g' % (12345.678, 0.0001) }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c'.split(' ', 1) }} {{ 'abc'.split('x') }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a b c'.rsplit(' ', 1) }} {{ 'a b c'.rsplit(none, 1) }} {{ 'a<sep>b'.split('<sep>')[-1] }} {{ ' x y z '.split(none, 1) }} {{ ' x y z '.rsplit(none, 1) }} {{ 'k=v=w'.partition('=') }} {{ 'k=v=w'.rpartition('=') }} {{ 'abc'.partition('x') }}
{{ multi.splitlines() }} {{ multi.splitlines(true) }} {{ 'a\x0bb\u2028c'.splitlines() }} {{ spaces.strip() }}| {{ spaces.lstrip() }}| {{ 'xyxabcyx'.strip('xy') }} {{ 'aab'.lstrip('a') }} {{ 'abb'.rstrip('b') }} {{ 'ééaé'.strip('é') }} {{ 'a'.strip('') }} {{ '\n\nx\n'.strip('\n') }}
{{ s.upper() }} {{ s.lower() }} {{ 'straße ΟΔΟΣ ΑΣ.'.lower() }} {{ 'straße'.upper() }} {{ 'abc'.capitalize() }} {{ "they're bill's".title() }} {{ 'aBc'.swapcase() }} {{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'bc')) }} {{ 'abc'.startswith('b', 1) }} {{ 'abcabc'.find('c') }} {{ 'abcabc'.rfind('c') }} {{ 'abc'.find('z') }} {{ 'aéb'.find('b') }} {{ 'abcabc'.count('bc') }} {{ 'abc'.index('c') }} {{ 'aaa'.count('') }}
{{ 'abc'.replace('b', 'X') }} {{ 'aaa'.replace('a', 'b', 1) }} {{ '-'.join(['a', 'b']) }} {{ 'abc'.isalpha() }} {{ '123'.isdigit() }} {{ 'a1'.isalnum() }} {{ ''.isalpha() }} {{ ' '.isspace() }} {{ 'Ab'.isupper() }} {{ 'AB1'.isupper() }} {{ 'ab1'.islower() }} {{ '1'.zfill(3) }} {{ '-1'.zfill(4) }} {{ 'a'.ljust(3) }}| {{ 'a'.rjust(3, '.') }} {{ 'ab'.center(5, '*') }} {{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }} {{ 'A'.casefold() }} {{ '½'.isnumeric() }}
{{ '{} {}'.format('a', 1) }} {{ '{0}{1}{0}'.format('x', 'y') }} {{ '{a}-{{}}'.format(a=1) }} {{ [1, 2, 1].count(1) }} {{ [1, 2].index(2) }} {{ d.copy() }} {{ (1, 2).count(2) }} {{ dict(a=1, b='c') }} {{ dict([('k', 1)], z=2) }} {{ dict({'a': 1}, a=2) }}
{{ d | tojson }} {{ quote | tojson }} {{ quote | tojson(ensure_ascii=true) }} {{ list | tojson }} {{ mixed | tojson }} {{ [one, small, large, third, big, huge] | tojson }} {{ deep | tojson(indent=2) }} {{ d | tojson(sort_keys=true) }} {{ d | tojson(separators=(',', ':')) }} {{ [] | tojson(indent=4) }} {{ {} | tojson(indent=4) }} {{ {'a': [], 'b': {}, 'c': [1]} | tojson(indent=1) }} {{ '<b>&' | tojson }} {{ x | tojson }} {{ (1, 'a') | tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }} {{ s | tojson(True) }} {{ d | tojson(false, '\t') }}
{{ quote }} {{ [quote] }} {{ ["it's", 'say "x"', "both ' and \""] }} {{ ['\x7f\u200b\ud7ff\xad', 'ü'] }} {{ {'k': 'v', 1: none, (1, 2): [true]} }} {{ () }} {{ (1,) }} {{ [missing] }} {{ {'a': ns} if false else {} }} {{ 'tab\there' }} {{ 'back\\slash \q \x41 \u00e9 \101' }}
{{ messages[-1].role }} {{ messages | length }} {{ (messages | last).content }} {{ messages[0].content[0] }} {{ messages[1:] | map(attribute='role') | list }} {{ (messages | selectattr('role', 'equalto', 'user') | list)[0].content }} {{ messages[::-1][0].role }} {{ messages.0.role }}
{{ 'a' if 'k' in deep and deep.k is iterable and deep.k is not string else 'b' }} {{ 'a' if not (1 and 0) or 0 else 'b' }} {{ (1, 2) | first }} {{ [1, [2, [3]]] }} {{ {'a': {'b': 1}}.a.b }} {{ 'x' in ['x'] and 'y' not in ['x'] }} {{ -n }} {{ +n }} {{ - -n }} {{ -f ** 2 }} {{ 'a' ~ 'b' == 'ab' }} {{ 1 ~ 2 + 3 ~ 4 }}
{%- if n > 5 and n < 10 %} in{% elif n == 0 %} zero{% else %} out{% endif %}{% if missing %}x{% elif none %}y{% endif %}{% if list %}L{% endif %}{% if not empty %}E{% endif %} {% print n, s %} {% raw %}{{ raw }} {% x %}{% endraw %}
{{ raise_exception is callable }} {{ strftime_now('%%') }} {{ namespace is defined }} {{ n is defined and n is not none }} {{ [n, s] | string }} {{ true }} {{ True }} {{ None }} {{ false }} {{ 10 is divisibleby 5 }} {{ '' is defined }} {{ n is eq(7) }} {{ [1,2] is sameas [1,2] }}
{{ d.keys() }}{{ d.values() }}{{ d.items() }}{{ range(1, 9, 3) }}{{ range(9)[2:8:2] }}{{ range(5)[-1] }}{{ d.items()[0] is defined }}{{ d.keys() == {'a': 0, 'b': 1, 'C': 2}.keys() }}{{ 'a' in d.keys() }}{{ d.keys() | length }}{{ d.keys() is sequence }}{{ range(3) is sequence }}{{ not {}.items() }}{{ range(2) == range(0, 2) }}
{% set g = list | select('gt', 9) %}{{ 'yes' if g else 'no' }}{{ g | list }}{% set m = words | map('upper') %}{{ m | first }}{{ m | first }}{{ m | list }}{{ m | list }}{% set s3 = words | select %}{{ 'fig' in s3 }}{{ s3 | list }}{{ g is sequence }}{{ g is iterable }}{{ g[0] is defined }}
{{ none | map('x', nofilter) | list }}{{ false | selectattr('a') | list }}{{ 0 | select('notest') | list }}{{ (5 | unique) is defined }}{{ words | reverse | list }}{{ words | map('upper') | reverse }}{% for a in words | map('length') %}{{ loop.length }}{{ a }}{% endfor %}
{{ '<a>' | safe + '<b>' }}{{ '<b>' + '<a>' | safe }}{{ '<a>' | safe ~ '<b>' }}{{ ['<' | safe] }}{{ ('<a>' | e) + '&' }}{{ '&' | e | e }}{{ '&' | e | forceescape }}{{ '<' | safe is escaped }}{{ '<' is escaped }}{{ ('<%s>' | safe) % '&' }}{{ ('<{}>' | safe).format('&') }}{{ ('a' | safe).join(['<', '>']) }}{{ ('<a>' | safe)[1:] + '<' }}{{ (' <a> ' | safe | trim) + '<' }}{{ ('<a>' | safe | upper) + '<' }}{{ ('<a>' | safe | replace('a', '<')) + '<' }}{{ ('a,b' | safe).split(',')[0] + '<' }}{{ ('<' | safe) * 2 + '<' }}{{ d | tojson | safe }}{{ ('x' | safe).ljust(3, '&') if false else '' }}{{ ('ab' | safe).replace('a', '<') }}
{% for a in [1, 2] %}{% if a %}{% continue %}{% endif %}x{% else %}never done{% endfor %} {% for a in [1, 2] %}{% if a > 1 %}{% break %}{% endif %}y{% else %}no{% endfor %} {% for a in [1] %}{% break %}{% else %}broken{% endfor %}
{{ people | sort(attribute='age,name') | map(attribute='name') | join(',') }} {{ people | sort(attribute='age,name', reverse=true) | map(attribute='name') | join(',') }} {{ [none, none] | sort }} {{ people | min(attribute='zz') == people[0] if false else [5] | min }} {{ {'a b': 'c/d', 'e': 1} | urlencode }} {{ 'ß'.title() }}{{ 'ß'.capitalize() }}{{ 'Straße'.casefold() }}{{ 'ß' | upper }} {{ -0.5 | round(0, 'ceil') }} {{ missing is callable }} {{ '%s' % [1] }} {{ 'x' % [1] }}
{% set x1 = [1, 2] %}{% set y1 = x1 %}{{ y1 is sameas x1 }} {% set a, b, c = 'xyz' %}{{ c }}{{ b }}{{ a }} {% set dd = dict(d, new=1) %}{{ dd }} {{ d }} {% for a, b in {'k': 'v'}.items() %}{{ a ~ b }}{% endfor %} {{ (d.items() | list)[0][1] }} {{ d.values() | sum if false else '' }}
"""

FAILING = r"""
{{ missing.attr }}
{{ missing + 1 }}
{{ missing() }}
{{ missing['x'] }}
{{ 1 + 'a' }}
{{ 'a' + 1 }}
{{ none + 'a' }}
{{ 'a' < 1 }}
{{ none < 1 }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ 5 | length }}
{{ raise_exception('no') }}
{% for a in 5 %}{% endfor %}
{% for a in none %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for a, b in [(1, 2, 3)] %}{% endfor %}
{{ n() }}
{{ s.nothing() }}
{{ 1 in 5 }}
{{ 1 in 'abc' }}
{{ [1, 'a'] | sort }}
{{ missing | tojson }}
{{ 'a' | nofilter }}
{{ 'a' is notest }}
{% set d.b = 1 %}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% if %}{% endif %}
{% if x %}
{% endif %}
{% for x in y %}{% endif %}
{{ a b }}
{{ (1 }}
{{ 1 ] }}
{{ 'open }}
{% unknown %}
{{ {'a' 1} }}
{% break %}
{{ '%d' % 'a' }}
{{ ''.split('') }}
{{ 'a'.index('b') }}
{{ {[1]: 2} }}
{{ range(1000000) | list }}
{{ list[::0] }}
{% macro m(a=1, b) %}{% endmacro %}
{# never closed
{% raw %} never closed
{{ 1 is odd is even }}
{{ f(a=1, 2) }}
{{ missing | abs }}
{{ d | sort | first | nofilter }}
{% call n() %}{% endcall %}
{{ "%s %s" % ("one",) }}
{{ d['a'].b.c }}
{% set true = 1 %}
{{ loop.index }}
{{ 5 | unique | list }}
{{ list | select | length }}
{{ list | map('string') | last }}
{{ list | map('nofilter') | list }}
{{ n[1:] }}
{{ d[1:] }}
{{ missing[1:] }}
{{ 'x' % 5 }}
{{ d.keys() | tojson }}
{{ range(3) | tojson }}
{{ d.values() + [1] }}
{{ 5 | indent }}
{{ n | truncate(1) }}
{% filter length %}x{% endfilter %}
{{ missing | indent }}
{{ namespace(missing) }}
""".strip("\n").split("\n")

WHITESPACE = [
    "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "a\n  {% if true %}  \n  b\n  {% endif %}\nc",
    "a\n  {%- if true -%}\n  b\n  {%- endif -%}\n  c\n\n",
    "  {% if true %}x{% endif %}  y",
    "a {%+ if true %} b{% endif +%}\nc",
    "  {%+ if true +%}\n b{% endif %}",
    "{{ 1 }}\n{{ 2 }}  \n  {{- 3 -}}  \n 4",
    "a\n  {# comment #}\nb\n  {#- c -#}\n d {# x #} e\n\t{#+ y +#}\nf",
    "x{# a #}\n\n{# b #}\ny",
    "{% raw %}\n  {{ x }}\n{% endraw %}\nz",
    "a\n  {%- raw -%}\n  {{ x }}\n  {%- endraw -%}\n z",
    "a {% raw %} b {% endraw %}\n c",
    "\n\n{% set x = 1 %}\n\n{{ x }}\n\n",
    "line\r\nnext\r{% if true %}\r\nin{% endif %}\r\nend\r\n",
    "{% for i in [1, 2] %}\n  {{ i }}\n{% endfor %}\nend",
    "{% for i in [1, 2] -%}\n  {{ i }}\n{%- endfor %}\nend",
    "{%- set a = 1 -%}\n\n  {{- a }}\n  text\n{%- if a %}\n    yes\n{%- endif %}",
    "    {% if true %}\n        deep\n    {% else %}\n        no\n    {% endif %}\n",
    "a{% if true %}b{% endif %}\nc{{ '' }}\nd",
    "\u00a0{% if true %}x{% endif %}\u3000{%- if true %}y{% endif %}",
    "x\n\t \t{% if true %}\ty\n{% endif %}",
    "{{ '{{' }}{{ '%}' }}{{ '}}' }}{{ {'a': {'b': 1}}['a'] }}",
    "{{ '\n' }}{{ 'a\\nb' }}|{{ \"tab\\t\" }}",
    "{%if true%}tight{%endif%}{{1}}{{-2-}} 3",
    "{% if true\n   and 1 %}\nmulti\nline{% endif %}",
    "{%- macro m() %}\n  body\n{% endmacro -%}\n[{{ m() }}]",
    "{% set x %}\n  block\n{% endset %}\n[{{ x }}]",
    "{ {% if 1 %}{{ '{' }}{% endif %} } {x} {%} " if False else "{ x } {x} #} %} }}",
    "tail {# comment at the end #}",
    "{% if true %}\n\n\nthree{% endif %}\n\n",
    "a {{- ' b ' -}} c {%- if 1 %} d {% endif -%} e",
    "\ufeffbom {% if 1 %}\nx{% endif %}",
]

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Get weather <b> & \u00e9", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 1.5e-05}},
    "required": ["city"]}}}


def call(name, id="1", **arguments):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


TWO_TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "reasoning_content": "greet back", "content": "Hello."},
             {"role": "user", "content": "2+2?"}]
PARALLEL = [{"role": "user", "content": "Weather in Paris and Rome?"},
            {"role": "assistant", "content": "", "reasoning_content": "call the tool", "tool_calls": [
                call("get_weather", city="Paris", days=2),
                call("get_weather", city="Rome", opts={"u": "é", "n": None, "b": True})]},
            {"role": "tool", "content": "18C"}, {"role": "tool", "content": "{\"t\": 22}"}]
OLDER = [{"role": "user", "content": "W?"},
         {"role": "assistant", "content": "Let me check.", "reasoning_content": "r", "tool_calls": [call("get_weather", city="Paris")]},
         {"role": "tool", "content": "18C"}, {"role": "assistant", "content": "18C.", "reasoning_content": "r2"},
         {"role": "user", "content": "thanks"}]
HELLO = [{"role": "user", "content": "Hello"}]
TOOLS_HEAD = (
    "[gMASK]<sop><|system|>\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
    '{"type": "function", "function": {"name": "get_weather", "description": "Get weather <b> & é", "parameters": '
    '{"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 1.5e-05}}, '
    '"required": ["city"]}}}\n</tools>\n\nFor each function call, output the function name and arguments within the following XML format:\n'
    "<tool_call>{function-name}<arg_key>{arg-key-1}</arg_key><arg_value>{arg-value-1}</arg_value><arg_key>{arg-key-2}</arg_key>"
    "<arg_value>{arg-value-2}</arg_value>...</tool_call>")

GLM47 = [
    ("one_turn", dict(messages=HELLO), "[gMASK]<sop><|user|>Hello<|assistant|><think>"),
    ("system", dict(messages=[{"role": "system", "content": "You are terse."}] + HELLO),
     "[gMASK]<sop><|system|>You are terse.<|user|>Hello<|assistant|><think>"),
    ("no_thinking", dict(messages=HELLO, enable_thinking=False), "[gMASK]<sop><|user|>Hello<|assistant|></think>"),
    ("two_turns", dict(messages=TWO_TURNS),
     "[gMASK]<sop><|user|>Hi<|assistant|></think>Hello.<|user|>2+2?<|assistant|><think>"),
    ("preserved", dict(messages=TWO_TURNS, clear_thinking=False),
     "[gMASK]<sop><|user|>Hi<|assistant|><think>greet back</think>Hello.<|user|>2+2?<|assistant|><think>"),
    ("inline", dict(messages=[TWO_TURNS[0], {"role": "assistant", "content": "<think>greet back</think>Hello."}, TWO_TURNS[2]],
                    clear_thinking=False),
     "[gMASK]<sop><|user|>Hi<|assistant|><think>greet back</think>Hello.<|user|>2+2?<|assistant|><think>"),
    ("parallel_calls", dict(messages=PARALLEL),
     "[gMASK]<sop><|user|>Weather in Paris and Rome?<|assistant|><think>call the tool</think><tool_call>get_weather<arg_key>city</arg_key>"
     "<arg_value>Paris</arg_value><arg_key>days</arg_key><arg_value>2</arg_value></tool_call><tool_call>get_weather<arg_key>city</arg_key>"
     "<arg_value>Rome</arg_value><arg_key>opts</arg_key><arg_value>{\"u\": \"é\", \"n\": null, \"b\": true}</arg_value></tool_call>"
     "<|observation|><tool_response>18C</tool_response><tool_response>{\"t\": 22}</tool_response><|assistant|><think>"),
    ("older_calls", dict(messages=OLDER),
     "[gMASK]<sop><|user|>W?<|assistant|></think>Let me check.<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value>"
     "</tool_call><|observation|><tool_response>18C</tool_response><|assistant|></think>18C.<|user|>thanks<|assistant|><think>"),
    ("no_arguments", dict(messages=HELLO + [{"role": "assistant", "content": "", "tool_calls": [call("f")]}], add_generation_prompt=False),
     "[gMASK]<sop><|user|>Hello<|assistant|></think><tool_call>f</tool_call>"),
    ("no_prompt", dict(messages=HELLO + [{"role": "assistant", "content": "Hi"}], add_generation_prompt=False),
     "[gMASK]<sop><|user|>Hello<|assistant|></think>Hi"),
    ("tools", dict(messages=HELLO, tools=[WEATHER]), TOOLS_HEAD + "<|user|>Hello<|assistant|><think>"),
    ("parts", dict(messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}, "b"]},
                             {"role": "tool", "content": [{"output": "o"}, "p"]}]),
     "[gMASK]<sop><|user|>ab<|observation|><tool_response>o</tool_response><tool_response>p</tool_response><|assistant|><think>"),
]
GLM45 = [
    ("one_turn", dict(messages=HELLO), "[gMASK]<sop><|user|>\nHello<|assistant|>"),
    ("no_thinking", dict(messages=HELLO, enable_thinking=False), "[gMASK]<sop><|user|>\nHello/nothink<|assistant|>\n<think></think>"),
    ("two_turns", dict(messages=TWO_TURNS),
     "[gMASK]<sop><|user|>\nHi<|assistant|>\n<think></think>\nHello.<|user|>\n2+2?<|assistant|>"),
    ("calls", dict(messages=HELLO + [{"role": "assistant", "content": "", "reasoning_content": "why", "tool_calls": [call("f", k="v")]},
                                     {"role": "tool", "content": "18C"}]),
     "[gMASK]<sop><|user|>\nHello<|assistant|>\n<think>why</think>\n<tool_call>f\n<arg_key>k</arg_key>\n<arg_value>v</arg_value>\n"
     "</tool_call><|observation|>\n<tool_response>\n18C\n</tool_response><|assistant|>"),
]


def render(env, source, context):
    return env.from_string(source).render(**context)


def main():
    env = environment()
    cases = []

    def add(name, source, context, file=None):
        case = {"name": name, "file": file, "context": context} if file else {"name": name, "template": source, "context": context}
        try:
            case["want"] = render(env, source, context)
        except RecursionError:
            raise
        except Exception as error:
            print(name, "fails:", type(error).__name__, str(error)[:90], file=sys.stderr)
            case["fails"] = True
        cases.append(case)
        return case

    for index, line in enumerate(LINES.strip("\n").split("\n")):
        case = add(f"line_{index}", line, DATA)
        assert "fails" not in case, line
        case["context"] = "DATA"
    for index, line in enumerate(FAILING):
        case = add(f"failing_{index}", line, DATA)
        assert "fails" in case, (line, case)
        case["context"] = "DATA"
    for index, source in enumerate(WHITESPACE):
        case = add(f"whitespace_{index}", source, {})
        assert "fails" not in case, source
    files = [("glm47_layout", "tests/golden/text/templates/glm47_layout.jinja", GLM47),
             ("glm45_layout", "tests/golden/text/templates/glm45_layout.jinja", GLM45)]
    tiny = "models/glm-tiny/chat_template.jinja"
    if (ROOT / tiny).exists():
        files.append(("glm_tiny", tiny, GLM47))
    for layout, path, examples in files:
        for name, context, want in examples:
            context = {"add_generation_prompt": True, "tools": None, **context}
            case = add(f"{layout}_{name}", (ROOT / path).read_text(), context, path)
            assert case.get("want") == want, (layout, name, case.get("want"), want)
    for name, family, context in structures():
        path = f"tests/golden/text/templates/{family}_layout.jinja"
        add(name, (ROOT / path).read_text(), context, path)
    for seed in random_templates.SEEDS:
        case = add(f"random_{seed}", random_templates.template(seed), DATA)
        case["context"] = "DATA"
    out = {"made_by": "tests/golden/text/make_templates.py", "jinja2": jinja2.__version__, "data": DATA, "cases": cases}
    path = HERE / "templates.json"
    path.write_text(json.dumps(out, ensure_ascii=True, indent=None).replace('{"name":', '\n{"name":') + "\n")
    print(path.name, path.stat().st_size, "bytes,", len(cases), "cases", file=sys.stderr)


if __name__ == "__main__":
    main()
