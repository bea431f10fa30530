// Loads of a tiny model that are only checked, and what refuses them.
#include "runner/load_check.h"

#include <gtest/gtest.h>

#include "runner/checkpoint/checkpoint_files.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

class LoadCheck : public testing::Test {
 protected:
  LoadFrame frame(fakes::FakeArchitecture architecture) {
    fakes::TinyModelOptions options;
    options.architecture = architecture;
    fakes::write_tiny_model(folder_.path(), options);
    LoadFrame frame;
    for (const auto& [path, file] : files_in(folder_.path()).value()) {
      frame.files.emplace_back(path, file.string());
    }
    frame.device = "cpu";
    return frame;
  }

  fakes::TemporaryFolder folder_;
};

TEST_F(LoadCheck, HasNothingAgainstWhatWouldRun) {
  LoadFrame load = frame(fakes::FakeArchitecture::glm4_moe_lite);
  EXPECT_TRUE(check_load(load).ok());
  load.kv_cache_type = "fp8";
  EXPECT_TRUE(check_load(load).ok());
}

TEST_F(LoadCheck, RefusesAsTheLoadItselfWould) {
  LoadFrame load = frame(fakes::FakeArchitecture::glm4_moe);
  load.kv_cache_type = "fp8";
  EXPECT_EQ(check_load(load).error().code, Errc::unsupported);
  load.kv_cache_type = "bf16";
  load.device = "cuda:999";
  EXPECT_FALSE(check_load(load).ok());
  load.device = "tpu";
  EXPECT_EQ(check_load(load).error().message, "device 'tpu' wants auto, cpu, cuda or cuda:N");
  load.device = "cpu";
  load.context_max = -1;
  EXPECT_EQ(check_load(load).error().message,
            "also with nothing else loaded: a context of -1 tokens: wanted 0 or more");
}

}  // namespace
}  // namespace glm::runner
