// Whole templates, each in the structure of a published family.
#include "runner/text/call_layout.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/text/read_json.h"

namespace glm::runner {
namespace {

CallLayout layout_of(const std::string& name) {
  const auto parsed = ChatTemplate::parse(source_file("tests/golden/text/templates/" + name));
  EXPECT_TRUE(parsed.ok()) << name;
  return parsed.ok() ? call_layout(*parsed) : CallLayout::none;
}

TEST(CallLayout, IsReadOffTheTemplate) {
  EXPECT_EQ(layout_of("glm47_layout.jinja"), CallLayout::arg_tags);
  EXPECT_EQ(layout_of("glm45_layout.jinja"), CallLayout::arg_tags);
  EXPECT_EQ(layout_of("qwen3_layout.jinja"), CallLayout::json);
  EXPECT_EQ(layout_of("llama3_layout.jinja"), CallLayout::none);
  EXPECT_EQ(layout_of("gpt_oss_layout.jinja"), CallLayout::none);
}

}  // namespace
}  // namespace glm::runner
