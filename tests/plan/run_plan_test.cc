// A plan never contradicts itself, whatever the model, the hardware and the wishes; and the cases
// that matter, by hand.
#include "runner/plan/run_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "runner/schedule/batch_limits.h"
#include "runner/schedule/kv_blocks.h"

namespace glm::runner {
namespace {

constexpr std::uint64_t kGiB = 1ULL << 30U;
constexpr std::uint64_t kMiB = 1ULL << 20U;

HardwareFacts gpu(std::uint64_t free_bytes) {
  return {.device = "cuda:0",
          .name = "A GPU",
          .memory_total_bytes = 24 * kGiB,
          .memory_free_bytes = free_bytes};
}

ModelNeeds needs() {
  return {.context_own = 100'000,
          .weight_bytes = 10 * kGiB,
          .workspace_bytes = kGiB,
          .page_bytes = kMiB};
}

std::string reason(const RunPlan& plan, std::string_view name) {
  for (const PlanLine& line : plan.lines) {
    if (line.name == name) return line.value + " | " + line.reason;
  }
  return {};
}

TEST(Plan, GivesADevicesRestToThePages) {
  const RunPlan made = plan(needs(), gpu(20 * kGiB), {}).value();
  EXPECT_EQ(made.pages, 8 * 1024 + 512);
  EXPECT_EQ(made.context_max, 100'000);
  EXPECT_EQ(made.running_max, 256);
  EXPECT_EQ(reason(made, "pages"), "9.1 GB | 8704 of 64 tokens, 1.0 MB each: all that is left");
  EXPECT_EQ(reason(made, "context"), "100000 tokens | the model's own");
  EXPECT_EQ(reason(made, "running"),
            "256 requests | what a step holds beside a chunk; the pages hold 5 whole contexts, and "
            "who finds none free waits");
}

TEST(Plan, CutsTheContextToThePages) {
  const RunPlan made = plan(needs(), gpu(11 * kGiB + 512 * kMiB + 100 * kMiB), {}).value();
  EXPECT_EQ(made.pages, 100);
  EXPECT_EQ(made.context_max, 6'400);
  EXPECT_EQ(made.running_max, 100);
  EXPECT_EQ(reason(made, "context"),
            "6400 tokens | what the pages hold; the model's own is 100000");
  EXPECT_EQ(reason(made, "running"), "100 requests | every request holds a page");
}

TEST(Plan, DoesWhatWasAskedOrRefuses) {
  const HardwareFacts hardware = gpu(11 * kGiB + 512 * kMiB + 100 * kMiB);
  const RunPlan made = plan(needs(), hardware, {.context_max = 6'400, .alternatives = {}}).value();
  EXPECT_EQ(made.context_max, 6'400);
  EXPECT_EQ(reason(made, "context"), "6400 tokens | as asked; the model's own is 100000");
  const auto refused = plan(needs(), hardware, {.context_max = 6'401, .alternatives = {}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::exhausted);
  EXPECT_THAT(refused.error().message,
              testing::HasSubstr("what would fit: a context of 6400 tokens (num_ctx 6400)"));
  EXPECT_EQ(plan(needs(), hardware, {.context_max = -1, .alternatives = {}}).error().message,
            "a context of -1 tokens: wanted 0 or more");
}

TEST(Plan, SaysWhyPagesHaveTheirFormat) {
  ModelNeeds model = needs();
  EXPECT_EQ(reason(plan(model, gpu(20 * kGiB), {}).value(), "kv format"),
            "bf16 | the type of activations on a GPU");
  model.kv_format = "fp8";
  EXPECT_EQ(reason(plan(model, gpu(20 * kGiB), {}).value(), "kv format"),
            "fp8 | as asked (kv_cache_type)");
}

TEST(Plan, NeverGoesBeyondTheModelsOwnContext) {
  const RunPlan made =
      plan(needs(), gpu(20 * kGiB), {.context_max = 200'000, .alternatives = {}}).value();
  EXPECT_EQ(made.context_max, 100'000);
  EXPECT_EQ(reason(made, "context"), "100000 tokens | the model's own; 200000 were asked for");
}

TEST(Plan, LeavesHalfOfTheHostToOthers) {
  HardwareFacts host = gpu(13 * kGiB);
  host.device = "cpu";
  host.memory = MemoryKind::of_the_host;
  const RunPlan made = plan(needs(), host, {}).value();
  EXPECT_EQ(made.pages, 1024);
  EXPECT_EQ(made.memory.graph_bytes, 0U);
  EXPECT_EQ(reason(made, "recorded steps"), "none | a CPU gains nothing by them");
}

TEST(Plan, TakesHalfOfUnifiedMemoryAtMost) {
  HardwareFacts spark = gpu(24 * kGiB);
  spark.memory = MemoryKind::unified;
  const RunPlan made = plan(needs(), spark, {}).value();
  EXPECT_EQ(made.memory.available_bytes, 12 * kGiB);
  EXPECT_EQ(made.pages, 512);
}

TEST(Plan, IsTheSameWhenThePredictionCameTrue) {
  ModelNeeds loaded = needs();
  loaded.loaded = true;
  const RunPlan before = plan(needs(), gpu(20 * kGiB), {}).value();
  const RunPlan after = plan(loaded, gpu(9 * kGiB), {}).value();
  EXPECT_EQ(after.pages, before.pages);
  EXPECT_EQ(after.memory.available_bytes, before.memory.available_bytes);
}

TEST(Plan, ServesAFewWhereMemoryIsNotKnown) {
  HardwareFacts unknown = gpu(0);
  unknown.memory_total_bytes = 0;
  const RunPlan made = plan(needs(), unknown, {}).value();
  EXPECT_EQ(made.pages, 8 * pages_of(100'000));
  EXPECT_EQ(made.context_max, 100'000);
}

void expect_sound(const ModelNeeds& model, const HardwareFacts& hardware,
                  const RunOverrides& overrides, const RunPlan& made) {
  const MemorySplit& m = made.memory;
  if (hardware.memory_total_bytes > 0) {
    EXPECT_LE(m.weight_bytes + m.workspace_bytes + m.graph_bytes + m.page_bytes, m.available_bytes);
    const std::uint64_t held = model.loaded ? m.weight_bytes + m.workspace_bytes : 0;
    EXPECT_LE(m.available_bytes, hardware.memory_free_bytes + held);
    if (hardware.memory == MemoryKind::unified) {
      EXPECT_LE(m.available_bytes, hardware.memory_total_bytes / 2);
    }
  }
  EXPECT_EQ(m.page_bytes, static_cast<std::uint64_t>(made.pages) * model.page_bytes);
  EXPECT_GE(made.pages, 1);
  EXPECT_GE(made.pages * kPageTokens, made.context_max);
  EXPECT_GE(made.context_max, 1);
  EXPECT_LE(made.context_max, model.context_own);
  if (overrides.context_max > 0) {
    EXPECT_EQ(made.context_max, std::min(overrides.context_max, model.context_own));
  }
  EXPECT_GE(made.running_max, 1);
  EXPECT_LE(made.running_max, made.pages);
  EXPECT_LE(made.running_max, batch_limits_of(hardware.is_gpu()).sequences_max);
  EXPECT_LE(made.prompt_chunk_tokens, made.step_tokens_max);
  EXPECT_LE(made.running_max, made.step_tokens_max / 2) << "prompts go on whoever runs";
  EXPECT_LE(made.step_tokens_max, batch_limits_of(hardware.is_gpu()).tokens_max);
  for (const PlanLine& line : made.lines) {
    EXPECT_FALSE(line.name.empty() || line.value.empty() || line.reason.empty()) << line.name;
  }
}

TEST(Plan, NeverContradictsItself) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937_64 random(seed);
  // Over the orders of magnitude, ends included.
  const auto up_to = [&](std::uint64_t most) {
    const auto bits = static_cast<unsigned>(random() % 65);
    const std::uint64_t value = bits == 0 ? 0 : random() >> (64 - bits);
    return value % (most + 1);
  };
  int made = 0;
  for (int round = 0; round < 20'000; ++round) {
    ModelNeeds model;
    model.context_own = 1 + static_cast<std::int64_t>(up_to((1 << 26) - 1));
    model.weight_bytes = up_to(1ULL << 42U);
    model.workspace_bytes = up_to(1ULL << 34U);
    model.page_bytes = 1 + up_to(1ULL << 32U);
    model.token_read_bytes = up_to(1ULL << 38U);
    model.loaded = random() % 2 == 0;
    HardwareFacts hardware;
    hardware.device = "some:0";
    hardware.memory = static_cast<MemoryKind>(random() % 3);
    hardware.memory_total_bytes = up_to(1ULL << 43U);
    hardware.memory_free_bytes = up_to(hardware.memory_total_bytes);
    hardware.host_free_bytes = up_to(1ULL << 43U);
    hardware.bandwidth_bytes_per_s = static_cast<double>(up_to(1ULL << 43U));
    RunOverrides overrides;
    overrides.context_max = random() % 2 == 0 ? 0 : static_cast<std::int64_t>(up_to(1 << 27));
    overrides.alternatives = {{"other", up_to(1ULL << 42U)}};
    const auto planned = plan(model, hardware, overrides);
    if (planned.ok()) {
      ++made;
      expect_sound(model, hardware, overrides, *planned);
    } else {
      EXPECT_EQ(planned.error().code, Errc::exhausted);
      EXPECT_THAT(planned.error().message, testing::HasSubstr("would fit"));
    }
    if (testing::Test::HasFailure()) FAIL() << "round " << round;
  }
  EXPECT_GT(made, 1000);
}

// Where there is room for a little, more memory never makes a plan smaller.
TEST(Plan, GrowsWithMemory) {
  std::int64_t pages = 0;
  std::int64_t context = 0;
  for (std::uint64_t free_mib = 11'000; free_mib < 24'000; free_mib += 37) {
    const auto made = plan(needs(), gpu(free_mib * kMiB), {});
    if (!made.ok()) {
      EXPECT_EQ(pages, 0);
      continue;
    }
    EXPECT_GE(made->pages, pages);
    EXPECT_GE(made->context_max, context);
    pages = made->pages;
    context = made->context_max;
  }
  EXPECT_EQ(context, 100'000);
}

}  // namespace
}  // namespace glm::runner
