// The engine over a model whose next token is a known function of the sequence: what comes out must
// equal what that function gives, however requests are interleaved, cancelled or queued.
#include "runner/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include "runner/models/registry.h"
#include "runner/smoke_test.h"
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
  BatchLimits batch_limits() const override { return {.tokens_max = 160, .sequences_max = 8}; }
  std::uint64_t page_bytes() const override { return 1; }
  std::uint64_t memory_free_bytes() const override { return 0; }
  Result<std::unique_ptr<KvPool>> make_pool(std::int64_t pages) override {
    return std::unique_ptr<KvPool>(std::make_unique<SumPool>(pages));
  }
  Status forward(std::span<const SequenceStep>, std::span<float>) override {
    return make_error(Errc::unsupported, "the engine wants tokens");
  }

  // The token that follows is a function of all rows the page table leads to.
  Status submit(std::span<const SequenceStep> batch) override {
    if (lost_) return make_error(Errc::device, "add: an illegal memory access");
    std::vector<Sampled> samples;
    std::int64_t tokens = 0;
    for (const SequenceStep& step : batch) {
      auto& pool = static_cast<SumPool&>(step.cache->pool());
      longest_step_ = std::max(longest_step_, step.tokens.size());
      tokens += step.count();
      EXPECT_EQ(step.cache->pages_missing(step.count()), 0);
      for (const std::int32_t token : step.tokens) {
        pool.at(*step.cache, step.cache->length()) = token;
        step.cache->append(1);
      }
      if (step.continues) step.cache->append(1);
      if (step.sampling != nullptr) samples.push_back(sample(*step.cache, *step.sampling));
    }
    EXPECT_LE(tokens, batch_limits().tokens_max);
    EXPECT_LE(batch.size(), 8u);
    EXPECT_LT(in_flight_.size(), 2u);
    tokens_ran_ += tokens;
    in_flight_.push_back(std::move(samples));
    return Ok{};
  }
  Result<std::span<const Sampled>> collect() override {
    if (lost_late_) return make_error(Errc::device, "the device is gone");
    EXPECT_FALSE(in_flight_.empty());
    collected_ = std::move(in_flight_.front());
    in_flight_.pop_front();
    return std::span<const Sampled>(collected_);
  }

  ModelFacts facts_;
  std::size_t longest_step_ = 0;
  std::int64_t tokens_ran_ = 0;
  bool spoil_ = false;
  bool lost_ = false;  // the device
  bool lost_late_ = false;

 private:
  Sampled sample(KvCache& cache, const SamplingOptions& options) {
    auto& pool = static_cast<SumPool&>(cache.pool());
    std::int64_t hash = 1;
    for (std::int64_t p = 0; p < cache.length(); ++p) hash = mix(hash, pool.at(cache, p));
    Sampled sampled;
    sampled.id = next_token(hash);
    for (const TokenBias& bias : options.logit_bias) {
      if (bias.id == sampled.id) sampled.id = 0;
    }
    sampled.finite = spoil_ ? 0 : 1;
    sampled.logprob = -0.5F;
    sampled.top_count = std::max(options.logprobs, 0);
    const auto next = static_cast<std::size_t>(cache.length() / kPageTokens);
    if (next < cache.pages().size()) pool.at(cache, cache.length()) = sampled.id;
    return sampled;
  }

  std::deque<std::vector<Sampled>> in_flight_;
  std::vector<Sampled> collected_;
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
    std::int32_t token = next_token(hash);
    if (token == kStop && !r.stop_ids.empty()) {
      outcome.finish = FinishReason::stop;
      if (static_cast<std::int64_t>(outcome.tokens.size()) >= r.tokens_min) return outcome;
      token = 0;  // what the model says instead
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

struct Mode {
  const char* name;
  std::int64_t unit;
  std::int64_t piece;
  std::size_t steps_ahead;
  bool prefix_cache;
};

EngineLimits limits(const Mode& mode) {
  return {.running_max = 3,
          .waiting_max = 64,
          .prompt_unit_tokens = mode.unit,
          .prompt_piece_tokens = mode.piece,
          .context_max = 200,
          .steps_ahead = mode.steps_ahead,
          .prefix_cache = mode.prefix_cache};
}

// A model, a pool and the engine over them.
struct Machine {
  Machine(std::int64_t pages, EngineLimits with)
      : pool(pages), engine(std::in_place, model, pool, with, system_clock()) {}

  void step(std::map<std::uint64_t, Outcome>& outcomes) {
    collect(engine->step(), outcomes);
    const Status integrity = engine->check_integrity();
    EXPECT_TRUE(integrity.ok()) << integrity.error().message;
  }
  void run(std::map<std::uint64_t, Outcome>& outcomes) {
    while (!engine->idle()) step(outcomes);
    EXPECT_EQ(pool.pages_available(), pool.pages());
  }

  SumModel model;
  SumPool pool;
  std::optional<Engine> engine;
};

class EngineModes : public testing::TestWithParam<Mode> {};

// Few different ones, so that beginnings are shared.
std::vector<std::int32_t> random_prompt(std::mt19937& random, std::size_t size_max) {
  std::vector<std::int32_t> prompt(1 + random() % size_max);
  const auto kind = static_cast<std::int32_t>(random() % 3);
  const std::size_t same = random() % (prompt.size() + 1);
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    prompt[i] = i < same ? (kind + static_cast<std::int32_t>(i)) % kVocab
                         : static_cast<std::int32_t>(random() % kVocab);
  }
  return prompt;
}

