// The heartbeat against the other end of a socket pair.
#include "runner/heartbeat.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/fd.h"

namespace glm::runner {
namespace {

class HeartbeatTest : public testing::Test {
 protected:
  HeartbeatTest() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ours_ = Fd(fds[0]);
    theirs_ = Fd(fds[1]);
  }

  BeatFrame next() {
    const Result<Frame> frame = receive_frame(theirs_.get());
    EXPECT_TRUE(frame.ok());
    return std::get<BeatFrame>(*frame);
  }
  // After so much progress; what was sent before is passed over.
  BeatFrame next_at(std::uint64_t progress) {
    BeatFrame beat = next();
    while (beat.progress < progress && !HasFailure()) beat = next();
    return beat;
  }

  Fd ours_;
  Fd theirs_;
};

constexpr std::chrono::milliseconds kOften{5};

TEST_F(HeartbeatTest, GoesOnWhileTheWorkStandsStill) {
  Outbox outbox(ours_.get());
  Heartbeat heartbeat(outbox, kOften);
  heartbeat.set_busy(true);
  heartbeat.progress();
  const BeatFrame first = next_at(1);
  const BeatFrame second = next();
  EXPECT_TRUE(second.busy);
  EXPECT_EQ(first.progress, 1u);
  EXPECT_EQ(second.progress, 1u);
}

TEST_F(HeartbeatTest, TellsWhatTheLastStepLeft) {
  Outbox outbox(ours_.get());
  Heartbeat heartbeat(outbox, kOften);
  for (std::uint32_t step = 1; step <= 3; ++step) {
    heartbeat.progress({.running = step, .waiting = 2, .pages_used = 5});
  }
  const BeatFrame beat = next_at(3);
  EXPECT_FALSE(beat.busy);
  EXPECT_EQ(beat.progress, 3u);
  EXPECT_EQ(beat.stats.running, 3u);
  EXPECT_EQ(beat.stats.waiting, 2u);
  EXPECT_EQ(beat.stats.pages_used, 5);
}

TEST_F(HeartbeatTest, TellsAtOnceWhenToldTo) {
  Outbox outbox(ours_.get());
  Heartbeat heartbeat(outbox, std::chrono::hours(1));
  for (std::uint64_t tokens = 1; tokens <= 3; ++tokens) {
    heartbeat.progress({.generated_tokens = tokens});
    heartbeat.beat();
    EXPECT_EQ(next().stats.generated_tokens, tokens);
  }
}

TEST_F(HeartbeatTest, EndsWhenNobodyListens) {
  Outbox outbox(ours_.get());
  Heartbeat heartbeat(outbox, kOften);
  theirs_ = Fd();
  std::this_thread::sleep_for(10 * kOften);
  EXPECT_EQ(outbox.send(CancelFrame{1}).error().code, Errc::unavailable);
}

}  // namespace
}  // namespace glm::runner
