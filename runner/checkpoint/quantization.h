// What the configuration says about quantization: the method, and rules that say for each module
// what is expected of it.
//
// Per module, the tensors that exist decide whether and how it is quantized (formats.h); the rules
// supply what tensors cannot express (the offset of GPTQ's zero points, whether an order of columns
// is meant) and are what the tensors are compared with. Names of repositories decide nothing.
//
// Thread safety: immutable once built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runner/checkpoint/checkpoint_files.h"
#include "runner/checkpoint/module_pattern.h"

namespace glm::runner {

enum class QuantMethod : std::uint8_t { none, compressed_tensors, awq, gptq, modelopt, fp8 };

// "compressed-tensors", "AWQ", …: what stands in brackets behind a format.
std::string_view name(QuantMethod method);

// What is expected of one module. Zero and no value: the configuration does not say.
//
// Where `quantized` is false the rest still holds for the file as a whole: a module that is
// quantized all the same is read by it.
struct ModuleScheme {
  QuantMethod method = QuantMethod::none;
  bool quantized = false;
  std::int64_t bits = 0;
  std::int64_t group = 0;                           // columns per scale; -1: one scale per output
  std::int64_t block_rows = 128, block_cols = 128;  // of block scales
  std::optional<bool> symmetric = {};
  bool floating = false;  // the bits are of floating-point numbers, not of integers
  bool blocks = false;    // one scale for a block; else `group` says
  bool activation_order = false;
  bool zeros_less_one = false;  // GPTQ v1 stores zero points minus one
};

// The first rule whose pattern matches decides.
struct QuantRule {
  ModulePattern pattern;
  ModuleScheme scheme;
};

// Configurations list tens of thousands of modules, so names are looked up and only the other
// patterns are tried one by one.
class QuantRules {
 public:
  void push_back(QuantRule rule);
  // Null: no rule matches.
  const QuantRule* find(std::string_view module) const;
  std::size_t regexes() const { return regexes_; }

 private:
  using FirstByName = std::map<std::string, std::size_t, std::less<>>;

  std::vector<QuantRule> rules_;
  FirstByName exact_, within_;
  std::vector<std::size_t> others_;
  std::size_t regexes_ = 0;
};

struct Quantization {
  QuantMethod method = QuantMethod::none;
  std::string label;  // "int4 g32 (compressed-tensors)"; empty: unquantized
  std::string where;  // "config.json: quantization_config"
  QuantRules rules;
  ModuleScheme unnamed = {};  // of modules no rule names: not quantized, with the facts of the file

  ModuleScheme scheme_of(std::string_view module) const;
};

// Looks into config.json and then into the sidecar files of `files`, in the order other engines do.
// Errc::unsupported names the format, where it was found, what is missing and what to pull instead;
// Errc::corrupt a field of the wrong type.
Result<Quantization> find_quantization(std::string_view config_json, const CheckpointFiles& files);

}  // namespace glm::runner
