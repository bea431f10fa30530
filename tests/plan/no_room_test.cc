// The whole text of the message for a model that does not fit, in the cases people meet.
#include "runner/plan/no_room.h"

#include <gtest/gtest.h>

namespace glm::runner {
namespace {

constexpr std::uint64_t kGB = 1'000'000'000;

ModelNeeds flash() {
  return {.model = {},
          .context_own = 202'752,
          .weight_bytes = 20 * kGB,
          .workspace_bytes = 700'000'000,
          .page_bytes = 3'465'216};
}

const RunOverrides kCatalog{
    .context_max = 0,
    .alternatives = {{"flash:bf16", 62 * kGB}, {"flash:q3", 14 * kGB}, {"flash:q2", 9 * kGB}}};

std::string refusal(const ModelNeeds& model, const HardwareFacts& hardware,
                    const RunOverrides& overrides) {
  const auto made = plan(model, hardware, overrides);
  if (made.ok()) return "it fits";
  EXPECT_EQ(made.error().code, Errc::exhausted);
  return made.error().message;
}

HardwareFacts rtx_4090() {
  HardwareFacts hardware = hardware_named("rtx-4090").value();
  hardware.host_free_bytes = 60 * kGB;
  return hardware;
}

TEST(NoRoom, NamesOtherProgramsAndSmallerForms) {
  HardwareFacts hardware = rtx_4090();
  hardware.memory_free_bytes = 16 * kGB;
  EXPECT_EQ(refusal(flash(), hardware, kCatalog),
            "the model needs 21.3 GB on cuda:0 (weights 20.0 GB, workspace 700.0 MB, kept for "
            "CUDA 536.9 MB, a context of 1024 tokens 55.4 MB), where 16.0 GB of 25.8 GB are free "
            "and other programs have 9.8 GB; what would fit: this model when 5.3 GB more are free "
            "('nvidia-smi' lists who has them), flash:q3 (14.0 GB), flash:q2 (9.0 GB) or the CPU, "
            "slowly (--device cpu, 60.0 GB free)");
}

TEST(NoRoom, CountsWhatOpeningTheDeviceWouldTake) {
  HardwareFacts hardware = rtx_4090();
  hardware.memory_free_bytes = 21 * kGB;
  EXPECT_EQ(refusal(flash(), hardware, {}).find("it fits"), std::string::npos);
  hardware.memory_free_bytes = 21'400'000'000;
  EXPECT_EQ(refusal(flash(), hardware, {}), "it fits");
  hardware.unopened_bytes = 500'000'000;
  EXPECT_NE(refusal(flash(), hardware, {}).find("kept for CUDA 1.0 GB"), std::string::npos);
}

TEST(NoRoom, NamesALargerGpuForAModelThatIsTooLarge) {
  ModelNeeds model = flash();
  model.weight_bytes = 62 * kGB;
  HardwareFacts hardware = rtx_4090();
  hardware.host_free_bytes = 0;
  EXPECT_EQ(refusal(model, hardware, {}),
            "the model needs 63.3 GB on cuda:0 (weights 62.0 GB, workspace 700.0 MB, kept for "
            "CUDA 536.9 MB, a context of 1024 tokens 55.4 MB), where 24.9 GB of 25.8 GB are "
            "free; what would fit: a GPU such as NVIDIA H100 PCIe (85.5 GB)");
}

TEST(NoRoom, OffersTheContextThatFits) {
  RunOverrides overrides = kCatalog;
  overrides.context_max = 131'072;
  EXPECT_EQ(refusal(flash(), rtx_4090(), overrides),
            "the model needs 28.3 GB on cuda:0 (weights 20.0 GB, workspace 700.0 MB, kept for "
            "CUDA 536.9 MB, a context of 131072 tokens 7.1 GB), where 24.9 GB of 25.8 GB are "
            "free; what would fit: a context of 67968 tokens (num_ctx 67968), flash:q3 (14.0 GB), "
            "flash:q2 (9.0 GB), a GPU such as NVIDIA GeForce RTX 5090 (34.2 GB) or the CPU, slowly "
            "(--device cpu, 60.0 GB free)");
}

TEST(NoRoom, SaysThatUnifiedMemoryIsShared) {
  ModelNeeds model = flash();
  model.weight_bytes = 64 * kGB;
  EXPECT_EQ(refusal(model, hardware_named("dgx-spark").value(), {}),
            "the model needs 65.3 GB on cuda:0 (weights 64.0 GB, workspace 700.0 MB, kept for "
            "CUDA 536.9 MB, a context of 1024 tokens 55.4 MB), where 127.7 GB of 128.5 GB are "
            "free and 64.3 GB are for a model, half of what GPU and host share; what would fit: a "
            "GPU such as NVIDIA H200 (150.8 GB)");
}

TEST(NoRoom, CountsTheHostTwice) {
  const HardwareFacts host{.device = "cpu",
                           .memory = MemoryKind::of_the_host,
                           .memory_total_bytes = 32 * kGB,
                           .memory_free_bytes = 12 * kGB};
  EXPECT_EQ(refusal(flash(), host, {}),
            "the model needs 20.8 GB on cpu (weights 20.0 GB, workspace 700.0 MB, a context of "
            "1024 tokens 110.9 MB with as much for others), where 12.0 GB of 32.0 GB are free; "
            "what would fit: this model when 8.8 GB more are free");
}

TEST(NoRoom, TellsWhatIsLeftBesideAModelThatIsLoaded) {
  ModelNeeds model = flash();
  model.loaded = true;
  HardwareFacts hardware = rtx_4090();
  hardware.memory_free_bytes = 500'000'000;
  hardware.host_free_bytes = 0;
  EXPECT_EQ(refusal(model, hardware, {}),
            "the model needs 21.3 GB on cuda:0 (weights 20.0 GB, workspace 700.0 MB, kept for "
            "CUDA 536.9 MB, a context of 1024 tokens 55.4 MB), where 500.0 MB of 25.8 GB are "
            "free beside the weights and the workspace; what would fit: a GPU such as NVIDIA "
            "GeForce RTX 5090 (34.2 GB)");
}

TEST(NoRoom, KnowsWhenNothingHelps) {
  ModelNeeds model = flash();
  model.weight_bytes = 900 * kGB;
  HardwareFacts hardware = rtx_4090();
  EXPECT_EQ(refusal(model, hardware, {}),
            "the model needs 901.3 GB on cuda:0 (weights 900.0 GB, workspace 700.0 MB, kept for "
            "CUDA 536.9 MB, a context of 1024 tokens 55.4 MB), where 24.9 GB of 25.8 GB are "
            "free; nothing that glm knows of would fit");
}

}  // namespace
}  // namespace glm::runner
