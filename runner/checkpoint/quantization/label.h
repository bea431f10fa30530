// How a format is written everywhere: "int4 g32 (compressed-tensors)", "int4 asym g128 act-order
// (GPTQ)", "fp8 channel (ModelOpt)".
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "runner/checkpoint/quantization.h"

namespace glm::runner::quantization {

struct FormatLabel {
  std::string_view type;           // "int4"
  std::string_view geometry = {};  // "g32", "channel", "tensor", "block 128x128"; may be empty
  QuantMethod method = QuantMethod::none;
  bool asymmetric = false;
  bool activation_order = false;
};
std::string label_of(const FormatLabel& parts);

std::string geometry_of(std::int64_t group);  // "g32", or "channel" where it is not positive

// The formats of one checkpoint, each once, in the order they are met: "a, b, c, d and 3 more".
class LabelList {
 public:
  void add(std::string label);
  std::string text() const;

 private:
  std::set<std::string> seen_;
  std::vector<std::string> shown_;
};

}  // namespace glm::runner::quantization
