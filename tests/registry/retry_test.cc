#include "registry/retry.h"

#include <gtest/gtest.h>

#include "tests/fakes/manual_clock.h"

namespace glm::registry {
namespace {

using std::chrono::seconds;

Error network_error() { return make_error(Errc::unavailable, "GET x answered 503"); }

TEST(Retry, GivesUpAfterItsTriesWithTheirNumber) {
  fakes::ManualClock clock;
  Retry retry({.attempts_max = 3}, clock);
  EXPECT_TRUE(retry.again(network_error(), {}, {}).ok());
  EXPECT_TRUE(retry.again(network_error(), {}, {}).ok());
  EXPECT_EQ(retry.again(network_error(), {}, {}).error().message,
            "GET x answered 503, gave up after 3 tries");
}

TEST(Retry, StartsAgainAfterProgress) {
  fakes::ManualClock clock;
  Retry retry({.attempts_max = 2}, clock);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(retry.again(network_error(), {}, {}).ok());
    retry.reset();
  }
}

TEST(Retry, WaitsLongerEachTimeButNotTooLong) {
  fakes::ManualClock clock;
  Retry retry({.attempts_max = 40, .first_wait = std::chrono::milliseconds(1000),
               .longest_wait = std::chrono::milliseconds(8000)},
              clock);
  for (int i = 0; i < 39; ++i) {
    const auto before = clock.now();
    ASSERT_TRUE(retry.again(network_error(), {}, {}).ok());
    const auto cap = i < 3 ? seconds(1 << i) : seconds(8);
    EXPECT_LE(clock.now() - before, cap);
    if (i == 30) break;
  }
}

TEST(Retry, ObeysTheServerWithinReason) {
  fakes::ManualClock clock;
  Retry retry({}, clock);
  const auto before = clock.now();
  EXPECT_TRUE(retry.again(network_error(), seconds(40), {}).ok());
  EXPECT_GE(clock.now() - before, seconds(40));
  EXPECT_EQ(retry.again(network_error(), seconds(3600), {}).error().message,
            "GET x answered 503; the server asks to wait 3600 s, try again then");
}

TEST(Retry, DoesNotRepeatWhatCannotGetBetter) {
  fakes::ManualClock clock;
  Retry retry({}, clock);
  EXPECT_EQ(retry.again(make_error(Errc::permission, "gated"), {}, {}).error().message, "gated");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(retry.again(network_error(), {}, stop.get_token()).error().code, Errc::cancelled);
}

TEST(AskedWait, ReadsEverySpelling) {
  const Clock::Wall now = std::chrono::system_clock::from_time_t(784'111'777);
  EXPECT_EQ(asked_wait("", "", now), std::nullopt);
  EXPECT_EQ(asked_wait("5", "", now), seconds(6));
  EXPECT_EQ(asked_wait("-1", "", now), seconds(1));
  EXPECT_EQ(asked_wait("soon", "", now), std::nullopt);
  EXPECT_EQ(asked_wait("Sun, 06 Nov 1994 08:49:47 GMT", "", now), seconds(11));
  EXPECT_EQ(asked_wait("Sun, 06 Nov 1990 08:49:47 GMT", "", now), seconds(1));
  EXPECT_EQ(asked_wait("", "\"api\";r=0;t=55", now), seconds(56));
  EXPECT_EQ(asked_wait("", "\"api\";r=3;t=55", now), std::nullopt);
  EXPECT_EQ(asked_wait("99999999999999999999", "", now), std::nullopt);
  EXPECT_EQ(asked_wait("999999999999", "", now), seconds(1'000'000'001));
}

TEST(Transient, IsWhatTheHubAndItsCdnRecoverFrom) {
  for (const long s : {408L, 425L, 429L, 500L, 502L, 503L, 504L, 520L, 524L}) EXPECT_TRUE(is_transient(s));
  for (const long s : {200L, 301L, 400L, 401L, 403L, 404L, 416L, 501L, 525L}) EXPECT_FALSE(is_transient(s));
}

}  // namespace
}  // namespace glm::registry
