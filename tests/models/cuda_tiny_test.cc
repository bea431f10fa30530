// The trained tiny checkpoint on a GPU, in bf16 activations, against transformers in float32:
// logits of tests/golden/tiny/logits.json, and the greedy answers to 200 held-out prompts, which
// are also those of the CPU backend.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "kernels/device_info.h"
#include "runner/models/registry.h"
#include "tests/fakes/forwarding_ops.h"

namespace glm::runner {
namespace {

using Tokens = std::vector<std::int32_t>;

const std::filesystem::path kRoot = GLM_SOURCE_DIR;

struct Answer {
  std::string id;
  Tokens prompt;
  Tokens output;
};

std::vector<Answer> answers(const std::string& file) {
  std::ifstream stream(kRoot / "tests/golden/tiny" / file);
  std::vector<Answer> all;
  for (std::string line; std::getline(stream, line);) {
    const auto row = nlohmann::json::parse(line, nullptr, false);
    if (!row.contains("prompt_ids")) continue;
    all.push_back({row["id"].get<std::string>(), row["prompt_ids"].get<Tokens>(),
                   row["output_ids"].get<Tokens>()});
  }
  return all;
}

// Null, and a failure, if there is none.
std::unique_ptr<Model> load(const std::string& name, LoadOptions options = {}) {
  const auto files = files_in(kRoot / "models" / name);
  EXPECT_TRUE(files.ok()) << files.error().message;
  if (!files.ok()) return nullptr;
  options.device = "cuda:0";
  auto model = load_model(*files, options);
  EXPECT_TRUE(model.ok()) << model.error().message;
  return model.ok() ? std::move(model).value() : nullptr;
}

std::int32_t largest(std::span<const float> logits) {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// How many of these answers come out as they should, the sequences running together.
class GreedyRun {
 public:
  GreedyRun(Model& model, std::span<const Answer> wanted) : model_(model), wanted_(wanted) {}

  int agreeing() {
    auto pool = model_.make_pool(pages());
    EXPECT_TRUE(pool.ok()) << pool.error().message;
    if (!pool.ok()) return 0;
    pool_ = std::move(pool).value();
    for (std::size_t i = 0; i < wanted_.size(); ++i) caches_.emplace_back(*pool_);
    next_.resize(wanted_.size());
    const auto vocabulary = static_cast<std::size_t>(model_.facts().vocab_size);
    std::vector<float> logits(vocabulary);
    for (std::size_t i = 0; i < wanted_.size(); ++i) {
      const Status status = run_tokens(model_, caches_[i], wanted_[i].prompt, logits);
      EXPECT_TRUE(status.ok()) << status.error().message;
      next_[i] = {largest(logits)};
    }
    int agreed = 0;
    std::vector<std::size_t> running(wanted_.size());
    std::iota(running.begin(), running.end(), 0);
    for (std::size_t step = 0; !running.empty(); ++step) {
      std::vector<std::size_t> left;
      for (const std::size_t i : running) {
        if (next_[i][0] != wanted_[i].output[step]) {
          std::printf("  %s differs at token %zu of %zu\n", wanted_[i].id.c_str(), step,
                      wanted_[i].output.size());
        } else if (step + 1 == wanted_[i].output.size()) {
          ++agreed;
        } else {
          left.push_back(i);
        }
      }
      running = std::move(left);
      if (!advance(running)) return agreed;
    }
    return agreed;
  }

 private:
  std::int64_t pages() const {
    std::int64_t sum = 0;
    for (const Answer& answer : wanted_) {
      sum += pages_of(static_cast<std::int64_t>(answer.prompt.size() + answer.output.size()));
    }
    return sum;
  }
  bool advance(const std::vector<std::size_t>& running) {
    if (running.empty()) return true;
    const auto vocabulary = static_cast<std::size_t>(model_.facts().vocab_size);
    std::vector<SequenceStep> batch;
    for (const std::size_t i : running) {
      batch.push_back({.tokens = next_[i], .cache = &caches_[i], .wants_logits = true});
    }
    std::vector<float> logits(running.size() * vocabulary);
    const Status status = model_.forward(batch, logits);
    EXPECT_TRUE(status.ok()) << status.error().message;
    if (!status.ok()) return false;
    for (std::size_t row = 0; row < running.size(); ++row) {
      next_[running[row]][0] =
          largest(std::span<const float>(logits).subspan(row * vocabulary, vocabulary));
    }
    return true;
  }

  Model& model_;
  std::span<const Answer> wanted_;
  std::unique_ptr<KvPool> pool_;
  std::vector<KvCache> caches_;  // of the pool
  std::vector<Tokens> next_;
};

class CudaTiny : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto devices = kernels::probe_devices();
    ASSERT_TRUE(devices.ok()) << devices.error().message;
    if (devices->empty()) GTEST_SKIP() << "no GPU";
    const std::string form = GetParam();
    model_ = load(form == "bf16" ? "glm-tiny" : "glm-tiny-int4");
    ASSERT_NE(model_, nullptr);
    answers_ = answers("greedy_" + form + ".jsonl");
    ASSERT_GE(answers_.size(), 100U);
  }
  std::unique_ptr<Model> model_;
  std::vector<Answer> answers_;
};

TEST_P(CudaTiny, AnswersAsTheReferenceLibraryDoesInBatches) {
  const auto together =
      std::min<std::size_t>(64, static_cast<std::size_t>(model_->batch_limits().sequences_max));
  int agreed = 0;
  for (std::size_t first = 0; first < answers_.size(); first += together) {
    const std::size_t count = std::min(together, answers_.size() - first);
    agreed += GreedyRun(*model_, std::span(answers_).subspan(first, count)).agreeing();
  }
  std::printf("%s: %d of %zu answers agree, %zu at a time\n", GetParam(), agreed, answers_.size(),
              together);
  EXPECT_GE(agreed * 100, static_cast<int>(answers_.size()) * 99);
}

TEST_P(CudaTiny, AnswersAsTheReferenceLibraryDoesOneByOne) {
  int agreed = 0;
  for (const Answer& answer : answers_) agreed += GreedyRun(*model_, {&answer, 1}).agreeing();
  std::printf("%s: %d of %zu answers agree, one at a time\n", GetParam(), agreed, answers_.size());
  EXPECT_GE(agreed * 100, static_cast<int>(answers_.size()) * 99);
}

INSTANTIATE_TEST_SUITE_P(All, CudaTiny, testing::Values("bf16", "int4"),
                         [](const auto& test) { return std::string(test.param); });

// The same backend, launch by launch.
class UnrecordedOps final : public fakes::ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;
  std::unique_ptr<kernels::Recording> record(const std::function<void()>& /*enqueue*/) override {
    return nullptr;
  }
};

