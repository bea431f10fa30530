#include <algorithm>
#include <array>

#include "runner/checkpoint/quantization/methods.h"

namespace glm::runner::quantization {
namespace {

constexpr std::array<RefusedMethod, 20> kRefused = {{
    {"auto-round", "AutoRound", "its mapping of packing formats"},
    {"mxfp4", "MXFP4 (gpt-oss)", "experts fused and interleaved in blocks"},
    {"mlx", "MLX", "its 32-bit packed layout with biases"},
    {"bitsandbytes", "bitsandbytes", "its code books and nested scales"},
    {"hqq", "HQQ", "its axis-wise zero points"},
    {"exl2", "EXL2", "its mixed bit widths"},
    {"exl3", "EXL3", "trellis-coded weights with Hadamard transforms"},
    {"quark", "Quark", "its layouts"},
    {"torchao", "torchao", "its serialised tensor classes"},
    {"quanto", "Quanto", "its serialised tensor classes"},
    {"aqlm", "AQLM", "additive code books"},
    {"vptq", "VPTQ", "vector code books"},
    {"higgs", "HIGGS", "Hadamard transforms and grids"},
    {"spqr", "SpQR", "sparse outliers"},
    {"eetq", "EETQ", "its int8 layout"},
    {"bitnet", "BitNet", "ternary weights"},
    {"fbgemm-fp8", "FBGEMM FP8", "its input bounds"},
    {"qqq", "QQQ", "4-bit weights with 8-bit activations"},
    {"gguf", "GGUF", "its block formats"},
    {"quip", "QuIP", "lattice code books"},
}};

}  // namespace

const RefusedMethod* find_refused(std::string_view method) {
  const auto* row = std::find_if(kRefused.begin(), kRefused.end(),
                                 [&](const RefusedMethod& r) { return r.method == method; });
  return row == kRefused.end() ? nullptr : row;
}

Error refuse(std::string_view where, std::string_view name, std::string_view missing) {
  return make_error(Errc::unsupported,
                    "{}: {} is not supported: what is missing is {}; pull this model unquantized, "
                    "or as compressed-tensors, AWQ, GPTQ, ModelOpt NVFP4 or FP8",
                    printable(where), printable(name), printable(missing));
}

ModuleScheme plain_beside(ModuleScheme scheme) {
  scheme.quantized = false;
  return scheme;
}

Status add_rule(const JsonFields& fields, QuantRule rule, Quantization& result) {
  constexpr std::size_t kRegexesMax = 4096;
  if (rule.pattern.kind() == ModulePattern::Kind::regex && result.rules.regexes() >= kRegexesMax) {
    return make_error(Errc::unsupported,
                      "{}: more than {} patterns of module names; list whole names, or fewer "
                      "patterns that match more",
                      printable(fields.prefix()), kRegexesMax);
  }
  result.rules.push_back(std::move(rule));
  return Ok{};
}

Result<std::vector<std::string>> text_list(const JsonFields& fields, const std::string& name) {
  constexpr std::size_t kTextsMax = 1'000'000;
  std::vector<std::string> texts;
  const nlohmann::json* list = fields.find(name);
  if (list == nullptr) return texts;
  if (!list->is_array() || list->size() > kTextsMax) return fields.wrong(name, "a list of names");
  for (const nlohmann::json& item : *list) {
    if (!item.is_string()) return fields.wrong(name, "a list of names");
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

}  // namespace glm::runner::quantization
