#include "cmd/cli/times.h"

#include <gtest/gtest.h>

namespace glm {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using Wall = Clock::Wall;

TEST(FormatUntil, SaysHowLongAModelStays) {
  const Wall now = Wall(hours(24 * 365 * 56));
  EXPECT_EQ(format_until(now, now), "Stopping...");
  EXPECT_EQ(format_until(now - seconds(1), now), "Stopping...");
  EXPECT_EQ(format_until(now + seconds(1), now), "1 second from now");
  EXPECT_EQ(format_until(now + seconds(59), now), "59 seconds from now");
  EXPECT_EQ(format_until(now + minutes(5) - seconds(1), now), "4 minutes from now");
  EXPECT_EQ(format_until(now + hours(2), now), "2 hours from now");
  EXPECT_EQ(format_until(now + hours(72), now), "3 days from now");
  EXPECT_EQ(format_until(now + hours(24 * 365 * 21), now), "Forever");
  EXPECT_EQ(format_until(Wall::max(), now), "Forever");
}

}  // namespace
}  // namespace glm
