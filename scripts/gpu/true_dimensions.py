"""The program against transformers in float32, on random weights in true dimensions, one row per stored format.

    python3 true_dimensions.py TEACHER_FORCED [--model glm-4.7-flash|glm-4.7] [--formats a,b] [--prefill 1000] [--decode 64] [--kv fp8]

TEACHER_FORCED is the program of tests/gpu. Both sides see the same tokens; transformers gets the weights decoded by
formats.py. With the reference's experts imposed, logits are compared; without, the choice of experts. Needs torch,
transformers and safetensors. Fails when a bound is missed.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from checkpoint import MODELS, Model, write
from formats import DEVICE, FORMATS, Shape

RELATIVE_L2_MAX = 1.5e-2
MEAN_KL_MAX = 1e-3
SAME_EXPERTS_MIN = 0.95
RANK_GAP_MAX = 0.02  # scores are sigmoids; bf16 activations move them by less


def cut_down(name: str, scale: int) -> dict:
    """Few layers in true dimensions; `scale` > 1 divides the dimensions, for trying this script itself."""
    config = dict(MODELS[name])
    config["num_hidden_layers"] = 4 if name == "glm-4.7-flash" else 3
    config["first_k_dense_replace"] = 1
    if scale > 1:
        for key in ("hidden_size", "intermediate_size", "moe_intermediate_size", "vocab_size", "q_lora_rank"):
            if key in config:
                config[key] = max(128, config[key] // scale // 128 * 128)
        config["n_routed_experts"] //= scale
        config["pad_token_id"], config["eos_token_id"] = 0, [0]
    return config


class Decoded:
    """Collects a checkpoint's weights in float32 under the names transformers has for them."""

    def __init__(self, model: Model, form: str) -> None:
        self.model, self.form = model, form
        self.state: dict[str, torch.Tensor] = {}

    def see(self, part: dict[str, torch.Tensor]) -> None:
        layer = next((int(n.split(".")[2]) for n in part if n.startswith("model.layers.")), None)
        modules = {} if layer is None else self.model.linears(layer)
        for module, shape in modules.items():
            own = {name[len(module) + 1:]: part[name] for name in part
                   if name.startswith(module + ".") and not name.endswith(".bias")}
            self.put(module, FORMATS[self.form].decode(own, shape))
        for name, tensor in part.items():
            if not any(name.startswith(module + ".") and not name.endswith(".bias") for module in modules):
                self.state[name] = tensor.float()

    def put(self, module: str, weight: torch.Tensor) -> None:
        if ".experts." not in module or ".shared_experts." in module:
            self.state[module + ".weight"] = weight
            return
        prefix, _, rest = module.partition(".experts.")
        expert, _, name = rest.partition(".")
        config = self.model.config
        inner, hidden, experts = config["moe_intermediate_size"], config["hidden_size"], config["n_routed_experts"]
        fused = f"{prefix}.experts.{'down_proj' if name == 'down_proj' else 'gate_up_proj'}"
        shape = (experts, hidden, inner) if name == "down_proj" else (experts, 2 * inner, hidden)
        if fused not in self.state:
            self.state[fused] = torch.empty(shape, device=DEVICE)
        rows = slice(inner, None) if name == "up_proj" else slice(0, weight.shape[0])
        self.state[fused][int(expert), rows] = weight


class Reference:
    def __init__(self, folder: Path, state: dict[str, torch.Tensor]) -> None:
        config = AutoConfig.from_pretrained(folder)
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        config.num_nextn_predict_layers = 0
        with torch.device(DEVICE):
            self.model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", torch_dtype=torch.float32)
        missing, unexpected = self.model.load_state_dict(state, strict=False, assign=True)
        assert not missing and not unexpected, (missing, unexpected)
        self.model.eval()
        self.routing: list[tuple[torch.Tensor, torch.Tensor]] = []
        for name, module in self.model.named_modules():
            if name.endswith(".mlp.gate"):
                module.register_forward_hook(self.record)

    def record(self, gate: torch.nn.Module, _: object, out: tuple[torch.Tensor, ...]) -> None:
        ranks = out[0].sigmoid() + gate.e_score_correction_bias
        self.routing.append((out[2].sort(-1).values.cpu(), ranks.cpu()))

    @torch.no_grad()
    def logits(self, tokens: np.ndarray, keep: int) -> torch.Tensor:
        ids = torch.tensor(tokens, dtype=torch.int64, device=DEVICE)[None]
        return self.model(input_ids=ids, logits_to_keep=keep, use_cache=False).logits[0].double().cpu()


