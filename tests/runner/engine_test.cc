// The engine over a model whose next token is a known function of the sequence: what comes out must
// equal what that function gives, however requests are interleaved, cancelled or queued.
#include "runner/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <utility>

#include "runner/models/registry.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

constexpr std::int32_t kVocab = 17;
constexpr std::int32_t kStop = 16;

std::int64_t mix(std::int64_t hash, std::int32_t token) {
  return (hash * 31 + token + 7) % 1009;
}

std::int32_t next_token(std::int64_t hash) {
  return static_cast<std::int32_t>(hash % kVocab);
}

// What a page holds of a token is the token itself.
class SumPool final : public KvPool {
 public:
  explicit SumPool(std::int64_t pages)
      : KvPool(pages), tokens_(static_cast<std::size_t>(pages * kPageTokens), -1) {}

  std::int32_t& at(const KvCache& cache, std::int64_t position) {
    const std::int32_t page = cache.pages()[static_cast<std::size_t>(position / kPageTokens)];
    return tokens_[static_cast<std::size_t>(page * kPageTokens + position % kPageTokens)];
  }

 private:
  std::vector<std::int32_t> tokens_;
};

class SumModel final : public Model {
 public:
  SumModel() {
    facts_.vocab_size = kVocab;
    facts_.context_max = 1 << 20;
  }
  const ModelFacts& facts() const override { return facts_; }
  std::uint64_t weight_bytes() const override { return 0; }
  BatchLimits batch_limits() const override { return {.tokens_max = 32, .sequences_max = 8}; }
  std::uint64_t page_bytes() const override { return 1; }
  std::uint64_t memory_free_bytes() const override { return 0; }
  Result<std::unique_ptr<KvPool>> make_pool(std::int64_t pages) override {
    return std::unique_ptr<KvPool>(std::make_unique<SumPool>(pages));
  }
  Status forward(std::span<const SequenceStep> /*batch*/, std::span<float> /*logits*/) override {
    return make_error(Errc::internal, "the engine asks for tokens");
  }
  // The token that follows is a function of all rows the page table leads to.
  Status submit(std::span<const SequenceStep> batch) override {
    if (lost_) return make_error(Errc::device, "add: an illegal memory access");
    EXPECT_LT(in_flight_.size(), kStepsInFlightMax);
    std::vector<Sampled> sampled;
    std::int64_t tokens = 0;
    for (const SequenceStep& step : batch) {
      auto& pool = static_cast<SumPool&>(step.cache->pool());
      longest_step_ = std::max(longest_step_, step.tokens.size());
      tokens += step.count();
      GLM_TRY(step.cache->reserve(step.count()));
      for (const std::int32_t token : step.tokens) {
        pool.at(*step.cache, step.cache->length()) = token;
        step.cache->append(1);
      }
      if (step.continues) step.cache->append(1);
      if (step.sampling == nullptr) continue;
      sampled.push_back(sample(*step.cache, *step.sampling));
    }
    EXPECT_LE(tokens, batch_limits().tokens_max);
    EXPECT_LE(batch.size(), 8u);
    tokens_ran_ += tokens;
    in_flight_.push_back(std::move(sampled));
    return Ok{};
  }
  Result<std::span<const Sampled>> collect() override {
    collected_ = std::move(in_flight_.front());
    in_flight_.pop_front();
    return std::span<const Sampled>(collected_);
  }

  // What follows the tokens in the cache; it is left where it will stand if there is a page.
  Sampled sample(const KvCache& cache, const SamplingOptions& sampling) {
    auto& pool = static_cast<SumPool&>(cache.pool());
    std::int64_t hash = 1;
    for (std::int64_t p = 0; p < cache.length(); ++p) hash = mix(hash, pool.at(cache, p));
    Sampled sampled;
    sampled.id = next_token(hash);
    const auto banned = [&](const TokenBias& bias) {
      return bias.id == sampled.id && std::isinf(bias.bias);
    };
    while (std::any_of(sampling.logit_bias.begin(), sampling.logit_bias.end(), banned)) {
      sampled.id = (sampled.id + 1) % kVocab;
    }
    sampled.finite = spoil_ ? 0 : 1;
    sampled.logprob = -0.5F;
    sampled.top_count = std::max(sampling.logprobs, 0);
    if (cache.pages_missing(1) == 0) pool.at(cache, cache.length()) = sampled.id;
    return sampled;
  }

