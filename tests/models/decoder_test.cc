// Checkpoints of random numbers in awkward shapes, of every architecture that runs: every way
// through the model must give the same logits, and a broken checkpoint must be named. That the
// logits are the right ones is reference_logits_test.cc's business.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "kernels/dtype.h"
#include "runner/checkpoint/architectures.h"
#include "runner/models/registry.h"
#include "tests/fakes/noting_ops.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

using fakes::FakeArchitecture;
using fakes::FakeTensors;
using fakes::FakeWeights;
using fakes::TemporaryFolder;
using fakes::TinyModelOptions;
using testing::HasSubstr;

std::unique_ptr<Model> load(const std::filesystem::path& folder, const LoadOptions& options) {
  auto files = files_in(folder);
  EXPECT_TRUE(files.ok());
  auto model = load_model(*files, options);
  EXPECT_TRUE(model.ok()) << model.error().message;
  return std::move(model).value();
}

std::vector<std::int32_t> prompt(std::size_t length) {
  std::vector<std::int32_t> tokens;
  for (std::size_t i = 0; i < length; ++i)
    tokens.push_back(static_cast<std::int32_t>(i * 37 % 101));
  return tokens;
}

// Logits after `tokens`, run in pieces of `piece`.
std::vector<float> logits_of(Model& model, std::span<const std::int32_t> tokens,
                             std::size_t piece) {
  auto pool = model.make_pool(pages_of(static_cast<std::int64_t>(tokens.size())));
  EXPECT_TRUE(pool.ok());
  KvCache cache(**pool);
  std::vector<float> logits(static_cast<std::size_t>(model.facts().vocab_size));
  while (!tokens.empty()) {
    const std::size_t count = std::min(piece, tokens.size());
    const Status status = run_tokens(model, cache, tokens.first(count), logits);
    EXPECT_TRUE(status.ok()) << status.error().message;
    tokens = tokens.subspan(count);
  }
  return logits;
}

float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  float largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

float largest(const std::vector<float>& a) {
  float found = 0;
  for (const float value : a) found = std::max(found, std::abs(value));
  return found;
}

struct Kind {
  const char* name;
  FakeArchitecture architecture;
  FakeWeights weights;
};

class TinyModel : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    options_.architecture = GetParam().architecture;
    options_.weights = GetParam().weights;
    fakes::write_tiny_model(folder_.path(), options_);
  }
  TemporaryFolder folder_;
  TinyModelOptions options_;
};

TEST_P(TinyModel, GivesTheSameLogitsHoweverThePromptIsSplit) {
  const auto tokens = prompt(70);
  std::vector<MlaForm> forms = {MlaForm::automatic};
  if (GetParam().architecture == FakeArchitecture::glm4_moe_lite) {
    forms.insert(forms.end(), {MlaForm::absorbed, MlaForm::expanded});
  }
  for (const MlaForm form : forms) {
    LoadOptions options;
    options.mla_form = form;
    options.threads = 2;
    const auto model = load(folder_.path(), options);
    const std::vector<float> whole = logits_of(*model, tokens, tokens.size());
    EXPECT_GT(largest(whole), 0.1F);
    for (const std::size_t piece : {1U, 2U, 7U, 31U, 32U, 33U}) {
      EXPECT_LT(largest_difference(whole, logits_of(*model, tokens, piece)), 2e-5F * largest(whole))
          << "pieces of " << piece;
    }
  }
}

TEST_P(TinyModel, DoesNotDependOnTheNumberOfThreads) {
  const auto tokens = prompt(40);
  LoadOptions options;
  options.threads = 1;
  const auto one = logits_of(*load(folder_.path(), options), tokens, 40);
  options.threads = 3;
  const auto three = logits_of(*load(folder_.path(), options), tokens, 40);
  EXPECT_EQ(one, three);
}

