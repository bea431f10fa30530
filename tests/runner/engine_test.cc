// The engine over a model whose next token is a known function of the sequence: what comes out must
// equal what that function gives, however requests are interleaved, cancelled or queued.
#include "runner/engine.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>

namespace glm::runner {
namespace {

constexpr std::int32_t kVocab = 17;
constexpr std::int32_t kStop = 16;

// Counts tokens and their sum: enough to notice a token that was skipped, repeated or reordered.
class SumCache final : public KvCache {
 public:
  explicit SumCache(std::int64_t tokens_max) : tokens_max_(tokens_max) {}
  std::int64_t length() const override { return length_; }
  std::int64_t tokens_max() const override { return tokens_max_; }
  std::uint64_t size_bytes() const override { return 0; }
  void truncate(std::int64_t) override {}

  std::int64_t length_ = 0;
  std::int64_t hash_ = 1;

 private:
  std::int64_t tokens_max_;
};

std::int64_t mix(std::int64_t hash, std::int32_t token) { return (hash * 31 + token + 7) % 1009; }

std::int32_t next_token(std::int64_t hash) { return static_cast<std::int32_t>(hash % kVocab); }

class SumModel final : public Model {
 public:
  SumModel() {
    facts_.vocab_size = kVocab;
    facts_.context_max = 1 << 20;
  }
  const ModelFacts& facts() const override { return facts_; }
  std::uint64_t weight_bytes() const override { return 0; }
  Result<std::unique_ptr<KvCache>> make_cache(std::int64_t tokens_max) const override {
    if (caches_left_ == 0) return make_error(Errc::exhausted, "no memory for the cache");
    return std::unique_ptr<KvCache>(std::make_unique<SumCache>(tokens_max));
  }
  Status forward(std::span<const std::int32_t> tokens, KvCache& cache,
                 std::span<float> logits) override {
    auto& sum = static_cast<SumCache&>(cache);
    for (const std::int32_t token : tokens) {
      sum.hash_ = mix(sum.hash_, token);
      ++sum.length_;
    }
    EXPECT_LE(sum.length(), sum.tokens_max());
    longest_call_ = std::max(longest_call_, tokens.size());
    if (logits.empty()) return Ok{};
    std::fill(logits.begin(), logits.end(), 0.0F);
    logits[static_cast<std::size_t>(next_token(sum.hash_))] = spoil_ ? NAN : 1.0F;
    return Ok{};
  }

  ModelFacts facts_;
  std::size_t longest_call_ = 0;
  bool spoil_ = false;
  int caches_left_ = -1;
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
    if (token == kStop) {
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

TEST(Engine, AnswersEveryRequestAsIfItWereAlone) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  SumModel model;
  Engine engine(model, limits(), system_clock());
  std::map<std::uint64_t, GenerateRequest> requests;
  std::map<std::uint64_t, Outcome> outcomes;
  for (std::uint64_t id = 1; id <= 60; ++id) {
    std::vector<std::int32_t> prompt(1 + random() % 33);
    for (auto& token : prompt) token = static_cast<std::int32_t>(random() % kVocab);
    requests[id] = request(id, prompt, 1 + static_cast<std::int64_t>(random() % 40));
    engine.submit(requests[id]);
    for (unsigned steps = random() % 4; steps > 0; --steps) collect(engine.step(), outcomes);
  }
  while (!engine.idle()) collect(engine.step(), outcomes);
  for (const auto& [id, r] : requests) {
    const Outcome want = expected(r);
    EXPECT_EQ(outcomes[id].tokens, want.tokens) << "request " << id;
    EXPECT_EQ(outcomes[id].finish, want.finish) << "request " << id;
  }
  EXPECT_LE(model.longest_call_, 5u) << "a prompt went in larger pieces than the chunk";
}

TEST(Engine, ForgetsCancelledRequestsAndGoesOnWithTheOthers) {
  SumModel model;
  Engine engine(model, limits(), system_clock());
  std::map<std::uint64_t, Outcome> outcomes;
  for (std::uint64_t id = 1; id <= 6; ++id) engine.submit(request(id, {1, 2, 3}, 100));
  collect(engine.step(), outcomes);
  engine.cancel(1);   // running
  engine.cancel(6);   // waiting
  engine.cancel(99);  // unknown
  while (!engine.idle()) collect(engine.step(), outcomes);
  EXPECT_EQ(outcomes[1].finish, FinishReason::cancelled);
  EXPECT_EQ(outcomes[6].finish, FinishReason::cancelled);
  EXPECT_EQ(outcomes.count(99), 0u);
  EXPECT_EQ(outcomes[2].tokens, expected(request(2, {1, 2, 3}, 100)).tokens);
}

TEST(Engine, RefusesAPromptThatDoesNotFit) {
  SumModel model;
  Engine engine(model, limits(), system_clock());
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
  SumModel model;
  Engine engine(model, limits(), system_clock());
  GenerateRequest r = request(1, std::vector<std::int32_t>(190, 1), 1'000'000);
  r.stop_ids = {};
  engine.submit(r);
  std::map<std::uint64_t, Outcome> outcomes;
  while (!engine.idle()) collect(engine.step(), outcomes);
  EXPECT_EQ(outcomes[1].finish, FinishReason::length);
  EXPECT_EQ(outcomes[1].tokens.size(), 10u);
}

TEST(Engine, BoundsItsQueue) {
  SumModel model;
  EngineLimits small = limits();
  small.waiting_max = 2;
  Engine engine(model, small, system_clock());
  for (std::uint64_t id = 1; id <= 3; ++id) engine.submit(request(id, {1}, 1));
  std::map<std::uint64_t, Outcome> outcomes;
  while (!engine.idle()) collect(engine.step(), outcomes);
  EXPECT_EQ(outcomes[1].finish, FinishReason::length);
  EXPECT_EQ(outcomes[3].message, "2 requests are waiting already; try again later");
}

TEST(Engine, SaysSoWhenLogitsAreNotFinite) {
  SumModel model;
  model.spoil_ = true;
  Engine engine(model, limits(), system_clock());
  engine.submit(request(1, {1, 2}, 5));
  std::map<std::uint64_t, Outcome> outcomes;
  while (!engine.idle()) collect(engine.step(), outcomes);
  EXPECT_EQ(outcomes[1].message, "the model computed logits that are not finite");
  EXPECT_EQ(smoke_test(model).error().message,
            "smoke test: the model computed logits that are not finite");
}

TEST(Engine, FailsARequestThatMemoryWillNeverHold) {
  SumModel model;
  model.caches_left_ = 0;
  Engine engine(model, limits(), system_clock());
  engine.submit(request(1, {1, 2}, 5));
  std::map<std::uint64_t, Outcome> outcomes;
  while (!engine.idle()) collect(engine.step(), outcomes);
  EXPECT_EQ(outcomes[1].message, "no memory for the cache");
}

}  // namespace
}  // namespace glm::runner
