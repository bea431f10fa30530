#include "registry/model_name.h"

#include <gtest/gtest.h>

namespace glm::registry {
namespace {

struct Good {
  const char* text;
  const char* store_name;
  const char* repository;
  const char* revision;
};

TEST(ModelName, IsReadAsPeopleWriteIt) {
  const Good kGood[] = {
      {"tiny", "tiny:latest", "", ""},
      {"glm-4.7-flash:nvfp4", "glm-4.7-flash:nvfp4", "", ""},
      {"org/name", "org/name:latest", "org/name", "main"},
      {"org/name@main", "org/name:latest", "org/name", "main"},
      {"org/name:latest", "org/name:latest", "org/name", "main"},
      {"org/name@v1.0", "org/name:v1.0", "org/name", "v1.0"},
      {"org/name:W4A16_GS32", "org/name:W4A16_GS32", "org/name", "W4A16_GS32"},
      {"org/name@refs/pr/1", "org/name:refs/pr/1", "org/name", "refs/pr/1"},
      {"hf.co/Org/Na.me_1", "Org/Na.me_1:latest", "Org/Na.me_1", "main"},
      {"https://huggingface.co/org/name", "org/name:latest", "org/name", "main"},
      {"https://huggingface.co/org/name/", "org/name:latest", "org/name", "main"},
      {"https://huggingface.co/org/name/tree/v2", "org/name:v2", "org/name", "v2"},
  };
  for (const Good& good : kGood) {
    const Result<ModelRef> ref = ModelRef::parse(good.text);
    ASSERT_TRUE(ref.ok()) << good.text << ": " << ref.error().message;
    EXPECT_EQ(ref->store_name(), good.store_name) << good.text;
    EXPECT_EQ(ref->repository, good.repository) << good.text;
    EXPECT_EQ(ref->revision, good.revision) << good.text;
    const Result<ModelRef> again = ModelRef::parse(ref->store_name());
    ASSERT_TRUE(again.ok()) << "what `list` shows must be a name: " << ref->store_name();
    EXPECT_EQ(again->store_name(), ref->store_name());
  }
}

TEST(ModelName, IsRefusedBeforeItReachesAUrl) {
  for (const char* text :
       {"", "/", "a/", "/b", "a/b/c", "..", "../x", "a/..", "a/b..c", "a--b", "-a", "a-", ".a",
        "a.git", "a b", "a/b c", "a%2fb", "a\\b", "a@b", "tiny:", "tiny:a/b", "a/b@", "a/b@../x",
        "a/b@x y", "a/b@/x", "https://evil.example/org/name", "https://huggingface.co/org",
        "org/name@a?b", "org/name@a#b", "\xff", "a\nb"}) {
    const Result<ModelRef> ref = ModelRef::parse(text);
    EXPECT_FALSE(ref.ok()) << text;
  }
  EXPECT_FALSE(ModelRef::parse(std::string(97, 'a')).ok());
  EXPECT_TRUE(ModelRef::parse(std::string(96, 'a')).ok());
}

TEST(ModelName, SaysWhichRuleIsBroken) {
  EXPECT_EQ(ModelRef::parse("a--b").error().message,
            "'a--b' is no model name: '--' and '..' are not allowed; names are MODEL[:TAG] or "
            "ORG/NAME[@REVISION]");
}

}  // namespace
}  // namespace glm::registry