TEST_P(TinyModel, ForgetsWhatIsTruncated) {
  const auto model = load(folder_.path(), {});
  const auto tokens = prompt(12);
  const auto pool = std::move(model->make_pool(1)).value();
  KvCache cache(*pool);
  std::vector<float> first(101);
  ASSERT_TRUE(run_tokens(*model, cache, tokens, first).ok());
  ASSERT_TRUE(run_tokens(*model, cache, prompt(5), {}).ok());
  EXPECT_EQ(cache.length(), 17);
  cache.truncate(11);
  std::vector<float> again(101);
  ASSERT_TRUE(run_tokens(*model, cache, std::span(tokens).last(1), again).ok());
  EXPECT_LT(largest_difference(first, again), 2e-5F * largest(first));
}

constexpr Kind kKinds[] = {
    {"glm4_moe_lite_bf16", FakeArchitecture::glm4_moe_lite, FakeWeights::bf16},
    {"glm4_moe_lite_int4_group32", FakeArchitecture::glm4_moe_lite, FakeWeights::int4_group32},
    {"glm4_moe_lite_int4_channel", FakeArchitecture::glm4_moe_lite, FakeWeights::int4_channel},
    {"glm4_moe_bf16", FakeArchitecture::glm4_moe, FakeWeights::bf16},
    {"glm4_moe_int4_group32", FakeArchitecture::glm4_moe, FakeWeights::int4_group32},
    {"glm4_moe_int4_channel", FakeArchitecture::glm4_moe, FakeWeights::int4_channel},
};
INSTANTIATE_TEST_SUITE_P(All, TinyModel, testing::ValuesIn(kKinds),
                         [](const auto& test) { return test.param.name; });

TEST(Glm4MoeLite, GivesTheSameLogitsAbsorbedAndExpanded) {
  for (const auto weights : {FakeWeights::bf16, FakeWeights::int4_group32}) {
    TinyModelOptions tiny;
    tiny.weights = weights;
    TemporaryFolder folder;
    fakes::write_tiny_model(folder.path(), tiny);
    for (const std::size_t length : {1U, 2U, 33U, 129U}) {
      const auto tokens = prompt(length);
      LoadOptions options;
      options.mla_form = MlaForm::absorbed;
      const std::vector<float> absorbed =
          logits_of(*load(folder.path(), options), tokens, tokens.size());
      options.mla_form = MlaForm::expanded;
      const std::vector<float> expanded =
          logits_of(*load(folder.path(), options), tokens, tokens.size());
      EXPECT_LT(largest_difference(absorbed, expanded), 2e-5F * largest(absorbed));
    }
  }
}

// Both forms read the same records, so they agree as they do over plain pages; against those the
// logits are off by what fp8 loses.
TEST(Glm4MoeLite, RunsOverFp8Latents) {
  TemporaryFolder folder;
  fakes::write_tiny_model(folder.path(), {});
  for (const std::size_t length : {1U, 33U, 129U}) {
    const auto tokens = prompt(length);
    const std::vector<float> plain = logits_of(*load(folder.path(), {}), tokens, tokens.size());
    LoadOptions options;
    options.kv_format = kernels::KvFormat::fp8_latent;
    options.mla_form = MlaForm::absorbed;
    const auto model = load(folder.path(), options);
    EXPECT_EQ(model->page_bytes(), 3U * 64 * 96);  // 64 e4m3, a scale, 8 bf16, 12 bytes of nothing
    const std::vector<float> absorbed = logits_of(*model, tokens, tokens.size());
    EXPECT_LT(largest_difference(plain, absorbed), 0.1F * largest(plain));
    EXPECT_GT(largest_difference(plain, absorbed), 0.0F);
    EXPECT_LT(largest_difference(absorbed, logits_of(*model, tokens, 7)), 2e-2F * largest(plain));
    options.mla_form = MlaForm::expanded;
    EXPECT_LT(largest_difference(absorbed,
                                 logits_of(*load(folder.path(), options), tokens, tokens.size())),
              2e-2F * largest(plain));
  }
}

TEST(Glm4Moe, RefusesFp8LatentsBecauseItHasNone) {
  TinyModelOptions tiny;
  tiny.architecture = FakeArchitecture::glm4_moe;
  TemporaryFolder folder;
  fakes::write_tiny_model(folder.path(), tiny);
  LoadOptions options;
  options.kv_format = kernels::KvFormat::fp8_latent;
  const auto model = load_model(std::move(files_in(folder.path())).value(), options);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, Errc::unsupported);
  EXPECT_EQ(model.error().message,
            "kv_cache_type fp8: it is for architectures that cache a latent (glm4_moe_lite), "
            "glm4_moe caches keys and values; run it with bf16");
}

