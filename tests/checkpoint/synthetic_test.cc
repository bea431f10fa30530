// Synthetic checkpoints against published ones: the same names, dtypes and shapes, as
// tests/fakes/dossiers knows them from other sources; and the numbers in them.
#include "runner/checkpoint/synthetic.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <ostream>
#include <set>
#include <sstream>
#include <string>

#include "kernels/weight_format.h"
#include "runner/checkpoint/formats.h"
#include "tests/fakes/dossiers/dossier.h"

namespace glm::fakes {

void PrintTo(const DossierRow& row, std::ostream* out) {
  *out << row.name;
}

}  // namespace glm::fakes

namespace glm::runner {
namespace {

namespace fs = std::filesystem;
using fakes::Dossier;

using Listing = std::map<std::string, std::string>;  // name -> "bf16 [2, 3]"

std::vector<fakes::DossierRow> all_dossiers() {
  std::vector<fakes::DossierRow> rows;
  for (const auto& table : {fakes::flash_dossiers(), fakes::glm4_dossiers()}) {
    rows.insert(rows.end(), table.begin(), table.end());
  }
  return rows;
}

bool is_left_out(const std::string& name, std::int64_t layers) {
  return name.starts_with("model.layers." + std::to_string(layers) + ".") ||  // predicts tokens
         name.ends_with("k_scale") || name.ends_with("v_scale");              // of a cache
}

Listing published(const Dossier& dossier, std::int64_t layers) {
  Listing listing;
  for (const fakes::NamedTensor& tensor : dossier.tensors) {
    if (is_left_out(tensor.name, layers)) continue;
    std::string dtype = tensor.dtype;
    for (char& c : dtype) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    listing[tensor.name] = fmt::format("{} [{}]", dtype, fmt::join(tensor.shape, ", "));
  }
  return listing;
}

Listing listing_of(const Synthetic& synthetic) {
  Listing listing;
  for (const TensorInfo* tensor : synthetic.checkpoint.tensors()) {
    listing[tensor->name] = describe(*tensor);
  }
  return listing;
}

// At the first that differs: whole listings are thousands of lines.
void expect_equal(const Listing& got, const Listing& want) {
  for (const auto& [name, shape] : want) {
    ASSERT_TRUE(got.contains(name)) << name << " is missing";
    ASSERT_EQ(got.at(name), shape) << name;
  }
  for (const auto& [name, shape] : got) ASSERT_TRUE(want.contains(name)) << name << " is too much";
}

std::string text_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream.good()) << path;
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

const fs::path kLayouts = fs::path(GLM_SOURCE_DIR) / "modelfiles" / "layouts";

// A test for each, since the largest have hundreds of thousands of tensors.
class Published : public testing::TestWithParam<fakes::DossierRow> {
 protected:
  const Dossier dossier = GetParam().build();
};

TEST_P(Published, HasTheSameTensorsMadeUp) {
  const auto synthetic = synthesize(dossier.small_files.at("config.json"));
  ASSERT_TRUE(synthetic.ok()) << synthetic.error().message;
  const ModelFacts& facts = synthetic->facts;
  const Listing want = published(dossier, facts.config.layers);
  expect_equal(listing_of(*synthetic), want);
  EXPECT_FALSE(facts.has_mtp);
  EXPECT_EQ(facts.weight_bytes, synthetic->checkpoint.size_bytes());

  const fs::path file = kLayouts / (dossier.repository + ".json");
  if (!fs::exists(file)) return;
  const auto shipped = synthesize(text_of(file));
  ASSERT_TRUE(shipped.ok()) << shipped.error().message;
  expect_equal(listing_of(*shipped), want);
  EXPECT_EQ(shipped->facts.parameters, facts.parameters);
  EXPECT_EQ(shipped->facts.context_max, facts.context_max);
  EXPECT_EQ(shipped->facts.kv_bytes_per_token, facts.kv_bytes_per_token);
}

std::string tiny_config() {
  return text_of(fs::path(GLM_SOURCE_DIR) / "models" / "glm-tiny" / "config.json");
}

TEST(Synthetic, TakesFewerLayers) {
  const auto two = synthesize(tiny_config(), 2);
  ASSERT_TRUE(two.ok()) << two.error().message;
  EXPECT_EQ(two->facts.config.layers, 2);
  EXPECT_NE(two->checkpoint.find("model.layers.1.mlp.gate.weight"), nullptr);
  EXPECT_EQ(two->checkpoint.find("model.layers.2.mlp.gate.weight"), nullptr);
  for (const std::int64_t layers : {-1, 5}) {
    const auto refused = synthesize(tiny_config(), layers);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Errc::invalid_argument);
    EXPECT_EQ(refused.error().message, std::to_string(layers) + " layers: the model has 4");
  }
}

TEST(Synthetic, TakesFewerLayersThanAreDense) {
  std::string config = tiny_config();
  const std::string dense = "\"first_k_dense_replace\": 1";
  const std::size_t at = config.find(dense);
  ASSERT_NE(at, std::string::npos);
  config.replace(at, dense.size(), "\"first_k_dense_replace\": 3");
  for (const std::int64_t layers : {1, 2, 3, 4}) {
    const auto some = synthesize(config, layers);
    ASSERT_TRUE(some.ok()) << some.error().message;
    EXPECT_EQ(some->facts.config.layers, layers);
    const std::string last = "model.layers." + std::to_string(layers - 1) + ".mlp.";
    const bool is_dense = layers <= 3;
    EXPECT_EQ(some->checkpoint.find(last + "down_proj.weight") != nullptr, is_dense) << layers;
    EXPECT_EQ(some->checkpoint.find(last + "gate.weight") != nullptr, !is_dense) << layers;
  }
}

