// Every file format that is read, on the trained tiny checkpoint.
//
// The family is written by scripts/train_tiny/quantize.py before (tests/train_tiny/family.py). For
// each member: it is recognised; its weights are those the library that defines the format decodes,
// bit for bit (tests/golden/tiny/weight_hashes.json); the model computes exactly what it computes
// from the same weights stored plainly; and it still answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/dtype.h"
#include "runner/checkpoint/weight_loader.h"
#include "runner/models/registry.h"
#include "runner/text/tokenizer.h"
#include "store/sha256.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

using nlohmann::json;

const std::filesystem::path kRoot = GLM_SOURCE_DIR;
const std::filesystem::path kFamily = GLM_FAMILY_DIR;
const std::filesystem::path kGolden = kRoot / "tests/golden/tiny";

struct Member {
  const char* format;            // of quantize.py
  const char* summary;           // as the configuration has it
  std::set<std::string> labels;  // of its packed modules, as their tensors have it
};
void PrintTo(const Member& member, std::ostream* out) {
  *out << member.format;
}
// A matrix of 128 columns has one group of 128, which is a scale per channel, and one of 128 x 128
// has one block, which is a scale for the tensor.
const Member kFamilyMembers[] = {
    {"ct-int4", "int4 g32 (compressed-tensors)", {"int4 g32 (compressed-tensors)"}},
    {"ct-int4-asym", "int4 asym g32 (compressed-tensors)", {"int4 asym g32 (compressed-tensors)"}},
    {"ct-int4-act-order",
     "int4 g32 act-order (compressed-tensors)",
     {"int4 g32 act-order (compressed-tensors)"}},
    {"ct-int8", "int8 channel (compressed-tensors)", {"int8 channel (compressed-tensors)"}},
    {"ct-int8-asym", "int8 asym g64 (compressed-tensors)", {"int8 asym g64 (compressed-tensors)"}},
    {"ct-int8-plain", "int8 channel (compressed-tensors)", {"int8 channel (compressed-tensors)"}},
    {"awq", "int4 asym g128 (AWQ)", {"int4 asym channel (AWQ)"}},
    {"gptq", "int4 g128 (GPTQ)", {"int4 g128 (GPTQ)", "int4 channel (GPTQ)"}},
    {"gptq-act-order", "int4 g32 act-order (GPTQ)", {"int4 g32 act-order (GPTQ)"}},
    {"gptq-v2-asym", "int4 asym g64 (GPTQ)", {"int4 asym g64 (GPTQ)"}},
    {"gptq-mixed",
     "int8 g128 (GPTQ), int4 g128 (GPTQ)",
     {"int8 g128 (GPTQ)", "int8 channel (GPTQ)", "int4 channel (GPTQ)"}},
    {"modelopt-nvfp4", "nvfp4 (ModelOpt)", {"nvfp4 (ModelOpt)"}},
    {"modelopt-fp8", "fp8 tensor (ModelOpt)", {"fp8 tensor (ModelOpt)"}},
    {"modelopt-mixed",
     "fp8 tensor (ModelOpt), nvfp4 (ModelOpt)",
     {"fp8 tensor (ModelOpt)", "nvfp4 (ModelOpt)"}},
    {"ct-nvfp4", "nvfp4 (compressed-tensors)", {"nvfp4 (compressed-tensors)"}},
    {"ct-mxfp4", "mxfp4 (compressed-tensors)", {"mxfp4 (compressed-tensors)"}},
    {"ct-mxfp8", "mxfp8 (compressed-tensors)", {"mxfp8 (compressed-tensors)"}},
    {"ct-fp8-channel", "fp8 channel (compressed-tensors)", {"fp8 channel (compressed-tensors)"}},
    {"ct-fp8-tensor", "fp8 tensor (compressed-tensors)", {"fp8 tensor (compressed-tensors)"}},
    {"ct-fp8-block",
     "fp8 block 128x128 (compressed-tensors)",
     {"fp8 block 128x128 (compressed-tensors)", "fp8 tensor (compressed-tensors)"}},
    {"fp8-block", "fp8 block 128x128", {"fp8 block 128x128", "fp8 tensor"}},
};

json read_json(const std::filesystem::path& path) {
  std::ifstream stream(path);
  return json::parse(stream, nullptr, false);
}

