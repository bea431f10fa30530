// Tasks that block must not keep others from running, up to the bound; all of them run in the end.
#include "cmd/api/task_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

namespace glm::api {
namespace {

TEST(ElasticTaskQueue, RunsBlockedTasksSideBySide) {
  constexpr int kTasks = 20;
  ElasticTaskQueue queue({.threads_max = kTasks});
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
    ElasticTaskQueue queue({.threads_max = 3, .waiting_max = 200});
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

// One thread is taken, one task waits; of the next two one is refused and one dropped.
TEST(ElasticTaskQueue, RefusesWhatMayNotWaitAndDropsWhatItCannotRefuse) {
  using Admission = ElasticTaskQueue::Admission;
  std::latch begun(1), refusing(1), end(1);
  std::atomic<int> served = 0;
  ElasticTaskQueue queue({.threads_max = 1, .waiting_max = 1, .refusing_max = 1});
  const auto serve = [&] {
    EXPECT_EQ(ElasticTaskQueue::admission(), Admission::serve);
    ++served;
  };
  queue.enqueue([&] {
    begun.count_down();
    end.wait();
    serve();
  });
  begun.wait();
  queue.enqueue(serve);
  queue.enqueue([&] {
    EXPECT_EQ(ElasticTaskQueue::admission(), Admission::refuse);
    refusing.count_down();
    end.wait();
  });
  refusing.wait();
  bool dropped = false;
  queue.enqueue([&] { dropped = ElasticTaskQueue::admission() == Admission::drop; });
  EXPECT_TRUE(dropped);  // by this very thread
  EXPECT_EQ(ElasticTaskQueue::admission(), Admission::serve);
  end.count_down();
  queue.shutdown();
  EXPECT_EQ(served, 2);
}

}  // namespace
}  // namespace glm::api
