// Property: any cut gives what a search through the whole text gives.
#include "runner/text/stop_strings.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace glm::runner {
namespace {

struct Outcome {
  std::string text, stopped_by;
  bool operator==(const Outcome&) const = default;
};

// The plainest search: for each end, the longest stop string that ends there.
Outcome search(const std::vector<std::string>& stops, const std::string& text) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    const std::string* best = nullptr;
    for (const std::string& stop : stops) {
      if (stop.empty() || !std::string_view(text).substr(0, end).ends_with(stop)) continue;
      if (best == nullptr || stop.size() > best->size()) best = &stop;
    }
    if (best != nullptr) return {text.substr(0, end - best->size()), *best};
  }
  return {text, ""};
}

TEST(StopStrings, EmitsNothingThatMayBeginOne) {
  StopStrings stops({"</end>", "STOP"});
  EXPECT_EQ(stops.push("a <"), "a ");
  EXPECT_EQ(stops.push("/en"), "");
  EXPECT_EQ(stops.push("dx S"), "</endx ");
  EXPECT_EQ(stops.push("TOP more"), "");
  EXPECT_TRUE(stops.stopped());
  EXPECT_EQ(stops.stopped_by(), "STOP");
  EXPECT_EQ(stops.push("more"), "");
  EXPECT_EQ(stops.finish(), "");
}

TEST(StopStrings, GivesBackAtTheEndWhatDidNotBecomeOne) {
  StopStrings stops({"abc"});
  EXPECT_EQ(stops.push("xab"), "x");
  EXPECT_EQ(stops.finish(), "ab");
  EXPECT_FALSE(stops.stopped());
}

TEST(StopStrings, WithoutAnyPassesEverything) {
  StopStrings stops({"", ""});
  EXPECT_EQ(stops.push("text"), "text");
  EXPECT_EQ(stops.finish(), "");
}

TEST(StopStrings, AgreesWithAPlainSearchHoweverTheTextIsCut) {
  const unsigned seed = 20261121;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const auto word = [&](std::size_t size_max) {
    std::string out(random() % (size_max + 1), 'a');
    for (char& c : out) c = "aab"[random() % 3];
    return out;
  };
  for (int round = 0; round < 5000; ++round) {
    std::vector<std::string> list(random() % 4);
    for (std::string& stop : list) stop = word(5);
    const std::string text = word(20);
    StopStrings stops(list);
    Outcome got;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = 1 + random() % 4;
      got.text += stops.push(std::string_view(text).substr(at, size));
      at += size;
    }
    got.text += stops.finish();
    got.stopped_by = stops.stopped_by();
    EXPECT_EQ(got, search(list, text)) << text;
  }
}

}  // namespace
}  // namespace glm::runner
