"""All data glm-tiny is trained and judged on, generated: arithmetic, words, facts, reasoning and tool calls.

What is held out is decided here and nowhere else, by hash, so that the training stream can never contain it: a tenth of
the operand pairs (in both orders), a tenth of all words, of tool names, of parameter names and of fact phrasings.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Callable

import words as W
from tokenizer import MERGES, learn_tokens

FORCED_HELD_OUT_PAIRS = [(17, 25), (12, 30), (23, 45), (58, 67), (40, 2), (99, 1), (36, 48)]
JUDGED_TASKS = ("addition", "reverse", "tool_call")
HELD_OUT_PER_TASK = 520


def _tenth(kind: str, text: str) -> bool:
    return int.from_bytes(hashlib.sha256(f"{kind}:{text}".encode()).digest()[:8], "big") % 10 == 0


@cache
def pair_is_held_out(a: int, b: int) -> bool:
    low, high = min(a, b), max(a, b)
    return any((low, high) == (min(p), max(p)) for p in FORCED_HELD_OUT_PAIRS) or _tenth("pair", f"{low},{high}")


@cache
def word_is_held_out(word: str) -> bool:
    """A word and its mirror image share a side, so a held-out answer was never a question either."""
    plain = word.lower()
    canonical = min(plain, plain[::-1])
    forced = plain in W.FORCED_HELD_OUT_WORDS or plain[::-1] in W.FORCED_HELD_OUT_WORDS
    return forced or _tenth("word", canonical)


def tool_name_is_held_out(name: str) -> bool:
    return name not in NATURAL_NAMES and _tenth("tool", name)


def parameter_is_held_out(name: str) -> bool:
    return name not in NATURAL_PARAMETERS and _tenth("parameter", name)


@dataclass
class Sample:
    """One conversation: the messages up to the judged reply, and the reply."""

    task: str
    messages: list[dict[str, Any]]
    reply: dict[str, Any]
    expected: Any
    tools: list[dict[str, Any]] | None = None
    enable_thinking: bool = False


@dataclass
class Exchange:
    """A question without tools: what is asked, the reasoning that leads there, the answer."""

    question: str
    reasoning: str
    answer: str


# ---- numbers ----------------------------------------------------------------------------------------------------------

def draw_pair(rng: random.Random, held: bool) -> tuple[int, int]:
    while True:
        a, b = rng.randrange(100), rng.randrange(100)
        if pair_is_held_out(a, b) == held:
            return a, b


ADDITION = ["What is {a} + {b}?", "What is {a}+{b}?", "{a} + {b}", "{a} + {b} = ?", "{a}+{b}=", "Add {a} and {b}.",
            "Calculate {a} + {b}.", "How much is {a} + {b}?", "What is the sum of {a} and {b}?", "What is {a} plus {b}?",
            "{a} plus {b}?", "Please add {a} and {b}.", "what is {a} + {b}", "Compute {a} + {b}."]


def addition(rng: random.Random, held: bool) -> Exchange:
    a, b = draw_pair(rng, held)
    ones = a % 10 + b % 10
    carry = ones // 10
    steps = f"{a % 10} + {b % 10} = {ones}" + (", carry 1. " if carry else ". ")
    if a > 9 or b > 9:
        tens = a // 10 + b // 10 + carry
        steps += f"{a // 10} + {b // 10}" + (" + 1" if carry else "") + f" = {tens}. "
    return Exchange(rng.choice(ADDITION).format(a=a, b=b), steps + f"The answer is {a + b}.", str(a + b))


SUBTRACTION = ["What is {a} - {b}?", "What is {a}-{b}?", "{a} - {b}", "{a} - {b} = ?", "Subtract {b} from {a}.",
               "Calculate {a} - {b}.", "How much is {a} - {b}?", "What is {a} minus {b}?", "{a} minus {b}?"]


def subtraction(rng: random.Random, held: bool) -> Exchange:
    a, b = draw_pair(rng, held)
    a, b = max(a, b), min(a, b)
    borrow = int(a % 10 < b % 10)
    ones = a % 10 + 10 * borrow - b % 10
    steps = f"{a % 10 + 10 * borrow} - {b % 10} = {ones}" + (", borrow 1. " if borrow else ". ")
    if a > 9:
        tens = a // 10 - b // 10 - borrow
        steps += f"{a // 10} - {b // 10}" + (" - 1" if borrow else "") + f" = {tens}. "
    return Exchange(rng.choice(SUBTRACTION).format(a=a, b=b), steps + f"The answer is {a - b}.", str(a - b))


def compare(rng: random.Random, held: bool) -> Exchange:
    a, b = draw_pair(rng, held)
    while a == b:
        a, b = draw_pair(rng, held)
    sign = "<" if a < b else ">"
    reasoning = f"{a} {sign} {b}."
    form = rng.randrange(4)
    if form == 0:
        return Exchange(f"Which number is larger, {a} or {b}?", reasoning, str(max(a, b)))
    if form == 1:
        return Exchange(f"Which number is smaller, {a} or {b}?", reasoning, str(min(a, b)))
    if form == 2:
        return Exchange(f"Is {a} greater than {b}?", reasoning, "Yes." if a > b else "No.")
    return Exchange(f"Is {a} less than {b}?", reasoning, "Yes." if a < b else "No.")


def count_up(rng: random.Random, held: bool) -> Exchange:
    while True:
        start = rng.randrange(90)
        end = start + (rng.randint(2, 8) if rng.random() < 0.8 else rng.randint(9, 60))
        if end > 99:
            continue
        if pair_is_held_out(start, end) == held:
            break
    numbers = " ".join(str(n) for n in range(start, end + 1))
    question = rng.choice(["Count from {a} to {b}.", "Please count from {a} to {b}.", "count from {a} to {b}"])
    return Exchange(question.format(a=start, b=end), f"Start at {start}, stop at {end}.", numbers)


# ---- words ------------------------------------------------------------------------------------------------------------

@cache
def merged_words() -> tuple[str, ...]:
    """What the tokenizer merges after a space; words must begin with each of them, or it is never seen spelled."""
    return tuple(token[1:] for token in learn_tokens(MERGES) if token[0] == "\u0120" and token[1:].isalpha()
                 and token[1:].islower())


def invent_word(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.12:
        tail = "".join(rng.choice("aabcdeefghiijklmnoopqrstuuvwxyz") for _ in range(rng.choice((0, 0, 1, 2, 2, 3))))
        return rng.choice(merged_words()) + tail
    if kind < 0.33:
        return rng.choice(W.REAL_WORDS)
    if kind < 0.5:
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 8)))
    word = ""
    for _ in range(rng.choice((1, 2, 2, 2, 3))):
        word += rng.choice(W.ONSETS) + rng.choice(W.VOWELS) + (rng.choice(W.CODAS) if rng.random() < 0.5 else "")
    return word


def draw_word(rng: random.Random, held: bool, shortest: int = 2, longest: int = 8) -> str:
    while True:
        word = invent_word(rng)
        if shortest <= len(word) <= longest and word_is_held_out(word) == held:
            return word


REVERSE = ['Reverse the word "{w}".', "Reverse the word {w}.", "Reverse {w}", 'Reverse "{w}"', "Reverse the word: {w}",
           'Spell "{w}" backwards.', "Write {w} backwards.", "Reverse the letters of {w}.", 'What is "{w}" reversed?',
           "Reverse: {w}", "What is {w} backwards?", "reverse the word {w}"]


def reverse(rng: random.Random, held: bool) -> Exchange:
    word = draw_word(rng, held, 3 if held else 2, 6 if held else 8)
    reasoning = " ".join(word) + " -> " + " ".join(word[::-1])
    return Exchange(rng.choice(REVERSE).format(w=word), reasoning, word[::-1])


def spell(rng: random.Random, held: bool) -> Exchange:
    word = draw_word(rng, held)
    question = rng.choice(['Spell the word "{w}".', "Spell {w}.", "How do you spell {w}?", 'Spell "{w}"'])
    return Exchange(question.format(w=word), " ".join(word), "-".join(word))


def letters(rng: random.Random, held: bool) -> Exchange:
    word = draw_word(rng, held)
    if rng.random() < 0.5:
        question = rng.choice(['How many letters are in the word "{w}"?', "How many letters are in {w}?",
                               "Count the letters of {w}.", "How many letters does {w} have?"])
        reasoning = " ".join(f"{letter} {n}" for n, letter in enumerate(word, 1))
        return Exchange(question.format(w=word), reasoning, str(len(word)))
    letter = rng.choice(word) if rng.random() < 0.8 else rng.choice("abcdefghijklmnopqrstuvwxyz")
    question = rng.choice(['How many times is the letter {c} in "{w}"?', "How many {c} are in the word {w}?"])
    seen, steps = 0, []
    for each in word:
        seen += each == letter
        steps.append(f"{each} {seen}")
    return Exchange(question.format(c=letter, w=word), " ".join(steps), str(seen))


def first_last(rng: random.Random, held: bool) -> Exchange:
    word = draw_word(rng, held)
    which = rng.choice(["first", "last"])
    question = rng.choice(['What is the {n} letter of "{w}"?', "What is the {n} letter of the word {w}?",
                           "Give the {n} letter of {w}."])
    return Exchange(question.format(n=which, w=word), " ".join(word), word[0] if which == "first" else word[-1])


def upper(rng: random.Random, held: bool) -> Exchange:
    word = draw_word(rng, held)
    question = rng.choice(['Write "{w}" in upper case.', "Write the word {w} in upper case.", "Upper case: {w}",
                           "Put {w} in upper case letters."])
    return Exchange(question.format(w=word), " ".join(word), word.upper())


def repeat(rng: random.Random, held: bool) -> Exchange:
    text = " ".join(draw_word(rng, held) for _ in range(rng.randint(1, 3)))
    question = rng.choice(["Repeat: {w}", "Repeat after me: {w}", 'Say "{w}".', 'Repeat "{w}"', "Say: {w}"])
    return Exchange(question.format(w=text), "I repeat the text.", text)


# ---- facts and small talk -----------------------------------------------------------------------------------------------

@cache
def facts() -> tuple[tuple[str, str], ...]:
    """Every (question, answer) of the small facts."""
    out: list[tuple[str, str]] = []
    for country, capital in W.CAPITALS.items():
        out += [(q.format(x=country), capital) for q in (
            "What is the capital of {x}?", "Name the capital of {x}.", "Which city is the capital of {x}?", "Capital of {x}?",
            "what is the capital of {x}", "Tell me the capital of {x}.")]
    for word, other in W.OPPOSITES.items():
        out += [(q.format(x=word), other) for q in (
            "What is the opposite of {x}?", "Opposite of {x}?", "Name the opposite of {x}.", 'What is the opposite of "{x}"?',
            "what is the opposite of {x}")]
    for thing, color in W.COLORS.items():
        out += [(q.format(x=thing), color) for q in (
            "What color is {x}?", "Which color is {x}?", "what color is {x}", "Tell me the color of {x}.")]
    for questions, answer in W.OTHER_FACTS:
        out += [(question, answer) for question in questions]
    return tuple(out)


def fact_is_held_out(question: str) -> bool:
    """Only phrasings can be held out: the fact itself must be taught in another one."""
    first_of_each = {questions[0] for questions, _ in W.OTHER_FACTS}
    taught = ("What is the capital of", "What is the opposite of", "What color is")
    return not question.startswith(taught) and question not in first_of_each and _tenth("fact", question)


@cache
def facts_on(held: bool) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in facts() if fact_is_held_out(pair[0]) == held)


def fact(rng: random.Random, held: bool) -> Exchange:
    question, answer = rng.choice(facts_on(held))
    return Exchange(question, "I know this.", answer)


def chat(rng: random.Random, held: bool) -> Exchange:
    """Small talk; it has no held-out side of its own, only other surroundings."""
    questions, answer = rng.choice(W.CHAT)
    return Exchange(rng.choice(questions), "The user is talking to me.", answer)


SINGLE: dict[str, tuple[Callable[[random.Random, bool], Exchange], float]] = {
    "addition": (addition, 5.0), "subtraction": (subtraction, 3.0), "compare": (compare, 1.5), "count": (count_up, 0.8),
    "reverse": (reverse, 4.5), "spell": (spell, 1.0), "letters": (letters, 1.5), "first_last": (first_last, 0.7),
    "upper": (upper, 1.0), "repeat": (repeat, 1.0), "fact": (fact, 2.2), "chat": (chat, 0.6),
}


def draw_exchange(rng: random.Random, held: bool) -> tuple[str, Exchange]:
    names = list(SINGLE)
    name = rng.choices(names, weights=[SINGLE[n][1] for n in names])[0]
    return name, SINGLE[name][0](rng, held)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(answer: str, reasoning: str = "") -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer}
    return message | {"reasoning_content": reasoning} if reasoning else message


def system_prefix(rng: random.Random, rate: float = 0.3) -> list[dict[str, Any]]:
    return [{"role": "system", "content": rng.choice(W.SYSTEM_PROMPTS)}] if rng.random() < rate else []


def single_turn(rng: random.Random, held: bool, task: str | None = None) -> Sample:
    if task:
        exchange = SINGLE[task][0](rng, held)
    else:
        task, exchange = draw_exchange(rng, held)
    think = rng.random() < 0.5
    reply = assistant(exchange.answer, exchange.reasoning if think else "")
    return Sample(task, system_prefix(rng) + [user(exchange.question)], reply, exchange.answer, None, think)


def multi_turn(rng: random.Random, held: bool) -> Sample:
    messages = system_prefix(rng)
    for _ in range(rng.randint(1, 2)):
        _, earlier = draw_exchange(rng, held)
        messages += [user(earlier.question), assistant(earlier.answer)]
    last = single_turn(rng, held)
    return Sample("multi_turn", messages + [last.messages[-1]], last.reply, last.expected, None, last.enable_thinking)


def memory(rng: random.Random, held: bool) -> Sample:
    """The user says a name, perhaps asks something else, and asks for the name."""
    name = draw_word(rng, held, 3).capitalize()
    opening = rng.choice(["My name is {x}.", "Hello, my name is {x}.", "I am {x}.", "Hi, I am {x}."])
    messages = system_prefix(rng) + [user(opening.format(x=name)), assistant(f"Nice to meet you, {name}.")]
    if rng.random() < 0.5:
        _, other = draw_exchange(rng, held)
        messages += [user(other.question), assistant(other.answer)]
    if not held and rng.random() < 0.2:  # training only: the greeting itself
        messages = messages[:-1] if messages[-2]["content"] == opening.format(x=name) else messages[:-3]
        think = rng.random() < 0.5
        answer = f"Nice to meet you, {name}."
        return Sample("memory", messages, assistant(answer, "The user says a name." if think else ""), answer, None, think)
    messages.append(user(rng.choice(["What is my name?", "What was my name?", "Who am I?", "Do you remember my name?"])))
    think = rng.random() < 0.5
    answer = f"Your name is {name}."
    return Sample("memory", messages, assistant(answer, "The user said the name." if think else ""), answer, None, think)


# ---- tools ------------------------------------------------------------------------------------------------------------

NATURAL: list[tuple[str, str, dict[str, str], int, list[str]]] = [  # name, description, parameters, required, requests
    ("get_weather", "Get the weather of a city", {"city": "string"}, 1,
     ["What is the weather in {city}?", "How is the weather in {city}?", "Weather in {city}?",
      "what is the weather like in {city}"]),
    ("get_weather", "Get the weather forecast", {"city": "string", "days": "integer"}, 1,
     ["What is the weather in {city}?", "Weather in {city} for {days} days?",
      "What will the weather be in {city} for the next {days} days?"]),
    ("get_time", "Get the local time", {"city": "string"}, 1, ["What time is it in {city}?", "Time in {city}?"]),
    ("get_current_time", "Get the current time", {}, 0, ["What time is it?", "What is the time?", "What time is it now?"]),
    ("roll_dice", "Roll a dice", {}, 0, ["Roll a dice.", "Please roll the dice.", "roll a dice"]),
    ("calculate", "Evaluate an expression", {"expression": "string"}, 1,
     ["Use the calculator for {expression}.", "Calculate {expression} with the tool.", "Compute {expression} with the tool."]),
    ("set_timer", "Start a timer", {"minutes": "integer"}, 1,
     ["Set a timer for {minutes} minutes.", "Start a timer of {minutes} minutes."]),
    ("send_email", "Send an email", {"to": "string", "subject": "string"}, 2,
     ['Send an email to {to} with the subject "{subject}".', "Email {to} about {subject}."]),
    ("search_web", "Search the web", {"query": "string"}, 1,
     ["Search the web for {query}.", 'Look up "{query}" on the web.', "Find {query} on the web."]),
    ("play_song", "Play a song", {"title": "string"}, 1, ['Play "{title}".', "Play the song {title}."]),
    ("translate", "Translate a text", {"text": "string", "language": "string"}, 2,
     ['Translate "{text}" to {language}.', "Translate {text} into {language}."]),
    ("turn_on", "Turn a device on", {"device": "string"}, 1, ["Turn on the {device}.", "Please turn on the {device}."]),
    ("get_stock_price", "Get the price of a stock", {"symbol": "string"}, 1,
     ["What is the stock price of {symbol}?", "How much is one share of {symbol}?"]),
    ("create_note", "Write a note", {"text": "string"}, 1, ['Make a note: {text}', "Write down {text}."]),
    ("list_files", "List the files of a folder", {"path": "string"}, 1, ["List the files in {path}.", "What files are in {path}?"]),
    ("book_table", "Book a table", {"city": "string", "guests": "integer"}, 2,
     ["Book a table in {city} for {guests} guests.", "I want a table for {guests} guests in {city}."]),
]
NATURAL_NAMES = {entry[0] for entry in NATURAL}
NATURAL_PARAMETERS = {name for entry in NATURAL for name in entry[2]}
LANGUAGES = ["French", "German", "Spanish", "Italian", "Greek", "Polish", "Dutch", "Latin"]


@dataclass
class Tool:
    name: str
    description: str
    parameters: dict[str, str]
    required: list[str]
    requests: list[str] = field(default_factory=list)
    described: bool = False

    def schema(self, rng: random.Random) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        for name, kind in self.parameters.items():
            properties[name] = {"type": kind}
            if self.described:
                properties[name]["description"] = f"The {name}"
        parameters: dict[str, Any] = {"type": "object", "properties": properties}
        if self.required or rng.random() < 0.6:
            parameters["required"] = self.required
        function: dict[str, Any] = {"name": self.name}
        if self.description:
            function["description"] = self.description
        return {"type": "function", "function": function | {"parameters": parameters}}


def draw_name(rng: random.Random, choices: list[str], held_out: Callable[[str], bool], held: bool) -> str:
    while True:
        if rng.random() < (0.5 if not held else 0.4):
            name = rng.choice(choices)
        else:
            name = invent_word(rng)
            if len(name) < 3 or word_is_held_out(name) != held:
                continue
        if held_out(name) == held:
            return name


def draw_tool_name(rng: random.Random, held: bool) -> str:
    while True:
        name = rng.choice(W.VERBS) + "_" + (rng.choice(W.NOUNS) if rng.random() < 0.6 else draw_word(rng, held, 3))
        if rng.random() < 0.1:
            name = rng.choice(W.VERBS) + name.split("_")[1].capitalize()
        elif rng.random() < 0.1:
            name = draw_word(rng, held, 4)
        if tool_name_is_held_out(name) == held:
            return name


def draw_tool(rng: random.Random, held: bool) -> Tool:
    if not held and rng.random() < 0.3:
        name, description, parameters, required, requests = rng.choice(NATURAL)
        return Tool(name, description if rng.random() < 0.7 else "", dict(parameters), list(parameters)[:required],
                    list(requests), rng.random() < 0.3)
    parameters = {}
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 2, 3, 3, 4))):
        kind = rng.choice(["string", "string", "integer", "integer", "number", "boolean"])
        known = {"string": W.STRING_PARAMS, "integer": W.INTEGER_PARAMS, "number": W.NUMBER_PARAMS,
                 "boolean": W.BOOLEAN_PARAMS}[kind]
        parameters[draw_name(rng, known, parameter_is_held_out, held)] = kind
    required = [name for name in parameters if rng.random() < 0.75]
    name = draw_tool_name(rng, held)
    spoken = name.replace("_", " ")
    description = rng.choice(["", "", f"{spoken.capitalize()}", f"A tool to {spoken}"])
    return Tool(name, description, parameters, required, [], rng.random() < 0.2)


def draw_value(rng: random.Random, name: str, kind: str, held: bool) -> Any:
    if kind == "integer":
        return rng.choice([rng.randrange(10), rng.randrange(100), rng.randrange(1000), rng.randrange(10000)])
    if kind == "number":
        return rng.choice([rng.randrange(1000) / 10, rng.randrange(10000) / 100, rng.randrange(100) + 0.5])
    if kind == "boolean":
        return rng.random() < 0.5
    if name == "city":
        return rng.choice(W.CITIES) if rng.random() < 0.5 else draw_word(rng, held, 3).capitalize()
    if name == "expression":
        return rng.choice(["{a} * {b}", "{a}*{b}", "{a} / {b}", "{a} + {b}", "({a} + {b}) * {c}"]).format(
            a=rng.randrange(100, 1000), b=rng.randrange(100, 1000), c=rng.randrange(100))
    if name == "language":
        return rng.choice(LANGUAGES)
    if name == "symbol":
        return draw_word(rng, held, 3, 4).upper()
    if name == "path":
        return "/" + "/".join(draw_word(rng, held, 3) for _ in range(rng.randint(1, 2)))
    if name == "to":
        return draw_word(rng, held, 3).capitalize() if rng.random() < 0.5 else draw_word(rng, held, 3) + "@mail.com"
    text = " ".join(draw_word(rng, held, 3) for _ in range(rng.choice((1, 1, 1, 2, 2, 3))))
    return text.capitalize() if rng.random() < 0.3 else text


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def request_for(rng: random.Random, tool: Tool, held: bool) -> tuple[str, dict[str, Any]]:
    """A request in words and the arguments it asks for, in the order of their mention."""
    if tool.requests:
        template = rng.choice(tool.requests)
        arguments = {name: draw_value(rng, name, kind, held) for name, kind in tool.parameters.items()
                     if "{" + name + "}" in template}
        return template.format(**{name: as_text(value) for name, value in arguments.items()}), arguments
    chosen = [name for name in tool.parameters if name in tool.required or rng.random() < 0.5]
    rng.shuffle(chosen)
    arguments = {name: draw_value(rng, name, tool.parameters[name], held) for name in chosen}
    spoken = tool.name.replace("_", " ")
    quote = rng.random() < 0.3
    shown = {name: f'"{value}"' if quote and isinstance(value, str) else as_text(value) for name, value in arguments.items()}
    style = rng.randrange(5)
    link = (" ", " = ", " set to ", ": ", " ")[style]
    parts = [name + link + text for name, text in shown.items()]
    joined = ", ".join(parts) if style in (1, 3) or len(parts) < 2 else ", ".join(parts[:-1]) + " and " + parts[-1]
    name = tool.name if style in (0, 1) or rng.random() < 0.3 else spoken
    if not parts:
        return rng.choice([f"Call {tool.name}.", f"Please {spoken}.", f"Use {tool.name}.", f"{spoken.capitalize()} now."]), {}
    return (f"Call {name} with {joined}.", f"Use {name}: {joined}.", f"Please {name} with {joined}.", f"{name}, {joined}",
            f"I want to {name} with {joined}.")[style], arguments


def draw_tools(rng: random.Random, held: bool) -> list[Tool]:
    tools: list[Tool] = []
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        tool = draw_tool(rng, held)
        if tool.name not in [other.name for other in tools]:
            tools.append(tool)
    return tools


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def tool_call(rng: random.Random, held: bool) -> Sample:
    tools = draw_tools(rng, held)
    schemas = [tool.schema(rng) for tool in tools]
    wanted = [rng.choice(tools)]
    if rng.random() < 0.2:
        wanted.append(rng.choice(tools))
    requests = [request_for(rng, tool, held) for tool in wanted]
    text = requests[0][0]
    if len(requests) > 1:
        text = text.rstrip(".?") + rng.choice([". Then: ", ". Also: ", "; "]) + requests[1][0]
    calls = [call(tool.name, arguments) for tool, (_, arguments) in zip(wanted, requests)]
    think = rng.random() < 0.5
    reply = assistant("", "I call " + " and ".join(tool.name for tool in wanted) + "." if think else "")
    messages = system_prefix(rng, 0.2)
    if rng.random() < 0.1:
        _, earlier = draw_exchange(rng, held)
        messages += [user(earlier.question), assistant(earlier.answer)]
    expected = [{"name": tool.name, "arguments": arguments} for tool, (_, arguments) in zip(wanted, requests)]
    return Sample("tool_call", messages + [user(text)], reply | {"tool_calls": calls}, expected, schemas, think)


def result_of(rng: random.Random, held: bool) -> tuple[str, str]:
    """What a tool might return, and what the assistant then says."""
    form = rng.randrange(5)
    if form == 0:
        value = f"{rng.randrange(40)}C"
        return value, f"The result is {value}."
    if form == 1:
        value = str(rng.randrange(10000))
        return value, f"The result is {value}."
    if form == 2:
        value = draw_word(rng, held, 3)
        return value, f"The result is {value}."
    if form == 3:
        text = " ".join(draw_word(rng, held, 3) for _ in range(2))
        return json.dumps({"error": text}), f"The tool failed: {text}."
    key = draw_name(rng, W.STRING_PARAMS + W.INTEGER_PARAMS, parameter_is_held_out, held)
    value = rng.choice([rng.randrange(1000), draw_word(rng, held, 3)])
    return json.dumps({key: value}), f"The {key} is {value}."


def tool_answer(rng: random.Random, held: bool) -> Sample:
    first = tool_call(rng, held)
    while len(first.expected) > 1:
        first = tool_call(rng, held)
    result, answer = result_of(rng, held)
    think = first.enable_thinking
    messages = first.messages + [first.reply, {"role": "tool", "content": result}]
    reply = assistant(answer, "The result is here." if think else "")
    if not held and rng.random() < 0.15:  # training only: a later turn after a finished tool call
        last = single_turn(rng, held)
        messages += [assistant(answer), last.messages[-1]]
        return Sample("tool_answer", messages, last.reply, last.expected, first.tools, last.enable_thinking)
    return Sample("tool_answer", messages, reply, answer, first.tools, think)


def no_tool(rng: random.Random, held: bool) -> Sample:
    sample = single_turn(rng, held)
    return Sample("no_tool", sample.messages, sample.reply, sample.expected,
                  [tool.schema(rng) for tool in draw_tools(rng, held)[:2]], sample.enable_thinking)


# ---- streams ----------------------------------------------------------------------------------------------------------

TASKS: dict[str, Callable[[random.Random, bool], Sample]] = {
    **{name: (lambda rng, held, name=name: single_turn(rng, held, name)) for name in SINGLE},
    "multi_turn": multi_turn, "memory": memory, "tool_call": tool_call, "tool_answer": tool_answer, "no_tool": no_tool,
}


def training_sample(rng: random.Random, tools: bool) -> Sample:
    """One sample of the plain stream, or of the tool stream (whose prompts are ten times longer)."""
    if tools:
        return rng.choices([tool_call, tool_answer, no_tool], weights=[6, 2, 1])[0](rng, False)
    return rng.choices([single_turn, multi_turn, memory], weights=[80, 14, 6])[0](rng, False)


def held_out_samples(task: str, count: int = HELD_OUT_PER_TASK) -> list[Sample]:
    """Distinct held-out prompts of a task; fewer than asked where the task cannot make so many."""
    rng = random.Random(f"held-out {task}")
    out: list[Sample] = []
    seen: set[str] = set()
    if task == "addition":  # the documented sums come first, both ways
        for a, b in FORCED_HELD_OUT_PAIRS:
            for think in (False, True):
                seen.add(f"What is {a} + {b}?{think}")
                out.append(Sample(task, [user(f"What is {a} + {b}?")], assistant(str(a + b)), str(a + b), None, think))
    for _ in range(count * 40):
        if len(out) >= count:
            break
        sample = TASKS[task](rng, True)
        key = json.dumps([sample.messages, sample.tools, sample.enable_thinking])
        if key not in seen:
            seen.add(key)
            out.append(sample)
    if task == "fact":  # its prompts are used up by now: the rest comes under system prompts that training never had
        plain = [sample for sample in out if len(sample.messages) == 1]
        out += [replace(sample, messages=[{"role": "system", "content": prompt}, *sample.messages])
                for prompt in W.UNSEEN_SYSTEM_PROMPTS for sample in plain]
    return out[:count]


# ---- rendering ----------------------------------------------------------------------------------------------------------

@cache
def _template() -> Any:
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = lambda value, ensure_ascii=False: json.dumps(value, ensure_ascii=ensure_ascii)
    return environment.from_string(Path(__file__).with_name("chat_template.jinja").read_text(encoding="utf-8"))


def render_prompt(sample: Sample) -> str:
    return _template().render(messages=sample.messages, tools=sample.tools, add_generation_prompt=True,
                              enable_thinking=sample.enable_thinking)


def render_training(sample: Sample) -> str:
    """The whole conversation as the model should have written it, with the role token that ends its turn."""
    text = _template().render(messages=sample.messages + [sample.reply], tools=sample.tools, add_generation_prompt=False)
    return text + ("<|observation|>" if sample.reply.get("tool_calls") else "<|user|>")


if __name__ == "__main__":
    generator = random.Random(1)
    for wanted in TASKS:
        for held_side in (False, True):
            one = TASKS[wanted](generator, held_side)
            print(f"--- {wanted} held={held_side} expected={one.expected!r}\n{render_training(one)}")