  std::deque<std::vector<Sampled>> in_flight_;
  std::vector<Sampled> collected_;
  ModelFacts facts_;
  std::size_t longest_step_ = 0;
  std::int64_t tokens_ran_ = 0;
  bool spoil_ = false;
  bool lost_ = false;  // the device
};

struct Outcome {
  std::vector<std::int32_t> tokens;
  FinishReason finish = FinishReason::none;
  std::string message;
};

GenerateRequest request(std::uint64_t id, std::vector<std::int32_t> prompt,
                        std::int64_t tokens_max) {
  GenerateRequest r;
  r.id = id;
  r.prompt = std::move(prompt);
  r.tokens_max = tokens_max;
  r.stop_ids = {kStop};
  r.sampling.temperature = 0;
  return r;
}

Outcome expected(const GenerateRequest& r) {
  std::int64_t hash = 1;
  for (const std::int32_t token : r.prompt) hash = mix(hash, token);
  Outcome outcome;
  while (true) {
    const std::int32_t token = next_token(hash);
    if (token == kStop && !r.stop_ids.empty()) {
      outcome.finish = FinishReason::stop;
      return outcome;
    }
    outcome.tokens.push_back(token);
    if (static_cast<std::int64_t>(outcome.tokens.size()) == r.tokens_max) {
      outcome.finish = FinishReason::length;
      return outcome;
    }
    hash = mix(hash, token);
  }
}

void collect(const std::vector<RequestEvent>& events, std::map<std::uint64_t, Outcome>& outcomes) {
  for (const RequestEvent& event : events) {
    Outcome& outcome = outcomes[event.id];
    EXPECT_EQ(outcome.finish, FinishReason::none) << "event after the finish of " << event.id;
    outcome.tokens.insert(outcome.tokens.end(), event.tokens.begin(), event.tokens.end());
    outcome.finish = event.finish;
    outcome.message = event.message;
  }
}

EngineLimits limits() {
  return {.running_max = 3, .waiting_max = 64, .prompt_chunk_tokens = 5, .context_max = 200};
}

// A model, a pool and the engine over them.
struct Machine {
  explicit Machine(std::int64_t pages = 100, EngineLimits with = limits())
      : pool(pages), engine(model, pool, with, system_clock()) {}

  void run(std::map<std::uint64_t, Outcome>& outcomes) {
    while (!engine.idle()) {
      collect(engine.step(), outcomes);
      const Status integrity = pool.check_integrity();
      EXPECT_TRUE(integrity.ok()) << integrity.error().message;
    }
    EXPECT_EQ(pool.pages_free(), pool.pages());
  }

  SumModel model;
  SumPool pool;
  Engine engine;
};

TEST(Engine, AnswersEveryRequestAsIfItWereAlone) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  Machine machine;
  Engine& engine = machine.engine;
  std::map<std::uint64_t, GenerateRequest> requests;
  std::map<std::uint64_t, Outcome> outcomes;
  for (std::uint64_t id = 1; id <= 60; ++id) {
    std::vector<std::int32_t> prompt(1 + random() % 33);
    for (auto& token : prompt) token = static_cast<std::int32_t>(random() % kVocab);
    requests[id] = request(id, prompt, 1 + static_cast<std::int64_t>(random() % 40));
    engine.submit(requests[id]);
    for (auto steps = random() % 4; steps > 0; --steps) collect(engine.step(), outcomes);
  }
  machine.run(outcomes);
  for (const auto& [id, r] : requests) {
    const Outcome want = expected(r);
    EXPECT_EQ(outcomes[id].tokens, want.tokens) << "request " << id;
    EXPECT_EQ(outcomes[id].finish, want.finish) << "request " << id;
  }
  EXPECT_LE(machine.model.longest_step_, 5u) << "a prompt went in larger pieces than the chunk";
}

TEST(Engine, ForgetsCancelledRequestsAndGoesOnWithTheOthers) {
  Machine machine;
  Engine& engine = machine.engine;
  std::map<std::uint64_t, Outcome> outcomes;
  for (std::uint64_t id = 1; id <= 6; ++id) engine.submit(request(id, {1, 2, 3}, 100));
  collect(engine.step(), outcomes);
  engine.cancel(1);   // running
  engine.cancel(6);   // waiting
  engine.cancel(99);  // unknown
  machine.run(outcomes);
  EXPECT_EQ(outcomes[1].finish, FinishReason::cancelled);
  EXPECT_EQ(outcomes[6].finish, FinishReason::cancelled);
  EXPECT_EQ(outcomes.count(99), 0u);
  EXPECT_EQ(outcomes[2].tokens, expected(request(2, {1, 2, 3}, 100)).tokens);
}

