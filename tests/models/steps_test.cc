// Steps that are submitted before the tokens of the last ones are known: what is sampled must be
// what comes when every token goes through the host.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>

#include "runner/models/registry.h"
#include "tests/fakes/forwarding_ops.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

using Tokens = std::vector<std::int32_t>;

constexpr std::int32_t kVocab = 101;

class Steps : public testing::TestWithParam<fakes::FakeArchitecture> {
 protected:
  void SetUp() override {
    std::printf("seed %u\n", seed_);
    fakes::TinyModelOptions options;
    options.architecture = GetParam();
    fakes::write_tiny_model(folder_.path(), options);
    model_ = std::move(load_model(std::move(files_in(folder_.path())).value(), {})).value();
    pool_ = std::move(model_->make_pool(40)).value();
  }

  Tokens random_tokens(std::size_t count) {
    Tokens tokens(count);
    for (std::int32_t& token : tokens) token = static_cast<std::int32_t>(random_() % kVocab);
    return tokens;
  }

  // The answer to a prompt, each token known before the next step.
  Tokens answer(const Tokens& prompt, const SamplingOptions& sampling, std::size_t count) {
    KvCache cache(*pool_);
    Tokens next = prompt;
    Tokens answer;
    while (answer.size() < count) {
      const SequenceStep step{.tokens = next, .cache = &cache, .sampling = &sampling};
      EXPECT_TRUE(model_->submit({&step, 1}).ok());
      next = {model_->collect()->front().id};
      answer.push_back(next[0]);
    }
    return answer;
  }

  const unsigned seed_ = std::random_device{}();
  std::mt19937 random_{seed_};
  fakes::TemporaryFolder folder_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<KvPool> pool_;
};

TEST_P(Steps, GreedyTokensAreTheLargestLogits) {
  const Tokens prompt = random_tokens(70);
  const SamplingOptions greedy{.temperature = 0};
  const Tokens got = answer(prompt, greedy, 20);
  KvCache cache(*pool_);
  std::vector<float> logits(kVocab);
  Tokens next = prompt;
  for (const std::int32_t token : got) {
    ASSERT_TRUE(run_tokens(*model_, cache, next, logits).ok());
    const auto largest = std::max_element(logits.begin(), logits.end());
    ASSERT_EQ(token, largest - logits.begin());
    next = {token};
  }
}

TEST_P(Steps, ContinueWithTokensTheHostDoesNotKnow) {
  struct Sequence {
    Tokens prompt;
    SamplingOptions sampling;
    Tokens want;
    KvCache cache;
    Tokens got = {};
  };
  constexpr std::size_t kCount = 90;
  std::vector<Sequence> sequences;
  for (std::uint64_t s = 0; s < 5; ++s) {
    const Tokens prompt = random_tokens(1 + random_() % 90);
    SamplingOptions sampling{.temperature = s == 0 ? 0.0F : 1.0F,
                             .repeat_penalty = 1.1F,
                             .repeat_last_n = s % 2 == 0 ? 64 : -1,
                             .seed = random_()};
    const Tokens want = answer(prompt, sampling, kCount);
    sequences.push_back({prompt, sampling, want, KvCache(*pool_)});
  }
  std::vector<std::vector<std::size_t>> in_flight;
  const auto collect = [&] {
    const auto sampled = model_->collect();
    ASSERT_TRUE(sampled.ok());
    ASSERT_EQ(sampled->size(), in_flight.front().size());
    for (std::size_t i = 0; i < sampled->size(); ++i) {
      EXPECT_EQ((*sampled)[i].finite, 1);
      sequences[in_flight.front()[i]].got.push_back((*sampled)[i].id);
    }
    in_flight.erase(in_flight.begin());
  };
  std::vector<std::size_t> asked(sequences.size());  // tokens
  while (true) {
    std::vector<SequenceStep> batch;
    std::vector<std::size_t> members;
    for (std::size_t s = 0; s < sequences.size(); ++s) {
      Sequence& sequence = sequences[s];
      if (asked[s] == kCount || random_() % 4 == 0) continue;
      SequenceStep step{.cache = &sequence.cache, .sampling = &sequence.sampling};
      if (asked[s] == 0) step.tokens = sequence.prompt;
      step.continues = asked[s] > 0;
      ASSERT_TRUE(sequence.cache.reserve(step.count() + 1).ok());
      batch.push_back(step);
      members.push_back(s);
      ++asked[s];
    }
    const bool done =
        std::all_of(asked.begin(), asked.end(), [](std::size_t count) { return count == kCount; });
    if (!batch.empty()) {
      ASSERT_TRUE(model_->submit(batch).ok());
      in_flight.push_back(members);
    }
    if (in_flight.size() == kStepsInFlightMax) collect();
    if (done) break;
  }
  while (!in_flight.empty()) collect();
  for (const Sequence& sequence : sequences) EXPECT_EQ(sequence.got, sequence.want);
}