std::vector<json> read_lines(const std::filesystem::path& path) {
  std::ifstream stream(path);
  std::vector<json> rows;
  for (std::string line; std::getline(stream, line);) {
    rows.push_back(json::parse(line, nullptr, false));
  }
  return rows;
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// "model.layers.2.mlp.experts.7.up_proj" -> "experts.up_proj", as decode_reference.py has it.
std::string kind_of(const std::string& module) {
  const std::string last = module.substr(module.rfind('.') + 1);
  return module.find(".experts.") != std::string::npos          ? "experts." + last
         : module.find(".shared_experts.") != std::string::npos ? "shared_experts." + last
                                                                : last;
}

struct PackedModule {
  std::string name;
  WeightShape shape;
  std::string label;
  std::vector<float> weights;  // as kernels::decode_rows has them
};

class TinyFamily : public testing::TestWithParam<Member> {
 protected:
  void SetUp() override {
    folder_ = kFamily / GetParam().format;
    if (!std::filesystem::exists(folder_ / "SHA256SUMS")) {
      GTEST_SKIP() << folder_ << " was not written: tests/train_tiny/family.py needs numpy";
    }
    files_ = std::move(files_in(folder_)).value();
    checkpoint_ = std::make_unique<Checkpoint>(std::move(Checkpoint::open(files_)).value());
    quantization_ =
        std::move(find_quantization(read_text(folder_ / "config.json"), files_)).value();
  }

  // Whatever the BF16 checkpoint has as a matrix and this one does not have plainly, by name.
  std::vector<PackedModule> packed_modules() {
    const auto plain = Checkpoint::open(std::move(files_in(kRoot / "models/glm-tiny")).value());
    EXPECT_TRUE(plain.ok());
    const std::unique_ptr<kernels::Ops> ops = kernels::make_cpu_ops(1);
    WeightLoader loader(*checkpoint_, quantization_, *ops, {}, {});
    std::vector<PackedModule> modules;
    for (const TensorInfo* tensor : plain->tensors()) {
      if (!tensor->name.ends_with(".weight") || tensor->shape.size() != 2) continue;
      const TensorInfo* here = checkpoint_->find(tensor->name);
      if (here != nullptr && kernels::size_bytes(here->dtype) > 1) continue;
      PackedModule module{.name = tensor->name.substr(0, tensor->name.size() - 7),
                          .shape = {tensor->shape[0], tensor->shape[1]},
                          .label = {},
                          .weights = {}};
      const auto stored = detect_format({.checkpoint = *checkpoint_,
                                         .module = module.name,
                                         .scheme = quantization_.scheme_of(module.name),
                                         .shape = module.shape});
      const auto weight = loader.weight(module.name, module.shape);
      EXPECT_TRUE(stored.ok()) << stored.error().message;
      EXPECT_TRUE(weight.ok()) << weight.error().message;
      EXPECT_TRUE(loader.finish().ok());
      if (!stored.ok() || !weight.ok()) continue;
      module.label = stored->label;
      module.weights.resize(static_cast<std::size_t>(module.shape.rows * module.shape.cols));
      kernels::decode_rows(weight->view(), 0, module.shape.rows, module.weights);
      modules.push_back(std::move(module));
    }
    return modules;
  }

  std::filesystem::path folder_;
  CheckpointFiles files_;
  std::unique_ptr<Checkpoint> checkpoint_;
  Quantization quantization_;
};

// The weights in the dtype a library returns, rounded as it rounds.
std::vector<std::byte> as_dtype(const std::vector<float>& weights, const std::string& dtype,
                                bool signed_zeros) {
  std::vector<std::byte> bytes;
  const auto append = [&](const auto& bits) {
    const auto* begin = reinterpret_cast<const std::byte*>(&bits);
    bytes.insert(bytes.end(), begin, begin + sizeof(bits));
  };
  for (const float weight : weights) {
    const float value = signed_zeros || weight != 0 ? weight : 0.0F;
    if (dtype == "BF16") append(kernels::f32_to_bf16(value));
    if (dtype == "F16") append(kernels::f32_to_f16(value));
    if (dtype == "F32") append(value);
  }
  return bytes;
}

TEST_P(TinyFamily, DecodesToTheWeightsOfTheReferenceLibrary) {
  const json formats = read_json(kGolden / "weight_hashes.json");
  ASSERT_TRUE(formats.contains(GetParam().format));
  const json& golden = formats[GetParam().format];
  std::map<std::string, store::Sha256> digests;
  std::map<std::string, int> modules;
  std::set<std::string> labels;
  for (const PackedModule& module : packed_modules()) {
    const std::string kind = kind_of(module.name);
    ASSERT_TRUE(golden["kinds"].contains(kind)) << kind;
    const std::string dtype = golden["kinds"][kind]["dtype"];
    digests[kind].update(as_dtype(module.weights, dtype, golden["signed_zeros"]));
    ++modules[kind];
    labels.insert(module.label);
  }
  EXPECT_EQ(quantization_.label, GetParam().summary);
  EXPECT_EQ(labels, GetParam().labels);
  EXPECT_EQ(digests.size(), golden["kinds"].size());
  for (auto& [kind, digest] : digests) {
    EXPECT_EQ(modules[kind], golden["kinds"][kind]["modules"]) << kind;
    EXPECT_EQ(digest.finish().hex(), golden["kinds"][kind]["sha256"])
        << kind << ", decoded by " << golden["oracle"];
  }
}

std::unique_ptr<Model> load(const std::filesystem::path& folder) {
  auto model = load_model(std::move(files_in(folder)).value(), {});
  EXPECT_TRUE(model.ok()) << model.error().message;
  return model.ok() ? std::move(model).value() : nullptr;
}

std::vector<float> logits_of(Model& model, std::span<const std::int32_t> tokens, KvCache& cache) {
  std::vector<float> logits(static_cast<std::size_t>(model.facts().vocab_size));
  const Status status = run_tokens(model, cache, tokens, logits);
  EXPECT_TRUE(status.ok()) << status.error().message;
  return logits;
}

std::string safetensors_name(kernels::Dtype dtype) {
  std::string text(kernels::name(dtype));
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

TEST_P(TinyFamily, ComputesExactlyWhatItsDecodedWeightsCompute) {
  fakes::FakeTensors tensors;
  for (const PackedModule& module : packed_modules()) {
    tensors[module.name + ".weight"] =
        fakes::f32_tensor({module.shape.rows, module.shape.cols}, module.weights);
  }
  for (const TensorInfo* tensor : checkpoint_->tensors()) {
    const std::string module = tensor->name.substr(0, tensor->name.rfind('.'));
    if (tensors.contains(module + ".weight")) continue;
    tensors[tensor->name] = {safetensors_name(tensor->dtype), tensor->shape,
                             std::move(checkpoint_->read_all(*tensor)).value()};
  }
  json config = read_json(folder_ / "config.json");
  config.erase("quantization_config");
  fakes::TemporaryFolder plain;
  fakes::write_file(plain.path() / "config.json", config.dump());
  fakes::write_safetensors(plain.path() / "model.safetensors", tensors);

  const auto packed_model = load(folder_);
  const auto plain_model = load(plain.path());
  ASSERT_TRUE(packed_model != nullptr && plain_model != nullptr);
  const json golden = read_json(kGolden / "logits.json");
  const auto tokens = golden["prompts"][0]["prompt_ids"].get<std::vector<std::int32_t>>();
  const std::int64_t pages = pages_of(static_cast<std::int64_t>(tokens.size()));
  const auto packed_pool = std::move(packed_model->make_pool(pages)).value();
  const auto plain_pool = std::move(plain_model->make_pool(pages)).value();
  KvCache packed_cache(*packed_pool);
  KvCache plain_cache(*plain_pool);
  EXPECT_EQ(logits_of(*packed_model, tokens, packed_cache),
            logits_of(*plain_model, tokens, plain_cache));
}

// The tokens of a greedy answer, its end left out.
std::vector<std::int32_t> answer(Model& model, const std::vector<std::int32_t>& prompt) {
  constexpr std::size_t kAnswerMax = 64;
  const auto pool =
      std::move(model.make_pool(pages_of(static_cast<std::int64_t>(prompt.size() + kAnswerMax))))
          .value();
  KvCache cache(*pool);
  const std::vector<std::int32_t>& ends = model.facts().eos_ids;
  std::vector<std::int32_t> tokens;
  std::span<const std::int32_t> next = prompt;
  while (tokens.size() < kAnswerMax) {
    const std::vector<float> logits = logits_of(model, next, cache);
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    const auto token = static_cast<std::int32_t>(best);
    if (std::find(ends.begin(), ends.end(), token) != ends.end()) break;
    tokens.push_back(token);
    next = std::span(tokens).last(1);
  }
  return tokens;
}

std::string after_thinking(const std::string& text) {
  constexpr std::string_view kEnd = "</think>";
  const std::size_t at = text.rfind(kEnd);
  std::string rest = at == std::string::npos ? text : text.substr(at + kEnd.size());
  rest.erase(0, rest.find_first_not_of(" \n"));
  rest.erase(rest.find_last_not_of(" \n") + 1);
  return rest;
}

// 20 held-out sums and 20 held-out words, half of them with thinking. glm-tiny itself knows them
// all, and no format may lose one.
TEST_P(TinyFamily, AnswersHeldOutQuestions) {
  std::map<std::string, std::string> expected;
  for (const json& row : read_lines(kGolden / "heldout.jsonl")) {
    if (row["task"] == "addition" || row["task"] == "reverse")
      expected[row["id"]] = row["expected"];
  }
  const auto model = load(folder_);
  ASSERT_NE(model, nullptr);
  auto tokenizer = Tokenizer::parse(read_text(folder_ / "tokenizer.json"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  int asked = 0;
  std::vector<std::string> wrong;
  for (const json& row : read_lines(kGolden / "greedy_bf16.jsonl")) {
    const auto found = expected.find(row["id"]);
    if (found == expected.end()) continue;
    ++asked;
    const std::string got = tokenizer->decode(answer(*model, row["prompt_ids"]));
    if (after_thinking(got) != found->second) wrong.push_back(found->first + ": " + got);
  }
  EXPECT_EQ(asked, 40);
  EXPECT_THAT(wrong, testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(All, TinyFamily, testing::ValuesIn(kFamilyMembers), [](const auto& test) {
  std::string name = test.param.format;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace glm::runner