TEST(Engine, RefusesAPromptThatDoesNotFit) {
  Machine machine;
  Engine& engine = machine.engine;
  engine.submit(request(1, std::vector<std::int32_t>(200, 1), 5));
  engine.submit(request(2, {}, 5));
  std::map<std::uint64_t, Outcome> outcomes;
  collect(engine.step(), outcomes);
  EXPECT_EQ(outcomes[1].finish, FinishReason::failed);
  EXPECT_EQ(outcomes[1].message,
            "the prompt has 200 tokens, the context holds 200 with at least one for the answer");
  EXPECT_EQ(outcomes[2].finish, FinishReason::failed);
  EXPECT_TRUE(engine.idle());
}

TEST(Engine, StopsAtTheEndOfTheContext) {
  Machine machine;
  Engine& engine = machine.engine;
  GenerateRequest r = request(1, std::vector<std::int32_t>(190, 1), 1'000'000);
  r.stop_ids = {};
  engine.submit(r);
  std::map<std::uint64_t, Outcome> outcomes;
  machine.run(outcomes);
  EXPECT_EQ(outcomes[1].finish, FinishReason::length);
  EXPECT_EQ(outcomes[1].tokens.size(), 10u);
}

TEST(Engine, BoundsItsQueue) {
  EngineLimits small = limits();
  small.waiting_max = 2;
  Machine machine(100, small);
  Engine& engine = machine.engine;
  for (std::uint64_t id = 1; id <= 3; ++id) engine.submit(request(id, {1}, 1));
  std::map<std::uint64_t, Outcome> outcomes;
  machine.run(outcomes);
  EXPECT_EQ(outcomes[1].finish, FinishReason::length);
  EXPECT_EQ(outcomes[3].message, "2 requests are waiting already; try again later");
}

TEST(Engine, SaysSoWhenLogitsAreNotFinite) {
  Machine machine;
  Engine& engine = machine.engine;
  machine.model.spoil_ = true;
  engine.submit(request(1, {1, 2}, 5));
  std::map<std::uint64_t, Outcome> outcomes;
  machine.run(outcomes);
  EXPECT_EQ(outcomes[1].message, "the model computed logits that are not finite");
  EXPECT_EQ(smoke_test(machine.model, machine.pool).error().message,
            "smoke test: the model computed logits that are not finite");
}

TEST(Engine, TellsWhenTheDeviceIsLost) {
  Machine machine;
  std::map<std::uint64_t, Outcome> outcomes;
  machine.engine.submit(request(1, {1, 2}, 5));
  machine.run(outcomes);
  EXPECT_FALSE(machine.engine.device_failed());
  machine.model.lost_ = true;
  machine.engine.submit(request(2, {1, 2}, 5));
  machine.run(outcomes);
  EXPECT_EQ(outcomes[2].finish, FinishReason::failed);
  EXPECT_EQ(outcomes[2].message, "add: an illegal memory access");
  EXPECT_TRUE(machine.engine.device_failed());
}

TEST(Engine, RefusesAnIdTheModelDoesNotKnowWithoutDisturbingOthers) {
  Machine machine;
  machine.engine.submit(request(1, {1, kVocab}, 5));
  machine.engine.submit(request(2, {1, 2}, 5));
  std::map<std::uint64_t, Outcome> outcomes;
  machine.run(outcomes);
  EXPECT_EQ(outcomes[1].message, "token 17 is outside the vocabulary of 17");
  EXPECT_EQ(outcomes[2].tokens, expected(request(2, {1, 2}, 5)).tokens);
}

TEST(Engine, LetsNobodyStopBeforeTheLeastNumberOfTokens) {
  Machine machine;
  GenerateRequest r = request(1, {1, 2}, 40);
  r.stop_ids.resize(kVocab);
  std::iota(r.stop_ids.begin(), r.stop_ids.end(), 0);
  r.stop_ids.erase(r.stop_ids.begin());  // 0 does not stop, and may follow
  r.tokens_min = 9;
  machine.engine.submit(r);
  std::map<std::uint64_t, Outcome> outcomes;
  machine.run(outcomes);
  EXPECT_GE(outcomes[1].tokens.size(), 9u);
}