// A backend that would record steps, if it could: they get an even shape.
class PaddedOps final : public fakes::ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;
  bool records() const override { return true; }
};

TEST_P(Steps, GiveTheSameTokensWithSequencesThatNobodyAskedFor) {
  constexpr std::size_t kSequences = 9;  // recorded as 12
  LoadOptions options;
  options.wrap_ops = [](std::unique_ptr<kernels::Ops> ops) {
    return std::make_unique<PaddedOps>(std::move(ops));
  };
  const auto padded = std::move(load_model(*files_in(folder_.path()), options)).value();
  const auto pool = std::move(padded->make_pool(40)).value();
  std::vector<Tokens> want;
  std::vector<SamplingOptions> sampling;
  std::vector<KvCache> caches;
  std::vector<SequenceStep> batch;
  for (std::size_t s = 0; s < kSequences; ++s) {
    sampling.push_back({.temperature = 1.0F, .seed = random_()});
    want.push_back(answer({static_cast<std::int32_t>(s)}, sampling[s], 70));
    caches.emplace_back(*pool);
  }
  std::vector<Tokens> next;
  for (std::size_t s = 0; s < kSequences; ++s) next.push_back({static_cast<std::int32_t>(s)});
  for (std::size_t i = 0; i < 70; ++i) {
    batch.clear();
    for (std::size_t s = 0; s < kSequences; ++s) {
      batch.push_back({.tokens = next[s], .cache = &caches[s], .sampling = &sampling[s]});
    }
    ASSERT_TRUE(padded->submit(batch).ok());
    const auto sampled = padded->collect();
    ASSERT_TRUE(sampled.ok());
    ASSERT_EQ(sampled->size(), kSequences);
    for (std::size_t s = 0; s < kSequences; ++s) {
      next[s] = {(*sampled)[s].id};
      ASSERT_EQ(next[s][0], want[s][i]) << "sequence " << s << ", token " << i;
    }
  }
}

// What was said so far comes back as one stretch, and goes on as it would have.
TEST_P(Steps, GiveTheSameAnswerAfterTheSequenceWasForgotten) {
  const Tokens prompt = random_tokens(30);
  const SamplingOptions sampling{.temperature = 1.3F, .presence_penalty = 0.5F, .seed = random_()};
  const Tokens want = answer(prompt, sampling, 40);
  KvCache cache(*pool_);
  const SequenceStep first{.tokens = prompt, .cache = &cache};
  ASSERT_TRUE(model_->submit({&first, 1}).ok());
  EXPECT_TRUE(model_->collect()->empty());
  const SequenceStep again{.tokens = std::span(want).first(39),
                           .cache = &cache,
                           .one_by_one = true,
                           .sampling = &sampling};
  ASSERT_TRUE(model_->submit({&again, 1}).ok());
  EXPECT_EQ(model_->collect()->front().id, want.back());
}

TEST_P(Steps, TellLogprobsAndKeepBannedTokensAway) {
  const Tokens prompt = random_tokens(9);
  std::vector<float> logits(kVocab);
  {
    KvCache cache(*pool_);
    ASSERT_TRUE(run_tokens(*model_, cache, prompt, logits).ok());
  }
  const auto largest =
      static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  SamplingOptions sampling{.temperature = 0, .logprobs = 3};
  sampling.logit_bias = {{.id = largest, .bias = -std::numeric_limits<float>::infinity()}};
  KvCache cache(*pool_);
  const SequenceStep step{.tokens = prompt, .cache = &cache, .sampling = &sampling};
  ASSERT_TRUE(model_->submit({&step, 1}).ok());
  const Sampled sampled = model_->collect()->front();
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  EXPECT_EQ(sampled.top_count, 3);
  EXPECT_EQ(sampled.top_ids[0], largest);
  EXPECT_EQ(sampled.top_ids[1], sampled.id);
  EXPECT_EQ(sampled.logprob, sampled.top_logprobs[1]);
  EXPECT_NEAR(sampled.top_logprobs[0],
              static_cast<double>(logits[static_cast<std::size_t>(largest)]) - std::log(sum), 1e-5);
}