LoadOptions options_of(bool recorded) {
  LoadOptions options;
  if (!recorded) {
    options.wrap_ops = [](std::unique_ptr<kernels::Ops> ops) {
      return std::make_unique<UnrecordedOps>(std::move(ops));
    };
  }
  return options;
}

// Steps of one token each are recorded: here fresh sequences of a single token beside an old one,
// over and over. What a recording keeps must not depend on where they stand.
TEST(CudaTinyLogits, AreTheSameWithAndWithoutRecordedSteps) {
  const auto devices = kernels::probe_devices();
  ASSERT_TRUE(devices.ok());
  if (devices->empty()) GTEST_SKIP() << "no GPU";
  const auto run = [&](bool recorded) {
    const auto model = load("glm-tiny", options_of(recorded));
    if (model == nullptr) return std::vector<float>();
    const auto vocabulary = static_cast<std::size_t>(model->facts().vocab_size);
    const auto pool = std::move(model->make_pool(16)).value();
    KvCache old(*pool);
    std::vector<float> all;
    std::vector<float> logits(2 * vocabulary);
    const Tokens prompt = {7, 8, 9};
    EXPECT_TRUE(run_tokens(*model, old, prompt, std::span(logits).first(vocabulary)).ok());
    for (std::int32_t i = 0; i < 4; ++i) {
      KvCache fresh(*pool);
      for (std::int32_t j = 0; j < 4; ++j) {
        const Tokens a = {10 + 4 * i + j};
        const Tokens b = {100 + 7 * i + j};
        const SequenceStep steps[] = {{.tokens = a, .cache = &old, .wants_logits = true},
                                      {.tokens = b, .cache = &fresh, .wants_logits = true}};
        EXPECT_TRUE(model->forward(steps, logits).ok());
        all.insert(all.end(), logits.begin(), logits.end());
      }
    }
    return all;
  };
  const std::vector<float> recorded = run(true);
  ASSERT_FALSE(HasFailure());
  EXPECT_EQ(recorded, run(false));
}

