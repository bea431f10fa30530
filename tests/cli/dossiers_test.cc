// What `glm show` says of published checkpoints, of which only the facts are here
// (tests/fakes/dossiers). Two kinds of oracle: figures that were published or follow from published
// ones (counts of tensors, sizes), and the whole page against tests/golden/dossiers/<name>.txt,
// read by a person. GLM_UPDATE_GOLDEN=1 writes the pages anew.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cmd/api/description.h"
#include "cmd/cli/model_page.h"
#include "runner/checkpoint/model_facts.h"
#include "tests/fakes/dossiers/dossier.h"
#include "tests/fakes/temp_dir.h"

namespace glm {
namespace {

namespace fs = std::filesystem;
using fakes::Dossier;
using Json = nlohmann::ordered_json;

struct Expectation {
  std::string_view name;    // of the row
  double gigabytes;         // of the tensors, published or computed from published facts
  double tolerance;         // as many digits as are known
  std::uint64_t tensors;    // 0: nobody says
  std::string_view format;  // of most weights
  bool has_mtp;
};
constexpr Expectation kExpected[] = {
    {"glm-4.7-flash", 62.442983168, 0, 9703, "bf16", true},
    {"glm-4.7-flash-cyankiwi-awq-4bit", 20.166726064, 0, 28221, "int4 g32 (compressed-tensors)",
     true},
    {"glm-4.7-flash-gadflyii-nvfp4", 20.441, 0.001, 0, "nvfp4 (compressed-tensors)", true},
    {"glm-4.7-flash-gadflyii-mtp-nvfp4", 20.909, 0.001, 0, "nvfp4 (compressed-tensors)", true},
    {"glm-4.7-flash-alphakek-nvfp4", 17.764, 0.001, 0, "nvfp4 (ModelOpt)", false},
    {"glm-4.7-flash-mratsim-fp8", 30.6, 0.5, 0, "fp8 block 128x128 (compressed-tensors)", false},
    {"glm-4.7-flash-quanttrio-awq", 19.76, 0.1, 0, "int4 asym g128 (AWQ)", true},
    {"glm-4.7", 716.68, 0.01, 0, "bf16", true},
    {"glm-4.6", 713.57, 0.01, 0, "bf16", true},
    {"glm-4.5-air", 220.9, 1.0, 0, "bf16", true},
    {"glm-4.7-fp8", 360.0, 1.6, 0, "fp8 channel (compressed-tensors)", true},
    {"glm-4.5-air-fp8", 112.0, 2.0, 0, "fp8 channel (compressed-tensors)", true},
    {"glm-4.7-quanttrio-awq", 193.67, 0.01, 0, "int4 asym g128 (AWQ)", true},
    {"glm-4.6-bullpoint-awq", 188.89, 0.01, 0, "int4 g128 (compressed-tensors)", false},
    {"glm-4.7-salyut1-nvfp4", 200.4, 1.0, 0, "nvfp4 (ModelOpt)", false},
    {"glm-4.6-redhatai-w8a8", 362.0, 2.0, 0, "int8 channel (compressed-tensors)", true},
    {"glm-4.7-thehouseofthedude-gs32", 200.4, 1.0, 0, "int4 g32 (compressed-tensors)", false},
    {"glm-4.7-quanttrio-gptq-mix", 260.0, 30.0, 0, "int4 g128 (GPTQ)", true},
};

std::vector<fakes::DossierRow> all_dossiers() {
  std::vector<fakes::DossierRow> rows;
  for (const auto& table : {fakes::flash_dossiers(), fakes::glm4_dossiers()}) {
    rows.insert(rows.end(), table.begin(), table.end());
  }
  return rows;
}

runner::CheckpointFiles write_small_files(const Dossier& dossier, const fs::path& folder) {
  runner::CheckpointFiles files;
  for (const auto& [name, text] : dossier.small_files) {
    std::ofstream(folder / name, std::ios::binary) << text;
    files[name] = folder / name;
  }
  return files;
}

Json show_of(const Dossier& dossier, const runner::ModelFacts& facts,
             const runner::CheckpointFiles& files) {
  Json show = api::description(facts, files, {});
  show["pulled"] = false;
  show["source"] = dossier.repository;
  show["revision"] = dossier.revision;
  show["size"] = dossier.file_bytes();
  return show;
}

std::string text_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

class Dossiers : public ::testing::TestWithParam<fakes::DossierRow> {};

TEST_P(Dossiers, GiveTheRightPage) {
  const Dossier dossier = GetParam().build();
  const ::testing::TestInfo& info = *::testing::UnitTest::GetInstance()->current_test_info();
  const auto expected = std::find_if(std::begin(kExpected), std::end(kExpected),
                                     [](const auto& e) { return e.name == GetParam().name; });
  ASSERT_NE(expected, std::end(kExpected)) << info.name();
  EXPECT_NEAR(static_cast<double>(dossier.tensor_bytes()) / 1e9, expected->gigabytes,
              expected->tolerance + 1e-12);

  const fakes::TempDir folder;
  const runner::CheckpointFiles files = write_small_files(dossier, folder.path());
  const auto facts = runner::survey_headers(files, dossier.shards);
  ASSERT_TRUE(facts.ok()) << facts.error().message;
  EXPECT_EQ(facts->weight_bytes, dossier.tensor_bytes());
  EXPECT_EQ(facts->tensors, dossier.tensors.size());
  if (expected->tensors != 0) {
    EXPECT_EQ(facts->tensors, expected->tensors);
  }
  EXPECT_EQ(facts->has_mtp, expected->has_mtp);
  EXPECT_EQ(facts->format_summary, expected->format);
  EXPECT_FALSE(facts->refusal) << facts->refusal->message;
  std::uint64_t sum = 0;
  for (const runner::FormatGroup& group : facts->formats) sum += group.bytes;
  EXPECT_EQ(sum, dossier.tensor_bytes());

  const std::string page = model_page(show_of(dossier, *facts, files));
  const fs::path golden =
      fs::path(GLM_SOURCE_DIR) / "tests/golden/dossiers" / (std::string(GetParam().name) + ".txt");
  if (std::getenv("GLM_UPDATE_GOLDEN") != nullptr) std::ofstream(golden, std::ios::binary) << page;
  EXPECT_EQ(page, text_of(golden));
}

INSTANTIATE_TEST_SUITE_P(All, Dossiers, ::testing::ValuesIn(all_dossiers()), [](const auto& test) {
  std::string name(test.param.name);
  for (char& c : name) c = c == '-' || c == '.' ? '_' : c;
  return name;
});

std::uint64_t parameters_of(const Dossier& dossier) {
  std::uint64_t sum = 0;
  for (const fakes::NamedTensor& tensor : dossier.tensors) sum += tensor.elements();
  return sum;
}

Dossier dossier_of(std::string_view name) {
  for (const fakes::DossierRow& row : all_dossiers()) {
    if (row.name == name) return row.build();
  }
  return {};
}

// The inventories themselves: wrong names or shapes would not give these.
TEST(DossierFacts, AreThePublishedOnes) {
  EXPECT_EQ(parameters_of(dossier_of("glm-4.7-flash")), 31'221'488'576U);
  EXPECT_NEAR(static_cast<double>(parameters_of(dossier_of("glm-4.7"))), 358.34e9, 0.005e9);
  EXPECT_NEAR(static_cast<double>(parameters_of(dossier_of("glm-4.6"))), 356.79e9, 0.005e9);
  EXPECT_NEAR(static_cast<double>(parameters_of(dossier_of("glm-4.7-flash-alphakek-nvfp4"))),
              17.12e9, 0.005e9);
}

TEST(DossierFacts, OfTheReferenceCheckpointFitToTheByte) {
  const Dossier dossier = dossier_of("glm-4.7-flash-cyankiwi-awq-4bit");
  EXPECT_EQ(dossier.small_files.at("model.safetensors.index.json").size(), 2'712'517U);
  std::uint64_t packed = 0, main = 0, main_bytes = 0;
  for (const fakes::NamedTensor& tensor : dossier.tensors) {
    packed += tensor.name.ends_with(".weight_packed") ? 1 : 0;
    if (tensor.name.starts_with("model.layers.47.")) continue;
    ++main;
    main_bytes += tensor.bytes();
  }
  EXPECT_EQ(packed, 9259U);
  EXPECT_EQ(main, 27'615U);
  EXPECT_NEAR(static_cast<double>(main_bytes) / 1e9, 18.51, 0.005);
  // The published files are as large as their tensors and headers like these: 3.47 MB.
  const std::uint64_t headers = dossier.file_bytes() - dossier.tensor_bytes();
  EXPECT_NEAR(static_cast<double>(headers), 20'170'199'928.0 - 20'166'726'064.0, 2000);
  const Json config = Json::parse(dossier.small_files.at("config.json"));
  EXPECT_EQ(config["quantization_config"]["ignore"].size(), 150U);
}

}  // namespace
}  // namespace glm
