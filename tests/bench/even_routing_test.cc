// Random tokens in a synthetic model choose experts about as evenly as StepBytes counts them: a
// narrow GLM-4.7-Flash with all of its experts, on the CPU, with the choices looked at.
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "cmd/bench/step_bytes.h"
#include "cmd/bench/subject.h"
#include "kernels/in_parts.h"
#include "tests/fakes/forwarding_ops.h"

namespace glm::bench {
namespace {

constexpr std::int64_t kTokens = 320;

// The choices of every router in turn, memory of the CPU backend being the host's.
class LookingOps final : public fakes::ForwardingOps {
 public:
  LookingOps(std::unique_ptr<kernels::Ops> inner, std::vector<std::vector<std::int32_t>>& seen)
      : ForwardingOps(std::move(inner)), seen_(seen) {}
  void moe_layer(const kernels::MoeLayer& args) override { in_parts(*this, args); }
  void router_topk(const kernels::RouterTopK& args) override {
    inner_->router_topk(args);
    const auto* ids = args.ids.as<std::int32_t>();
    seen_.emplace_back(ids, ids + args.ids.size(0) * args.ids.size(1));
  }

 private:
  std::vector<std::vector<std::int32_t>>& seen_;
};

std::string narrow_config() {
  std::ifstream stream(std::string(GLM_SOURCE_DIR) +
                       "/modelfiles/layouts/cyankiwi/GLM-4.7-Flash-AWQ-4bit.json");
  nlohmann::json config = nlohmann::json::parse(stream);
  config["hidden_size"] = 256;
  config["vocab_size"] = 4000;
  config["intermediate_size"] = 512;
  config["moe_intermediate_size"] = 64;
  config["num_attention_heads"] = 4;
  config["num_key_value_heads"] = 4;
  config["max_position_embeddings"] = 1024;
  config["num_hidden_layers"] = 8;
  return config.dump();
}

TEST(EvenRouting, DifferentExpertsAreAboutAsManyAsAreExpected) {
  const auto subject = Subject::from_config("narrow", "flash", narrow_config(), 0);
  ASSERT_TRUE(subject.ok()) << subject.error().message;
  std::vector<std::vector<std::int32_t>> seen;
  runner::LoadOptions options;
  options.wrap_ops = [&seen](std::unique_ptr<kernels::Ops> ops) {
    return std::make_unique<LookingOps>(std::move(ops), seen);
  };
  const auto model = subject->load(options);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const auto pool = (*model)->make_pool(kTokens);
  ASSERT_TRUE(pool.ok()) << pool.error().message;
  // Sequences of one token each, as in a step of decoding; the first token of a sequence sees
  // nothing of the others.
  std::vector<runner::KvCache> caches;
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < kTokens; ++i) {
    caches.emplace_back(**pool);
    ids.push_back(static_cast<std::int32_t>(i * 7 % 4000));
  }
  const auto sequences_max = static_cast<std::size_t>((*model)->batch_limits().sequences_max);
  for (std::size_t at = 0; at < caches.size(); at += sequences_max) {
    std::vector<runner::SequenceStep> steps;
    for (std::size_t i = at; i < std::min(caches.size(), at + sequences_max); ++i) {
      steps.push_back({.tokens = std::span(ids).subspan(i, 1), .cache = &caches[i]});
    }
    ASSERT_TRUE((*model)->forward(steps, {}).ok());
  }
  for (const std::int64_t batch : {1, 4, 16, 64}) {
    const double expected = bytes_of_step(subject->facts(), {.sequences = batch}).experts;
    double sum = 0;
    std::int64_t steps = 0;
    for (const std::vector<std::int32_t>& layer : seen) {
      const auto of_a_step = static_cast<std::size_t>(4 * batch);
      for (std::size_t at = 0; at + of_a_step <= layer.size(); at += of_a_step) {
        const auto first = layer.begin() + static_cast<std::ptrdiff_t>(at);
        sum += static_cast<double>(
            std::set<std::int32_t>(first, first + static_cast<std::ptrdiff_t>(of_a_step)).size());
        ++steps;
      }
    }
    const double mean = sum / static_cast<double>(steps);
    std::printf("%lld tokens: %.2f different experts, %.2f expected\n",
                static_cast<long long>(batch), mean, expected);
    EXPECT_NEAR(mean / expected, 1, 0.06) << batch;
  }
}

}  // namespace
}  // namespace glm::bench