TEST_P(EngineModes, AnswersEveryRequestAsIfItWereAlone) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  Machine machine(100, limits(GetParam()));
  std::map<std::uint64_t, GenerateRequest> requests;
  std::map<std::uint64_t, Outcome> outcomes;
  for (std::uint64_t id = 1; id <= 60; ++id) {
    requests[id] = request(id, random_prompt(random, id % 2 == 0 ? 33 : 150),
                           1 + static_cast<std::int64_t>(random() % 40));
    if (id % 3 == 0) requests[id].tokens_min = static_cast<std::int64_t>(random() % 50);
    machine.engine->submit(requests[id]);
    for (auto steps = random() % 4; steps > 0; --steps) machine.step(outcomes);
  }
  machine.run(outcomes);
  // What was just answered is sure to be found, whatever the numbers above.
  requests[61] = requests[60];
  requests[61].id = 61;
  requests[61].prompt.resize(150, 1);
  for (const std::uint64_t id : {62, 63}) {
    requests[id] = requests[61];
    requests[id].id = id;
  }
  for (const std::uint64_t id : {61, 62, 63}) {
    machine.engine->submit(requests[id]);
    machine.run(outcomes);
  }
  for (const auto& [id, r] : requests) {
    const Outcome want = expected(r);
    EXPECT_EQ(outcomes[id].tokens, want.tokens) << "request " << id;
    EXPECT_EQ(outcomes[id].finish, want.finish) << "request " << id;
  }
  EXPECT_LE(static_cast<std::int64_t>(machine.model.longest_step_), GetParam().piece)
      << "a prompt went in larger pieces than it may";
  EXPECT_EQ(machine.engine->stats().prefix_hits > 0, GetParam().prefix_cache);
}

TEST_P(EngineModes, ForgetsCancelledRequestsAndGoesOnWithTheOthers) {
  Machine machine(100, limits(GetParam()));
  std::map<std::uint64_t, Outcome> outcomes;
  for (std::uint64_t id = 1; id <= 6; ++id) machine.engine->submit(request(id, {1, 2, 3}, 100));
  machine.step(outcomes);
  machine.engine->cancel(1);   // running
  machine.engine->cancel(6);   // waiting
  machine.engine->cancel(99);  // unknown
  machine.run(outcomes);
  EXPECT_EQ(outcomes[1].finish, FinishReason::cancelled);
  EXPECT_EQ(outcomes[6].finish, FinishReason::cancelled);
  EXPECT_EQ(outcomes.count(99), 0u);
  EXPECT_EQ(outcomes[2].tokens, expected(request(2, {1, 2, 3}, 100)).tokens);
}

