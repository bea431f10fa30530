// What is predicted from the files is what a load takes: small models of both architectures are
// loaded on the CPU, and every allocation is counted.
#include "runner/plan/memory_needs.h"

#include <gtest/gtest.h>

#include "runner/models/registry.h"
#include "tests/fakes/forwarding_ops.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

class CountingOps final : public fakes::ForwardingOps {
 public:
  CountingOps(std::unique_ptr<kernels::Ops> inner, std::uint64_t& bytes)
      : ForwardingOps(std::move(inner)), bytes_(bytes) {}
  Result<kernels::Buffer> allocate(std::uint64_t size_bytes) override {
    bytes_ += size_bytes;
    return ForwardingOps::allocate(size_bytes);
  }

 private:
  std::uint64_t& bytes_;
};

struct Case {
  const char* name;
  fakes::TinyModelOptions options;
};

// Wide enough for what is not counted (norms as f32, tables of rotation) to weigh little.
fakes::TinyModelOptions shaped(fakes::FakeArchitecture architecture, fakes::FakeWeights weights) {
  fakes::TinyModelOptions options;
  options.architecture = architecture;
  options.weights = weights;
  options.hidden = 256;
  options.intermediate = 512;
  options.moe_intermediate = 128;
  options.kv_rank = 96;
  options.vocab = 1001;
  options.context_max = 1000;
  return options;
}

const Case kCases[] = {
    {"latent_bf16", shaped(fakes::FakeArchitecture::glm4_moe_lite, fakes::FakeWeights::bf16)},
    {"latent_int4",
     shaped(fakes::FakeArchitecture::glm4_moe_lite, fakes::FakeWeights::int4_group32)},
    {"grouped_bf16", shaped(fakes::FakeArchitecture::glm4_moe, fakes::FakeWeights::bf16)},
};

class MemoryNeeds : public testing::TestWithParam<Case> {};

TEST_P(MemoryNeeds, AreWhatALoadTakes) {
  const fakes::TemporaryFolder folder;
  fakes::write_tiny_model(folder.path(), GetParam().options);
  std::uint64_t allocated = 0;
  LoadOptions options;
  options.wrap_ops = [&](std::unique_ptr<kernels::Ops> ops) {
    return std::make_unique<CountingOps>(std::move(ops), allocated);
  };
  RunPlan planned;
  options.planned = [&](const RunPlan& plan, const HardwareFacts& /*hardware*/) {
    planned = plan;
    EXPECT_EQ(allocated, 0U) << "planned after something was loaded";
  };
  const auto model = load_model(*files_in(folder.path()), options);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const ModelNeeds needs = needs_of((*model)->facts(), Backend::cpu);
  EXPECT_EQ(needs.page_bytes, (*model)->page_bytes());
  EXPECT_EQ(planned.memory.weight_bytes, needs.weight_bytes);
  const auto near = [](std::uint64_t predicted, std::uint64_t real) {
    EXPECT_GE(static_cast<double>(predicted), 0.9 * static_cast<double>(real));
    EXPECT_LE(static_cast<double>(predicted), 1.1 * static_cast<double>(real));
  };
  near(needs.weight_bytes, (*model)->weight_bytes());
  near(needs.workspace_bytes, allocated - (*model)->weight_bytes());
}

TEST_P(MemoryNeeds, LeaveOthersWhatTheyWerePromised) {
  const fakes::TemporaryFolder folder;
  fakes::write_tiny_model(folder.path(), GetParam().options);
  LoadOptions options;
  options.promised_bytes = std::uint64_t{1} << 60;
  const auto refused = load_model(files_in(folder.path()).value(), options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::exhausted);
}

INSTANTIATE_TEST_SUITE_P(All, MemoryNeeds, testing::ValuesIn(kCases),
                         [](const auto& test) { return test.param.name; });

TEST(MemoryNeeds, ReadFewerBytesForATokenThanThereAre) {
  const fakes::TemporaryFolder folder;
  fakes::write_tiny_model(folder.path(),
                          shaped(fakes::FakeArchitecture::glm4_moe, fakes::FakeWeights::bf16));
  const ModelFacts facts = inspect(*files_in(folder.path())).value();
  const ModelNeeds cuda = needs_of(facts, Backend::cuda);
  // bf16: what a token multiplies with, and its bias terms and norms.
  EXPECT_GE(cuda.token_read_bytes, 2 * facts.parameters_active);
  EXPECT_LE(cuda.token_read_bytes, 2 * facts.parameters_active + 10'000);
  EXPECT_EQ(2 * cuda.page_bytes, needs_of(facts, Backend::cpu).page_bytes);
}

}  // namespace
}  // namespace glm::runner