TEST(Decoder, NamesTheTypesOfCaches) {
  EXPECT_EQ(*parse_kv_cache_type("bf16"), kernels::KvFormat::plain);
  EXPECT_EQ(*parse_kv_cache_type("fp8"), kernels::KvFormat::fp8_latent);
  EXPECT_EQ(parse_kv_cache_type("q8_0").error().message,
            "kv_cache_type wants bf16 or fp8, got 'q8_0'");
}

// The same weights decoded by hand into a plain checkpoint must give the same bits.
TEST(Decoder, ReadsQuantizedWeightsExactly) {
  TinyModelOptions options;
  options.weights = FakeWeights::int4_group32;
  TemporaryFolder packed;
  fakes::write_tiny_model(packed.path(), options);

  FakeTensors plain;
  const FakeTensors tensors = fakes::tiny_tensors(options);
  for (const auto& [name, tensor] : tensors) {
    const auto at = name.find(".weight_");
    if (at == std::string::npos) {
      plain[name] = tensor;
      continue;
    }
    if (!name.ends_with("_packed")) continue;
    const std::string module = name.substr(0, at);
    const auto* words = reinterpret_cast<const std::uint32_t*>(tensor.bytes.data());
    const auto& scales = tensors.at(module + ".weight_scale");
    const auto* scale_bits = reinterpret_cast<const std::uint16_t*>(scales.bytes.data());
    const std::int64_t rows = tensor.shape[0];
    std::int64_t cols = 0;
    std::memcpy(&cols, tensors.at(module + ".weight_shape").bytes.data() + 8, 8);
    const std::int64_t groups = scales.shape[1];
    std::vector<float> values;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) {
        const auto word = words[r * tensor.shape[1] + c / 8];
        const int q = static_cast<int>((word >> (4 * (c % 8))) & 15U) - 8;
        const auto scale = glm::kernels::bf16_to_f32(scale_bits[r * groups + c / (cols / groups)]);
        values.push_back(static_cast<float>(q) * scale);
      }
    }
    plain[module + ".weight"] = fakes::bf16_tensor({rows, cols}, values);
  }
  TemporaryFolder unpacked;
  options.weights = FakeWeights::bf16;
  fakes::write_file(unpacked.path() / "config.json", fakes::tiny_config(options));
  fakes::write_safetensors(unpacked.path() / "model.safetensors", plain);

  const auto tokens = prompt(20);
  EXPECT_EQ(logits_of(*load(packed.path(), {}), tokens, 20),
            logits_of(*load(unpacked.path(), {}), tokens, 20));
}

TEST(Decoder, RunsWithoutAnyExperts) {
  TinyModelOptions options;
  options.dense_layers = options.layers;
  TemporaryFolder folder;
  fakes::write_tiny_model(folder.path(), options);
  const auto model = load(folder.path(), {});
  EXPECT_TRUE(model->facts().notes.empty());
  EXPECT_GT(largest(logits_of(*model, prompt(3), 3)), 0.1F);
}

TEST(Decoder, LoadsEveryArchitectureThatMissesNothing) {
  std::vector<std::string_view> complete;
  for (const Architecture& row : known_architectures()) {
    if (row.missing.empty()) complete.push_back(row.model_type);
  }
  EXPECT_EQ(supported_architectures(), complete);
}