TEST_P(Steps, LeaveCachesAsTheyWereWhenRefused) {
  KvCache cache(*pool_);
  const SamplingOptions greedy{.temperature = 0};
  const auto error = [&](const SequenceStep& step) {
    const Status status = model_->submit({&step, 1});
    EXPECT_FALSE(status.ok());
    return status.ok() ? "" : status.error().message;
  };
  EXPECT_EQ(error({.cache = &cache, .continues = true}),
            "nothing was sampled for a sequence that is empty");
  const Tokens full = random_tokens(64);
  const SequenceStep step{.tokens = full, .cache = &cache, .sampling = &greedy};
  ASSERT_TRUE(model_->submit({&step, 1}).ok());
  EXPECT_EQ(model_->collect()->size(), 1U);
  EXPECT_EQ(error({.cache = &cache, .continues = true}),
            "there was no page for the token sampled at position 64");
  EXPECT_EQ(error({.tokens = full, .cache = &cache, .continues = true}),
            "tokens beside the one that was sampled");
  SamplingOptions biased;
  biased.logit_bias.resize(kTokenBiasesMax + 1);
  EXPECT_EQ(error({.tokens = full, .cache = &cache, .sampling = &biased}),
            "1025 biases of logits, wanted at most 1024");
  biased.logit_bias = {{.id = 7, .bias = std::numeric_limits<float>::infinity()}};
  EXPECT_EQ(error({.tokens = full, .cache = &cache, .sampling = &biased}),
            "the bias inf of token 7: wanted a number or -inf");
  EXPECT_EQ(cache.length(), 64);
  EXPECT_EQ(pool_->pages_free(), 39);
}

// A device that is lost at a moment of the test's choice.
class LostOps final : public fakes::ForwardingOps {
 public:
  LostOps(std::unique_ptr<kernels::Ops> inner, const bool& at_mark, const bool& at_wait)
      : ForwardingOps(std::move(inner)), at_mark_(at_mark), at_wait_(at_wait) {}
  Status mark(kernels::Event& event) override {
    if (at_mark_) return make_error(Errc::device, "linear: an illegal memory access");
    return inner_->mark(event);
  }
  Status wait(kernels::Event& event) override {
    if (at_wait_) return make_error(Errc::device, "wait: an illegal memory access");
    return inner_->wait(event);
  }

 private:
  const bool& at_mark_;
  const bool& at_wait_;
};

TEST_P(Steps, SayWhenTheDeviceIsLost) {
  bool at_mark = false;
  bool at_wait = false;
  LoadOptions options;
  options.wrap_ops = [&](std::unique_ptr<kernels::Ops> ops) {
    return std::make_unique<LostOps>(std::move(ops), at_mark, at_wait);
  };
  const auto model =
      std::move(load_model(std::move(files_in(folder_.path())).value(), options)).value();
  const auto pool = std::move(model->make_pool(4)).value();
  KvCache cache(*pool);
  const Tokens prompt = {1, 2, 3};
  const SamplingOptions greedy{.temperature = 0};
  const SequenceStep step{.tokens = prompt, .cache = &cache, .sampling = &greedy};
  at_mark = true;
  EXPECT_EQ(model->submit({&step, 1}).error().code, Errc::device);
  EXPECT_EQ(cache.length(), 0);
  at_mark = false;
  ASSERT_TRUE(model->submit({&step, 1}).ok()) << "the step that failed is in flight";
  ASSERT_TRUE(model->submit({&step, 1}).ok());
  at_wait = true;
  EXPECT_EQ(model->collect().error().message, "wait: an illegal memory access");
  EXPECT_EQ(model->collect().error().code, Errc::device);
}

INSTANTIATE_TEST_SUITE_P(All, Steps,
                         testing::Values(fakes::FakeArchitecture::glm4_moe_lite,
                                         fakes::FakeArchitecture::glm4_moe),
                         [](const auto& test) {
                           return test.param == fakes::FakeArchitecture::glm4_moe ? "glm4_moe"
                                                                                  : "glm4_moe_lite";
                         });

}  // namespace
}  // namespace glm::runner
