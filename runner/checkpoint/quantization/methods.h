// The methods of quantization, one file each: from the JSON that describes one to its rules.
//
// For .cc files of the checkpoint folder only: it brings the whole JSON library.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runner/checkpoint/json_fields.h"
#include "runner/checkpoint/quantization.h"
#include "runner/checkpoint/quantization/label.h"

namespace glm::runner::quantization {

struct Description {
  JsonFields fields;      // its prefix says where it was found
  std::string_view file;  // the text of the whole file, for what depends on the order in it
};

// Each fills rules and label.
Status read_compressed_tensors(const Description& description, Quantization& result);
Status read_awq(const Description& description, Quantization& result);
Status read_gptq(const Description& description, Quantization& result);
Status read_modelopt(const Description& description, Quantization& result);
Status read_fp8(const Description& description, Quantization& result);

// Methods that are known and not read. Null: this one is not among them.
struct RefusedMethod {
  std::string_view method;
  std::string_view name;
  std::string_view missing;
};
const RefusedMethod* find_refused(std::string_view method);

// "<where>: <name> is not supported: what is missing is <missing>; pull …".
Error refuse(std::string_view where, std::string_view name, std::string_view missing);

// What is expected of a module that is not quantized in a file of quantized ones like `scheme`.
ModuleScheme plain_beside(ModuleScheme scheme);

// Behind the rules so far. Errc::unsupported where there are more regular expressions than anybody
// writes: each costs memory, and time with every module.
Status add_rule(const JsonFields& fields, QuantRule rule, Quantization& result);

// A list of texts, or of nothing; Errc::corrupt for anything else.
Result<std::vector<std::string>> text_list(const JsonFields& fields, const std::string& name);

}  // namespace glm::runner::quantization