TEST(Synthetic, RefusesMoreTensorsThanACheckpointMayHave) {
  std::string config = tiny_config();
  const auto replace = [&config](const std::string& from, const std::string& to) {
    const std::size_t at = config.find(from);
    ASSERT_NE(at, std::string::npos);
    config.replace(at, from.size(), to);
  };
  replace("\"num_hidden_layers\": 4", "\"num_hidden_layers\": 1000");
  replace("\"n_routed_experts\": 8", "\"n_routed_experts\": 4096");
  const auto refused = synthesize(config);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::unsupported);
  EXPECT_EQ(refused.error().message,
            "1000 layers of 4096 experts may be 49200000 tensors, the limit is 1000000");
}

TEST(Synthetic, ReadsTheSameInPiecesAndInTwoCheckpoints) {
  const auto one = synthesize(tiny_config());
  const auto other = synthesize(tiny_config());
  ASSERT_TRUE(one.ok() && other.ok());
  for (const TensorInfo* tensor : one->checkpoint.tensors()) {
    const auto whole = one->checkpoint.read_all(*tensor);
    ASSERT_TRUE(whole.ok());
    std::vector<std::byte> pieces(whole->size());
    for (std::size_t at = 0; at < pieces.size(); at += 997) {
      const auto count = std::min<std::size_t>(997, pieces.size() - at);
      const TensorInfo* same = other->checkpoint.find(tensor->name);
      ASSERT_TRUE(other->checkpoint.read(*same, at, std::span(pieces).subspan(at, count)).ok());
    }
    ASSERT_EQ(pieces, *whole) << tensor->name;
  }
}

// A weight decoded by the code that loads it.
std::vector<float> decoded(const Synthetic& synthetic, const std::string& module,
                           WeightShape shape) {
  const ModuleScheme scheme = synthetic.facts.quantization.scheme_of(module);
  const auto stored = detect_format(
      {.checkpoint = synthetic.checkpoint, .module = module, .scheme = scheme, .shape = shape});
  EXPECT_TRUE(stored.ok()) << stored.error().message;
  if (!stored.ok()) return {};
  kernels::WeightParts<std::vector<std::byte>> bytes;
  WeightMemory memory;
  kernels::WeightParts<const void*> addresses = {};
  for (const kernels::WeightPart part : kernels::kAllWeightParts) {
    const auto i = static_cast<std::size_t>(part);
    bytes[i].resize(static_cast<std::size_t>(stored->layout.bytes(part)));
    memory[i] = bytes[i];
    if (!bytes[i].empty()) addresses[i] = bytes[i].data();
  }
  const Status read = read_weight(*stored, {.checkpoint = synthetic.checkpoint,
                                            .module = module,
                                            .scheme = scheme,
                                            .layout = stored->layout,
                                            .target = memory});
  EXPECT_TRUE(read.ok()) << read.error().message;
  std::vector<float> values(static_cast<std::size_t>(shape.rows * shape.cols));
  kernels::decode_rows(kernels::view_of(stored->layout, addresses), 0, shape.rows, values);
  return values;
}

// So that what comes out of a layer has the size of what goes in, in whatever form.
TEST_P(Published, HasWeightsOfTheDeviationOfTheirInputs) {
  const auto synthetic = synthesize(dossier.small_files.at("config.json"), 5);
  ASSERT_TRUE(synthetic.ok()) << synthetic.error().message;
  const ModelConfig& config = synthetic->facts.config;
  const std::string layer = "model.layers.4";
  const std::vector<std::pair<std::string, WeightShape>> modules = {
      {layer + ".mlp.experts.3.up_proj", {config.moe.intermediate_size, config.hidden_size}},
      {layer + ".mlp.experts.3.down_proj", {config.hidden_size, config.moe.intermediate_size}},
  };
  for (const auto& [module, shape] : modules) {
    SCOPED_TRACE(module);
    const std::vector<float> values = decoded(*synthetic, module, shape);
    double sum = 0;
    double squares = 0;
    for (const float value : values) {
      sum += static_cast<double>(value);
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    const auto count = static_cast<double>(values.size());
    const double wanted = 1.0 / std::sqrt(static_cast<double>(shape.cols));
    EXPECT_NEAR(sum / count / wanted, 0, 0.02);
    EXPECT_NEAR(std::sqrt(squares / count) / wanted, 1, 0.3);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Published, testing::ValuesIn(all_dossiers()), [](const auto& test) {
  std::string name(test.param.name);
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
});

// Names are those of dossiers: a layout that none of them has nobody would vouch for.
TEST(Synthetic, ShipsLayoutsOfPublishedCheckpointsOnly) {
  std::set<std::string> known;
  for (const fakes::DossierRow& row : all_dossiers()) known.insert(row.build().repository);
  std::size_t shipped = 0;
  for (const auto& entry : fs::recursive_directory_iterator(kLayouts)) {
    if (entry.path().extension() != ".json") continue;
    ++shipped;
    const std::string name = entry.path().lexically_relative(kLayouts).generic_string();
    EXPECT_TRUE(known.contains(name.substr(0, name.size() - 5))) << name;
  }
  EXPECT_GE(shipped, 10u);
}

}  // namespace
}  // namespace glm::runner