TEST_P(EngineModes, RefusesAPromptThatDoesNotFit) {
  Machine machine(100, limits(GetParam()));
  machine.engine->submit(request(1, std::vector<std::int32_t>(200, 1), 5));
  machine.engine->submit(request(2, {}, 5));
  std::map<std::uint64_t, Outcome> outcomes;
  machine.step(outcomes);
  EXPECT_EQ(outcomes[1].finish, FinishReason::failed);
  EXPECT_EQ(outcomes[1].message,
            "the prompt has 200 tokens, the context holds 200 with at least one for the answer");
  EXPECT_EQ(outcomes[2].finish, FinishReason::failed);
  EXPECT_TRUE(machine.engine->idle());
}

TEST_P(EngineModes, StopsAtTheEndOfTheContext) {
  Machine machine(100, limits(GetParam()));
  GenerateRequest r = request(1, std::vector<std::int32_t>(190, 1), 1'000'000);
  r.stop_ids = {};
  machine.engine->submit(r);
  std::map<std::uint64_t, Outcome> outcomes;
  machine.run(outcomes);
  EXPECT_EQ(outcomes[1].finish, FinishReason::length);
  EXPECT_EQ(outcomes[1].tokens.size(), 10u);
}

TEST_P(EngineModes, BoundsItsQueue) {
  EngineLimits small = limits(GetParam());
  small.waiting_max = 2;
  Machine machine(100, small);
  for (std::uint64_t id = 1; id <= 3; ++id) machine.engine->submit(request(id, {1}, 1));
  std::map<std::uint64_t, Outcome> outcomes;
  machine.run(outcomes);
  EXPECT_EQ(outcomes[1].finish, FinishReason::length);
  EXPECT_EQ(outcomes[3].message, "2 requests are waiting already; try again later");
}

TEST_P(EngineModes, SaysSoWhenLogitsAreNotFiniteAndKeepsNoneOfTheirRows) {
  Machine machine(100, limits(GetParam()));
  machine.model.spoil_ = true;
  machine.engine->submit(request(1, std::vector<std::int32_t>(150, 2), 5));
  std::map<std::uint64_t, Outcome> outcomes;
  machine.run(outcomes);
  EXPECT_EQ(outcomes[1].message, "the model computed logits that are not finite");
  EXPECT_EQ(machine.pool.pages_free(), machine.pool.pages());
  const Error error = smoke_test(machine.model, machine.pool).error();
  EXPECT_EQ(error.code, Errc::corrupt);
  EXPECT_EQ(error.message, "smoke test: the model computed logits that are not finite");
}

TEST_P(EngineModes, TellsEveryoneWhenTheDeviceIsLost) {
  for (const bool late : {false, true}) {
    Machine machine(100, limits(GetParam()));
    std::map<std::uint64_t, Outcome> outcomes;
    machine.engine->submit(request(1, {1, 2}, 5));
    machine.run(outcomes);
    EXPECT_FALSE(machine.engine->device_failed());
    machine.engine->submit(request(2, {1, 2}, 50));
    machine.engine->submit(request(3, {1, 2}, 50));
    machine.step(outcomes);
    (late ? machine.model.lost_late_ : machine.model.lost_) = true;
    machine.engine->submit(request(4, {1, 2}, 5));
    machine.run(outcomes);
    for (std::uint64_t id = 2; id <= 4; ++id) {
      EXPECT_EQ(outcomes[id].finish, FinishReason::failed);
      EXPECT_EQ(outcomes[id].message,
                late ? "the device is gone" : "add: an illegal memory access");
    }
    EXPECT_TRUE(machine.engine->device_failed());
  }
}