def run(program: Path, folder: Path, work: Path, device: str, *arguments: str) -> torch.Tensor:
    out = work / "logits.f32"
    subprocess.run([program, folder, "--device", device, "--tokens", work / "tokens.i32", "--out", out, *arguments], check=True)
    return torch.from_numpy(np.fromfile(out, dtype=np.float32))


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def mean_kl(logits: torch.Tensor, reference: torch.Tensor) -> float:
    p, q = reference.log_softmax(-1), logits.double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).mean().item()


def compare(options: argparse.Namespace, form: str, work: Path) -> bool:
    torch.manual_seed(options.seed)
    model = Model(cut_down(options.model, options.scale))
    folder = work / "checkpoint"
    decoded = Decoded(model, form)
    write(folder, model, form, see=decoded.see)
    length = options.prefill + options.decode
    tokens = np.random.default_rng(options.seed).integers(0, model.config["vocab_size"], length).astype(np.int32)
    tokens.tofile(work / "tokens.i32")
    reference = Reference(folder, decoded.state)
    want = reference.logits(tokens, options.decode + 1)
    chosen = torch.stack([ids for ids, _ in reference.routing])  # [layers, tokens, k]
    chosen.to(torch.int32).numpy().tofile(work / "routing.i32")
    ranks = torch.stack([r for _, r in reference.routing])
    del reference, decoded
    gc.collect()
    if DEVICE == "cuda":
        torch.cuda.empty_cache()

    vocab = model.config["vocab_size"]
    steps = ("--prefill", str(options.prefill), "--kv", options.kv)
    imposed = run(options.program, folder, work, options.device, *steps, "--impose", work / "routing.i32",
                  "--record", work / "would.i32").view(-1, vocab)
    whole = run(options.program, folder, work, options.device, "--prefill", str(length), "--kv", options.kv, "--impose", work / "routing.i32")
    run(options.program, folder, work, options.device, *steps, "--record", work / "own.i32")

    def taken(name: str) -> torch.Tensor:
        ids = torch.from_numpy(np.fromfile(work / name, dtype=np.int32)).view(chosen.shape).long()
        return torch.zeros_like(ranks, dtype=torch.bool).scatter_(2, ids, True)

    l2, kl = relative(imposed.double(), want), mean_kl(imposed, want)
    alone = relative(imposed[-1].double(), whole.view(-1, vocab)[-1].double())
    theirs = torch.zeros_like(ranks, dtype=torch.bool).scatter_(2, chosen, True)
    same = (taken("own.i32") & theirs).sum().item() / theirs.sum().item()
    # Fed with the same experts so far, how much worse by the reference's scores is what it would take?
    least = ranks.masked_fill(~theirs, torch.inf).amin(-1, keepdim=True)
    gap = ((least - ranks) * (taken("would.i32") & ~theirs)).max().item()
    good = gap <= RANK_GAP_MAX and l2 <= RELATIVE_L2_MAX and kl <= MEAN_KL_MAX and same >= SAME_EXPERTS_MIN and alone <= RELATIVE_L2_MAX
    print(f"{options.model:14} {form:15} {l2:10.2e} {kl:10.2e} {alone:10.2e} {100 * same:8.2f} {gap:10.2e} {'ok' if good else 'FAILED'}",
          flush=True)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--model", choices=MODELS, default="glm-4.7-flash")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--kv", default="bf16", help="bf16 or fp8: how the program keeps its cache")
    parser.add_argument("--prefill", type=int, default=1000)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--seed", type=int, default=20260401)
    options = parser.parse_args()
    print(f"{'model':14} {'format':15} {'rel. L2':>10} {'mean KL':>10} {'decode':>10} {'experts%':>8} {'worst gap':>10}")
    good = True
    for form in options.formats.split(","):
        with tempfile.TemporaryDirectory() as work:
            good = compare(options, form, Path(work)) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
