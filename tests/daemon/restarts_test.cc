#include "cmd/daemon/restarts.h"

#include <gtest/gtest.h>

#include "tests/fakes/manual_clock.h"

namespace glm::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Restarts, WaitTwiceAsLongAfterEachDeathUpToABound) {
  fakes::ManualClock clock;
  Restarts restarts;
  const int delays[] = {0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60};
  for (const int delay : delays) {
    restarts.died_early("m", "signal 9", clock.now());
    EXPECT_EQ(restarts.check("m", clock.now()).ok(), delay == 0);
    if (delay > 0) clock.sleep(seconds(delay) - milliseconds(1));
    EXPECT_EQ(restarts.check("m", clock.now()).ok(), delay == 0) << delay;
    clock.sleep(milliseconds(1));
    EXPECT_TRUE(restarts.check("m", clock.now()).ok()) << delay;
  }
  EXPECT_TRUE(restarts.check("another", clock.now()).ok());
}

TEST(Restarts, BeginAnewForAModelThatWorks) {
  fakes::ManualClock clock;
  Restarts restarts;
  for (int i = 0; i < 5; ++i) restarts.died_early("m", "signal 9", clock.now());
  EXPECT_FALSE(restarts.check("m", clock.now()).ok());
  restarts.works("m");
  EXPECT_TRUE(restarts.check("m", clock.now()).ok());
  restarts.died_early("m", "signal 9", clock.now());
  EXPECT_TRUE(restarts.check("m", clock.now()).ok());
}

}  // namespace
}  // namespace glm::daemon