TEST_P(EngineModes, RefusesAnIdTheModelDoesNotKnowWithoutDisturbingOthers) {
  Machine machine(100, limits(GetParam()));
  machine.engine->submit(request(1, {1, kVocab}, 5));
  machine.engine->submit(request(2, {1, 2}, 5));
  std::map<std::uint64_t, Outcome> outcomes;
  machine.run(outcomes);
  EXPECT_EQ(outcomes[1].message, "token 17 is outside the vocabulary of 17");
  EXPECT_EQ(outcomes[2].tokens, expected(request(2, {1, 2}, 5)).tokens);
}

TEST_P(EngineModes, RefusesABiasForAnIdTheModelDoesNotKnow) {
  for (const std::int32_t id : {-1, kVocab, kVocab + 1000}) {
    Machine machine(100, limits(GetParam()));
    GenerateRequest r = request(1, {1, 2}, 5);
    r.sampling.logit_bias = {{.id = kVocab - 1, .bias = -1}, {.id = id, .bias = 1}};
    machine.engine->submit(r);
    std::map<std::uint64_t, Outcome> outcomes;
    machine.run(outcomes);
    EXPECT_EQ(outcomes[1].finish, FinishReason::failed);
    EXPECT_EQ(outcomes[1].message,
              fmt::format("a bias is for token {}, which is outside the vocabulary of 17", id));
  }
}

TEST_P(EngineModes, RefusesMoreBiasesThanAStepHolds) {
  Machine machine(100, limits(GetParam()));
  GenerateRequest r = request(1, {1, 2}, 40);
  r.sampling.logit_bias.resize(2000);
  machine.engine->submit(r);
  std::map<std::uint64_t, Outcome> outcomes;
  machine.run(outcomes);
  EXPECT_EQ(outcomes[1].message, "1 stop ids and 2000 biases of logits, wanted at most 64 and 960");
}

