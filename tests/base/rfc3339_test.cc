#include "base/rfc3339.h"

#include <gtest/gtest.h>

namespace glm {
namespace {

using std::chrono::seconds;
using Wall = Clock::Wall;

TEST(Rfc3339, IsReadInEveryFormThatServersWrite) {
  const Wall base = Wall(seconds(1'795'252'500));  // 2026-11-21T09:15:00Z
  EXPECT_EQ(parse_rfc3339("2026-11-21T09:15:00Z"), base);
  EXPECT_EQ(parse_rfc3339("2026-11-21t09:15:00z"), base);
  EXPECT_EQ(parse_rfc3339("2026-11-21 09:15:00Z"), base);
  EXPECT_EQ(parse_rfc3339("2026-11-21T10:15:00+01:00"), base);
  EXPECT_EQ(parse_rfc3339("2026-11-21T03:45:00-05:30"), base);
  EXPECT_EQ(parse_rfc3339("2026-11-21T09:15:00.5Z"), base + std::chrono::milliseconds(500));
  EXPECT_EQ(parse_rfc3339("2026-11-21T09:15:00.123456789Z"),
            base + std::chrono::nanoseconds(123'456'789));
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00Z"), Wall());
  EXPECT_EQ(parse_rfc3339("2318-01-01T00:00:00Z"), Wall::max());
}

TEST(Rfc3339, ReadsWhatWeWrite) {
  const Wall now = std::chrono::time_point_cast<std::chrono::microseconds>(system_clock().wall());
  EXPECT_EQ(parse_rfc3339(rfc3339(now)), now);
}

TEST(Rfc3339, RefusesEverythingElse) {
  for (const char* text :
       {"", "now", "2026", "2026-11-21", "2026-11-21T09:15:00", "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-21T09:60:00Z",
        "2026-11-21T09:15:61Z", "2026-11-21T09:15:00.Z", "2026-11-21T09:15:00+1:00",
        "2026-11-21T09:15:00+0100", "2026-11-21T09:15:00Z ", "2026-11-21X09:15:00Z",
        "0001-01-01T00:00:00Z", "2026-1-21T09:15:00Z"}) {
    EXPECT_EQ(parse_rfc3339(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace glm