TEST(Engine, RefusesMoreBiasesThanAStepHolds) {
  Machine machine;
  GenerateRequest r = request(1, {1, 2}, 40);
  r.sampling.logit_bias.resize(2000);
  machine.engine.submit(r);
  std::map<std::uint64_t, Outcome> outcomes;
  machine.run(outcomes);
  EXPECT_EQ(outcomes[1].message, "1 stop ids and 2000 biases of logits, wanted at most 64 and 960");
}

TEST(Engine, TellsLogprobsOfEveryTokenToWhomAsked) {
  Machine machine;
  GenerateRequest r = request(1, {1, 2}, 3);
  r.stop_ids = {};
  r.sampling.logprobs = 2;
  machine.engine.submit(r);
  machine.engine.submit(request(2, {1, 2}, 3));
  std::size_t told = 0;
  while (!machine.engine.idle()) {
    for (const RequestEvent& event : machine.engine.step()) {
      ASSERT_EQ(event.logprobs.size(), event.id == 1 ? event.tokens.size() : 0);
      for (const TokenLogprobs& logprobs : event.logprobs) {
        EXPECT_EQ(logprobs.chosen, -0.5F);
        EXPECT_EQ(logprobs.top.size(), 2u);
        ++told;
      }
    }
  }
  EXPECT_EQ(told, 3u);
}

TEST(Engine, LimitsTheContextToWhatMemoryHolds) {
  Machine machine(2);
  machine.engine.submit(request(1, std::vector<std::int32_t>(128, 1), 5));
  GenerateRequest longest = request(2, std::vector<std::int32_t>(120, 1), 1000);
  longest.stop_ids = {};
  machine.engine.submit(longest);
  std::map<std::uint64_t, Outcome> outcomes;
  machine.run(outcomes);
  EXPECT_EQ(outcomes[1].message,
            "the prompt has 128 tokens, the context holds 128 with at least one for the answer");
  EXPECT_EQ(outcomes[2].tokens.size(), 8u);
  EXPECT_EQ(outcomes[2].finish, FinishReason::length);
}

// Memory for hardly more than the longest one, arrivals and cancellations at any time.
TEST(Engine, FinishesEveryRequestWithLittleMemoryAndGivesAllOfItBack) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  EngineLimits many = limits();
  many.running_max = 8;
  many.waiting_max = 5000;
  many.prompt_chunk_tokens = 20;
  many.context_max = 320;
  Machine machine(5, many);
  std::map<std::uint64_t, GenerateRequest> requests;
  std::map<std::uint64_t, Outcome> outcomes;
  for (std::uint64_t id = 1; id <= 1500; ++id) {
    std::vector<std::int32_t> prompt(1 + random() % 60);
    for (auto& token : prompt) token = static_cast<std::int32_t>(random() % kVocab);
    GenerateRequest r = request(id, prompt, 1 + static_cast<std::int64_t>(random() % 250));
    if (random() % 2 == 0) r.stop_ids = {};
    machine.engine.submit(r);
    requests[id] = std::move(r);
    for (auto steps = random() % 8; steps > 0; --steps) {
      collect(machine.engine.step(), outcomes);
      ASSERT_TRUE(machine.pool.check_integrity().ok());
    }
    if (random() % 8 == 0) machine.engine.cancel(1 + random() % id);
  }
  machine.run(outcomes);
  std::size_t cancelled = 0;
  std::int64_t needed = 0;
  for (const auto& [id, r] : requests) {
    Outcome want = expected(r);
    needed += static_cast<std::int64_t>(r.prompt.size() + outcomes[id].tokens.size());
    if (outcomes[id].finish == FinishReason::cancelled) {
      ++cancelled;
      want.tokens.resize(outcomes[id].tokens.size());
      EXPECT_EQ(outcomes[id].tokens, want.tokens) << "request " << id;
      continue;
    }
    EXPECT_EQ(outcomes[id].tokens, want.tokens) << "request " << id;
    EXPECT_EQ(outcomes[id].finish, want.finish) << "request " << id;
  }
  EXPECT_LT(cancelled, requests.size() / 2);
  EXPECT_GT(machine.model.tokens_ran_, needed) << "nobody was ever put back: test with less memory";
}