TEST(Decoder, ReadsFusedExperts) {
  TinyModelOptions options;
  TemporaryFolder single;
  fakes::write_tiny_model(single.path(), options);
  FakeTensors fused = fakes::tiny_tensors(options);
  for (std::int64_t layer = options.dense_layers; layer < options.layers; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.mlp.experts", layer);
    fakes::FakeTensor gate_up{
        "BF16", {options.experts, 2 * options.moe_intermediate, options.hidden}, {}};
    fakes::FakeTensor down{"BF16", {options.experts, options.hidden, options.moe_intermediate}, {}};
    for (std::int64_t e = 0; e < options.experts; ++e) {
      for (const char* name : {"gate_proj", "up_proj", "down_proj"}) {
        const std::string full = fmt::format("{}.{}.{}.weight", prefix, e, name);
        auto& target = name[0] == 'd' ? down.bytes : gate_up.bytes;
        const auto& bytes = fused.at(full).bytes;
        target.insert(target.end(), bytes.begin(), bytes.end());
        fused.erase(full);
      }
    }
    fused[prefix + ".gate_up_proj"] = gate_up;
    fused[prefix + ".down_proj"] = down;
  }
  TemporaryFolder folder;
  fakes::write_file(folder.path() / "config.json", fakes::tiny_config(options));
  fakes::write_safetensors(folder.path() / "model.safetensors", fused);
  const auto tokens = prompt(9);
  EXPECT_EQ(logits_of(*load(single.path(), {}), tokens, 9),
            logits_of(*load(folder.path(), {}), tokens, 9));
}

// Absence and presence of biases and norms are said twice, by the config and by the tensors.
TEST(Glm4Moe, RefusesTensorsTheConfigDenies) {
  TinyModelOptions options;
  options.architecture = FakeArchitecture::glm4_moe;
  const FakeTensors tensors = fakes::tiny_tensors(options);
  TemporaryFolder folder;
  const auto message = [&](const TinyModelOptions& config) {
    fakes::write_file(folder.path() / "config.json", fakes::tiny_config(config));
    fakes::write_safetensors(folder.path() / "model.safetensors", tensors);
    const auto model = load_model(std::move(files_in(folder.path())).value(), {});
    return model.ok() ? "it loaded" : model.error().message;
  };
  EXPECT_EQ(message(options), "it loaded");
  TinyModelOptions plain = options;
  plain.attention_bias = false;
  EXPECT_EQ(message(plain),
            "tensor 'model.layers.0.self_attn.q_proj.bias' is there, but config.json says "
            "attention_bias is false (or leaves it out): one of the two is wrong");
  plain = options;
  plain.qk_norm = false;
  EXPECT_EQ(message(plain),
            "tensor 'model.layers.0.self_attn.q_norm.weight' is there, but config.json says "
            "use_qk_norm is false (or leaves it out): one of the two is wrong");
}

TEST(Glm4Moe, NamesTheNormThatIsMissing) {
  TinyModelOptions options;
  options.architecture = FakeArchitecture::glm4_moe;
  FakeTensors tensors = fakes::tiny_tensors(options);
  tensors.erase("model.layers.2.self_attn.k_norm.weight");
  TemporaryFolder folder;
  fakes::write_file(folder.path() / "config.json", fakes::tiny_config(options));
  fakes::write_safetensors(folder.path() / "model.safetensors", tensors);
  const auto model = load_model(std::move(files_in(folder.path())).value(), {});
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().message,
            "tensor 'model.layers.2.self_attn.k_norm.weight' is missing from the checkpoint");
}

class BrokenModel : public testing::Test {
 protected:
  std::string error(const FakeTensors& tensors, const LoadOptions& options = {}) {
    fakes::write_file(folder_.path() / "config.json", fakes::tiny_config({}));
    fakes::write_safetensors(folder_.path() / "model.safetensors", tensors);
    const auto model = load_model(std::move(files_in(folder_.path())).value(), options);
    return model.ok() ? "it loaded" : model.error().message;
  }
  TemporaryFolder folder_;
};

TEST_F(BrokenModel, NamesTheTensorThatIsMissing) {
  FakeTensors tensors = fakes::tiny_tensors({});
  tensors.erase("model.layers.1.mlp.gate.e_score_correction_bias");
  EXPECT_EQ(error(tensors),
            "tensor 'model.layers.1.mlp.gate.e_score_correction_bias' is missing from the "
            "checkpoint");
  tensors = fakes::tiny_tensors({});
  tensors.erase("model.layers.2.mlp.experts.4.up_proj.weight");
  EXPECT_EQ(error(tensors),
            "module 'model.layers.2.mlp.experts.4.up_proj' is missing from the checkpoint");
}

