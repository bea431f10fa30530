#include "registry/hub_options.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "tests/fakes/temp_dir.h"

namespace glm::registry {
namespace {

class HubOptionsTest : public testing::Test {
 protected:
  HubOptionsTest() {
    for (const char* name : {"HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH",
                             "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",
                             "HF_HUB_DISABLE_IMPLICIT_TOKEN", "XDG_CACHE_HOME"}) {
      ::unsetenv(name);
    }
    ::setenv("HF_HOME", home_.path().c_str(), 1);
  }
  fakes::TempDir home_;
};

TEST_F(HubOptionsTest, AreTheHubItselfAndNobodyUnlessSaid) {
  const Result<HubOptions> options = hub_options_from_environment();
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->endpoint, "https://huggingface.co");
  EXPECT_EQ(options->token, "");
  EXPECT_FALSE(options->offline);
}

TEST_F(HubOptionsTest, TakeTheFirstTokenThereIs) {
  std::ofstream(home_.path() / "token") << " hf_file\n";
  EXPECT_EQ(hub_options_from_environment()->token, "hf_file");
  ::setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
  EXPECT_EQ(hub_options_from_environment()->token, "");
  ::setenv("HUGGING_FACE_HUB_TOKEN", "hf_old", 1);
  EXPECT_EQ(hub_options_from_environment()->token, "hf_old");
  ::setenv("HF_TOKEN", " hf_new\r\n", 1);
  EXPECT_EQ(hub_options_from_environment()->token, "hf_new");
}

TEST_F(HubOptionsTest, RefuseWhatCouldNotBeAHeaderOrAnAddress) {
  ::setenv("HF_TOKEN", "hf_a\nX-Evil: 1", 1);
  EXPECT_EQ(hub_options_from_environment().error().message,
            "the hub token has blanks or control characters inside; check HF_TOKEN");
  ::unsetenv("HF_TOKEN");
  for (const char* endpoint : {"ftp://mirror", "file:///etc", "not a url", "foo", "https://"}) {
    ::setenv("HF_ENDPOINT", endpoint, 1);
    ASSERT_FALSE(hub_options_from_environment().ok()) << endpoint;
    EXPECT_EQ(hub_options_from_environment().error().code, Errc::invalid_argument) << endpoint;
  }
  ::setenv("HF_ENDPOINT", "https://mirror.example/hf//", 1);
  EXPECT_EQ(hub_options_from_environment()->endpoint, "https://mirror.example/hf");
}

TEST_F(HubOptionsTest, ReadOfflineAsTheOfficialClientDoes) {
  for (const char* yes : {"1", "on", "YES", "True"}) {
    ::setenv("HF_HUB_OFFLINE", yes, 1);
    EXPECT_TRUE(hub_options_from_environment()->offline) << yes;
  }
  for (const char* no : {"0", "off", ""}) {
    ::setenv("HF_HUB_OFFLINE", no, 1);
    EXPECT_FALSE(hub_options_from_environment()->offline) << no;
  }
}

}  // namespace
}  // namespace glm::registry
