// One module "m" written to a checkpoint file and read back through its format.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/weight_format.h"
#include "runner/checkpoint/weight_loader.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {

class ModuleFixture : public testing::Test {
 protected:
  // What the configuration says about "m".
  void expect(ModuleScheme scheme) {
    scheme.quantized = true;
    quantization_ = {.method = scheme.method, .label = "", .where = "", .rules = {}};
    quantization_.rules.push_back({ModulePattern::exactly("m"), scheme});
  }
  // The same by a whole quantization_config.
  void configure(const std::string& description) {
    auto found = find_quantization("{\"quantization_config\": " + description + "}", {});
    ASSERT_TRUE(found.ok()) << found.error().message;
    quantization_ = std::move(found).value();
  }
  Result<DeviceWeight> load(const fakes::FakeTensors& tensors, WeightShape shape) {
    fakes::write_safetensors(folder_.path() / "model.safetensors", tensors);
    checkpoint_ = std::make_unique<Checkpoint>(
        std::move(Checkpoint::open(std::move(files_in(folder_.path())).value())).value());
    const std::unique_ptr<kernels::Ops> ops = kernels::make_cpu_ops(1);
    WeightLoader loader(*checkpoint_, quantization_, *ops, {}, {});
    DeviceWeight weight = GLM_TRY(loader.weight("m", shape));
    GLM_TRY(loader.finish());
    notes_ = loader.notes();
    return weight;
  }
  std::vector<float> values(const fakes::FakeTensors& tensors, WeightShape shape) {
    const auto weight = load(tensors, shape);
    EXPECT_TRUE(weight.ok()) << weight.error().message;
    if (!weight.ok()) return {};
    std::vector<float> out(static_cast<std::size_t>(shape.rows * shape.cols));
    kernels::decode_rows(weight->view(), 0, shape.rows, out);
    return out;
  }
  std::string error(const fakes::FakeTensors& tensors, WeightShape shape) {
    const auto weight = load(tensors, shape);
    return weight.ok() ? "accepted" : weight.error().message;
  }
  // As `show` names it.
  std::string label(const fakes::FakeTensors& tensors, WeightShape shape) {
    EXPECT_TRUE(load(tensors, shape).ok());
    const auto stored = detect_format({.checkpoint = *checkpoint_,
                                       .module = "m",
                                       .scheme = quantization_.scheme_of("m"),
                                       .shape = shape});
    return stored.ok() ? stored->label : stored.error().message;
  }

  Quantization quantization_;
  fakes::TemporaryFolder folder_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::vector<std::string> notes_;
};

// Values as the bits of bf16, rounded to nearest even.
inline std::vector<std::uint16_t> as_bf16(const std::vector<float>& values) {
  std::vector<std::uint16_t> bits;
  for (const float value : values) bits.push_back(kernels::f32_to_bf16(value));
  return bits;
}

}  // namespace glm::runner
