"""Training and held-out data never share an operand pair, a word, a tool schema or a prompt. Standard library only."""

import json
import random
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/train_tiny"))

import data  # noqa: E402
import words  # noqa: E402

SEED = 20240607
ROUNDS = 1500
ARITHMETIC = ("addition", "subtraction", "compare", "count")
WORDS = ("reverse", "spell", "letters", "first_last", "upper", "repeat")


def question_key(sample: data.Sample) -> str:
    return json.dumps([sample.messages, sample.tools])


def call_schemas(tools: list) -> list[tuple[str, list[str]]]:
    return [(t["function"]["name"], list(t["function"]["parameters"]["properties"])) for t in tools or []]


class HeldOut(unittest.TestCase):
    def test_documented_sums_are_held_out_in_both_orders(self) -> None:
        for a, b in ((17, 25), (12, 30), (23, 45), (58, 67), (40, 2), (99, 1), (36, 48)):
            self.assertTrue(data.pair_is_held_out(a, b) and data.pair_is_held_out(b, a), (a, b))

    def test_about_a_tenth_of_the_pairs_is_held_out_in_both_orders(self) -> None:
        held = [(a, b) for a in range(100) for b in range(100) if data.pair_is_held_out(a, b)]
        self.assertTrue(all(data.pair_is_held_out(b, a) for a, b in held))
        self.assertTrue(900 <= len(held) <= 1100, len(held))

    def test_documented_words_are_held_out_with_their_mirror_images(self) -> None:
        for word in words.FORCED_HELD_OUT_WORDS:
            self.assertTrue(data.word_is_held_out(word) and data.word_is_held_out(word[::-1]), word)

    def test_arithmetic_keeps_to_its_side(self) -> None:
        for held in (False, True):
            rng = random.Random(SEED)
            for task in ARITHMETIC:
                for _ in range(ROUNDS):
                    numbers = [int(n) for n in re.findall(r"\d+", data.SINGLE[task][0](rng, held).question)]
                    self.assertEqual(data.pair_is_held_out(*numbers), held, (task, numbers))

    def test_words_keep_to_their_side(self) -> None:
        # Every word the question holds and its phrasing does not.
        for held in (False, True):
            rng = random.Random(SEED)
            for task in WORDS:
                for _ in range(ROUNDS // 3):
                    exchange = data.SINGLE[task][0](rng, held)
                    if task == "repeat":
                        asked = exchange.answer.split()
                    elif task == "reverse":
                        asked = [exchange.answer[::-1]]
                    elif task == "spell":
                        asked = [exchange.answer.replace("-", "")]
                    elif task == "upper":
                        asked = [exchange.answer.lower()]
                    else:
                        asked = ["".join(c for c in exchange.reasoning if c.isalpha())]
                    for word in asked:
                        self.assertIn(word, exchange.question)
                        self.assertEqual(data.word_is_held_out(word), held, (task, word))

    def test_tool_schemas_keep_to_their_side(self) -> None:
        for held in (False, True):
            rng = random.Random(SEED)
            for _ in range(ROUNDS):
                for name, parameters in call_schemas(data.tool_call(rng, held).tools):
                    self.assertEqual(data.tool_name_is_held_out(name), held, name)
                    for parameter in parameters:
                        self.assertEqual(data.parameter_is_held_out(parameter), held, parameter)

    def test_no_training_prompt_is_a_held_out_prompt(self) -> None:
        # Small talk is the exception: it is a fixed list that both sides know.
        held = {question_key(s) for task in data.TASKS if task != "chat" for s in data.held_out_samples(task)}
        rng = random.Random(SEED)
        for n in range(20 * ROUNDS):
            sample = data.training_sample(rng, tools=n % 4 == 0)
            if sample.task not in ("chat", "multi_turn", "no_tool"):
                self.assertNotIn(question_key(sample), held)

    def test_held_out_facts_are_other_phrasings_of_taught_facts(self) -> None:
        taught = {question for question, _ in data.facts_on(False)}
        asked = {question for question, _ in data.facts_on(True)}
        self.assertFalse(taught & asked)
        self.assertGreater(len(asked), 20)


class HeldOutFile(unittest.TestCase):
    def test_the_file_is_what_the_code_generates(self) -> None:
        lines = [json.loads(line) for line in (ROOT / "tests/golden/tiny/heldout.jsonl").read_text("utf-8").splitlines()]
        counts = {task: sum(line["task"] == task for line in lines) for task in data.TASKS}
        for task in data.JUDGED_TASKS:
            self.assertGreaterEqual(counts[task], 500, task)
        self.assertLessEqual(len(lines), 2500)
        for task in data.TASKS:
            made = data.held_out_samples(task, counts[task])
            for sample, line in zip(made, (line for line in lines if line["task"] == task)):
                self.assertEqual((sample.messages, sample.tools, sample.expected, sample.enable_thinking),
                                 (line["messages"], line.get("tools"), line["expected"], line["enable_thinking"]))


if __name__ == "__main__":
    unittest.main()