// Sampled with every kind of setting at once. Settings change from step to step, which a recording
// must not notice; with steps in flight, what the host writes next must not reach one under way.
TEST(CudaTinySteps, AreTheSameRecordedAndInFlight) {
  const auto devices = kernels::probe_devices();
  ASSERT_TRUE(devices.ok());
  if (devices->empty()) GTEST_SKIP() << "no GPU";
  constexpr std::size_t kSequences = 4;
  constexpr int kSteps = 150;
  const auto run = [&](bool recorded, std::size_t in_flight_max, Tokens& all) {
    const auto model = load("glm-tiny", options_of(recorded));
    ASSERT_NE(model, nullptr);
    const auto pool = std::move(model->make_pool(32)).value();
    std::vector<KvCache> caches;
    for (std::size_t s = 0; s < kSequences; ++s) caches.emplace_back(*pool);
    std::size_t in_flight = 0;
    const auto collect = [&] {
      const auto sampled = model->collect();
      ASSERT_TRUE(sampled.ok()) << sampled.error().message;
      for (const Sampled& one : *sampled) {
        EXPECT_EQ(one.finite, 1);
        all.push_back(one.id);
      }
      --in_flight;
    };
    for (int i = 0; i < kSteps; ++i) {
      SamplingOptions sampling[kSequences];
      const Tokens first = {7};
      std::vector<SequenceStep> batch;
      for (std::size_t s = 0; s < kSequences; ++s) {
        sampling[s] = {.temperature = s == 0 ? 0.0F : 1.5F,
                       .top_k = s == 1 ? 20 + i % 3 : 0,
                       .top_p = s == 2 && i % 4 != 0 ? 0.9F : 1.0F,
                       .presence_penalty = s == 3 ? 1.0F : 0.0F,
                       .repeat_last_n = -1,
                       .seed = 11 * s};
        for (std::int32_t b = 0; b < i % 5; ++b) {
          sampling[s].logit_bias.push_back(
              {.id = 40 + 7 * b + i % 9, .bias = b % 2 == 0 ? -3.0F : 4.0F});
        }
        ASSERT_TRUE(caches[s].reserve(2).ok());
        batch.push_back({.cache = &caches[s], .continues = i > 0, .sampling = &sampling[s]});
        if (i == 0) batch.back().tokens = first;
      }
      ASSERT_TRUE(model->submit(batch).ok());
      if (++in_flight == in_flight_max) collect();
    }
    while (in_flight > 0) collect();
    ASSERT_EQ(all.size(), kSteps * kSequences);
  };
  Tokens alone;
  run(false, 1, alone);
  ASSERT_FALSE(HasFailure());
  for (const bool recorded : {false, true}) {
    for (const std::size_t in_flight : {std::size_t{1}, kStepsInFlightMax}) {
      Tokens tokens;
      run(recorded, in_flight, tokens);
      EXPECT_EQ(tokens, alone) << "recorded " << recorded << ", in flight " << in_flight;
    }
  }
}

TEST(CudaTinyLogits, AgreeWithTheReferenceLibrary) {
  const auto devices = kernels::probe_devices();
  ASSERT_TRUE(devices.ok());
  if (devices->empty()) GTEST_SKIP() << "no GPU";
  const auto model = load("glm-tiny");
  ASSERT_NE(model, nullptr);
  std::ifstream stream(kRoot / "tests/golden/tiny/logits.json");
  const auto json = nlohmann::json::parse(stream, nullptr, false);
  ASSERT_TRUE(json.contains("prompts"));
  for (const auto& row : json["prompts"]) {
    const auto prompt = row["prompt_ids"].get<Tokens>();
    const auto wanted = row["logits"].get<std::vector<float>>();
    auto pool = model->make_pool(pages_of(static_cast<std::int64_t>(prompt.size())));
    ASSERT_TRUE(pool.ok());
    KvCache cache(**pool);
    std::vector<float> got(static_cast<std::size_t>(model->facts().vocab_size));
    const Status status = run_tokens(*model, cache, prompt, got);
    ASSERT_TRUE(status.ok()) << status.error().message;
    double error = 0;
    double norm = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      error += std::pow(got[i] - wanted[i], 2);
      norm += std::pow(wanted[i], 2);
    }
    std::printf("logits after %zu tokens: relative L2 %.2e\n", prompt.size(),
                std::sqrt(error / norm));
    EXPECT_LT(std::sqrt(error / norm), 1.5e-2);
  }
}

TEST(LoadModel, SaysWhichDevicesThereAre) {
  const auto files = files_in(kRoot / "models/glm-tiny");
  ASSERT_TRUE(files.ok()) << files.error().message;
  for (const char* device : {"", "gpu", "cuda", "cuda:", "cuda:x", "cuda:-1", "cuda:1x"}) {
    LoadOptions options;
    options.device = device;
    const auto model = load_model(*files, options);
    ASSERT_FALSE(model.ok());
    EXPECT_EQ(model.error().code, Errc::invalid_argument);
  }
}

}  // namespace
}  // namespace glm::runner
