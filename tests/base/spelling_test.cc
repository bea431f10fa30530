#include "base/spelling.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

namespace glm {
namespace {

TEST(EditDistance, CountsInsertionsDeletionsExchangesAndSwaps) {
  EXPECT_EQ(edit_distance("", "", 5), 0);
  EXPECT_EQ(edit_distance("", "abc", 5), 3);
  EXPECT_EQ(edit_distance("from", "from", 5), 0);
  EXPECT_EQ(edit_distance("form", "from", 5), 1);
  EXPECT_EQ(edit_distance("frm", "from", 5), 1);
  EXPECT_EQ(edit_distance("frome", "from", 5), 1);
  EXPECT_EQ(edit_distance("kitten", "sitting", 5), 3);
  EXPECT_EQ(edit_distance("FROM", "from", 5), 0);
}

TEST(EditDistance, StopsCountingAtItsLimit) {
  EXPECT_EQ(edit_distance("abcdef", "uvwxyz", 3), 4);
  EXPECT_EQ(edit_distance(std::string(100'000, 'a'), std::string(100'000, 'b'), 3), 4);
}

TEST(EditDistance, IsSymmetricAndZeroOnlyForEquals) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto word = [&] {
    std::string text(random() % 9, ' ');
    for (char& c : text) c = static_cast<char>('a' + random() % 3);
    return text;
  };
  for (int i = 0; i < 2000; ++i) {
    const std::string a = word(), b = word();
    EXPECT_EQ(edit_distance(a, b, 20), edit_distance(b, a, 20)) << a << " " << b;
    EXPECT_EQ(edit_distance(a, b, 20) == 0, a == b) << a << " " << b;
  }
}

TEST(DidYouMean, NamesOnlyWhatIsNear) {
  constexpr std::array<std::string_view, 4> kNames = {"temperature", "top_k", "top_p", "seed"};
  EXPECT_EQ(did_you_mean("temprature", kNames), "; did you mean 'temperature'?");
  EXPECT_EQ(did_you_mean("sed", kNames), "; did you mean 'seed'?");
  EXPECT_EQ(did_you_mean("top-k", kNames), "; did you mean 'top_k'?");
  EXPECT_EQ(did_you_mean("banana", kNames), "");
  EXPECT_EQ(did_you_mean("x", kNames), "");
  EXPECT_EQ(did_you_mean("", kNames), "");
}

}  // namespace
}  // namespace glm
