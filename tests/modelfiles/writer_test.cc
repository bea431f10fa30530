#include "modelfiles/writer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "modelfiles/parser.h"

namespace glm::modelfiles {
namespace {

TEST(ModelfileWriter, WritesTheLeastNoisyForm) {
  Modelfile m;
  m.from = "org/model";
  m.parameters = {{"temperature", "0.5"}, {"stop", "<|user|>"}, {"stop", " "}};
  m.system = "be brief";
  m.messages = {{"user", "two\nlines"}};
  m.licenses = {"say \"hi\""};
  const auto text = write(m);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text,
            "FROM org/model\n"
            "PARAMETER temperature 0.5\n"
            "PARAMETER stop <|user|>\n"
            "PARAMETER stop \" \"\n"
            "SYSTEM be brief\n"
            "MESSAGE user \"\"\"two\nlines\"\"\"\n"
            "LICENSE say \"hi\"\n");
}

TEST(ModelfileWriter, RefusesWhatTheLanguageCannotSay) {
  Modelfile m;
  EXPECT_EQ(write(m).error().message, "FROM is missing");
  m.from = "tiny";
  m.system = "a\n\"\"\"\nb";
  EXPECT_EQ(write(m).error().message,
            "SYSTEM: a Modelfile cannot hold \"\"\" inside a value that needs quotes");
  m.system = std::string("a\0b", 3);
  EXPECT_EQ(write(m).error().message, "SYSTEM: a Modelfile cannot hold a zero byte in a value");
  m.system = "a\rb";
  EXPECT_EQ(write(m).error().message,
            "SYSTEM: a Modelfile cannot hold a carriage return in a value");
}

TEST(ModelfileWriter, IsReadBackAsTheSameModelfile) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string_view pieces[] = {"\"", "\"\"\"", "\n", " ", "\t", "#", "x", "FROM", "\\", "é"};
  const auto text = [&] {
    std::string all;
    for (auto n = random() % 8; n > 0; --n) all += pieces[random() % std::size(pieces)];
    return all;
  };
  int written = 0;
  for (int i = 0; i < 20'000; ++i) {
    Modelfile m;
    m.from = "tiny";
    m.system = text();
    m.parameters = {{"stop", text()}};
    m.messages = {{"assistant", text()}};
    m.licenses = {text()};
    const auto once = write(m);
    if (!once.ok()) continue;
    ++written;
    const auto back = parse(*once, "m");
    ASSERT_TRUE(back.ok()) << *once << "\n" << back.error().message;
    EXPECT_EQ(*back, m) << *once;
  }
  EXPECT_GT(written, 5'000);
}

TEST(ParametersText, AlignsNamesAndQuotesStops) {
  Modelfile m;
  m.parameters = {{"temperature", "0.5"}, {"stop", "<|user|>"}};
  EXPECT_EQ(parameters_text(m), "temperature    0.5\nstop           \"<|user|>\"\n");
  EXPECT_EQ(parameters_text(Modelfile{}), "");
}

}  // namespace
}  // namespace glm::modelfiles