TEST_P(EngineModes, TellsLogprobsOfEveryTokenToWhomAsked) {
  Machine machine(100, limits(GetParam()));
  GenerateRequest r = request(1, {1, 2}, 3);
  r.stop_ids = {};
  r.sampling.logprobs = 2;
  machine.engine->submit(r);
  machine.engine->submit(request(2, {1, 2}, 3));
  std::size_t told = 0;
  while (!machine.engine->idle()) {
    for (const RequestEvent& event : machine.engine->step()) {
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

TEST_P(EngineModes, LimitsTheContextToWhatMemoryHolds) {
  Machine machine(2, limits(GetParam()));
  machine.engine->submit(request(1, std::vector<std::int32_t>(128, 1), 5));
  GenerateRequest longest = request(2, std::vector<std::int32_t>(120, 1), 1000);
  longest.stop_ids = {};
  machine.engine->submit(longest);
  std::map<std::uint64_t, Outcome> outcomes;
  machine.run(outcomes);
  EXPECT_EQ(outcomes[1].message,
            "the prompt has 128 tokens, the context holds 128 with at least one for the answer");
  EXPECT_EQ(outcomes[2].tokens.size(), 8u);
  EXPECT_EQ(outcomes[2].finish, FinishReason::length);
}

// Memory for hardly more than the longest one, arrivals and cancellations at any time.
TEST_P(EngineModes, FinishesEveryRequestWithLittleMemoryAndGivesAllOfItBack) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  EngineLimits many = limits(GetParam());
  many.running_max = 8;
  many.waiting_max = 20'000;
  many.context_max = 320;
  Machine machine(5, many);
  std::map<std::uint64_t, GenerateRequest> requests;
  std::map<std::uint64_t, Outcome> outcomes;
  for (std::uint64_t id = 1; id <= 2'000; ++id) {
    GenerateRequest r =
        request(id, random_prompt(random, 90), 1 + static_cast<std::int64_t>(random() % 230));
    if (random() % 8 == 0) r.stop_ids = {};
    machine.engine->submit(r);
    requests[id] = std::move(r);
    for (auto steps = random() % 8; steps > 0; --steps) machine.step(outcomes);
    if (random() % 8 == 0) machine.engine->cancel(1 + random() % id);
    if (HasFailure()) return;
  }
  machine.run(outcomes);
  std::size_t cancelled = 0;
  for (const auto& [id, r] : requests) {
    Outcome want = expected(r);
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
  EXPECT_GT(machine.engine->stats().preemptions, 10u);
  machine.engine.reset();
  EXPECT_EQ(machine.pool.pages_free(), machine.pool.pages());
}

INSTANTIATE_TEST_SUITE_P(All, EngineModes,
                         testing::Values(Mode{"at_once", 5, 5, 0, false},
                                         Mode{"a_step_ahead", 5, 20, 1, false},
                                         Mode{"prefixes", 64, 64, 0, true},
                                         Mode{"prefixes_a_step_ahead", 64, 128, 1, true}),
                         [](const auto& test) { return test.param.name; });

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
    for (const SequenceStep& step : batch) {
      tokens_ran_ += static_cast<std::size_t>(step.count());
    }
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
  constexpr std::int64_t kPages = 8;
  const auto pool = std::move(model->make_pool(kPages)).value();
  EngineLimits some{.running_max = 8,
                    .waiting_max = 256,
                    .prompt_unit_tokens = 64,
                    .prompt_piece_tokens = 64,
                    .context_max = model->facts().context_max,
                    .prefix_cache = false};
  std::vector<std::int32_t> shared(200);
  for (auto& token : shared) token = static_cast<std::int32_t>(random() % 101);
  std::vector<GenerateRequest> requests;
  for (std::uint64_t id = 0; id < 256; ++id) {
    std::vector<std::int32_t> prompt(1 + random() % (id % 8 == 0 ? 250 : 60));
    for (auto& token : prompt) token = static_cast<std::int32_t>(random() % 101);
    if (id % 4 == 0)
      std::copy_n(shared.begin(), std::min(prompt.size(), shared.size()), prompt.begin());
    requests.push_back(request(id, std::move(prompt),
                               1 + static_cast<std::int64_t>(random() % (id % 3 == 1 ? 250 : 40))));
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
  EXPECT_EQ(pool->pages_free(), kPages);
  const std::size_t tokens_alone = counted.tokens_ran_;
  for (const bool prefix_cache : {false, true}) {
    counted.tokens_ran_ = 0;
    some.prefix_cache = prefix_cache;
    some.steps_ahead = prefix_cache ? 1 : 0;
    std::map<std::uint64_t, Outcome> together;
    {
      Engine engine(*model, *pool, some, system_clock());
      for (const GenerateRequest& r : requests) engine.submit(r);
      while (!engine.idle()) collect(engine.step(), together);
      EXPECT_GT(engine.stats().preemptions, 0u) << "nobody was ever put back";
      EXPECT_EQ(engine.stats().prefix_hits > 0, prefix_cache);
      EXPECT_EQ(pool->pages_available(), kPages);
    }
    EXPECT_EQ(pool->pages_free(), kPages);
    EXPECT_TRUE(pool->check_integrity().ok());
    if (!prefix_cache) {
      EXPECT_GT(counted.tokens_ran_, tokens_alone);
    }
    for (const GenerateRequest& r : requests) {
      EXPECT_EQ(together[r.id].tokens, alone[r.id].tokens) << "request " << r.id;
      EXPECT_EQ(together[r.id].finish, alone[r.id].finish) << "request " << r.id;
      EXPECT_FALSE(alone[r.id].finish == FinishReason::failed) << alone[r.id].message;
    }
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