// A model, and how many tokens went through it.
class CountedModel final : public Model {
 public:
  explicit CountedModel(std::unique_ptr<Model> model) : model_(std::move(model)) {}
  const ModelFacts& facts() const override { return model_->facts(); }
  std::uint64_t weight_bytes() const override { return model_->weight_bytes(); }
  BatchLimits batch_limits() const override { return model_->batch_limits(); }
  std::uint64_t page_bytes() const override { return model_->page_bytes(); }
  std::uint64_t memory_free_bytes() const override { return model_->memory_free_bytes(); }
  Result<std::unique_ptr<KvPool>> make_pool(std::int64_t pages) override {
    return model_->make_pool(pages);
  }
  Status forward(std::span<const SequenceStep> batch, std::span<float> logits) override {
    return model_->forward(batch, logits);
  }
  Status submit(std::span<const SequenceStep> batch) override {
    for (const SequenceStep& step : batch) tokens_ran_ += static_cast<std::size_t>(step.count());
    return model_->submit(batch);
  }
  Result<std::span<const Sampled>> collect() override { return model_->collect(); }

  std::size_t tokens_ran_ = 0;

 private:
  std::unique_ptr<Model> model_;
};

// Real models: sampled text hangs on every bit of the logits.
class EngineOverModel : public testing::TestWithParam<fakes::FakeArchitecture> {};

TEST_P(EngineOverModel, GivesTheTextEachRequestGivesAlone) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  fakes::TemporaryFolder folder;
  fakes::TinyModelOptions options;
  options.architecture = GetParam();
  fakes::write_tiny_model(folder.path(), options);
  CountedModel counted(
      std::move(load_model(std::move(files_in(folder.path())).value(), {})).value());
  Model* const model = &counted;
  const auto pool = std::move(model->make_pool(8)).value();
  const EngineLimits some{.running_max = 6,
                          .waiting_max = 64,
                          .prompt_chunk_tokens = 50,
                          .context_max = model->facts().context_max};
  std::vector<GenerateRequest> requests;
  for (std::uint64_t id = 0; id < 64; ++id) {
    std::vector<std::int32_t> prompt(1 + random() % (id % 8 == 0 ? 250 : 60));
    for (auto& token : prompt) token = static_cast<std::int32_t>(random() % 101);
    requests.push_back(
        request(id, std::move(prompt), 1 + static_cast<std::int64_t>(random() % 250)));
    requests.back().stop_ids =
        id % 4 == 0 ? std::vector<std::int32_t>{5} : std::vector<std::int32_t>{};
    requests.back().sampling.temperature = 1;
    requests.back().sampling.seed = random();
  }
  std::map<std::uint64_t, Outcome> alone;
  {
    Engine engine(*model, *pool, some, system_clock());
    for (const GenerateRequest& r : requests) {
      engine.submit(r);
      while (!engine.idle()) collect(engine.step(), alone);
    }
  }
  EXPECT_EQ(pool->pages_free(), 8);
  const std::size_t tokens_alone = std::exchange(counted.tokens_ran_, 0);
  std::map<std::uint64_t, Outcome> together;
  {
    Engine engine(*model, *pool, some, system_clock());
    for (const GenerateRequest& r : requests) {
      engine.submit(r);
      for (auto steps = random() % 5; steps > 0; --steps) collect(engine.step(), together);
    }
    while (!engine.idle()) collect(engine.step(), together);
  }
  EXPECT_EQ(pool->pages_free(), 8);
  EXPECT_TRUE(pool->check_integrity().ok());
  EXPECT_GT(counted.tokens_ran_, tokens_alone) << "nobody was ever put back";
  for (const GenerateRequest& r : requests) {
    EXPECT_EQ(together[r.id].tokens, alone[r.id].tokens) << "request " << r.id;
    EXPECT_EQ(together[r.id].finish, alone[r.id].finish) << "request " << r.id;
    EXPECT_FALSE(alone[r.id].finish == FinishReason::failed) << alone[r.id].message;
  }
}

INSTANTIATE_TEST_SUITE_P(All, EngineOverModel,
                         testing::Values(fakes::FakeArchitecture::glm4_moe_lite,
                                         fakes::FakeArchitecture::glm4_moe),
                         [](const auto& test) {
                           return test.param == fakes::FakeArchitecture::glm4_moe ? "glm4_moe"
                                                                                  : "glm4_moe_lite";
                         });

}  // namespace
}  // namespace glm::runner
