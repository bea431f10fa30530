#include "cmd/daemon/runner_watch.h"

#include <gtest/gtest.h>

#include "tests/fakes/manual_clock.h"

namespace glm::daemon {
namespace {

using std::chrono::seconds;

class RunnerWatchTest : public testing::Test {
 protected:
  std::optional<std::string> beat_after(seconds time, std::uint64_t progress, bool busy) {
    clock_.sleep(time);
    return watch_.beat({.progress = progress, .busy = busy, .stats = {}}, clock_.now());
  }
  void ready(seconds step_max) {
    runner::ReadyFrame frame;
    frame.step_ns_max = static_cast<std::uint64_t>(std::chrono::nanoseconds(step_max).count());
    watch_.ready(frame, clock_.now());
  }

  fakes::ManualClock clock_;
  RunnerWatch watch_{clock_.now(), seconds(600)};
};

TEST_F(RunnerWatchTest, IsContentWhileStepsAreCompleted) {
  ready(seconds(30));
  for (std::uint64_t step = 1; step < 100; ++step) {
    EXPECT_FALSE(beat_after(seconds(29), step, true));
  }
}

TEST_F(RunnerWatchTest, SaysThatAStepTakesTooLong) {
  ready(seconds(30));
  EXPECT_FALSE(beat_after(seconds(1), 5, true));
  EXPECT_FALSE(beat_after(seconds(29), 5, true));
  EXPECT_EQ(beat_after(seconds(1), 5, true), "no step was completed for 30 s while there was work");
}

TEST_F(RunnerWatchTest, CountsFromTheMomentThatThereIsWork) {
  ready(seconds(30));
  EXPECT_FALSE(beat_after(seconds(1), 5, false));
  EXPECT_FALSE(beat_after(seconds(1000), 5, false));
  EXPECT_FALSE(beat_after(seconds(29), 5, true));
  EXPECT_TRUE(beat_after(seconds(1), 5, true));
}

TEST_F(RunnerWatchTest, GivesALoadMoreTimeThanAStep) {
  EXPECT_FALSE(beat_after(seconds(599), 0, true));
  EXPECT_EQ(beat_after(seconds(1), 0, true), "the load stood still for 600 s");
}

TEST_F(RunnerWatchTest, HasNoOpinionOnARunnerWithoutABound) {
  ready(seconds(0));
  EXPECT_FALSE(beat_after(seconds(1), 1, true));
  EXPECT_FALSE(beat_after(std::chrono::hours(10), 1, true));
}

}  // namespace
}  // namespace glm::daemon
