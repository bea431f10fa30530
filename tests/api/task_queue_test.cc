// Tasks that block must not keep others from running, up to the bound; all of them run in the end.
#include "cmd/api/task_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

namespace glm::api {
namespace {

TEST(ElasticTaskQueue, RunsBlockedTasksSideBySide) {
  constexpr int kTasks = 20;
  ElasticTaskQueue queue(kTasks);
  std::latch all_running(kTasks);  // passes only when every task has a thread
  for (int i = 0; i < kTasks; ++i) queue.enqueue([&] { all_running.arrive_and_wait(); });
  all_running.wait();
  queue.shutdown();
}

TEST(ElasticTaskQueue, StaysWithinItsThreadsAndFinishesEverything) {
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  std::atomic<int> done = 0;
  {
    ElasticTaskQueue queue(3);
    for (int i = 0; i < 200; ++i) {
      queue.enqueue([&] {
        const int now = ++running;
        int seen = most.load();
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        --running;
        ++done;
      });
    }
  }
  EXPECT_EQ(done, 200);
  EXPECT_LE(most, 3);
}

}  // namespace
}  // namespace glm::api
