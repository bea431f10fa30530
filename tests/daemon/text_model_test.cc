// The tiny model's own files, with Modelfiles in front of them.
#include "cmd/daemon/text_model.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace glm::daemon {
namespace {

using Json = nlohmann::ordered_json;

TextModel tiny(const std::string& modelfile) {
  const auto files = runner::files_in(GLM_SOURCE_DIR "/models/glm-tiny");
  EXPECT_TRUE(files.ok());
  auto model = TextModel::load(*files, modelfile);
  EXPECT_TRUE(model.ok()) << model.error().message;
  return *std::move(model);
}

const Json kHello = {{{"role", "user"}, {"content", "Hello"}}};
const Json kTools = {{{"type", "function"}, {"function", {{"name", "f"}}}}};

TEST(TextModel, RendersWithTheCheckpointsTemplate) {
  const TextModel model = tiny("");
  EXPECT_EQ(*model.render(kHello, nullptr, {}), "[gMASK]<sop><|user|>Hello<|assistant|><think>");
  EXPECT_EQ(*model.render(kHello, nullptr, {}, {.on = false, .level = ""}),
            "[gMASK]<sop><|user|>Hello<|assistant|></think>");
  EXPECT_TRUE(model.can_think());
  EXPECT_EQ(model.call_layout(), runner::CallLayout::arg_tags);
}

TEST(TextModel, PutsTheModelfilesMessagesFirst) {
  const TextModel model =
      tiny("FROM tiny\nSYSTEM Be brief.\nMESSAGE user Hi\nMESSAGE assistant Yo\n");
  EXPECT_EQ(*model.render(kHello, nullptr, {}),
            "[gMASK]<sop><|system|>Be brief.<|user|>Hi<|assistant|></think>Yo<|user|>Hello"
            "<|assistant|><think>");
}

TEST(TextModel, TakesTheModelfilesTemplate) {
  const TextModel model = tiny(
      "FROM tiny\nTEMPLATE \"\"\"{{ eos_token }}{{ tools is none }}{{ documents is none }}"
      "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}{{ x }}\"\"\"\n");
  EXPECT_EQ(*model.render(kHello, nullptr, {{"x", 1.0}}), "<|endoftext|>TrueTrue[user:Hello]1.0");
  EXPECT_EQ(*model.render(kHello, kTools, {}), "<|endoftext|>FalseTrue[user:Hello]");
  EXPECT_FALSE(model.can_think());
  EXPECT_EQ(model.call_layout(), runner::CallLayout::none);
}

TEST(TextModel, CallsATemplateThatDoesNotParseBrokenAndBlamesNobody) {
  const auto files = runner::files_in(GLM_SOURCE_DIR "/models/glm-tiny");
  ASSERT_TRUE(files.ok());
  const auto model = TextModel::load(*files, "FROM tiny\nTEMPLATE {% fro %}\n");
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, Errc::corrupt);
  EXPECT_EQ(model.error().message.find("is damaged"), std::string::npos) << model.error().message;
}

TEST(TextModel, AdvisesAPullOfWhatMayBeDamaged) {
  EXPECT_EQ(with_repair_hint(make_error(Errc::corrupt, "it is odd"), "tiny:latest").message,
            "it is odd; if a file was damaged here, 'glm pull tiny:latest' finds and mends it; if "
            "the error comes back, the repository itself is broken");
  EXPECT_EQ(with_repair_hint(make_error(Errc::device, "it is gone"), "tiny").message, "it is gone");
}

TEST(TextModel, NamesThePlaceInATemplate) {
  const TextModel model = tiny("FROM tiny\nTEMPLATE \"\"\"a\n{{ messages + 1 }}\"\"\"\n");
  const auto rendered = model.render(kHello, nullptr, {});
  ASSERT_FALSE(rendered.ok());
  EXPECT_EQ(rendered.error().code, Errc::invalid_argument);
  EXPECT_EQ(rendered.error().message,
            "chat template: line 2, column 13: unsupported operand types for +: 'list' and 'int'");
}

TEST(TextModel, SaysThatATemplateTakesTooMuch) {
  const TextModel model = tiny(
      "FROM tiny\nTEMPLATE {% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
      "{% endfor %}\n");
  const auto rendered = model.render(kHello, nullptr, {});
  ASSERT_FALSE(rendered.ok());
  EXPECT_EQ(rendered.error().code, Errc::unsupported);
}

}  // namespace
}  // namespace glm::daemon
