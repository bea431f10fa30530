"""`glm bench` in all its forms on the CPU: the same model pulled, in a folder, made of random numbers, and behind the daemon."""

import json

from harness import SOURCE, Glm, Hub, main

TINY = SOURCE / "models" / "glm-tiny"
SHAPE = ["--pp", "24,70", "--tg", "5", "--batch", "1,3", "--device", "cpu", "--json", "-"]


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def check(measured: list[dict], layers: int) -> None:
    assert [(row["pp"], row["tg"], row["pl"]) for row in measured] == [(24, 5, 1), (24, 5, 3), (70, 5, 1), (70, 5, 3)]
    for row in measured:
        assert row["layers"] == layers and row["n_kv"] == row["pl"] * (row["pp"] + row["tg"]), row
        assert abs(row["speed_tg"] * row["t_tg"] - row["pl"] * row["tg"]) < 1e-6, row
        assert abs(row["t"] - row["t_pp"] - row["t_tg"]) < 1e-9, row
    # More sequences need more experts and more cache, not less.
    assert measured[0]["step_weight_bytes"] < measured[1]["step_weight_bytes"]
    assert measured[0]["step_cache_bytes"] < measured[2]["step_cache_bytes"]


def test(glm: Glm, hub: Hub) -> None:
    del hub
    glm.ok("pull", "glm-org/glm-tiny")
    pulled = rows(glm.ok("bench", "glm-org/glm-tiny", *SHAPE))
    folder = rows(glm.ok("bench", str(TINY), *SHAPE))
    made = rows(glm.ok("bench", "--synthetic", str(TINY / "config.json"), *SHAPE))
    for measured in (pulled, folder, made):
        check(measured, 4)
    for row, same, random in zip(pulled, folder, made):
        for field in ("format", "step_weight_bytes", "step_cache_bytes", "experts_expected"):
            assert row[field] == same[field] == random[field], (field, row, same, random)
        assert row["layout"] == "" and random["layout"] == str(TINY / "config.json")
    check(rows(glm.ok("bench", "--synthetic", "tiny:int4", "--layers", "3", *SHAPE)), 3)

    operations = rows(glm.ok("bench", "--kernels", "--only", "5120->2048", "--device", "cpu", "--json", "-"))
    assert [row["operation"] for row in operations] == ["linear int4 5120->2048"], operations

    glm.ok("run", "glm-org/glm-tiny", "What is 17 + 25?")
    served = rows(glm.ok("bench", "--serve", f"http://127.0.0.1:{glm.port}", "glm-org/glm-tiny", "--input-len", "8",
                         "--output-len", "4", "--num-prompts", "4", "--json", "-"))
    assert served[0]["completed"] == 4, served

    refused = glm.run("bench", "glm-org/glm-tiny", "--serve", f"http://127.0.0.1:{glm.port}", "--tg", "4")
    assert refused.returncode == 2 and "--tg belongs to MODEL and --synthetic, not to --serve" in refused.stderr, refused
    assert refused.stdout == "", refused


if __name__ == "__main__":
    main(test)