TEST_F(BrokenModel, NamesTheTensorOfTheWrongShape) {
  FakeTensors tensors = fakes::tiny_tensors({});
  tensors["model.norm.weight"] = fakes::bf16_tensor({4}, {1, 1, 1, 1});
  EXPECT_EQ(error(tensors),
            "tensor 'model.norm.weight': got bf16 [4], wanted bf16, f16 or f32 [96]");
  tensors = fakes::tiny_tensors({});
  tensors["lm_head.weight"] = fakes::bf16_tensor({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(error(tensors), "module 'lm_head': got a bf16 weight of [2, 3], wanted [101, 96]");
}

TEST_F(BrokenModel, IsNotNeededWhenTheStopComes) {
  std::stop_source source;
  LoadOptions options;
  options.stop = source.get_token();
  options.progress = [&](const LoadProgress& progress) {
    EXPECT_LE(progress.completed_bytes, progress.total_bytes);
    if (progress.completed_bytes > progress.total_bytes / 2) source.request_stop();
  };
  EXPECT_EQ(error(fakes::tiny_tensors({}), options), "loading was cancelled");
}

TEST(Decoder, NotesWhatItDidNotUse) {
  TemporaryFolder folder;
  FakeTensors tensors = fakes::tiny_tensors({});
  tensors["model.mystery.weight"] = fakes::bf16_tensor({1}, {1});
  fakes::write_file(folder.path() / "config.json", fakes::tiny_config({}));
  fakes::write_safetensors(folder.path() / "model.safetensors", tensors);
  const auto model = load(folder.path(), {});
  EXPECT_THAT(model->facts().notes,
              testing::ElementsAre("1 tensors of the checkpoint were not used: "
                                   "model.mystery.weight"));
}

// A backend with little memory, as far as it says.
class NarrowOps final : public fakes::NotingOps {
 public:
  kernels::DeviceMemory memory() const override {
    return {.total_bytes = 5000, .free_bytes = 1000};
  }
};

TEST(Decoder, IsRefusedBeforeLoadingWhereItCannotFit) {
  TemporaryFolder folder;
  fakes::write_tiny_model(folder.path(), {});
  LoadOptions options;
  options.wrap_ops = [](std::unique_ptr<kernels::Ops> /*ops*/) {
    return std::make_unique<NarrowOps>();
  };
  const auto model = load_model(*files_in(folder.path()), options);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, Errc::exhausted);
  EXPECT_THAT(model.error().message,
              HasSubstr("where 1.0 kB of 5.0 kB are free; nothing that glm knows of would fit"));
}

TEST(Decoder, NotesABiasThatNobodyAdds) {
  TemporaryFolder folder;
  FakeTensors tensors = fakes::tiny_tensors({});
  tensors["model.layers.0.self_attn.o_proj.bias"] =
      fakes::bf16_tensor({96}, std::vector<float>(96, 1));
  fakes::write_file(folder.path() / "config.json", fakes::tiny_config({}));
  fakes::write_safetensors(folder.path() / "model.safetensors", tensors);
  EXPECT_THAT(load(folder.path(), {})->facts().notes,
              testing::ElementsAre("1 tensors of the checkpoint were not used: "
                                   "model.layers.0.self_attn.o_proj.bias"));
}

TEST(Decoder, KeepsATableThatIsThereTwiceOnce) {
  TemporaryFolder folder;
  FakeTensors tensors = fakes::tiny_tensors({});
  fakes::write_file(folder.path() / "config.json", fakes::tiny_config({}));
  fakes::write_safetensors(folder.path() / "model.safetensors", tensors);
  const std::uint64_t apart = load(folder.path(), {})->weight_bytes();
  tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"];
  fakes::write_safetensors(folder.path() / "model.safetensors", tensors);
  const auto model = load(folder.path(), {});
  EXPECT_EQ(model->weight_bytes(), apart - tensors["lm_head.weight"].bytes.size());
  EXPECT_THAT(model->facts().notes, testing::IsEmpty());
  // The same checkpoint with tied embeddings says the same.
  const std::vector<float> logits = logits_of(*model, prompt(9), 9);
  std::string config = fakes::tiny_config({});
  const std::string untied = R"("tie_word_embeddings": false)";
  config.replace(config.find(untied), untied.size(), R"("tie_word_embeddings": true)");
  fakes::write_file(folder.path() / "config.json", config);
  EXPECT_EQ(logits_of(*load(folder.path(), {}), prompt(9), 9), logits);
}

TEST(Decoder, KeepsOnlyWhatEachArchitectureNeedsOfAToken) {
  TinyModelOptions options;
  for (const auto architecture : {FakeArchitecture::glm4_moe_lite, FakeArchitecture::glm4_moe}) {
    options.architecture = architecture;
    TemporaryFolder folder;
    fakes::write_tiny_model(folder.path(), options);
    const auto model = load(folder.path(), {});
    // The facts count 16-bit values, the CPU keeps 32 bits.
    EXPECT_EQ(model->page_bytes(), 64 * 2 * model->facts().kv_bytes_per_token);
    const std::int64_t values = architecture == FakeArchitecture::glm4_moe ? 2 * 36 : 64 + 8;
    EXPECT_EQ(model->facts().kv_bytes_per_token, static_cast<std::uint64_t>(3 * values * 2));
  }
}

TEST(Decoder, RefusesRequestsThatCannotBeRun) {
  TemporaryFolder folder;
  fakes::write_tiny_model(folder.path(), {});
  const auto model = load(folder.path(), {});
  EXPECT_EQ(model->make_pool(0).error().message, "a pool of 0 pages: wanted 1 to 33554431");
  EXPECT_EQ(model->make_pool(1'000'000'000'000).error().code, Errc::invalid_argument);
  const auto pool = std::move(model->make_pool(3)).value();
  KvCache cache(*pool);
  const auto error = [&](std::vector<std::int32_t> tokens, std::size_t logits_size) {
    std::vector<float> logits(logits_size);
    const SequenceStep step{.tokens = tokens, .cache = &cache, .wants_logits = true};
    const Status status = model->forward({&step, 1}, logits);
    EXPECT_FALSE(status.ok());
    return status.error();
  };
  EXPECT_EQ(error({}, 101).message, "no tokens to run");
  EXPECT_EQ(error({101}, 101).message, "token 101 is outside the vocabulary of 101");
  EXPECT_EQ(error({-1}, 101).message, "token -1 is outside the vocabulary of 101");
  EXPECT_EQ(error({1}, 100).message, "room for 100 logits, wanted 101");
  EXPECT_EQ(error(prompt(513), 101).message, "513 tokens do not fit: the context holds 0 of 512");
  EXPECT_EQ(error(prompt(193), 101).message, "the batch wants 4 pages, 3 of 3 are free");
  EXPECT_EQ(error(prompt(193), 101).code, Errc::exhausted);
  EXPECT_EQ(model->forward({}, {}).error().message, "a batch of 0 sequences, wanted 1 to 256");
  EXPECT_EQ(cache.length(), 0);
  EXPECT_EQ(pool->pages_free(), 3);
}

TEST(Decoder, TakesNoPageForABatchThatIsRefused) {
  TemporaryFolder folder;
  fakes::write_tiny_model(folder.path(), {});
  const auto model = load(folder.path(), {});
  const auto pool = std::move(model->make_pool(4)).value();
  KvCache first(*pool);
  KvCache second(*pool);
  const auto tokens = prompt(512);
  const std::vector<SequenceStep> too_many_pages = {
      {.tokens = std::span(tokens).first(129), .cache = &first},
      {.tokens = std::span(tokens).first(70), .cache = &second}};
  EXPECT_EQ(model->forward(too_many_pages, {}).error().message,
            "the batch wants 5 pages, 4 of 4 are free");
  const std::vector<SequenceStep> too_many_tokens = {
      {.tokens = std::span(tokens).first(512), .cache = &first},
      {.tokens = std::span(tokens).first(1), .cache = &second}};
  EXPECT_EQ(model->forward(too_many_tokens, {}).error().message,
            "a batch of 513 tokens, wanted at most 512");
  EXPECT_EQ(pool->pages_free(), 4);
}

// Sequences that grow at their own pace, in batches of any mixture, with pages that lie anywhere.
TEST_P(TinyModel, GivesASequenceTheSameBitsInAnyCompany) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  struct Sequence {
    std::vector<std::int32_t> tokens;
    std::vector<std::size_t> stretches;
    std::vector<std::vector<float>> alone;  // logits after each stretch
    std::size_t ran = 0;
    std::size_t done = 0;
  };
  constexpr std::size_t kVocab = 101;
  const auto model = load(folder_.path(), {});
  const auto pool = std::move(model->make_pool(40)).value();
  std::vector<Sequence> sequences(7);
  for (Sequence& s : sequences) {
    KvCache cache(*pool);
    for (std::size_t i = 0; i < 6; ++i) {
      const std::size_t count = random() % 3 == 0 ? 1 + random() % 50 : 1;
      for (std::size_t t = 0; t < count; ++t) {
        s.tokens.push_back(static_cast<std::int32_t>(random() % kVocab));
      }
      s.stretches.push_back(count);
      s.alone.emplace_back(kVocab);
      ASSERT_TRUE(run_tokens(*model, cache, std::span(s.tokens).last(count), s.alone.back()).ok());
    }
  }
  std::vector<std::int32_t> held;  // so that pages do not come in order
  for (int i = 0; i < 12; ++i) held.push_back(std::move(pool->take()).value());
  std::shuffle(held.begin(), held.end(), random);
  for (const std::int32_t page : held) pool->give_back(page);
  std::vector<KvCache> caches;
  for (std::size_t i = 0; i < sequences.size(); ++i) caches.emplace_back(*pool);
  while (true) {
    std::vector<SequenceStep> batch;
    std::vector<std::size_t> members;
    std::vector<std::size_t> wanting;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      Sequence& s = sequences[i];
      if (s.ran == s.stretches.size() || random() % 4 == 0) continue;
      batch.push_back({.tokens = std::span(s.tokens).subspan(s.done, s.stretches[s.ran]),
                       .cache = &caches[i],
                       .wants_logits = random() % 4 != 0});
      members.push_back(i);
      if (batch.back().wants_logits) wanting.push_back(i);
    }
    const bool finished = std::all_of(sequences.begin(), sequences.end(), [](const Sequence& s) {
      return s.ran == s.stretches.size();
    });
    if (finished) break;
    if (batch.empty()) continue;
    std::vector<float> logits(wanting.size() * kVocab);
    ASSERT_TRUE(model->forward(batch, logits).ok());
    for (std::size_t w = 0; w < wanting.size(); ++w) {
      const Sequence& s = sequences[wanting[w]];
      EXPECT_TRUE(
          std::equal(s.alone[s.ran].begin(), s.alone[s.ran].end(), logits.data() + w * kVocab))
          << "sequence " << wanting[w] << " after stretch " << s.ran;
    }
    for (const std::size_t i : members)
      sequences[i].done += sequences[i].stretches[sequences[i].ran++];
  }
  caches.clear();
  EXPECT_EQ(pool->pages_free(), pool->pages());
}

// What came token by token is the same when it is worked off again in one stretch.
TEST_P(TinyModel, RepeatsAnAnswerInOneStretchBitForBit) {
  const auto model = load(folder_.path(), {});
  const auto pool = std::move(model->make_pool(10)).value();
  const auto tokens = prompt(150);
  KvCache single(*pool);
  std::vector<float> want(101);
  ASSERT_TRUE(run_tokens(*model, single, std::span(tokens).first(3), want).ok());
  for (std::size_t t = 3; t < tokens.size(); ++t) {
    ASSERT_TRUE(run_tokens(*model, single, std::span(tokens).subspan(t, 1), want).ok());
  }
  KvCache again(*pool);
  std::vector<float> logits(101);
  ASSERT_TRUE(run_tokens(*model, again, std::span(tokens).first(3), {}).ok());
  const SequenceStep step{.tokens = std::span(tokens).subspan(3),
                          .cache = &again,
                          .wants_logits = true,
                          .one_by_one = true};
  ASSERT_TRUE(model->forward({&step, 1}, logits).ok());
  EXPECT_EQ(logits, want);
}

}  // namespace
}  // namespace glm::runner
